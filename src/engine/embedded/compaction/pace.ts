/** Background work on the disk in small steps: so many bytes a second, and a turn for others between. */
import type { Clock } from '../../../kit/clock.ts'
import { pause } from '../../../kit/clock.ts'

export class Pace {
  readonly #clock: Clock
  readonly #bytesPerSecond: number
  readonly #stop = new AbortController()
  #dueMs = 0

  constructor(clock: Clock, bytesPerSecond: number) {
    this.#clock = clock
    this.#bytesPerSecond = bytesPerSecond
  }

  get isStopped(): boolean {
    return this.#stop.signal.aborted
  }

  /** After a step of so many bytes: resolves when the next one may begin, at once after a stop. */
  async spend(bytes: number): Promise<void> {
    const nowMs = this.#clock.monotonicMs()
    this.#dueMs = Math.max(this.#dueMs, nowMs) + (bytes * 1000) / this.#bytesPerSecond
    const waitMs = this.#dueMs - nowMs
    if (waitMs >= 1) await pause(this.#clock, waitMs, this.#stop.signal)
    else await new Promise<void>((resolve) => this.#clock.soon(resolve))
  }

  stop(): void {
    this.#stop.abort()
  }
}
