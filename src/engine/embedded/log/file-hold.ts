/**
 * Keeps files where they are while a back-up copies them. Whatever removes or replaces a file that a
 * snapshot may speak of does it inside `whileFree`, in short steps; a back-up takes `hold`. Neither
 * begins before the other has ended, so a copy never meets a file that changes under it.
 */
export class FileHold {
  #holders = 0
  #atWork = 0
  #waiting: (() => void)[] = []

  get isHeld(): boolean {
    return this.#holders > 0
  }

  /** Resolves when nothing is being removed; until the answer is called nothing will be. */
  async hold(): Promise<() => void> {
    // Counted first: removals that come meanwhile wait, or a busy log would never let a hold begin.
    this.#holders++
    while (this.#atWork > 0) await this.#changed()
    let isHeld = true
    return () => {
      if (!isHeld) return
      isHeld = false
      this.#holders--
      this.#wake()
    }
  }

  /** Runs `work`, which removes or replaces files, as soon as nobody holds them. */
  async whileFree<T>(work: () => Promise<T>): Promise<T> {
    while (this.#holders > 0) await this.#changed()
    this.#atWork++
    try {
      return await work()
    } finally {
      this.#atWork--
      this.#wake()
    }
  }

  #changed(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  #wake(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }
}
