/** The backups role: a copy of everything, made while the log goes on. */
import type { CallOptions } from './call.ts'

export interface BackupReport {
  readonly topics: number
  readonly partitions: number
  /** Bytes of files in the copy, without the journal's zeros. */
  readonly bytes: number
  /** Of these, bytes that share their place on the disk with the original. */
  readonly linkedBytes: number
}

export interface Backups {
  /**
   * Makes a copy in `directory`, an absolute path. It holds everything that was acknowledged before
   * the call, is complete or absent, and starts like a data folder after a clean stop.
   * Throws INVALID_REQUEST for a place that cannot be used, FORBIDDEN for one outside the configured
   * root, ILLEGAL_STATE while another is being made, DISK_FULL, TIMEOUT.
   */
  make(directory: string, options: CallOptions): Promise<BackupReport>
}
