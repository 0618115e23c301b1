/**
 * How far the wall clock has run ahead of the time that really passed. A clock that jumps years ahead
 * makes everything look old, so what expires by the wall clock asks here first.
 */
import type { Clock } from '../../../kit/clock.ts'
import { wallAheadMsMax } from '../../../model/limits.ts'

export class WallDrift {
  readonly #clock: Clock
  #wallFromMs: number
  #fromMs: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#wallFromMs = clock.wallMs()
    this.#fromMs = clock.monotonicMs()
  }

  /** Both clocks are right now, as far as anybody knows. */
  start(): void {
    this.#wallFromMs = this.#clock.wallMs()
    this.#fromMs = this.#clock.monotonicMs()
  }

  /** Milliseconds by which the wall clock runs ahead; below zero: behind, which expires nothing. */
  get aheadMs(): number {
    const passedMs = this.#clock.monotonicMs() - this.#fromMs
    return this.#clock.wallMs() - this.#wallFromMs - passedMs
  }

  get isTooFar(): boolean {
    return this.aheadMs > wallAheadMsMax
  }
}
