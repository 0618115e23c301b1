/**
 * Durable batches of one partition in memory, in offset order. Those in front are in their segment too
 * and leave when the hot tail needs room; those behind are not yet, and readers find them here alone.
 */
import type { Offset } from '../../../model/offset.ts'
import type { BatchEntry } from './batch-entry.ts'
import type { Segment, SegmentRead } from './segment.ts'

/** One segment write takes at most so much, so that partitions take turns. */
const runBytesMax = 4 * 1024 * 1024
const runBatchesMax = 4096
/** Empty places at the head of a ring: a folder has many partitions, and most are still. */
const emptySlotsMax = 32

/** Batches of one partition that one segment write takes. */
export interface SegmentRun {
  readonly segment: Segment
  readonly batches: readonly BatchEntry[]
  readonly bytes: number
}

export class BatchRing {
  /** From `#head` on. */
  #batches: BatchEntry[] = []
  #head = 0
  /** Index of the first batch that is not in its segment yet. */
  #unwritten = 0

  get hasUnwritten(): boolean {
    return this.#unwritten < this.#batches.length
  }

  /** Where the first batch begins that is not in its segment yet. */
  get writtenEnd(): Offset | undefined {
    return this.#batches[this.#unwritten]?.baseOffset
  }

  push(batch: BatchEntry): void {
    this.#batches.push(batch)
  }

  /** The oldest leaves; any other has left already. */
  evict(batch: BatchEntry): void {
    if (this.#batches[this.#head] !== batch) return
    this.#batches[this.#head++] = undefined as never
    if (this.#head > emptySlotsMax && this.#head * 2 > this.#batches.length) {
      this.#batches = this.#batches.slice(this.#head)
      this.#unwritten -= this.#head
      this.#head = 0
    }
  }

  /** What the next segment write takes: unwritten batches in a row, of one segment. */
  nextRun(): SegmentRun | undefined {
    const first = this.#batches[this.#unwritten]
    if (first === undefined) return undefined
    const batches: BatchEntry[] = []
    let bytes = 0
    for (let i = this.#unwritten; i < this.#batches.length; i++) {
      const batch = this.#batches[i]!
      if (batch.segment !== first.segment || batches.length === runBatchesMax) break
      if (bytes > 0 && bytes + batch.payload.length > runBytesMax) break
      batches.push(batch)
      bytes += batch.payload.length
    }
    return { segment: first.segment, batches, bytes }
  }

  noteWritten(run: SegmentRun): void {
    this.#unwritten += run.batches.length
  }

  /** Lets go of everything; returns what was not written yet. */
  clear(): readonly BatchEntry[] {
    const unwritten = this.#batches.slice(this.#unwritten)
    this.#batches = []
    this.#head = this.#unwritten = 0
    return unwritten
  }

  /** Batches from the one that holds `from`; undefined when that is not here. */
  read(from: Offset, bytesMax: number): SegmentRead | undefined {
    const ring = this.#batches
    const oldest = ring[this.#head]
    if (oldest === undefined || from < oldest.baseOffset) return undefined
    let low = this.#head
    let high = ring.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (ring[middle]!.lastOffset < from) low = middle + 1
      else high = middle
    }
    const batches: Uint8Array[] = []
    let taken = 0
    let next = from
    for (let i = low; i < ring.length; i++) {
      const { payload, lastOffset } = ring[i]!
      if (batches.length > 0 && taken + payload.length > bytesMax) break
      batches.push(payload)
      taken += payload.length
      next = lastOffset + 1
    }
    return { batches, next }
  }
}
