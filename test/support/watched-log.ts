/** A log in front of the real one: it counts what readers have borrowed, and can damage batches. */
import type { Watch } from '../../src/engine/call.ts'
import type { FetchSlice, Log, Pressure } from '../../src/engine/log.ts'
import { baseOffsetOf, lastOffsetOf } from '../../src/model/record-batch.ts'

type Damages = (partition: number, base: number, last: number) => boolean

/** Where the records of a batch begin (RecordBatch v2). */
const recordsAt = 61

export class WatchedLog implements Log {
  /** Bytes of batches that were lent and not given back. */
  heldBytes = 0
  heldBytesMax = 0
  readonly #log: Log
  readonly #damages: Damages

  constructor(log: Log, damages: Damages = () => false) {
    this.#log = log
    this.#damages = damages
  }

  get pressure(): Pressure {
    return this.#log.pressure
  }

  async fetch(...args: Parameters<Log['fetch']>): Promise<FetchSlice[]> {
    const slices = await this.#log.fetch(...args)
    return slices.map((slice) => this.#lend(slice))
  }

  append(...args: Parameters<Log['append']>): ReturnType<Log['append']> {
    return this.#log.append(...args)
  }

  watch(...args: Parameters<Log['watch']>): Watch {
    return this.#log.watch(...args)
  }

  offsets(...args: Parameters<Log['offsets']>): ReturnType<Log['offsets']> {
    return this.#log.offsets(...args)
  }

  deleteRecords(...args: Parameters<Log['deleteRecords']>): ReturnType<Log['deleteRecords']> {
    return this.#log.deleteRecords(...args)
  }

  #lend(slice: FetchSlice): FetchSlice {
    let bytes = slice.batches.reduce((sum, batch) => sum + batch.length, 0)
    this.heldBytes += bytes
    this.heldBytesMax = Math.max(this.heldBytesMax, this.heldBytes)
    return {
      ...slice,
      batches: slice.batches.map((batch) => this.#damaged(slice.tp.partition, batch)),
      release: () => {
        this.heldBytes -= bytes
        bytes = 0
        slice.release()
      },
    }
  }

  #damaged(partition: number, batch: Uint8Array): Uint8Array {
    if (!this.#damages(partition, baseOffsetOf(batch), lastOffsetOf(batch))) return batch
    return Uint8Array.from(batch).fill(0xff, recordsAt)
  }
}
