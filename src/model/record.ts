/** A record before and after it is stored. Keys and values are bytes and are never re-serialised. */
import type { Offset } from './offset.ts'

export interface RecordHeader {
  readonly name: string
  readonly value: Uint8Array | null
}

/** A record on its way in. The byte arrays may be slices of a request body. */
export interface NewRecord {
  readonly key: Uint8Array | null
  /** `null` is a tombstone. */
  readonly value: Uint8Array | null
  readonly headers: readonly RecordHeader[]
  /** Milliseconds since 1970; absent: the time of the append. */
  readonly timestamp?: number
  /** Absent: by key hash, or the request's sticky partition. */
  readonly partition?: number
}

/** A record as it stands in a batch. The byte arrays are slices of the batch. */
export interface StoredRecord {
  readonly offset: Offset
  readonly timestamp: number
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: readonly RecordHeader[]
}

export const noHeaders: readonly RecordHeader[] = Object.freeze([])
