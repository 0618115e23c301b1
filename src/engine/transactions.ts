/** The transactions role: many partitions and offset commits as one, and calls that happen once. */
import type { CallOptions } from './call.ts'
import type { CommittedOffset, GroupRef } from './groups.ts'
import type { AppendEntry, AppendResult } from './log.ts'

/** Names a call, so that its repetition is known. */
export interface IdempotencyKey {
  /** The whole scope of the key; engines keep its hash. */
  readonly value: string
  /** Whose budget of keys it uses up: the oldest key of a space makes room for a new one. */
  readonly space: string
  /** How long it is known, ms of the engine's service: never by the wall clock. */
  readonly ttlMs: number
  /** Of the request; another one under the same key is IDEMPOTENCY_MISMATCH. Absent: any is the same. */
  readonly fingerprint?: Uint8Array
}

export interface OneShot {
  /** A partition may stand here more than once. */
  readonly entries: readonly AppendEntry[]
  readonly offsets?: { readonly group: GroupRef; readonly commits: readonly CommittedOffset[] }
  /** The call happens once; `memo` comes back with the first result (say, which record went where). */
  readonly key?: IdempotencyKey & { readonly memo?: Uint8Array }
}

export interface OneShotResult {
  readonly results: readonly AppendResult[]
  readonly deduplicated: boolean
  /** The memo stored with the first call; only where that was an earlier one. */
  readonly memo?: Uint8Array
}

export interface Transactions {
  /**
   * All entries and all offset commits become visible together or not at all; throws if any is refused.
   * A key that is known answers like its first call, whatever became of that call's topics and records;
   * engines without `idempotencyKeys` refuse it with UNSUPPORTED.
   */
  transact(transaction: OneShot, options: CallOptions): Promise<OneShotResult>
  /** The first result of a key, durable; undefined when `transact` would run. Saves building the call. */
  recall(key: IdempotencyKey, options: CallOptions): Promise<OneShotResult | undefined>
}
