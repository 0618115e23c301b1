/**
 * Ends bodies that come too slowly: a byte a minute would hold a connection and memory for ever.
 * All of them are looked at together, because a timer for each would be paid by every fast request.
 */
import type { Clock } from '../kit/clock.ts'

export interface BodyPaceLimits {
  /** From one look to the next, ms. */
  readonly windowMs: number
  /** What must come of a body from one look to the next, unless it ends. */
  readonly bytesMin: number
}

export interface PacedBody {
  /** Bytes that have come, as they were sent. */
  receivedBytes: number
  /** Called once; the body is not watched any more. */
  tooSlow(): void
}

/** `lastBytes`: what had come at the last look; undefined before the first one. */
interface Watch {
  readonly body: PacedBody
  lastBytes: number | undefined
}

export class BodyPace {
  readonly #limits: BodyPaceLimits
  readonly #clock: Clock
  readonly #watched = new Map<PacedBody, Watch>()
  #isLooking = false

  constructor(limits: BodyPaceLimits, clock: Clock) {
    this.#limits = limits
    this.#clock = clock
  }

  /** From now on; the first whole window counts, so nobody is ended sooner than that. */
  watch(body: PacedBody): void {
    this.#watched.set(body, { body, lastBytes: undefined })
    if (this.#isLooking) return
    this.#isLooking = true
    this.#lookLater()
  }

  forget(body: PacedBody): void {
    this.#watched.delete(body)
  }

  #lookLater(): void {
    this.#clock.after(this.#limits.windowMs, () => {
      for (const watch of this.#watched.values()) this.#look(watch)
      this.#isLooking = this.#watched.size > 0
      if (this.#isLooking) this.#lookLater()
    })
  }

  #look(watch: Watch): void {
    const { body, lastBytes } = watch
    watch.lastBytes = body.receivedBytes
    if (lastBytes === undefined || body.receivedBytes - lastBytes >= this.#limits.bytesMin) return
    this.#watched.delete(body)
    body.tooSlow()
  }
}
