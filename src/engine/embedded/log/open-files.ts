/**
 * A ceiling on open segment files, and on the memory of the indexes that came with them: the one used
 * least recently is closed first. A file with unsynced bytes stays open beyond it, because a write-back
 * error is reported only to descriptors that were open.
 *
 * Where the process has no descriptor left, files are let go for those who need one: a checkpoint waits
 * for segment writes, and they must not wait for the checkpoint to free theirs.
 */
import { loadedIndexBytesMax } from '../../../model/limits.ts'
import { isOutOfFiles } from '../disk/disk.ts'

/** Files let go at one time for want of descriptors: enough that the next writes find theirs. */
const goAtOnce = 32
/** Others may take what was let go. */
const triesMax = 8
/** Files that one use looks at: with thousands that are unsynced it must not look at them all. */
const looksMax = 64

export interface Closeable {
  /** Whether its file may be closed now: no unsynced bytes, nobody reading or writing. */
  readonly isIdle: boolean
  /** Whether a sync of its bytes would make it idle. */
  readonly isMerelyUnsynced: boolean
  /** Memory that closing gives back, bytes. */
  readonly indexBytes: number
  /** Makes its bytes durable; where that fails they may be lost. */
  syncBytes(): Promise<void>
  /** Whether a file was open. */
  closeFile(): Promise<boolean>
}

export interface OpenFilesParts {
  readonly max: number
  readonly indexBytesMax?: number
  /** A sync failed. */
  readonly onFailure: (cause: unknown) => void
}

export class OpenFiles {
  /** In the order of use, oldest first, with the bytes that each had at its last use. */
  readonly #open = new Map<Closeable, number>()
  readonly #parts: OpenFilesParts
  readonly #bytesMax: number
  #bytes = 0
  #lettingGo: Promise<boolean> | undefined

  constructor(parts: OpenFilesParts) {
    this.#parts = parts
    this.#bytesMax = parts.indexBytesMax ?? loadedIndexBytesMax
  }

  /** Notes a use, and closes what is beyond the ceiling and may be closed. */
  touch(owner: Closeable): void {
    this.forget(owner)
    const bytes = owner.indexBytes
    this.#open.set(owner, bytes)
    this.#bytes += bytes
    if (this.#isWithin()) return
    let looks = 0
    for (const candidate of this.#open.keys()) {
      if (candidate === owner || looks++ === looksMax) return
      if (!candidate.isIdle) {
        this.#putBack(candidate)
        continue
      }
      this.forget(candidate)
      // Nothing depends on this close: no byte behind the descriptor is unsynced.
      candidate.closeFile().catch(() => undefined)
      if (this.#isWithin()) return
    }
  }

  forget(owner: Closeable): void {
    const bytes = this.#open.get(owner)
    if (bytes === undefined) return
    this.#open.delete(owner)
    this.#bytes -= bytes
  }

  /**
   * Runs work that needs one more descriptor. Where the process has none left, it is tried again after
   * some files were let go.
   */
  async withRoom<T>(work: () => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await work()
      } catch (error) {
        if (!isOutOfFiles(error) || tries === triesMax || !(await this.#letGo())) throw error
      }
    }
  }

  /** False when nothing could be let go. */
  #letGo(): Promise<boolean> {
    this.#lettingGo ??= this.#closeSome().finally(() => {
      this.#lettingGo = undefined
    })
    return this.#lettingGo
  }

  async #closeSome(): Promise<boolean> {
    let count = 0
    const close = async (candidate: Closeable): Promise<void> => {
      // It may have been used, or closed, since it was looked at.
      if (!candidate.isIdle || !this.#open.has(candidate)) return
      this.forget(candidate)
      if (await candidate.closeFile().catch(() => true)) count++
    }
    for (const candidate of [...this.#open.keys()]) {
      if (count < goAtOnce) await close(candidate)
    }
    if (count > 0) return true
    for (const candidate of [...this.#open.keys()]) {
      if (count === goAtOnce) break
      if (!candidate.isMerelyUnsynced) continue
      try {
        await candidate.syncBytes()
      } catch (error) {
        this.#parts.onFailure(error)
        throw error
      }
      await close(candidate)
    }
    return count > 0
  }

  /** One that cannot be closed now is looked at again behind the others. */
  #putBack(candidate: Closeable): void {
    const bytes = this.#open.get(candidate)!
    this.#open.delete(candidate)
    this.#open.set(candidate, bytes)
  }

  #isWithin(): boolean {
    return this.#open.size <= this.#parts.max && this.#bytes <= this.#bytesMax
  }
}
