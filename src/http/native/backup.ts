/** `POST /v1/backup`. */
import type { BackupAdmin } from '../../admin/backups.ts'
import type { operations } from '../../contract/native.ts'
import type { Handlers } from '../../contract/operations.ts'
import type { CallContext } from '../exchange/call.ts'

export function backupHandlers(
  backups: BackupAdmin,
): Pick<Handlers<operations, CallContext>, 'makeBackup'> {
  return {
    async makeBackup({ principal, body: { directory } }) {
      return { status: 200, body: await backups.make(principal, directory) }
    },
  }
}
