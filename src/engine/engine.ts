/**
 * The engine port: what any partitioned log can do for the gateway, split by role.
 * Whole RecordBatch v2 bytes cross it (docs/adr/0002). A room asks for the role it needs.
 */
import type { Backups } from './backups.ts'
import type { Capabilities } from './capabilities.ts'
import type { Groups } from './groups.ts'
import type { Log } from './log.ts'
import type { Topics } from './topics.ts'
import type { Transactions } from './transactions.ts'

export interface EngineHealth {
  /** `low`: little room on the disk, everything goes on; `full`: appends are refused. */
  readonly state: 'recovering' | 'ok' | 'low' | 'full' | 'corrupt' | 'fenced'
  readonly reason?: string
  readonly recovery?: { readonly done: number; readonly total: number }
}

export interface Engine {
  readonly kind: 'embedded' | 'kafka'
  /** Valid after `open()`. */
  readonly capabilities: Capabilities
  readonly log: Log
  readonly transactions: Transactions
  readonly groups: Groups
  readonly topics: Topics
  /** Absent where the data is somebody else's to copy. */
  readonly backups?: Backups | undefined
  /** Takes the lock and recovers. Throws LOCKED when another process holds the data. */
  open(): Promise<void>
  health(): EngineHealth
  /** Finishes what was promised. May be called twice. */
  close(): Promise<void>
}
