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
import { ownRecord, recordBytes } from './read-record.ts'
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
 *
 * What is found is copied, because little of a long way back is kept: borrowed batches go back at
 * once, and what cannot be among the newest any more is forgotten.
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
  #examined = 0
  /** Found since the last merge. */
  #unmergedBytes = 0

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
    const step = Math.min(firstStep, this.#options.countMax)
    const windows = this.ends.map((place, order): Window => {
      const start = starts[order]!.offset
      const low = place.offset
      return { place, order, start, low, step, oldestTime: Infinity, found: [] }
    })
    for (;;) {
      const oldest = this.#merge(windows)
      const unfinished = windows.filter(
        (window) => window.low > window.start && mayHold(window, oldest),
      )
      if (unfinished.length === 0 || this.#examined >= lastRecordsMax * 4) return
      for (const window of unfinished) {
        await this.#lookBack(window)
        if (this.#unmergedBytes > this.#options.bytesMax) this.#merge(windows)
      }
    }
  }

  /**
   * Keeps the newest of what was found. Returns the record behind which nothing can belong to them:
   * the oldest of them when they are enough, the first one without room when they are not.
   */
  #merge(windows: readonly Window[]): Found | undefined {
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
    this.#unmergedBytes = 0
    if (found.length > count + 1) {
      // The first one without room stays: it says that what is older has none either.
      const wanted = new Set(found.slice(0, count + 1))
      for (const window of windows) window.found = window.found.filter((one) => wanted.has(one))
    }
    if (tooLarge) return found[count]
    return count === countMax ? kept.at(-1) : undefined
  }

  async #lookBack(window: Window): Promise<void> {
    const high = window.low
    window.low = Math.max(window.start, high - window.step)
    const examined = this.#examined
    const fresh = await this.#range(window, high)
    // Where compaction took everything a look costs little, and there may be much more of it.
    window.step = this.#examined === examined ? window.step * 2 : this.#nextStep(window.step)
    window.found = [...fresh.all, ...window.found]
    this.#unmergedBytes += fresh.bytes
  }

  /** Twice as far, but never so far that more than about one answer of bytes is looked at. */
  #nextStep(step: number): number {
    const average = this.records.length === 0 ? 1024 : this.bytes / this.records.length
    return Math.max(firstStep, Math.min(step * 2, Math.ceil(this.#options.bytesMax / average)))
  }

  /** The matching records of offsets [window.low, high), oldest first. */
  async #range(window: Window, high: Offset): Promise<Newest> {
    const { tp, epoch } = window.place
    const found = new Newest(this.#options)
    let next = window.low
    let oldestTime: number | undefined
    while (next < high) {
      const [slice] = await this.#log.fetch(
        [{ tp, from: next, bytesMax: readBytesDefault, topicId: epoch }],
        { bytesMax: readBytesDefault, timeoutMs: fetchTimeoutMs },
      )
      if (slice === undefined) throw new Error('The log answered no slice.')
      let moved: Offset
      try {
        for (const batch of slice.batches) {
          for (const record of this.#decode(window, batch, next, high)) {
            if (record.offset < next || record.offset >= high) continue
            this.#examined++
            oldestTime ??= record.timestamp
            if (this.#options.matches(record)) {
              found.push({ record: ownRecord(tp, record), order: window.order })
            }
          }
        }
        moved = this.#goOn(window, slice, next, high)
      } finally {
        slice.release()
      }
      if (moved <= next) break
      next = moved
    }
    window.oldestTime = oldestTime ?? window.oldestTime
    return found
  }

  #goOn(window: Window, slice: FetchSlice, next: Offset, high: Offset): Offset {
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
      this.#tellCorrupt(window, from, Math.min(slice.next, high))
      return slice.next
    }
    throw error
  }

  #decode(window: Window, batch: Uint8Array, next: Offset, high: Offset): StoredRecord[] {
    try {
      return readRecords(batch)
    } catch (error) {
      if (this.#options.onGap === 'fail' || !(error instanceof GatewayError)) throw error
      const from = Math.max(next, baseOffsetOf(batch))
      this.#tellCorrupt(window, from, Math.min(lastOffsetOf(batch) + 1, high))
      return []
    }
  }

  #tellCorrupt(window: Window, from: Offset, to: Offset): void {
    const { tp, epoch } = window.place
    const { topic, partition } = tp
    const gap: Gap = { topic, epoch, partition, from, to, why: 'corrupt' }
    if (this.#options.onGap === 'fail') throw gapError(gap)
    // Each look goes further back into the same damage; it is one gap all the same.
    const seen = this.gaps.findIndex((one) => one.epoch === epoch && one.partition === partition)
    const known = this.gaps[seen]
    if (known?.from === to) this.gaps[seen] = { ...gap, to: known.to }
    else this.gaps.unshift(gap)
  }
}

/** The newest matches of one look by offset: as many as an answer has room for, and one more. */
class Newest {
  /** Oldest first. */
  readonly all: Found[] = []
  bytes = 0
  readonly #options: LastRecordsOptions

  constructor(options: LastRecordsOptions) {
    this.#options = options
  }

  /** Takes a match that is newer than those before. */
  push(found: Found): void {
    this.all.push(found)
    this.bytes += recordBytes(found.record)
    while (this.all.length > 2) {
      const rest = this.bytes - recordBytes(this.all[0]!.record)
      if (this.all.length - 1 <= this.#options.countMax && rest <= this.#options.bytesMax) return
      this.all.shift()
      this.bytes = rest
    }
  }
}

/** Whether records further back in a partition can be newer than the oldest that has room. */
function mayHold(window: Window, oldest: Found | undefined): boolean {
  if (oldest === undefined) return true
  const later = window.oldestTime - oldest.record.timestamp
  return later > 0 || (later === 0 && window.order > oldest.order)
}

function newestFirst(left: Found, right: Found): number {
  return (
    right.record.timestamp - left.record.timestamp ||
    right.order - left.order ||
    right.record.offset - left.record.offset
  )
}
