/** A data folder copied for a restore: under a temporary name and synced, so it is complete or absent. */
import { constants } from 'node:fs'
import { copyFile, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { randomId, systemRandom } from '../kit/random.ts'
import { GatewayError } from '../model/errors.ts'

/** Belong to a process, not to the data. */
const ofProcess = new Set(['LOCK', 'LOCK.json', 'LOCK-journal'])

export interface DataCopy {
  /** Where the copy lies until it gets its name. */
  readonly temporary: string
  finish(): Promise<void>
  discard(): Promise<void>
}

/** Throws INVALID_REQUEST when something is in the way. */
export async function copyDataFolder(from: string, to: string): Promise<DataCopy> {
  const target = resolve(to)
  const taken = await readdir(target).catch(() => [])
  if (taken.length > 0) {
    throw new GatewayError('INVALID_REQUEST', `${target} is there already and is not empty.`)
  }
  const temporary = `${target}.${randomId(systemRandom, 6)}.partial`
  const discard = (): Promise<void> => rm(temporary, { recursive: true, force: true })
  try {
    await mkdir(dirname(target), { recursive: true })
    await copyFolder(resolve(from), temporary)
  } catch (error) {
    await discard()
    throw error
  }
  return {
    temporary,
    discard,
    async finish() {
      await rename(temporary, target)
      await syncPath(dirname(target))
    },
  }
}

async function copyFolder(from: string, to: string): Promise<void> {
  await mkdir(to)
  for (const name of await readdir(from)) {
    if (ofProcess.has(name)) continue
    const [source, target] = [join(from, name), join(to, name)]
    if ((await stat(source)).isDirectory()) await copyFolder(source, target)
    else {
      await copyFile(source, target, constants.COPYFILE_EXCL)
      await syncPath(target)
    }
  }
  await syncPath(to)
}

async function syncPath(path: string): Promise<void> {
  const file = await open(path, 'r')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}
