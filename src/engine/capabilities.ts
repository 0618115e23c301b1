/** What an engine declares it can do. Valid after `open()`; shown by `GET /v1`. */
import type { Codec } from '../model/record-batch.ts'

export interface Capabilities {
  /** What an acknowledged append has survived. */
  readonly durability: 'fsync' | 'fdatasync' | 'replicated'
  readonly transactions: boolean
  /** Largest `transact`, all batches together, bytes. */
  readonly transactBytesMax: number
  readonly idempotencyKeys: 'exact' | 'none'
  readonly conditionalAppend: boolean
  /** Offsets have no holes at write time. */
  readonly denseOffsets: boolean
  /** `groups.watch` fires; without it the heartbeat interval sets the pace. */
  readonly groupHints: boolean
  /** Codecs whose records can be read here; batches in them are stored and served as they came. */
  readonly codecs: readonly Codec[]
  readonly partitionsMax: number
}
