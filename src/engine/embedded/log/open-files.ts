/** A ceiling on open segment files: the one used least recently is closed first. */

export interface Closeable {
  /** Whether its file may be closed now: no unsynced bytes, nobody reading or writing. */
  readonly isIdle: boolean
  closeFile(): Promise<void>
}

export class OpenFiles {
  /** In the order of use, oldest first. */
  readonly #open = new Set<Closeable>()
  readonly #max: number

  constructor(max: number) {
    this.#max = max
  }

  /** Notes a use. Files that cannot be closed stay open beyond the ceiling: a write-back error is
   *  reported only to descriptors that were open. */
  touch(owner: Closeable): void {
    this.#open.delete(owner)
    this.#open.add(owner)
    for (const candidate of this.#open) {
      if (this.#open.size <= this.#max) return
      if (candidate === owner || !candidate.isIdle) continue
      this.#open.delete(candidate)
      // Nothing depends on this close: no byte behind the descriptor is unsynced.
      candidate.closeFile().catch(() => undefined)
    }
  }

  forget(owner: Closeable): void {
    this.#open.delete(owner)
  }
}
