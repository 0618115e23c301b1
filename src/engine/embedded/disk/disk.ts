/**
 * The disk port: all that the embedded engine asks of a file system. Paths are relative to the data
 * folder and use `/`. A test brings a disk that tears, fills and lies (torture programme).
 */

const copyBytes = 1024 * 1024

export interface DiskFile {
  /** Fills `into` from `position`; resolves to the bytes read, fewer only at the end of the file. */
  read(into: Uint8Array, position: number): Promise<number>
  /**
   * Writes all buffers back to back at `position`. On a file opened with `dsync` they are on stable
   * storage when it resolves. Throws DiskFullError when the space ran out on a file without `dsync`;
   * after any other error nobody knows what the file holds.
   */
  write(buffers: readonly Uint8Array[], position: number): Promise<void>
  /** fdatasync. An error means that what was unsynced may be lost for good: it is never retried. */
  sync(): Promise<void>
  truncate(length: number): Promise<void>
  size(): Promise<number>
  close(): Promise<void>
}

export interface OpenOptions {
  /** Makes the file when it does not exist. */
  readonly create?: boolean
  /** Every write is durable when it returns. */
  readonly dsync?: boolean
  /** For reading alone: a file that may not be written will do. */
  readonly readOnly?: boolean
}

export interface Disk {
  /** What a returned `dsync` write has survived. */
  readonly durability: 'fsync' | 'fdatasync'
  open(path: string, options?: OpenOptions): Promise<DiskFile>
  /** Names in a folder, sorted; none when it does not exist. */
  list(path: string): Promise<string[]>
  exists(path: string): Promise<boolean>
  /** Makes the folder and those above it; an existing one is fine. */
  makeDirectory(path: string): Promise<void>
  rename(from: string, to: string): Promise<void>
  /**
   * Gives a file of this disk a second name on another. False where that cannot be, because it is
   * another file system or one without links: then it has to be copied.
   */
  link(path: string, other: Disk, otherPath: string): Promise<boolean>
  /** Removes a file. */
  remove(path: string): Promise<void>
  /** Removes an empty folder. */
  removeDirectory(path: string): Promise<void>
  /** Makes the entries of a folder durable. */
  syncDirectory(path: string): Promise<void>
  /** Space left for us, bytes. */
  freeBytes(): Promise<number>
}

/** The space ran out before anything was promised: the write may be tried again later. */
export class DiskFullError extends Error {
  constructor(cause: unknown) {
    super('No space left on the disk.', { cause })
    this.name = 'DiskFullError'
  }
}

/** The code that the operating system gave, such as `ENOENT`. */
export function systemCode(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | undefined)?.code
  return typeof code === 'string' ? code : undefined
}

/** Whether trying again later may help and nothing is lost meanwhile. */
export function isPassing(error: unknown): boolean {
  return error instanceof DiskFullError || isOutOfFiles(error)
}

/** The process, or the machine, has no descriptor left. */
export function isOutOfFiles(error: unknown): boolean {
  const code = systemCode(error)
  return code === 'EMFILE' || code === 'ENFILE'
}

/** The whole file, or undefined when it does not exist. */
export async function readWhole(disk: Disk, path: string): Promise<Buffer | undefined> {
  let file: DiskFile
  try {
    file = await disk.open(path)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw error
  }
  try {
    const bytes = Buffer.alloc(await file.size())
    return bytes.subarray(0, await file.read(bytes, 0))
  } finally {
    await file.close()
  }
}

/** Writes a file so that a crash leaves the old one or the new one: temporary, sync, rename, sync. */
export async function replaceFile(disk: Disk, path: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${path}.tmp`
  const file = await disk.open(temporary, { create: true })
  try {
    await file.truncate(0)
    await file.write([bytes], 0)
    await file.sync()
  } finally {
    await file.close()
  }
  await disk.rename(temporary, path)
  await disk.syncDirectory(folderOf(path))
}

/** Copies a file from `position` on; synced when it resolves. */
export async function copyFile(disk: Disk, from: string, to: string, position = 0): Promise<void> {
  const source = await disk.open(from)
  let target: DiskFile | undefined
  try {
    target = await disk.open(to, { create: true })
    await target.truncate(0)
    const end = await source.size()
    const piece = Buffer.alloc(copyBytes)
    for (let at = position; at < end;) {
      const read = await source.read(piece.subarray(0, Math.min(piece.length, end - at)), at)
      if (read === 0) break
      await target.write([piece.subarray(0, read)], at - position)
      at += read
    }
    await target.sync()
  } finally {
    await target?.close()
    await source.close()
  }
}

/** Makes a folder and those above it, names included, so that a crash cannot take what moves there. */
export async function makeDurableDirectory(disk: Disk, path: string): Promise<void> {
  await disk.makeDirectory(path)
  for (let folder = path; folder !== '.';) {
    folder = folderOf(folder)
    await disk.syncDirectory(folder)
  }
}

/** The folder a path stands in; `.` for a name alone. */
export function folderOf(path: string): string {
  const slash = path.lastIndexOf('/')
  return slash < 0 ? '.' : path.slice(0, slash)
}
