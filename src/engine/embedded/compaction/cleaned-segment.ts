/**
 * A segment under the name `.cleaned`, while compaction writes it. It holds what stays of one or more
 * old ones.
 *
 * Its batches follow each other without a gap, as in every segment: where records went, the batch in
 * front reaches over the hole by its last offset, and one without records stands before the first. So
 * readers need to know nothing of compaction, and a flipped bit in a base offset is seen
 * (docs/adr/0016).
 */
import type { Offset } from '../../../model/offset.ts'
import {
  baseOffsetOf,
  emptyBatch,
  lastOffsetOf,
  maxTimestampOf,
  setLastOffset,
} from '../../../model/record-batch.ts'
import type { Segment } from '../log/segment.ts'

/** Written at once; larger writes would hold up the appends of others. */
const writeBytes = 256 * 1024

export class CleanedSegment {
  readonly segment: Segment
  /** Waits for the one behind it, which says how far it reaches. */
  #last: Uint8Array | undefined
  #ready: Uint8Array[] = []
  #readyAt = 0
  #readyBytes = 0

  constructor(segment: Segment) {
    this.segment = segment
  }

  /** Takes a batch over, the batch's bytes included: they may be changed. */
  async add(batch: Uint8Array): Promise<void> {
    await this.#reach(baseOffsetOf(batch))
    this.#last = batch
  }

  /** The segment is complete and durable when it resolves, its name aside. `end`: where the next begins. */
  async finish(end: Offset): Promise<void> {
    await this.#reach(end)
    await this.#flush()
    this.segment.finish()
    this.segment.isSealed = true
    await this.segment.sync()
  }

  /** Makes what came so far reach up to `offset`. */
  async #reach(offset: Offset): Promise<void> {
    const { base } = this.segment
    if (this.#last === undefined) {
      if (offset > base) this.#last = emptyBatch(base, offset - 1)
    } else if (lastOffsetOf(this.#last) < offset - 1) setLastOffset(this.#last, offset - 1)
    this.#emit()
    if (this.#readyBytes >= writeBytes) await this.#flush()
  }

  #emit(): void {
    const batch = this.#last
    if (batch === undefined) return
    this.#last = undefined
    this.segment.plan(lastOffsetOf(batch), batch.length, maxTimestampOf(batch))
    this.#ready.push(batch)
    this.#readyBytes += batch.length
  }

  async #flush(): Promise<void> {
    if (this.#readyBytes === 0) return
    const [ready, at, bytes] = [this.#ready, this.#readyAt, this.#readyBytes]
    this.#ready = []
    this.#readyAt += bytes
    this.#readyBytes = 0
    await this.segment.write(ready, at, bytes)
  }
}
