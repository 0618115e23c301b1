/** One stretch of one partition, decoded: what the tail and streams that catch up work with. */
import type { FetchSlice, Log } from '../engine/log.ts'
import { readRecords } from '../model/batch-reader.ts'
import { GatewayError } from '../model/errors.ts'
import { fetchTimeoutMs } from '../model/limits.ts'
import type { Offset } from '../model/offset.ts'
import { baseOffsetOf, lastOffsetOf } from '../model/record-batch.ts'
import type { StoredRecord } from '../model/record.ts'
import type { TopicPartition } from '../model/topic.ts'
import type { Gap } from './gap.ts'

/** Offsets [from, next) of a partition, and behind them perhaps a gap. */
export interface Run {
  readonly from: Offset
  /** Where to go on if there is no gap. */
  readonly next: Offset
  /** The durable end when the run was read. */
  readonly end: Offset
  readonly records: readonly StoredRecord[]
  /** Offsets [next, gap.to) cannot be had; reading goes on at `gap.to`. */
  readonly gap?: MissingPart
  /** The records are borrowed: after this call nobody reads them. */
  release(): void
}

export interface MissingPart {
  readonly to: Offset
  readonly why: Gap['why']
}

/**
 * Fetches and decodes once, without waiting. Throws what the log says when it is no gap:
 * UNKNOWN_TOPIC, UNKNOWN_PARTITION, EPOCH_MISMATCH, or damage that cannot be passed.
 */
export async function readRun(
  log: Log,
  tp: TopicPartition,
  topicId: string,
  from: Offset,
  bytesMax: number,
): Promise<Run> {
  const [slice] = await log.fetch([{ tp, from, bytesMax, topicId }], {
    bytesMax,
    timeoutMs: fetchTimeoutMs,
  })
  if (slice === undefined) throw new Error('The log answered no slice.')
  try {
    return toRun(slice, from)
  } catch (error) {
    slice.release()
    throw error
  }
}

/** What of the log is missing where a slice ends, if its error means that and no more. */
export function missingPart(slice: FetchSlice, next: Offset): MissingPart | undefined {
  switch (slice.error?.code) {
    case 'OFFSET_OUT_OF_RANGE':
      if (next < slice.logStart) return { to: slice.logStart, why: 'retention' }
      if (slice.readableEnd >= 0 && next > slice.readableEnd) {
        return { to: slice.readableEnd, why: 'trimmed' }
      }
      return undefined
    case 'CORRUPT_BATCH':
      return slice.next > next ? { to: slice.next, why: 'corrupt' } : undefined
    default:
      return undefined
  }
}

function toRun(slice: FetchSlice, from: Offset): Run {
  const records: StoredRecord[] = []
  const rest = { from, records, end: slice.durableEnd, release: () => slice.release() }
  let next = from
  for (const batch of slice.batches) {
    const batchEnd = lastOffsetOf(batch) + 1
    if (batchEnd <= next) continue
    const decoded = decode(batch)
    if (decoded === undefined) {
      const start = Math.max(next, baseOffsetOf(batch))
      return { ...rest, next: start, gap: { to: batchEnd, why: 'corrupt' } }
    }
    for (const record of decoded) if (record.offset >= from) records.push(record)
    next = batchEnd
  }
  if (slice.error === undefined) return { ...rest, next: Math.max(next, slice.next) }
  const gap = missingPart(slice, next)
  if (gap !== undefined) return { ...rest, next, gap }
  // What was read in front of the error is delivered first; the next look meets the error again.
  if (next > from) return { ...rest, next }
  throw slice.error
}

function decode(batch: Uint8Array): readonly StoredRecord[] | undefined {
  try {
    return readRecords(batch)
  } catch (error) {
    if (error instanceof GatewayError) return undefined
    throw error
  }
}
