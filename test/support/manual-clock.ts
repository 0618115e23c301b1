/** A clock that stands still until a test moves it. */
import type { Clock, Timer } from '../../src/kit/clock.ts'

interface Pending {
  readonly atMs: number
  readonly order: number
  readonly run: () => void
}

export class ManualClock implements Clock {
  #nowMs = 0
  #wallMs: number
  #order = 0
  readonly #timers = new Set<Pending>()

  constructor(wallMs = 1_763_683_200_000) {
    this.#wallMs = wallMs
  }

  wallMs(): number {
    return this.#wallMs
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  after(delayMs: number, run: () => void): Timer {
    const pending = { atMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, run }
    this.#timers.add(pending)
    return { cancel: () => void this.#timers.delete(pending) }
  }

  /** The real next turn: waiting for it needs no time. */
  soon(run: () => void): void {
    setImmediate(run)
  }

  /** Moves both times and fires, in their order, the timers that come due. */
  advance(ms: number): void {
    const endMs = this.#nowMs + ms
    for (;;) {
      const next = this.#next(endMs)
      if (next === undefined) break
      this.#timers.delete(next)
      this.#wallMs += next.atMs - this.#nowMs
      this.#nowMs = next.atMs
      next.run()
    }
    this.#wallMs += endMs - this.#nowMs
    this.#nowMs = endMs
  }

  /** Moves the wall clock alone, as an administrator or a time server does. */
  jumpWall(ms: number): void {
    this.#wallMs += ms
  }

  #next(endMs: number): Pending | undefined {
    let next: Pending | undefined
    for (const timer of this.#timers) {
      if (timer.atMs > endMs) continue
      if (next === undefined || timer.atMs < next.atMs) next = timer
      else if (timer.atMs === next.atMs && timer.order < next.order) next = timer
    }
    return next
  }
}
