/**
 * The segments of one partition, by rising base; the last one grows, the others are closed. The list
 * grows in place, and where segments go or are replaced it becomes a new one: so whoever walks over it
 * is not disturbed, and sees afterwards whether it is still the same.
 */
import type { Offset } from '../../../model/offset.ts'
import type { Segment } from './segment.ts'

/** What readers may see of a partition. */
export interface Bounds {
  readonly logStart: Offset
  readonly readableEnd: Offset
}

export interface NewestPlace {
  /** -1: nowhere but, perhaps, below `cutEnd`. */
  readonly timestamp: number
  /** Of the batch that holds it. */
  readonly lastOffset: Offset
  /** The log start lies within a segment that may hold a later one between there and here. */
  readonly cutEnd?: Offset
}

export class SegmentList {
  #all: Segment[] = []

  get all(): readonly Segment[] {
    return this.#all
  }

  /** The one that grows. */
  get active(): Segment | undefined {
    return this.#all.at(-1)
  }

  /** Bytes in their files. */
  get bytes(): number {
    let bytes = 0
    for (const segment of this.#all) bytes += segment.writtenBytes
    return bytes
  }

  get needsSync(): boolean {
    return this.#all.some((segment) => segment.needsSync)
  }

  push(segment: Segment): void {
    this.#all.push(segment)
  }

  clear(): void {
    this.#all = []
  }

  /** The segment that holds `offset`, unless that is below them all, and the one behind it. */
  find(offset: Offset): { segment: Segment | undefined; following: Segment | undefined } {
    let low = 0
    let high = this.#all.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#all[middle]!.base <= offset) low = middle + 1
      else high = middle
    }
    return { segment: this.#all[low - 1], following: this.#all[low] }
  }

  /** How many segments lie wholly below `offset`; the newest one never counts. */
  countBelow(offset: Offset): number {
    let count = 0
    while ((this.#all[count + 1]?.base ?? Infinity) <= offset) count++
    return count
  }

  /** Puts `fresh` in the place of `old`, neighbours in the list that begin below `floor`. */
  replace(old: readonly Segment[], fresh: readonly Segment[], floor: Offset): void {
    const at = this.#all.indexOf(old[0]!)
    for (const [i, segment] of old.entries()) {
      const isRight = this.#all[at + i] === segment && segment.base < floor
      if (!isRight) throw new Error(`Assertion: segment ${segment.base} must stay where it is.`)
    }
    const behind = this.#all.slice(at + old.length)
    this.#all = [...this.#all.slice(0, at), ...fresh, ...behind]
  }

  /** The first offset that can hold a record at or after `timestamp`; undefined when none can. */
  async firstCandidate(timestamp: number): Promise<Offset | undefined> {
    for (;;) {
      const segments = this.#all
      const found = await this.#firstCandidateIn(segments, timestamp)
      // Where nothing was replaced meanwhile, what is gone lay below the log start.
      if (found !== undefined || segments === this.#all) return found
    }
  }

  /** Where the record with the largest timestamp is. */
  async newest(bounds: Bounds): Promise<NewestPlace> {
    for (;;) {
      const segments = this.#all
      const found = await this.#newestIn(segments, bounds)
      // What was replaced meanwhile may have lost what was found.
      if (segments === this.#all) return found
    }
  }

  /** Makes written bytes and indexes durable; `onNewName` when a file was made. */
  async sync(onNewName: () => void): Promise<void> {
    for (const segment of this.#all) {
      try {
        if (segment.needsSync) await segment.sync()
      } finally {
        if (segment.takeNewName()) onNewName()
      }
    }
  }

  async abandon(): Promise<void> {
    for (const segment of this.#all) await segment.abandon()
  }

  /** Undefined when no segment holds one, or when some are gone. */
  async #firstCandidateIn(
    segments: readonly Segment[],
    timestamp: number,
  ): Promise<Offset | undefined> {
    const last = segments.length - 1
    for (const [i, segment] of segments.entries()) {
      if (i < last && !segment.isGone) await segment.loadMaxTimestamp()
      if (segment.isGone && segments !== this.#all) return undefined
      if (segment.isGone || segment.maxTimestamp < timestamp) continue
      return await segment.firstCandidate(timestamp)
    }
    return undefined
  }

  async #newestIn(segments: readonly Segment[], bounds: Bounds): Promise<NewestPlace> {
    let best = { timestamp: -1, lastOffset: -1 }
    let cut: { readonly end: Offset; readonly timestamp: number } | undefined
    const last = segments.length - 1
    for (const [i, segment] of segments.entries()) {
      if (i < last && !segment.isGone) await segment.loadMaxTimestamp()
      const { logStart, readableEnd } = bounds
      const { maxTimestamp: timestamp, maxTimestampOffset: lastOffset } = segment
      const end = segments[i + 1]?.base ?? readableEnd
      if (end <= logStart) continue
      if (segment.base < logStart) cut = { end, timestamp }
      else if (timestamp > best.timestamp) best = { timestamp, lastOffset }
    }
    return cut !== undefined && cut.timestamp > best.timestamp ? { ...best, cutEnd: cut.end } : best
  }
}
