/**
 * Batches that the journal lends. Where it has a hole nothing is written, so what stands above a
 * partition's recovery position is read from the journal each time somebody asks. In memory are only
 * the places: an offset and a frame for each frame that holds batches of the partition.
 */
import type { Offset } from '../../../model/offset.ts'
import { lastOffsetOf, maxTimestampOf } from '../../../model/record-batch.ts'
import type { LentFrame } from '../journal/journal.ts'
import type { JournalEntry } from '../journal/journal-frame.ts'
import { entryKinds } from '../journal/state-machine.ts'
import type { SegmentRead } from './segment.ts'

export class LentBatches {
  /** Offsets below are in segments. */
  readonly from: Offset
  maxTimestamp = -1
  /** Last offset of the batch that holds `maxTimestamp`. */
  maxTimestampOffset: Offset = -1
  readonly #ref: number
  /** Per frame: the first offset it has of this partition. */
  readonly #bases: Offset[] = []
  readonly #frames: LentFrame[] = []

  constructor(ref: number, from: Offset) {
    this.#ref = ref
    this.from = from
  }

  /** The next batch, in order; returns its last offset. */
  add({ baseOffset, payload }: JournalEntry, frame: LentFrame): Offset {
    if (this.#frames.at(-1) !== frame) {
      this.#frames.push(frame)
      this.#bases.push(baseOffset)
    }
    const last = lastOffsetOf(payload)
    if (maxTimestampOf(payload) > this.maxTimestamp) {
      this.maxTimestamp = maxTimestampOf(payload)
      this.maxTimestampOffset = last
    }
    return last
  }

  /** Batches from the one that holds `offset`, up to about `bytesMax` but at least one. */
  async read(offset: Offset, bytesMax: number): Promise<SegmentRead> {
    const batches: Uint8Array[] = []
    let taken = 0
    let next = offset
    for (let number = this.#frameOf(offset); number < this.#frames.length; number++) {
      for (const { kind, partitionRef, payload } of await this.#frames[number]!.entries()) {
        if (kind !== entryKinds.BATCH || partitionRef !== this.#ref) continue
        const last = lastOffsetOf(payload)
        if (last < offset) continue
        if (batches.length > 0 && taken + payload.length > bytesMax) return { batches, next }
        // A copy, because the payload lies in a large read buffer that must not be kept for it.
        batches.push(Buffer.from(payload))
        taken += payload.length
        next = last + 1
      }
    }
    return { batches, next }
  }

  #frameOf(offset: Offset): number {
    let low = 0
    let high = this.#bases.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#bases[middle]! <= offset) low = middle + 1
      else high = middle
    }
    return Math.max(0, low - 1)
  }
}
