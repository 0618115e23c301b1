/** The production disk: one folder of the local file system through node:fs. */
import * as fs from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Disk, DiskFile, OpenOptions } from './disk.ts'
import { DiskFullError, systemCode } from './disk.ts'

const { promises } = fs
const closeFile = promisify(fs.close)
const syncData = promisify(fs.fdatasync)
const truncateFile = promisify(fs.ftruncate)
const openFile = promisify(fs.open) as (
  path: string,
  flags: number,
  mode: number,
) => Promise<number>

/** Buffers of one writev; IOV_MAX on Linux. */
const buffersPerWriteMax = 1024

/**
 * `O_DSYNC` is trusted on Linux alone. Elsewhere the constant is missing (Windows would open without
 * sync and without a word) or does not flush the drive's cache (macOS): there each write is followed
 * by fdatasync, good enough for development.
 */
const dsyncFlag =
  process.platform === 'linux' ? (fs.constants.O_DSYNC as number | undefined) : undefined

const rootOf = new WeakMap<Disk, string>()
/** A link across file systems, on one without links, or beyond their number. */
const noLink = new Set(['EXDEV', 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'EMLINK', 'ENOSYS'])

/** The disk whose root is `directory`. The folder is made when the lock is taken. */
export function nodeDisk(directory: string): Disk {
  const at = (path: string): string => join(directory, path)
  const disk: Disk = {
    durability: dsyncFlag === undefined ? 'fdatasync' : 'fsync',
    async open(path, options = {}) {
      try {
        return new NodeFile(
          await openFile(at(path), flagsOf(options), 0o644),
          options.dsync === true,
        )
      } catch (error) {
        throw named(error)
      }
    },
    async list(path) {
      try {
        return (await promises.readdir(at(path))).sort()
      } catch (error) {
        if (systemCode(error) === 'ENOENT') return []
        throw error
      }
    },
    async exists(path) {
      try {
        await promises.access(at(path))
        return true
      } catch {
        return false
      }
    },
    async makeDirectory(path) {
      try {
        await promises.mkdir(at(path), { recursive: true })
      } catch (error) {
        throw named(error)
      }
    },
    async rename(from, to) {
      try {
        await promises.rename(at(from), at(to))
      } catch (error) {
        throw named(error)
      }
    },
    async link(path, other, otherPath) {
      const root = rootOf.get(other)
      if (root === undefined) return false
      try {
        await promises.link(at(path), join(root, otherPath))
        return true
      } catch (error) {
        if (noLink.has(systemCode(error) ?? '')) return false
        throw named(error)
      }
    },
    remove: (path) => promises.unlink(at(path)),
    removeDirectory: (path) => promises.rmdir(at(path)),
    syncDirectory: (path) => syncFolder(at(path)),
    async freeBytes() {
      const { bavail, bsize } = await promises.statfs(directory)
      return bavail * bsize
    },
  }
  rootOf.set(disk, directory)
  return disk
}

class NodeFile implements DiskFile {
  readonly #descriptor: number
  readonly #dsync: boolean
  #open = true

  constructor(descriptor: number, dsync: boolean) {
    this.#descriptor = descriptor
    this.#dsync = dsync
  }

  async read(into: Uint8Array, position: number): Promise<number> {
    let done = 0
    while (done < into.length) {
      const count = await this.#readOnce(into, done, position + done)
      if (count === 0) break
      done += count
    }
    return done
  }

  async write(buffers: readonly Uint8Array[], position: number): Promise<void> {
    let rest = buffers
    let at = position
    try {
      while (rest.length > 0) {
        const now = rest.length > buffersPerWriteMax ? rest.slice(0, buffersPerWriteMax) : rest
        const count = await this.#writeOnce(now, at)
        at += count
        rest = behind(rest, count)
      }
      if (this.#dsync && dsyncFlag === undefined) await this.sync()
    } catch (error) {
      throw this.#dsync ? error : named(error)
    }
  }

  sync(): Promise<void> {
    return syncData(this.#descriptor)
  }

  truncate(length: number): Promise<void> {
    return truncateFile(this.#descriptor, length)
  }

  size(): Promise<number> {
    return new Promise((resolve, reject) => {
      fs.fstat(this.#descriptor, (error, stats) => {
        if (error === null) resolve(stats.size)
        else reject(error)
      })
    })
  }

  async close(): Promise<void> {
    if (!this.#open) return
    this.#open = false
    await closeFile(this.#descriptor)
  }

  #readOnce(into: Uint8Array, offset: number, position: number): Promise<number> {
    return new Promise((resolve, reject) => {
      fs.read(this.#descriptor, into, offset, into.length - offset, position, (error, count) => {
        if (error === null) resolve(count)
        else reject(error)
      })
    })
  }

  /** One system call; a single buffer takes the cheaper one. */
  #writeOnce(buffers: readonly Uint8Array[], position: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const done = (error: NodeJS.ErrnoException | null, count: number): void => {
        if (error === null) resolve(count)
        else reject(error)
      }
      const only = buffers.length === 1 ? buffers[0] : undefined
      if (only === undefined) fs.writev(this.#descriptor, buffers, position, done)
      else fs.write(this.#descriptor, only, 0, only.length, position, done)
    })
  }
}

/** What is left of `buffers` behind the first `count` bytes. */
function behind(buffers: readonly Uint8Array[], count: number): readonly Uint8Array[] {
  let index = 0
  let left = count
  while (index < buffers.length && left >= buffers[index]!.length) left -= buffers[index++]!.length
  if (left === 0) return index === buffers.length ? [] : buffers.slice(index)
  return [buffers[index]!.subarray(left), ...buffers.slice(index + 1)]
}

function flagsOf({ create, dsync, readOnly }: OpenOptions): number {
  if (readOnly === true) return fs.constants.O_RDONLY
  let flags = fs.constants.O_RDWR
  if (create === true) flags |= fs.constants.O_CREAT
  if (dsync === true && dsyncFlag !== undefined) flags |= dsyncFlag
  return flags
}

async function syncFolder(path: string): Promise<void> {
  const folder = await promises.open(path, 'r')
  try {
    await folder.sync()
  } catch (error) {
    // Windows cannot sync a folder; there the engine is for development (durability: fdatasync).
    const code = systemCode(error)
    if (process.platform === 'linux' || (code !== 'EPERM' && code !== 'EISDIR')) throw error
  } finally {
    await folder.close()
  }
}

function named(error: unknown): unknown {
  const code = systemCode(error)
  return code === 'ENOSPC' || code === 'EDQUOT' ? new DiskFullError(error) : error
}
