/** A batch on its way: an entry of the journal, then of the hot tail, then bytes of a segment. */
import type { GatewayError } from '../../../model/errors.ts'
import type { Offset } from '../../../model/offset.ts'
import type { Answer } from '../journal/committer.ts'
import type { JournalEntry } from '../journal/journal-frame.ts'
import { entryKinds } from '../journal/state-machine.ts'
import type { Segment } from './segment.ts'

/**
 * What a batch costs in memory beside its bytes: its objects, its places in lists, its share of a
 * buffer. Measured on batches of one small record, where this is most of the cost.
 */
export const entryOverheadBytes = 512

/** Who gets the answer of one entry of an append. */
export interface EntryCall {
  readonly deadlineMs: number
  /** Entry number `index` is durable, or failed. */
  settle(index: number, error: GatewayError | undefined): void
}

/** How many segment writes of one frame are outstanding. */
export interface FrameTicket {
  readonly seq: number
  left: number
}

export interface BatchOwner {
  /** The frame of this batch is durable. */
  reveal(batch: BatchEntry): void
  /** The hot tail is over its budget and lets this batch go. */
  evict(batch: BatchEntry): void
}

/**
 * One object for the whole way, because there is one per append on the hot path. Until its segment
 * write has returned, readers are served from `payload`.
 */
export class BatchEntry implements JournalEntry, Answer {
  readonly kind = entryKinds.BATCH
  readonly owner: BatchOwner
  readonly partitionRef: number
  readonly baseOffset: Offset
  readonly lastOffset: Offset
  readonly segment: Segment
  readonly segmentPos: number
  readonly payload: Uint8Array
  readonly maxTimestamp: number
  readonly index: number
  #call: EntryCall | undefined
  ticket: FrameTicket | undefined

  constructor(
    owner: BatchOwner,
    partitionRef: number,
    place: { readonly segment: Segment; readonly segmentPos: number },
    batch: {
      readonly baseOffset: Offset
      readonly lastOffset: Offset
      readonly maxTimestamp: number
      readonly payload: Uint8Array
    },
    call: EntryCall | undefined,
    index: number,
  ) {
    this.owner = owner
    this.partitionRef = partitionRef
    this.segment = place.segment
    this.segmentPos = place.segmentPos
    this.baseOffset = batch.baseOffset
    this.lastOffset = batch.lastOffset
    this.maxTimestamp = batch.maxTimestamp
    this.payload = batch.payload
    this.#call = call
    this.index = index
  }

  /** What it takes in memory, about. */
  get memoryBytes(): number {
    return this.payload.length + entryOverheadBytes
  }

  get segmentBase(): Offset {
    return this.segment.base
  }

  get deadlineMs(): number {
    return this.#call?.deadlineMs ?? Infinity
  }

  /** The call is let go with its answer: the batch lives on in the hot tail for long. */
  settle(error: GatewayError | undefined): void {
    const call = this.#call
    this.#call = undefined
    call?.settle(this.index, error)
  }
}
