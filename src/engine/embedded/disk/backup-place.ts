/** Where a back-up goes: a folder under a temporary name, until it is whole. */
import type { Disk } from './disk.ts'

export interface BackupPlace {
  /** Rooted at the folder; paths are those of a data folder. */
  readonly disk: Disk
  /** Gives the folder its name; durable when it resolves. */
  finish(): Promise<void>
  /** Takes back what stands under the temporary name. */
  discard(): Promise<void>
}
