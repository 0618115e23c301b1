/** So many at a time; the others wait in the order of their coming. */

export class Slots {
  readonly #waiting: (() => void)[] = []
  #free: number

  constructor(count: number) {
    this.#free = count
  }

  /** Runs `work` when a slot is free, and settles as it does. Who waits cannot be called off: `work` looks. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free === 0) {
      // Whoever finishes hands its slot over, so the count stays.
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    } else {
      this.#free--
    }
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#free++
      else next()
    }
  }
}
