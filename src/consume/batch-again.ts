/** Reads a batch that is out once more, from the log: sessions keep where it lies, never its records. */
import type { FetchSlice, Log } from '../engine/log.ts'
import { readRecords } from '../model/batch-reader.ts'
import { GatewayError } from '../model/errors.ts'
import { fetchTimeoutMs, readBytesDefault } from '../model/limits.ts'
import type { StoredRecord } from '../model/record.ts'
import type { Gap } from './gap.ts'
import { bytesOf, releaseAll } from './partition-fetch.ts'
import type { ReadRecord } from './read-record.ts'
import type { Span } from './session.ts'

export interface BatchAgain {
  /** Keys and values are borrowed until `release`. */
  readonly records: readonly ReadRecord[]
  /** What has gone since it was handed out first. */
  readonly gaps: readonly Gap[]
  readonly bytes: number
  release(): void
}

/** A span with the id of its topic: a namesake made later has nothing of it. */
export type KnownSpan = Span & { readonly topicId: string }

/** `wants` is what chose the records when they were handed out first. Throws CORRUPT_BATCH. */
export async function readAgain(
  log: Log,
  spans: readonly KnownSpan[],
  wants: ((record: StoredRecord) => boolean) | undefined,
): Promise<BatchAgain> {
  const records: ReadRecord[] = []
  const gaps: Gap[] = []
  const borrowed: FetchSlice[] = []
  const release = (): void => releaseAll(borrowed.splice(0))
  try {
    for (const span of spans) {
      const { topic, partition, topicId } = span
      const tp = { topic, partition }
      let next = span.from
      while (next < span.next) {
        const request = { tp, from: next, bytesMax: readBytesDefault, topicId }
        const options = { bytesMax: readBytesDefault, timeoutMs: fetchTimeoutMs }
        const slice = (await log.fetch([request], options))[0]!
        borrowed.push(slice)
        if (slice.error !== undefined) {
          if (slice.error.code !== 'OFFSET_OUT_OF_RANGE') throw slice.error
          const to = Math.min(span.next, slice.logStart)
          if (to <= next) break
          gaps.push({ topic, partition, epoch: topicId, from: next, to, why: 'retention' })
          next = to
          continue
        }
        for (const batch of slice.batches) {
          for (const record of readRecords(batch)) {
            if (record.offset < next || record.offset >= span.next) continue
            if (wants === undefined || wants(record)) records.push({ ...record, topic, partition })
          }
        }
        if (slice.next <= next) break
        next = slice.next
      }
    }
    return { records, gaps, bytes: bytesOf(borrowed), release }
  } catch (error) {
    release()
    // A topic that is gone has nothing to repeat: the group takes its partitions away soon.
    const code = error instanceof GatewayError ? error.code : undefined
    if (code !== 'UNKNOWN_TOPIC' && code !== 'EPOCH_MISMATCH' && code !== 'UNKNOWN_PARTITION') {
      throw error
    }
    return { records: [], gaps, bytes: 0, release }
  }
}
