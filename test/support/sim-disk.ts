/**
 * A disk that loses what was not synced. It keeps a live image (what the process reads, its page
 * cache included) and a durable one (what a power cut leaves).
 *
 *   write                  live and pending; on a dsync file durable when it returns
 *   sync                   the file's pending sectors become durable
 *   create, rename, remove pending until the folder is synced
 *   crash                  a random subset of pending 512-byte sectors and a random cut of the length
 *                          survive; pending folder operations are kept or dropped one by one
 *   kill                   everything pending stays readable and pending; a write in flight is whole,
 *                          torn or absent
 *
 * After crash or kill the operations of the old process never return. One version of a pending sector
 * is kept, the newest; a real disk might also hold an older one.
 */
import type { Disk, DiskFile, OpenOptions } from '../../src/engine/embedded/disk/disk.ts'
import { DiskFullError } from '../../src/engine/embedded/disk/disk.ts'

const pageBytes = 4096
const sectorBytes = 512
const sectorsPerPage = pageBytes / sectorBytes

export type Chance = () => number

/** What a test can make fail: return a code such as `EIO` to fail this call. */
export interface SimFaults {
  write?: (path: string, dsync: boolean) => string | undefined
  sync?: (path: string) => string | undefined
  read?: (path: string, from: number, to: number) => string | undefined
}

export interface SimDiskOptions {
  /** Runs the completion of an operation; default: in the next turn. */
  readonly schedule?: (run: () => void) => void
}

/** The next turn of the event loop, as after real I/O. */
const nextTurn = (run: () => void): void => void setImmediate(run)

export class SimDisk implements Disk {
  readonly durability = 'fsync'
  readonly faults: SimFaults = {}
  /** Free space, bytes; a write that grows a file beyond it meets ENOSPC. */
  free = 100 * 1024 ** 3
  /** Files that the process may have open at one time. */
  descriptorsMax = Infinity
  descriptors = 0
  /** Whether files can have a name on another disk too, as on one file system. */
  links = true
  /** Called before each operation starts; a simulation crashes at a chosen one. */
  onOperation: ((what: string, path: string) => void) | undefined
  operations = 0
  readonly #schedule: (run: () => void) => void
  readonly #root = new Folder()
  readonly #inFlight = new Set<WriteInFlight>()
  /** Rises with each crash and kill: what the process before left behind is dead. */
  #life = 0

  constructor(options: SimDiskOptions = {}) {
    this.#schedule = options.schedule ?? nextTurn
  }

  open(path: string, options: OpenOptions = {}): Promise<DiskFile> {
    return this.#operate('open', path, () => {
      if (this.descriptors >= this.descriptorsMax) throw systemError('EMFILE', path)
      const { folder, name } = this.#place(path)
      let node = folder.live.get(name)
      if (node === undefined) {
        if (options.create !== true) throw systemError('ENOENT', path)
        node = new Inode()
        folder.change({ set: [name, node] })
      }
      if (!(node instanceof Inode)) throw systemError('EISDIR', path)
      return this.#file(path, node, options.dsync === true)
    })
  }

  list(path: string): Promise<string[]> {
    return this.#operate('list', path, () => {
      const folder = this.#find(path)
      if (folder === undefined) return []
      if (!(folder instanceof Folder)) throw systemError('ENOTDIR', path)
      return [...folder.live.keys()].sort()
    })
  }

  exists(path: string): Promise<boolean> {
    return this.#operate('exists', path, () => this.#find(path) !== undefined)
  }

  makeDirectory(path: string): Promise<void> {
    return this.#operate('mkdir', path, () => {
      let folder = this.#root
      for (const name of parts(path)) {
        const next = folder.live.get(name) ?? new Folder()
        if (!(next instanceof Folder)) throw systemError('ENOTDIR', path)
        if (!folder.live.has(name)) folder.change({ set: [name, next] })
        folder = next
      }
    })
  }

  rename(from: string, to: string): Promise<void> {
    return this.#operate('rename', from, () => {
      const source = this.#place(from)
      const target = this.#place(to)
      const node = source.folder.live.get(source.name)
      if (node === undefined) throw systemError('ENOENT', from)
      const replaced = target.folder.live.get(target.name)
      if (replaced instanceof Folder && replaced.live.size > 0) throw systemError('ENOTEMPTY', to)
      if (source.folder === target.folder) {
        source.folder.change({ remove: source.name, set: [target.name, node] })
      } else {
        target.folder.change({ set: [target.name, node] })
        source.folder.change({ remove: source.name })
      }
    })
  }

  link(path: string, other: Disk, otherPath: string): Promise<boolean> {
    return this.#operate('link', path, () => {
      if (!this.links || !(other instanceof SimDisk)) return false
      const node = this.#find(path)
      if (!(node instanceof Inode)) throw systemError('ENOENT', path)
      const target = other.#place(otherPath)
      if (target.folder.live.has(target.name)) throw systemError('EEXIST', otherPath)
      target.folder.change({ set: [target.name, node] })
      return true
    })
  }

  remove(path: string): Promise<void> {
    return this.#operate('remove', path, () => {
      const { folder, name } = this.#place(path)
      if (!(folder.live.get(name) instanceof Inode)) throw systemError('ENOENT', path)
      folder.change({ remove: name })
    })
  }

  removeDirectory(path: string): Promise<void> {
    return this.#operate('rmdir', path, () => {
      const { folder, name } = this.#place(path)
      const node = folder.live.get(name)
      if (!(node instanceof Folder)) throw systemError('ENOENT', path)
      if (node.live.size > 0) throw systemError('ENOTEMPTY', path)
      folder.change({ remove: name })
    })
  }

  syncDirectory(path: string): Promise<void> {
    return this.#operate('syncdir', path, () => {
      const folder = this.#find(path)
      if (this.descriptors >= this.descriptorsMax) throw systemError('EMFILE', path)
      if (!(folder instanceof Folder)) throw systemError('ENOENT', path)
      this.#fail(this.faults.sync?.(path), path)
      folder.sync()
    })
  }

  freeBytes(): Promise<number> {
    return this.#operate('statfs', '.', () => this.free)
  }

  /** Power cut: only what is durable is left, and by chance some of what was pending. */
  crash(chance: Chance): void {
    this.kill(chance)
    this.#root.crash(chance)
  }

  /** The process ends; what it wrote stays in the page cache. */
  kill(chance: Chance): void {
    this.#life++
    this.descriptors = 0
    for (const write of this.#inFlight) write.tear(chance)
    this.#inFlight.clear()
  }

  /** All paths of files with their sizes, for tests that look. */
  files(): Map<string, number> {
    const found = new Map<string, number>()
    this.#root.visit('', (path, inode) => found.set(path, inode.live.size))
    return found
  }

  /** The bytes of a file as the process sees them. */
  bytesOf(path: string): Buffer {
    const inode = this.#find(path)
    if (!(inode instanceof Inode)) throw systemError('ENOENT', path)
    const bytes = Buffer.alloc(inode.live.size)
    inode.live.read(bytes, 0)
    return bytes
  }

  /** Changes bytes behind the engine's back, on the platter too: damage. */
  damage(path: string, position: number, bytes: Uint8Array): void {
    const inode = this.#find(path)
    if (!(inode instanceof Inode)) throw systemError('ENOENT', path)
    inode.live.write(bytes, position)
    inode.durable.write(bytes, position)
  }

  /** Shortens a file behind the engine's back. */
  cut(path: string, length: number): void {
    const inode = this.#find(path)
    if (!(inode instanceof Inode)) throw systemError('ENOENT', path)
    inode.live.truncate(length)
    inode.durable.truncate(length)
  }

  /** An independent copy of this disk, everything in it durable. */
  clone(): SimDisk {
    const copy = new SimDisk({ schedule: this.#schedule })
    copy.#root.copyFrom(this.#root)
    copy.free = this.free
    return copy
  }

  #operate<T>(what: string, path: string, work: () => T): Promise<T> {
    const life = this.#life
    this.operations++
    this.onOperation?.(what, path)
    return new Promise((resolve, reject) => {
      this.#schedule(() => {
        if (life !== this.#life) return
        try {
          resolve(work())
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)))
        }
      })
    })
  }

  #file(path: string, inode: Inode, dsync: boolean): DiskFile {
    this.descriptors++
    let isOpen = true
    return {
      read: (into, position) =>
        this.#operate('read', path, () => {
          // Node refuses it too, with a RangeError of its own.
          if (position < 0) throw new RangeError(`A read at ${position}.`)
          this.#fail(this.faults.read?.(path, position, position + into.length), path)
          return inode.live.read(into, position)
        }),
      write: (buffers, position) => {
        const write: WriteInFlight = { tear: (chance) => inode.tear(buffers, position, chance) }
        this.#inFlight.add(write)
        return this.#operate('write', path, () => {
          this.#inFlight.delete(write)
          this.#fail(this.faults.write?.(path, dsync), path)
          const end = position + buffers.reduce((sum, buffer) => sum + buffer.length, 0)
          this.#grow(path, end - inode.live.size)
          inode.write(buffers, position, dsync)
        })
      },
      sync: () =>
        this.#operate('sync', path, () => {
          const code = this.faults.sync?.(path)
          // A failed sync marks the pages clean: readable, not durable, and never written later.
          if (code !== undefined) inode.forgetPending()
          this.#fail(code, path)
          inode.sync()
        }),
      truncate: (length) =>
        this.#operate('truncate', path, () => {
          inode.truncate(length)
        }),
      size: () => this.#operate('size', path, () => inode.live.size),
      close: () =>
        this.#operate('close', path, () => {
          if (isOpen) this.descriptors--
          isOpen = false
        }),
    }
  }

  #grow(path: string, bytes: number): void {
    if (bytes <= 0) return
    if (bytes > this.free) throw new DiskFullError(systemError('ENOSPC', path))
    this.free -= bytes
  }

  #fail(code: string | undefined, path: string): void {
    if (code === undefined) return
    const error = systemError(code, path)
    throw code === 'ENOSPC' ? new DiskFullError(error) : error
  }

  #place(path: string): { folder: Folder; name: string } {
    const names = parts(path)
    const name = names.pop()
    let folder = this.#root
    for (const step of names) {
      const next = folder.live.get(step)
      if (!(next instanceof Folder)) throw systemError('ENOENT', path)
      folder = next
    }
    return { folder, name: name ?? '' }
  }

  #find(path: string): Folder | Inode | undefined {
    let node: Folder | Inode | undefined = this.#root
    for (const name of parts(path)) {
      if (!(node instanceof Folder)) return undefined
      node = node.live.get(name)
    }
    return node
  }
}

interface WriteInFlight {
  /** The process ended during the write: it reached the page cache whole, in part, or not at all. */
  tear(chance: Chance): void
}

interface FolderChange {
  readonly remove?: string
  readonly set?: readonly [name: string, node: Folder | Inode]
}

class Folder {
  live = new Map<string, Folder | Inode>()
  durable = new Map<string, Folder | Inode>()
  #pending: FolderChange[] = []

  change(change: FolderChange): void {
    applyChange(this.live, change)
    this.#pending.push(change)
  }

  sync(): void {
    this.durable = new Map(this.live)
    this.#pending = []
  }

  crash(chance: Chance): void {
    for (const change of this.#pending) if (chance() < 0.5) applyChange(this.durable, change)
    this.#pending = []
    this.live = new Map(this.durable)
    for (const node of this.live.values()) node.crash(chance)
  }

  visit(path: string, found: (path: string, inode: Inode) => void): void {
    for (const [name, node] of this.live) {
      if (node instanceof Folder) node.visit(`${path}${name}/`, found)
      else found(`${path}${name}`, node)
    }
  }

  copyFrom(other: Folder): void {
    for (const [name, node] of other.live) {
      const copy = node instanceof Folder ? new Folder() : new Inode()
      if (copy instanceof Folder) copy.copyFrom(node as Folder)
      else copy.copyFrom(node as Inode)
      this.live.set(name, copy)
      this.durable.set(name, copy)
    }
  }
}

function applyChange(entries: Map<string, Folder | Inode>, { remove, set }: FolderChange): void {
  if (remove !== undefined) entries.delete(remove)
  if (set !== undefined) entries.set(set[0], set[1])
}

class Inode {
  live = new SparseBytes()
  durable = new SparseBytes()
  /** Per page, a bit for each of its sectors that is pending. */
  #pending = new Map<number, number>()

  write(buffers: readonly Uint8Array[], position: number, dsync: boolean): void {
    let at = position
    for (const buffer of buffers) {
      this.live.write(buffer, at)
      if (!dsync) this.#note(at, buffer.length)
      else this.durable.write(buffer, at)
      at += buffer.length
    }
  }

  truncate(length: number): void {
    this.live.truncate(length)
    const lastPage = Math.ceil(length / pageBytes)
    for (const page of this.#pending.keys()) if (page >= lastPage) this.#pending.delete(page)
    // What lies behind the cut in its page must not come back with a later write.
    if (length % pageBytes !== 0) this.#note(length, pageBytes - (length % pageBytes))
  }

  sync(): void {
    for (const [page, sectors] of this.#pending) this.#persist(page, sectors)
    this.#pending.clear()
    this.durable.truncate(this.live.size)
  }

  forgetPending(): void {
    this.#pending.clear()
  }

  crash(chance: Chance): void {
    for (const [page, sectors] of this.#pending) {
      let kept = 0
      for (let i = 0; i < sectorsPerPage; i++) if (chance() < 0.5) kept |= 1 << i
      this.#persist(page, sectors & kept)
    }
    this.#pending.clear()
    const [low, high] = [this.live.size, this.durable.size].sort((a, b) => a - b)
    const size = low! + Math.floor(chance() * (high! - low! + 1))
    this.durable.truncate(size)
    this.live = this.durable.copy()
  }

  tear(buffers: readonly Uint8Array[], position: number, chance: Chance): void {
    const fate = chance()
    if (fate < 1 / 3) return
    const bytes = Buffer.concat(buffers)
    for (let from = 0; from < bytes.length;) {
      const end = Math.min(bytes.length, from + sectorBytes - ((position + from) % sectorBytes))
      if (fate > 2 / 3 || chance() < 0.5) {
        this.live.write(bytes.subarray(from, end), position + from)
        this.#note(position + from, end - from)
      }
      from = end
    }
  }

  copyFrom(other: Inode): void {
    this.live = other.live.copy()
    this.durable = other.live.copy()
  }

  #note(position: number, length: number): void {
    if (length === 0) return
    const first = Math.floor(position / sectorBytes)
    const last = Math.floor((position + length - 1) / sectorBytes)
    for (let page = Math.floor(first / sectorsPerPage); page * sectorsPerPage <= last; page++) {
      const from = Math.max(0, first - page * sectorsPerPage)
      const to = Math.min(sectorsPerPage - 1, last - page * sectorsPerPage)
      const sectors = ((1 << (to - from + 1)) - 1) << from
      this.#pending.set(page, (this.#pending.get(page) ?? 0) | sectors)
    }
  }

  #persist(page: number, sectors: number): void {
    for (let i = 0; i < sectorsPerPage; i++) {
      if ((sectors & (1 << i)) === 0) continue
      const at = page * pageBytes + i * sectorBytes
      const sector = Buffer.alloc(Math.max(0, Math.min(sectorBytes, this.live.size - at)))
      this.live.read(sector, at)
      this.durable.write(sector, at)
    }
  }
}

/** Bytes of a file; pages that hold only zeros take no memory. */
class SparseBytes {
  size = 0
  readonly #pages = new Map<number, Buffer>()

  read(into: Uint8Array, position: number): number {
    const count = Math.max(0, Math.min(into.length, this.size - position))
    for (let done = 0; done < count;) {
      const at = position + done
      const inPage = at % pageBytes
      const step = Math.min(pageBytes - inPage, count - done)
      const page = this.#pages.get(Math.floor(at / pageBytes))
      if (page === undefined) into.fill(0, done, done + step)
      else into.set(page.subarray(inPage, inPage + step), done)
      done += step
    }
    return count
  }

  write(bytes: Uint8Array, position: number): void {
    for (let done = 0; done < bytes.length;) {
      const at = position + done
      const number = Math.floor(at / pageBytes)
      const inPage = at % pageBytes
      const step = Math.min(pageBytes - inPage, bytes.length - done)
      const piece = bytes.subarray(done, done + step)
      let page = this.#pages.get(number)
      if (page === undefined && !isZero(piece))
        this.#pages.set(number, (page = Buffer.alloc(pageBytes)))
      page?.set(piece, inPage)
      done += step
    }
    this.size = Math.max(this.size, position + bytes.length)
  }

  truncate(length: number): void {
    if (length < this.size) {
      for (const number of this.#pages.keys()) {
        if (number * pageBytes >= length) this.#pages.delete(number)
      }
      this.#pages.get(Math.floor(length / pageBytes))?.fill(0, length % pageBytes)
    }
    this.size = length
  }

  copy(): SparseBytes {
    const copy = new SparseBytes()
    for (const [number, page] of this.#pages) copy.#pages.set(number, Buffer.from(page))
    copy.size = this.size
    return copy
  }
}

const zeros = Buffer.alloc(pageBytes)

function isZero(bytes: Uint8Array): boolean {
  return zeros.subarray(0, bytes.length).equals(bytes)
}

function parts(path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.')
}

function systemError(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code })
}
