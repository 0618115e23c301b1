/**
 * A ceiling on open segment files, and on the memory of the indexes that came with them: the one used
 * least recently is closed first.
 */
import { loadedIndexBytesMax } from '../../../model/limits.ts'

export interface Closeable {
  /** Whether its file may be closed now: no unsynced bytes, nobody reading or writing. */
  readonly isIdle: boolean
  /** Memory that closing gives back, bytes. */
  readonly indexBytes: number
  closeFile(): Promise<void>
}

export class OpenFiles {
  /** In the order of use, oldest first, with the bytes that each had at its last use. */
  readonly #open = new Map<Closeable, number>()
  readonly #max: number
  readonly #bytesMax: number
  #bytes = 0

  constructor(max: number, bytesMax = loadedIndexBytesMax) {
    this.#max = max
    this.#bytesMax = bytesMax
  }

  /** Notes a use. Files that cannot be closed stay open beyond the ceiling: a write-back error is
   *  reported only to descriptors that were open. */
  touch(owner: Closeable): void {
    this.forget(owner)
    const bytes = owner.indexBytes
    this.#open.set(owner, bytes)
    this.#bytes += bytes
    if (this.#isWithin()) return
    for (const candidate of this.#open.keys()) {
      if (candidate === owner || !candidate.isIdle) continue
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

  #isWithin(): boolean {
    return this.#open.size <= this.#max && this.#bytes <= this.#bytesMax
  }
}
