/** One at a time per key; the others wait in the order they came. */

export class KeyedLock {
  readonly #tails = new Map<string, Promise<void>>()

  /**
   * Resolves to the function that lets the next one in (calling it twice does nothing), or to
   * undefined when the signal aborts while waiting.
   */
  async acquire(key: string, signal?: AbortSignal): Promise<(() => void) | undefined> {
    const before = this.#tails.get(key) ?? Promise.resolve()
    let unlock = (): void => undefined
    const mine = new Promise<void>((resolve) => {
      unlock = resolve
    })
    const tail = before.then(() => mine)
    this.#tails.set(key, tail)
    const release = (): void => {
      unlock()
      if (this.#tails.get(key) === tail) this.#tails.delete(key)
    }
    if (await comesBefore(before, signal)) return release
    // Who gave up must not let a later one in before an earlier one is done: `tail` still waits.
    unlock()
    void tail.then(release)
    return undefined
  }
}

function comesBefore(turn: Promise<void>, signal: AbortSignal | undefined): Promise<boolean> {
  if (signal === undefined) return turn.then(() => true)
  if (signal.aborted) return Promise.resolve(false)
  return new Promise((resolve) => {
    const onAbort = (): void => resolve(false)
    signal.addEventListener('abort', onAbort, { once: true })
    void turn.then(() => {
      signal.removeEventListener('abort', onAbort)
      resolve(true)
    })
  })
}
