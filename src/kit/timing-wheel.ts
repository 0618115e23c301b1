/** Many coarse timers on one: a ring of slots that turns while anything is in it. */
import type { Clock, Timer } from './clock.ts'

export interface TimingWheelOptions {
  /** A timer fires up to this much late, ms. */
  readonly tickMs: number
  /** `tickMs * slots` is one turn; longer delays take several. */
  readonly slots: number
}

interface Entry {
  turns: number
  readonly run: () => void
}

/**
 * For tens of thousands of timers that mostly just come round again, such as the pings of sockets:
 * one timer of the runtime instead of one each. Adding and cancelling cost the same at any number.
 */
export class TimingWheel {
  readonly #clock: Clock
  readonly #tickMs: number
  readonly #slots: Set<Entry>[]
  #at = 0
  #count = 0
  /** When the slot at `#at` was reached. */
  #reachedMs = 0
  #timer: Timer | undefined
  #turning = false
  #closed = false

  constructor(clock: Clock, options: TimingWheelOptions) {
    this.#clock = clock
    this.#tickMs = options.tickMs
    this.#slots = Array.from({ length: options.slots }, () => new Set<Entry>())
  }

  /** Runs `run` once, `delayMs` or up to one tick more from now. */
  after(delayMs: number, run: () => void): Timer {
    if (this.#closed) return { cancel: () => undefined }
    if (this.#timer === undefined && !this.#turning) this.#start()
    const lateMs = this.#clock.monotonicMs() - this.#reachedMs
    const ticks = Math.max(1, Math.ceil((delayMs + lateMs) / this.#tickMs))
    const slot = this.#slots[(this.#at + ticks) % this.#slots.length]!
    const entry: Entry = { turns: Math.floor((ticks - 1) / this.#slots.length), run }
    slot.add(entry)
    this.#count++
    return {
      cancel: () => {
        if (slot.delete(entry)) this.#count--
      },
    }
  }

  /** Forgets every timer. */
  close(): void {
    this.#closed = true
    this.#timer?.cancel()
    this.#timer = undefined
    for (const slot of this.#slots) slot.clear()
    this.#count = 0
  }

  #start(): void {
    this.#reachedMs = this.#clock.monotonicMs()
    this.#arm()
  }

  #arm(): void {
    const dueMs = this.#reachedMs + this.#tickMs - this.#clock.monotonicMs()
    this.#timer = this.#clock.after(Math.max(0, dueMs), () => this.#turn())
  }

  #turn(): void {
    this.#timer = undefined
    this.#turning = true
    const nowMs = this.#clock.monotonicMs()
    while (!this.#closed && this.#reachedMs + this.#tickMs <= nowMs) {
      this.#reachedMs += this.#tickMs
      this.#at = (this.#at + 1) % this.#slots.length
      this.#fire(this.#slots[this.#at]!)
    }
    this.#turning = false
    if (!this.#closed && this.#count > 0) this.#arm()
  }

  #fire(slot: Set<Entry>): void {
    // What is added while this slot fires belongs to a later turn, so the entries are taken first.
    for (const entry of [...slot]) {
      if (entry.turns > 0) {
        entry.turns--
        continue
      }
      if (!slot.delete(entry)) continue
      this.#count--
      entry.run()
    }
  }
}
