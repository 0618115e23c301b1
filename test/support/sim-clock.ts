/** A clock with a queue of events: a simulation decides when the next one happens. */
import type { Clock, Timer } from '../../src/kit/clock.ts'

interface Event {
  readonly atMs: number
  readonly order: number
  readonly run: () => void
}

export class SimClock implements Clock {
  #nowMs = 0
  #order = 0
  readonly #startMs: number
  #events: Event[] = []

  constructor(startMs = 1_763_683_200_000) {
    this.#startMs = startMs
  }

  wallMs(): number {
    return Math.floor(this.#startMs + this.#nowMs)
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  after(delayMs: number, run: () => void): Timer {
    const event = { atMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, run }
    // From the back, because most events are for soon after the others.
    let at = this.#events.length
    while (at > 0 && this.#events[at - 1]!.atMs > event.atMs) at--
    this.#events.splice(at, 0, event)
    return {
      cancel: () => {
        const found = this.#events.indexOf(event)
        if (found >= 0) this.#events.splice(found, 1)
      },
    }
  }

  soon(run: () => void): void {
    this.after(0, run)
  }

  /** Runs the next event and moves the time to it; false when there is none. */
  step(): boolean {
    const event = this.#events.shift()
    if (event === undefined) return false
    this.#nowMs = event.atMs
    event.run()
    return true
  }

  /** The process has ended: none of its timers fires any more. */
  clear(): void {
    this.#events = []
  }
}
