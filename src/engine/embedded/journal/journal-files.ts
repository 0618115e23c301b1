/**
 * The journal's files: which one comes next, which may be used again, and when another is made.
 *
 * The last free file is taken only while the disk has room for another: the next start begins a file
 * of its own, and must not need space for it. Of all the others a quarter is kept from appends (`hasRoomForAppends`),
 * so that offset commits and deletes go on when nothing can be recycled.
 */
import type { Clock } from '../../../kit/clock.ts'
import type { Logger } from '../../../kit/logger.ts'
import { freeDiskBytesMin, journalFilesMax, journalFrameBytes } from '../../../model/limits.ts'
import type { Disk } from '../disk/disk.ts'
import { DiskFullError, isPassing } from '../disk/disk.ts'
import { JournalFile, journalFolder } from './journal-file.ts'
import { blockBytes, paddedBytes } from './journal-frame.ts'

/** Files that a busy journal grows to before checkpoints count as falling behind. */
const ordinaryFiles = 5
/** Files of a new folder that have the small size. */
const firstFiles = 2
/** Appends may fill so much of what may be written at all. */
const appendsShare = 0.75
const retryMs = 1000

export interface JournalSizes {
  /** Size of the first files of a new folder, bytes: a first start should not take long. */
  readonly firstFileBytes: number
  /** Size of every further file, bytes. */
  readonly fileBytes: number
}

export interface JournalFilesParts {
  readonly disk: Disk
  readonly clock: Clock
  readonly logger: Logger
  readonly sizes: JournalSizes
  readonly onFailure: (cause: unknown) => void
  /** Whether the disk has room for another file, as far as anybody knows. */
  readonly hasSpace: () => boolean
}

export class JournalFiles {
  readonly #parts: JournalFilesParts
  /** In the order of use; the last one is being written. */
  #used: JournalFile[] = []
  #free: JournalFile[] = []
  #lastFileSeq = 0
  #generation = 0
  #growing: Promise<void> | undefined
  #whenFree: (() => void) | undefined
  #closed = false
  #lacksSpace = false

  constructor(parts: JournalFilesParts) {
    this.#parts = parts
  }

  /** The highest generation that stands in a header. */
  get generation(): number {
    return this.#generation
  }

  /** Size of all files, bytes. */
  get bytes(): number {
    let bytes = 0
    for (const file of this.#used) bytes += file.bytes
    for (const file of this.#free) bytes += file.bytes
    return bytes
  }

  /** The last file to be made met a full disk. */
  get lacksSpace(): boolean {
    return this.#lacksSpace
  }

  /** Bytes that cannot be written over yet, when `reach` of the present file is spoken for. */
  heldBytes(reach: number): number {
    return this.#bytesBefore() + reach
  }

  /** Whether appends may still be written behind `reach`, a place in or beyond the present file. */
  hasRoomForAppends(reach: number): boolean {
    const writable = this.#bytesBefore() + this.#writableBytes()
    return this.heldBytes(reach) < writable * appendsShare
  }

  /** Whether an entry of so many bytes can be written behind `reach` before files are free again. */
  hasRoomFor(reach: number, entryBytes: number): boolean {
    const needed = paddedBytes(entryBytes) + blockBytes
    const present = this.#used.at(-1)?.bytes ?? 0
    if (reach + needed <= present) return true
    // Where a frame does not fit the end of a file, the end is left empty.
    const unused = Math.min(journalFrameBytes, this.#parts.sizes.fileBytes)
    return reach + needed + unused <= this.#writableBytes()
  }

  /** Bytes of files that cannot be used again yet, without the present one. */
  #bytesBefore(): number {
    let bytes = 0
    for (let i = 0; i < this.#used.length - 1; i++) bytes += this.#used[i]!.bytes
    return bytes
  }

  /** Bytes of the present file and of all that may follow it before files are free again. */
  #writableBytes(): number {
    let bytes = this.#used.at(-1)?.bytes ?? 0
    let kept = 0
    for (const file of this.#free) {
      bytes += file.bytes
      kept = Math.max(kept, file.bytes)
    }
    const count = this.#used.length + this.#free.length
    const { fileBytes } = this.#parts.sizes
    if (this.#lacksSpace || !this.#parts.hasSpace()) return bytes - kept
    if (kept === 0) kept = fileBytes
    return bytes - kept + Math.max(0, journalFilesMax - count) * fileBytes
  }

  /** Opens what is there, in the order of use; changes nothing. */
  async open(): Promise<readonly JournalFile[]> {
    const { disk } = this.#parts
    for (const name of await disk.list(journalFolder)) {
      if (name.endsWith('.jnl')) this.#used.push(await JournalFile.open(disk, name))
    }
    for (const { header } of this.#used) {
      this.#lastFileSeq = Math.max(this.#lastFileSeq, header?.fileSeq ?? 0)
      this.#generation = Math.max(this.#generation, header?.generation ?? 0)
    }
    this.#used.sort((left, right) => (left.header?.fileSeq ?? 0) - (right.header?.fileSeq ?? 0))
    return this.#used
  }

  /** Numbers up to this one were in use: a file that cannot be found may have had it. */
  passOver(fileSeq: number): void {
    this.#lastFileSeq = Math.max(this.#lastFileSeq, fileSeq)
  }

  /** After recovery: these may be overwritten. */
  free(files: readonly JournalFile[]): void {
    for (const file of this.#used) file.forgetReads()
    this.#used = this.#used.filter((file) => !files.includes(file))
    this.#free.push(...files)
    this.#whenFree?.()
  }

  /** Frees the files that lie wholly before the file `fileSeq`. */
  recycle(fileSeq: number): void {
    const files = this.#used.filter(({ header }) => header!.fileSeq < fileSeq)
    if (files.length === 0) return
    this.free(files)
    this.growAhead()
  }

  /** The first file of a run, begun. It may be the last one there is room for. */
  async first(generation: number, firstFrameSeq: number, frameBytes: number): Promise<JournalFile> {
    this.#generation = generation
    const isNew = this.#used.length === 0
    const file = this.#take(frameBytes) ?? (await this.#make(isNew))
    return this.#begin(file, firstFrameSeq)
  }

  /**
   * The next file, begun, for a frame that does not fit the present one. Waits until one is free;
   * `onWaiting` asks for the checkpoint that frees one.
   */
  async next(
    firstFrameSeq: number,
    frameBytes: number,
    onWaiting: () => void,
  ): Promise<JournalFile> {
    for (;;) {
      const mayTake = this.#free.length > 1 || (await this.#canMakeAnother())
      const file = mayTake ? this.#take(frameBytes) : undefined
      if (file !== undefined) {
        const begun = await this.#begin(file, firstFrameSeq)
        this.growAhead()
        return begun
      }
      onWaiting()
      // A checkpoint waits for what waits here. So if it takes one more file to end that, be it.
      this.#grow(journalFilesMax + 1)
      if (this.#closed) return new Promise(() => undefined)
      await new Promise<void>((resolve) => {
        this.#whenFree = resolve
        // A full disk may let us make a file later, without any event to wait for.
        this.#parts.clock.after(retryMs, resolve)
      })
    }
  }

  /** Making a file takes a moment, so one is made before it is needed. */
  growAhead(): void {
    if (this.#free.length === 0) this.#grow(ordinaryFiles)
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#growing
    for (const file of [...this.#used, ...this.#free]) await file.close()
  }

  #grow(filesMax: number): void {
    const count = this.#used.length + this.#free.length
    if (this.#growing !== undefined || count >= filesMax || this.#closed) return
    this.#growing = this.#make(count < firstFiles && this.#generation === 1).then(
      (file) => {
        this.#growing = undefined
        this.#lacksSpace = false
        this.#free.push(file)
        this.#whenFree?.()
        this.growAhead()
      },
      (error: unknown) => {
        this.#growing = undefined
        this.#didNotGrow(error)
      },
    )
  }

  #didNotGrow(error: unknown): void {
    const { logger, onFailure } = this.#parts
    if (!isPassing(error)) return onFailure(error)
    logger.warn({ err: error }, 'A journal file has to wait for the disk.')
    // Appends go on while what is there has room for them.
    if (error instanceof DiskFullError) this.#lacksSpace = true
  }

  /** Whether the last free file may be taken, because another can be made in its place. */
  async #canMakeAnother(): Promise<boolean> {
    const { disk, sizes, hasSpace } = this.#parts
    const count = this.#used.length + this.#free.length
    if (count >= journalFilesMax || !hasSpace()) return false
    try {
      return (await disk.freeBytes()) >= freeDiskBytesMin + sizes.fileBytes
    } catch {
      // Not known: what is certain is the file that is there.
      return false
    }
  }

  #take(frameBytes: number): JournalFile | undefined {
    const needed = blockBytes + paddedBytes(frameBytes)
    const fits = this.#free.findIndex((file) => file.bytes >= needed)
    return fits < 0 ? undefined : this.#free.splice(fits, 1)[0]
  }

  async #begin(file: JournalFile, firstFrameSeq: number): Promise<JournalFile> {
    const generation = this.#generation
    await file.begin({ fileSeq: ++this.#lastFileSeq, generation, firstFrameSeq })
    this.#used.push(file)
    return file
  }

  async #make(isFirst: boolean): Promise<JournalFile> {
    const { disk, sizes } = this.#parts
    const taken = new Set(await disk.list(journalFolder))
    let slot = 1
    while (taken.has(slotName(slot))) slot++
    const bytes = isFirst ? sizes.firstFileBytes : sizes.fileBytes
    // Filled in vain it would take the last room from everybody else, again and again.
    if ((await disk.freeBytes()) < bytes) throw new DiskFullError(`no room for ${bytes} bytes`)
    return JournalFile.make(disk, slotName(slot), bytes)
  }
}

function slotName(slot: number): string {
  return `${String(slot).padStart(4, '0')}.jnl`
}
