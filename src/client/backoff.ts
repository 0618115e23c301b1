/** Full-jitter back-off: tries spread over the whole wait, so that clients do not come in step. */

const firstMs = 200
const longestMs = 20_000
/** A connection that held for so long has proved that trouble is over, ms. */
const stableMs = 60_000

export class Backoff {
  #failures = 0

  /** How long to wait before the next try, ms. */
  next(): number {
    const ceiling = Math.min(longestMs, firstMs * 2 ** Math.min(this.#failures++, 16))
    return Math.random() * ceiling
  }

  /** Tells how long a connection lasted; only a long one forgets the failures before it. */
  lasted(ms: number): void {
    if (ms >= stableMs) this.#failures = 0
  }
}
