/** `ebbgate backup <directory>`. */
import { resolve } from 'node:path'
import type { components } from '../contract/native.ts'
import { backupTimeoutMs } from '../model/limits.ts'
import type { ApiOptions } from './api.ts'
import { Api } from './api.ts'
import { print } from './output.ts'

const MiB = 1024 * 1024

/** The gateway writes on its own machine; a relative path means the folder of the caller. */
export async function backup(directory: string, options: ApiOptions): Promise<void> {
  const target = resolve(directory)
  const made = (await new Api(options).call('POST', '/v1/backup', {
    body: JSON.stringify({ directory: target }),
    timeoutMs: backupTimeoutMs + 10_000,
  })) as components['schemas']['BackupReport']
  const { topics, partitions, bytes, linkedBytes } = made
  await print(
    `${target}: ${topics} topics, ${partitions} partitions, ${mebibytes(bytes)} MiB, ` +
      `${mebibytes(linkedBytes)} MiB of them shared with the data folder.\n`,
  )
}

function mebibytes(bytes: number): string {
  return (bytes / MiB).toFixed(1)
}
