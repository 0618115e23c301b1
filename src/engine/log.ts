/** The log role: append, fetch, watch. */
import type { GatewayError } from '../model/errors.ts'
import type { Offset } from '../model/offset.ts'
import type { TopicPartition } from '../model/topic.ts'
import type { CallOptions, Watch } from './call.ts'

/**
 * One whole RecordBatch v2: base offset 0, producer fields -1. The bytes are the engine's from here
 * on: it patches bytes 0-15 and lends them to readers, so nobody changes or appends them again.
 */
export interface AppendEntry {
  readonly tp: TopicPartition
  readonly batch: Uint8Array
  /** Makes the append fail with EPOCH_MISMATCH if the name now means another topic. */
  readonly topicId?: string
  /** Conditional append: PRECONDITION unless the partition ends exactly here. */
  readonly expectedEnd?: Offset
  /** The batch came from our own batch writer, so its structure and CRC are not checked again. */
  readonly trusted?: boolean
}

export interface AppendResult {
  readonly tp: TopicPartition
  /** Absent on error, and where a broker took the batch but no longer knows where. */
  readonly offsets?: { readonly base: Offset; readonly last: Offset }
  /** Present on LogAppendTime topics, ms since 1970. */
  readonly logAppendTime?: number
  readonly error?: GatewayError
}

export interface FetchRequest {
  readonly tp: TopicPartition
  readonly from: Offset
  /** A first batch larger than this is returned whole. */
  readonly bytesMax: number
  readonly topicId?: string
}

/** Runs of whole batches; the first one may start before `from`. */
export interface FetchSlice {
  readonly tp: TopicPartition
  readonly batches: readonly Uint8Array[]
  /** Where to go on, also when nothing is left to show. */
  readonly next: Offset
  readonly logStart: Offset
  readonly readableEnd: Offset
  /** Where records are safe; lag is measured to it. */
  readonly durableEnd: Offset
  /** UNKNOWN_TOPIC, UNKNOWN_PARTITION, EPOCH_MISMATCH, OFFSET_OUT_OF_RANGE, CORRUPT_BATCH. */
  readonly error?: GatewayError
  /** The batches are borrowed: after this call nobody reads them. */
  release(): void
}

export type OffsetWord =
  'earliest' | 'latest' | 'durable' | 'max_timestamp' | { readonly time: number }

export interface OffsetQuery {
  readonly tp: TopicPartition
  /** `latest` is the readable end; a time finds the first record at or after it, ms since 1970. */
  readonly at: OffsetWord
}

export interface OffsetAnswer {
  readonly tp: TopicPartition
  /** For a time after the last record: the readable end. */
  readonly offset: Offset
  /** Of the record found, else -1. */
  readonly timestamp: number
  readonly error?: GatewayError
}

export interface Pressure {
  /** Bytes admitted and not yet in their segment. */
  readonly inFlightBytes: number
  /** Above it the gateway stops reading sockets, and refuses bodies already read. */
  readonly high: number
  readonly low: number
  /** Resolves once `inFlightBytes` is at most `low`, or the signal aborts. */
  whenRelieved(signal?: AbortSignal): Promise<void>
}

export interface Log {
  /**
   * One admission decision; then entries succeed or fail one by one. At most one entry a partition;
   * calls for one partition keep their order. An answer with offsets means durable.
   */
  append(entries: readonly AppendEntry[], options: CallOptions): Promise<AppendResult[]>
  /** Answers at once with what is there, never a byte at or past the readable end. To wait: `watch`. */
  fetch(
    requests: readonly FetchRequest[],
    options: CallOptions & { readonly bytesMax: number },
  ): Promise<FetchSlice[]>
  /**
   * Level-triggered, coalesced, asynchronous: soon after registration, then whenever the readable end
   * moves, and spuriously when the partition is deleted or unavailable (the next fetch says why).
   */
  watch(tp: TopicPartition, onAdvance: (end: Offset) => void): Watch
  offsets(queries: readonly OffsetQuery[], options: CallOptions): Promise<OffsetAnswer[]>
  /** Moves the log start; offsets below are gone. */
  deleteRecords(
    before: readonly { readonly tp: TopicPartition; readonly before: Offset }[],
    options: CallOptions,
  ): Promise<{ tp: TopicPartition; logStart: Offset; error?: GatewayError }[]>
  readonly pressure: Pressure
}
