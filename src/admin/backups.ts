/** Back-ups as operators ask for them. */
import type { BackupReport, Backups } from '../engine/backups.ts'
import { GatewayError } from '../model/errors.ts'
import { backupTimeoutMs } from '../model/limits.ts'
import type { Principal } from '../model/principal.ts'

export interface BackupAdminParts {
  /** Undefined where the engine has none. */
  readonly backups: Backups | undefined
  /** Whether this gateway may write where a caller says. */
  readonly isAllowed: boolean
}

export class BackupAdmin {
  readonly #backups: Backups | undefined
  readonly #isAllowed: boolean

  constructor({ backups, isAllowed }: BackupAdminParts) {
    this.#backups = backups
    this.#isAllowed = isAllowed
  }

  /** Throws UNSUPPORTED, FORBIDDEN, and what the role throws. */
  async make(_principal: Principal, directory: string): Promise<BackupReport> {
    if (this.#backups === undefined) {
      throw new GatewayError('UNSUPPORTED', 'The engine of this gateway makes no back-ups.')
    }
    if (!this.#isAllowed) {
      throw new GatewayError(
        'FORBIDDEN',
        'Others than this machine can reach the gateway, so it writes back-ups only below backup.root, which is not set.',
      )
    }
    return this.#backups.make(directory, { timeoutMs: backupTimeoutMs })
  }
}
