/** Back-pressure is bytes in flight: memory of what was admitted, and is not yet in its segment. */
import { inFlightBytesHigh, inFlightBytesLow } from '../../../model/limits.ts'
import type { Pressure } from '../../log.ts'

export class LogPressure implements Pressure {
  readonly high = inFlightBytesHigh
  readonly low = inFlightBytesLow
  inFlightBytes = 0
  readonly #waiting = new Set<() => void>()

  add(bytes: number): void {
    this.inFlightBytes += bytes
  }

  release(bytes: number): void {
    this.inFlightBytes -= bytes
    if (this.inFlightBytes > this.low || this.#waiting.size === 0) return
    for (const relieved of [...this.#waiting]) relieved()
  }

  whenRelieved(signal?: AbortSignal): Promise<void> {
    if (this.inFlightBytes <= this.low || signal?.aborted === true) return Promise.resolve()
    return new Promise((resolve) => {
      const done = (): void => {
        this.#waiting.delete(done)
        signal?.removeEventListener('abort', done)
        resolve()
      }
      this.#waiting.add(done)
      signal?.addEventListener('abort', done, { once: true })
    })
  }
}
