/** Whether the disk has room for appends: asked every second, with hysteresis. */
import type { Clock, Timer } from '../../../kit/clock.ts'
import { freeDiskBytesMin } from '../../../model/limits.ts'
import type { Disk } from './disk.ts'

const askMs = 1000
/** Appends come back only with so much room, or they would stop and start each second. */
const freeBytesAgain = freeDiskBytesMin * 1.25

export class DiskSpace {
  readonly #disk: Disk
  readonly #clock: Clock
  readonly #isHeldBack: () => boolean
  #isFull = false
  #timer: Timer | undefined
  #closed = false
  #asking: Promise<void> | undefined

  /** `isHeldBack` says whether writes that met a full disk are still waiting. */
  constructor(disk: Disk, clock: Clock, isHeldBack: () => boolean) {
    this.#disk = disk
    this.#clock = clock
    this.#isHeldBack = isHeldBack
  }

  get isFull(): boolean {
    return this.#isFull
  }

  async open(): Promise<void> {
    await this.#ask()
    this.#schedule()
  }

  /** A write met the end of the disk, whatever the numbers say. */
  noteFull(): void {
    this.#isFull = true
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.cancel()
    await this.#asking
  }

  #schedule(): void {
    if (this.#closed) return
    this.#timer = this.#clock.after(askMs, () => {
      this.#asking = this.#ask().then(() => this.#schedule())
    })
  }

  async #ask(): Promise<void> {
    try {
      const free = await this.#disk.freeBytes()
      if (free < freeDiskBytesMin) this.#isFull = true
      else if (free >= freeBytesAgain && !this.#isHeldBack()) this.#isFull = false
    } catch {
      // Not knowing the free space is no reason to stop: a write that meets the end says so.
    }
  }
}
