/**
 * Places for back-ups on the gateway's own file systems. Whoever may ask for one makes this process
 * write where they say: so the folder must be a new one, outside of the data folder and, where the
 * operator set a root, inside of it, links resolved.
 */
import { promises } from 'node:fs'
import { basename, dirname, isAbsolute, join, relative, resolve } from 'node:path'
import { GatewayError } from '../../../model/errors.ts'
import type { BackupPlace } from './backup-place.ts'
import { nodeDisk } from './node-disk.ts'

export interface BackupRules {
  /** The data folder. */
  readonly data: string
  /** Back-ups go below it; undefined: anywhere. */
  readonly root: string | undefined
  /** A new ending for each temporary name. */
  readonly newId: () => string
}

/** Throws INVALID_REQUEST or FORBIDDEN; nothing was made then. */
export async function nodeBackupPlace(
  directory: string,
  { data, root, newId }: BackupRules,
): Promise<BackupPlace> {
  if (!isAbsolute(directory) || directory.includes('\0')) {
    throw invalid(`'${directory}' is not an absolute path on the gateway's machine.`)
  }
  const wanted = resolve(directory)
  const above = await promises.realpath(dirname(wanted)).catch((cause: unknown) => {
    throw invalid(`The folder above '${directory}' is not there; make it first.`, cause)
  })
  const target = join(above, basename(wanted))
  if (root !== undefined && !isInside(target, await rootOf(root))) {
    throw new GatewayError('FORBIDDEN', `'${directory}' is not below the configured backup.root.`)
  }
  const realData = await promises.realpath(data)
  if (target === realData || isInside(target, realData) || isInside(realData, target)) {
    throw invalid(`'${directory}' and the data folder lie inside each other.`)
  }
  if (!(await isFree(target))) {
    throw invalid(`'${directory}' is there already and is not an empty folder.`)
  }
  const temporary = `${target}.${newId()}.partial`
  try {
    await promises.mkdir(temporary)
  } catch (cause) {
    throw invalid(`No folder can be made beside '${directory}'.`, cause)
  }
  return {
    disk: nodeDisk(temporary),
    async finish() {
      await promises.rename(temporary, target)
      await nodeDisk(above).syncDirectory('.')
    },
    discard: () => promises.rm(temporary, { recursive: true, force: true }),
  }
}

async function rootOf(root: string): Promise<string> {
  return promises.realpath(root).catch((cause: unknown) => {
    throw new GatewayError('FORBIDDEN', 'The configured backup.root is not there.', { cause })
  })
}

async function isFree(target: string): Promise<boolean> {
  try {
    return (await promises.readdir(target)).length === 0
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT'
  }
}

function isInside(path: string, folder: string): boolean {
  const way = relative(folder, path)
  return way !== '' && !way.startsWith('..') && !isAbsolute(way)
}

function invalid(message: string, cause?: unknown): GatewayError {
  return new GatewayError('INVALID_REQUEST', message, cause === undefined ? {} : { cause })
}
