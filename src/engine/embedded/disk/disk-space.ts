/**
 * Whether the disk has room: asked every second and after each roll, with hysteresis at both marks.
 * Little room asks for the retention that is due, and everything goes on; too little stops appends.
 */
import type { Clock, Timer } from '../../../kit/clock.ts'
import type { Logger } from '../../../kit/logger.ts'
import { freeDiskBytesLow, freeDiskBytesMin } from '../../../model/limits.ts'
import type { Disk } from './disk.ts'

const askMs = 1000
/** A state is left only with so much more room, or it would come and go each second. */
const againFactor = 1.25
/** While there is little room, what has come due since is removed at this pace, ms. */
const retainMs = 30_000

export type SpaceState = 'ok' | 'low' | 'full'

export interface DiskSpaceParts {
  readonly disk: Disk
  readonly clock: Clock
  readonly logger: Logger
  /** Whether writes that met a full disk are still waiting. */
  readonly isHeldBack: () => boolean
  /** There is little room: what retention would remove later in its round goes now. */
  readonly onLow: () => void
  /** The state and the free bytes are as new as can be. */
  readonly onAsked: () => void
}

export class DiskSpace {
  readonly #parts: DiskSpaceParts
  #state: SpaceState = 'ok'
  #freeBytes: number | undefined
  #retainedMs = -Infinity
  #timer: Timer | undefined
  #closed = false
  #asking: Promise<void> | undefined
  #metFull = false

  constructor(parts: DiskSpaceParts) {
    this.#parts = parts
  }

  get state(): SpaceState {
    return this.#state
  }

  get isFull(): boolean {
    return this.#state === 'full'
  }

  /** As last read, bytes; undefined when it cannot be read. */
  get freeBytes(): number | undefined {
    return this.#freeBytes
  }

  async open(): Promise<void> {
    await this.look()
    this.#schedule()
  }

  /** A write met the end of the disk, whatever the numbers say. */
  noteFull(): void {
    // An answer that is on its way was read before this write.
    this.#metFull = true
    this.#enter('full')
  }

  /** Asks now; the free space after a roll is news. */
  look(): Promise<void> {
    if (this.#closed) return Promise.resolve()
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined
    })
    return this.#asking
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.cancel()
    await this.#asking
  }

  #schedule(): void {
    if (this.#closed) return
    this.#timer = this.#parts.clock.after(askMs, () => {
      void this.look().then(() => this.#schedule())
    })
  }

  async #ask(): Promise<void> {
    this.#metFull = false
    let free: number | undefined
    try {
      free = await this.#parts.disk.freeBytes()
    } catch {
      // Not knowing the free space is no reason to stop: a write that meets the end says so.
    }
    this.#freeBytes = free
    if (!this.#metFull) this.#enter(this.#judge(free ?? Infinity))
    if (this.#state !== 'ok') this.#retain()
    this.#parts.onAsked()
  }

  #judge(free: number): SpaceState {
    const { isHeldBack } = this.#parts
    const isBelow = (mark: number, wasBelow: boolean): boolean =>
      free < (wasBelow ? mark * againFactor : mark)
    if (isBelow(freeDiskBytesMin, this.isFull) || (this.isFull && isHeldBack())) return 'full'
    return isBelow(freeDiskBytesLow, this.#state !== 'ok') ? 'low' : 'ok'
  }

  #enter(state: SpaceState): void {
    if (state === this.#state) return
    const { logger } = this.#parts
    const facts = { state, freeBytes: this.#freeBytes }
    this.#state = state
    if (state === 'ok') logger.info(facts, 'The disk has room again.')
    else if (state === 'low') logger.warn(facts, 'The disk has little room left.')
    else logger.error(facts, 'The disk is full: appends are refused until there is room again.')
  }

  #retain(): void {
    const nowMs = this.#parts.clock.monotonicMs()
    if (nowMs - this.#retainedMs < retainMs) return
    this.#retainedMs = nowMs
    this.#parts.onLow()
  }
}
