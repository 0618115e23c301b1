/** The transactions role: many partitions and offset commits as one. */
import type { CallOptions } from './call.ts'
import type { CommittedOffset, GroupRef } from './groups.ts'
import type { AppendEntry, AppendResult } from './log.ts'

export interface OneShot {
  /** A partition may stand here more than once. */
  readonly entries: readonly AppendEntry[]
  readonly offsets?: { readonly group: GroupRef; readonly commits: readonly CommittedOffset[] }
  /** The call happens once. Engines without `idempotencyKeys` refuse it with UNSUPPORTED. */
  readonly key?: {
    readonly value: string
    readonly space: string
    readonly ttlMs: number
    readonly fingerprint?: Uint8Array
    readonly memo?: Uint8Array
  }
}

export interface OneShotResult {
  readonly results: AppendResult[]
  readonly deduplicated: boolean
  /** The memo stored with the first call. */
  readonly memo?: Uint8Array
}

export interface Transactions {
  /** All entries and all offset commits become visible together or not at all; throws if any is refused. */
  transact(transaction: OneShot, options: CallOptions): Promise<OneShotResult>
}
