/** The journal's files: which one comes next, which may be used again, and when another is made. */
import type { Clock } from '../../../kit/clock.ts'
import type { Logger } from '../../../kit/logger.ts'
import { journalFilesMax } from '../../../model/limits.ts'
import type { Disk } from '../disk/disk.ts'
import { isPassing } from '../disk/disk.ts'
import { JournalFile, journalFolder } from './journal-file.ts'
import { blockBytes, paddedBytes } from './journal-frame.ts'

/** Files that a busy journal grows to before checkpoints count as falling behind. */
const ordinaryFiles = 4
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

  /** Three quarters of the journal cannot be used again: the rest is for metadata, the way out. */
  get isCrowded(): boolean {
    return this.#used.length >= journalFilesMax * 0.75
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
    if (files.length > 0) this.free(files)
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
      // The last file is kept for the next start, which needs a fresh one.
      const mayTake = this.#used.length < journalFilesMax - 1
      const file = mayTake ? this.#take(frameBytes) : undefined
      if (file !== undefined) {
        const begun = await this.#begin(file, firstFrameSeq)
        this.growAhead()
        return begun
      }
      onWaiting()
      this.#grow(journalFilesMax)
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
    this.#growing = this.#make(count === 1 && this.#generation === 1)
      .then(
        (file) => {
          this.#free.push(file)
          this.#whenFree?.()
        },
        (error: unknown) => {
          if (!isPassing(error)) this.#parts.onFailure(error)
          else this.#parts.logger.warn({ err: error }, 'A journal file has to wait for the disk.')
        },
      )
      .finally(() => {
        this.#growing = undefined
      })
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
    return JournalFile.make(disk, slotName(slot), bytes)
  }
}

function slotName(slot: number): string {
  return `${String(slot).padStart(4, '0')}.jnl`
}
