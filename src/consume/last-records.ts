/** The newest records of a whole read, merged over its partitions: `from=last:n`. */
import type { FetchSlice, Log } from '../engine/log.ts'
import { readRecords } from '../model/batch-reader.ts'
import { GatewayError } from '../model/errors.ts'
import { fetchTimeoutMs, lastRecordsMax, readBytesDefault } from '../model/limits.ts'
import type { Offset } from '../model/offset.ts'
import { baseOffsetOf, lastOffsetOf } from '../model/record-batch.ts'
import type { StoredRecord } from '../model/record.ts'
import type { Gap, OnGap } from './gap.ts'
import { gapError } from './gap.ts'
import type { ReadRecord } from './read-record.ts'
import { placed, recordBytes } from './read-record.ts'
import type { PartitionPlace, TopicScope } from './scope.ts'
import { askBounds } from './scope.ts'

export interface LastRecordsOptions {
  readonly countMax: number
  /** The newest records that fit; at least one. */
  readonly bytesMax: number
  matches(this: void, record: StoredRecord): boolean
  readonly onGap: OnGap
}

/** The first look back into a partition, records: enough for a screen, little enough if they are large. */
const firstStep = 16

/** What has been looked at of one partition: offsets [low, end). */
interface Window {
  readonly place: PartitionPlace
  readonly order: number
  start: Offset
  low: Offset
  step: number
  /** Timestamp of the lowest record looked at, matching or not. */
  oldestTime: number
  found: Found[]
}

interface Found {
  readonly record: ReadRecord
  readonly order: number
}

/**
 * Walks back from the end, partition by partition, and only where an older record could still
 * belong to the newest of the whole. It takes timestamps to rise along a partition, as they do
 * unless producers set them; where they do not, the newest by offset of each partition are merged.
 */
export class LastRecords {
  /** Oldest first, by (timestamp, partition, offset). */
  records: ReadRecord[] = []
  /** Where the partitions end: the position of the answer. */
  ends: readonly PartitionPlace[] = []
  bytes = 0
  readonly gaps: Gap[] = []
  readonly #log: Log
  readonly #options: LastRecordsOptions
  readonly #held: FetchSlice[] = []
  #examined = 0

  constructor(log: Log, options: LastRecordsOptions) {
    this.#log = log
    this.#options = options
  }

  /** `untils`: exclusive ends, in the order of the scopes' partitions. */
  async collect(
    scopes: readonly TopicScope[],
    untils: readonly PartitionPlace[] | undefined,
  ): Promise<void> {
    const [starts, ends] = await askBounds(this.#log, scopes, { timeoutMs: fetchTimeoutMs })
    this.ends = ends.map((end, i) => ({
      ...end,
      offset: Math.max(starts[i]!.offset, Math.min(end.offset, untils?.[i]?.offset ?? Infinity)),
    }))
    const windows = this.ends.map((place, order): Window => {
      const start = starts[order]!.offset
      const low = place.offset
      return { place, order, start, low, step: firstStep, oldestTime: Infinity, found: [] }
    })
    for (;;) {
      const { full, oldestTime } = this.#merge(windows)
      const unfinished = windows.filter(
        (window) => window.low > window.start && (!full || window.oldestTime >= oldestTime),
      )
      if (unfinished.length === 0 || this.#examined >= lastRecordsMax * 4) return
      for (const window of unfinished) await this.#lookBack(window)
    }
  }

  release(): void {
    for (const slice of this.#held.splice(0)) slice.release()
  }

  /** Keeps the newest of what was found. `full`: as many as wanted, so only newer ones count now. */
  #merge(windows: readonly Window[]): { full: boolean; oldestTime: number } {
    const { countMax, bytesMax } = this.#options
    const found = windows.flatMap((window) => window.found).sort(newestFirst)
    let bytes = 0
    let count = 0
    let tooLarge = false
    for (const { record } of found) {
      const more = recordBytes(record)
      tooLarge = count > 0 && bytes + more > bytesMax
      if (count === countMax || tooLarge) break
      bytes += more
      count++
    }
    const kept = found.slice(0, count)
    this.bytes = bytes
    this.records = kept.map(({ record }) => record).reverse()
    return { full: count === countMax || tooLarge, oldestTime: this.records[0]?.timestamp ?? 0 }
  }

  async #lookBack(window: Window): Promise<void> {
    const high = window.low
    window.low = Math.max(window.start, high - window.step)
    window.step = this.#nextStep(window.step)
    const fresh = await this.#range(window, high)
    window.found = [...fresh, ...window.found]
  }

  /** Twice as far, but never so far that more than about one answer of bytes is looked at. */
  #nextStep(step: number): number {
    const average = this.records.length === 0 ? 1024 : this.bytes / this.records.length
    return Math.max(firstStep, Math.min(step * 2, Math.ceil(this.#options.bytesMax / average)))
  }

  /** The matching records of offsets [window.low, high), oldest first. */
  async #range(window: Window, high: Offset): Promise<Found[]> {
    const { tp, epoch } = window.place
    const found: Found[] = []
    let next = window.low
    let oldestTime: number | undefined
    while (next < high) {
      const [slice] = await this.#log.fetch(
        [{ tp, from: next, bytesMax: readBytesDefault, topicId: epoch }],
        { bytesMax: readBytesDefault, timeoutMs: fetchTimeoutMs },
      )
      if (slice === undefined) throw new Error('The log answered no slice.')
      this.#held.push(slice)
      for (const batch of slice.batches) {
        for (const record of this.#decode(window, batch, next)) {
          if (record.offset < next || record.offset >= high) continue
          this.#examined++
          oldestTime ??= record.timestamp
          if (this.#options.matches(record)) {
            found.push({ record: placed(tp, record), order: window.order })
          }
        }
      }
      const moved = this.#goOn(window, slice, next)
      if (moved <= next) break
      next = moved
    }
    window.oldestTime = oldestTime ?? window.oldestTime
    return found
  }

  #goOn(window: Window, slice: FetchSlice, next: Offset): Offset {
    const { error } = slice
    if (error === undefined) return slice.next
    const last = slice.batches.at(-1)
    const from = last === undefined ? next : Math.max(next, lastOffsetOf(last) + 1)
    if (error.code === 'OFFSET_OUT_OF_RANGE' && slice.logStart > next) {
      // Retention passed by during the walk; what it took is not among the newest any more.
      window.start = slice.logStart
      return slice.logStart
    }
    if (error.code === 'CORRUPT_BATCH' && slice.next > from && this.#options.onGap !== 'fail') {
      this.#tellCorrupt(window, from, slice.next)
      return slice.next
    }
    throw error
  }

  #decode(window: Window, batch: Uint8Array, next: Offset): StoredRecord[] {
    try {
      return readRecords(batch)
    } catch (error) {
      if (this.#options.onGap === 'fail' || !(error instanceof GatewayError)) throw error
      this.#tellCorrupt(window, Math.max(next, baseOffsetOf(batch)), lastOffsetOf(batch) + 1)
      return []
    }
  }

  #tellCorrupt(window: Window, from: Offset, to: Offset): void {
    const { tp, epoch } = window.place
    const { topic, partition } = tp
    const gap: Gap = { topic, epoch, partition, from, to, why: 'corrupt' }
    if (this.#options.onGap === 'fail') throw gapError(gap)
    this.gaps.push(gap)
  }
}

function newestFirst(left: Found, right: Found): number {
  return (
    right.record.timestamp - left.record.timestamp ||
    right.order - left.order ||
    right.record.offset - left.record.offset
  )
}
