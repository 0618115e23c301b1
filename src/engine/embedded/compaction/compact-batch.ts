/**
 * What compaction leaves of one batch. Of each key the newest record stays, and everything that nobody
 * can judge: records without a key, batches that cannot be opened or written here.
 *
 * A tombstone first gets a delete horizon, `delete.retention.ms` ahead, so that slow readers see it.
 * Later it goes, but only in a round that knows it as the newest record of its key and that could
 * judge everything below it: else an older value would come back to life.
 */
import { filteredBatch, openBatch } from '../../../model/batch-filter.ts'
import type { OpenedBatch, RecordPlace } from '../../../model/batch-filter.ts'
import { messageBytesMax } from '../../../model/limits.ts'
import type { Offset } from '../../../model/offset.ts'
import { deleteHorizonOf, isControl, recordCountOf } from '../../../model/record-batch.ts'
import type { KeyOffsets } from './key-offsets.ts'

export interface Judgement {
  readonly keys: KeyOffsets
  /** Every key written in [… , knownEnd) and looked at is in `keys`; from here on nothing is judged. */
  readonly knownEnd: Offset
  /** Log time, ms. */
  readonly nowMs: number
  readonly deleteRetentionMs: number
  /** False once something below could not be judged. */
  readonly mayPurge: boolean
}

export interface CompactedBatch {
  /** The batch given where nothing of it goes; undefined when nothing of it stays. */
  readonly batch: Uint8Array | undefined
  /** Whether another batch must take its place. */
  readonly isChanged: boolean
  /** Records that went. */
  readonly removed: number
  /** When the first tombstone left in it may go, ms; Infinity without one. */
  readonly tombstonesDueMs: number
  /** Nobody knows which keys it holds, or what should have gone is still in it. */
  readonly isOpaque: boolean
}

export function compactedBatch(batch: Uint8Array, judgement: Judgement): CompactedBatch {
  const asItIs = {
    batch,
    isChanged: false,
    removed: 0,
    tombstonesDueMs: Infinity,
    isOpaque: true,
  }
  // Batches without records bridge the gap at the beginning of a segment: the new one makes its own.
  if (recordCountOf(batch) === 0) return { ...asItIs, batch: undefined, isOpaque: false }
  const opened = isControl(batch) ? undefined : tryOpen(batch)
  if (opened === undefined) return asItIs

  const horizonMs = deleteHorizonOf(batch)
  const kept: RecordPlace[] = []
  let hasTombstone = false
  let wantsHorizon = false
  for (const record of opened.records) {
    if (!stays(record, horizonMs, judgement)) continue
    kept.push(record)
    if (!isDelete(record)) continue
    hasTombstone = true
    wantsHorizon ||= horizonMs === undefined && record.offset < judgement.knownEnd
  }
  const newHorizonMs = wantsHorizon ? judgement.nowMs + judgement.deleteRetentionMs : undefined
  const tombstonesDueMs = hasTombstone ? (horizonMs ?? newHorizonMs ?? Infinity) : Infinity
  const removed = opened.records.length - kept.length
  if (removed === 0 && !wantsHorizon) return { ...asItIs, tombstonesDueMs, isOpaque: false }
  const changed = { isChanged: true, removed, tombstonesDueMs, isOpaque: false }
  if (kept.length === 0) return { ...changed, batch: undefined }
  const filtered = filteredBatch(batch, opened.body, kept, newHorizonMs)
  // Longer numbers and another compressor may make it larger than a batch can be.
  if (filtered === undefined || filtered.length > messageBytesMax) return asItIs
  return { ...changed, batch: filtered }
}

/** The records of a batch for the first pass; undefined when it cannot be opened. */
export function tryOpen(batch: Uint8Array): OpenedBatch | undefined {
  try {
    return openBatch(batch)
  } catch {
    // Damaged inside, or in a codec that is not installed: it stays, and reading names it.
    return undefined
  }
}

/** A record that deletes its key; without a key it deletes nothing. */
export function isDelete(record: RecordPlace): boolean {
  return record.isTombstone && record.key !== null
}

function stays(record: RecordPlace, horizonMs: number | undefined, judgement: Judgement): boolean {
  const { key, offset } = record
  if (key === null) return true
  const last = judgement.keys.last(key)
  if (last > offset) return false
  const isDue = horizonMs !== undefined && judgement.nowMs >= horizonMs
  return !(isDue && isDelete(record) && last === offset && judgement.mayPurge)
}
