/**
 * The keys of one space that are still known: 64 bits of each key's hash, where its record stands, and
 * when it expires. Keys come in the order of their records and leave in the same order, so they live in
 * a ring, with an open-addressed table of ring places over it: 24 bytes a key and 8 of table, typed
 * arrays alone, so that a million keys cost 32 MiB and the garbage collector never looks at them.
 * Two keys may share their 64 bits; who asks gets all candidates and reads the records.
 */
import type { Offset } from '../../../model/offset.ts'

/** 64 bits of a hash. */
export interface KeyHash {
  readonly high: number
  readonly low: number
}

const placesMin = 64

export class KeyTable {
  #highs = new Uint32Array(placesMin)
  #lows = new Uint32Array(placesMin)
  #offsets = new Float64Array(placesMin)
  #expiries = new Float64Array(placesMin)
  /** Place in the ring + 1, or 0 for nothing; twice as many as places, so that runs stay short. */
  #slots = new Uint32Array(2 * placesMin)
  /** How many keys have left and come; their rest by the number of places is where they stand. */
  #head = 0
  #tail = 0

  get size(): number {
    return this.#tail - this.#head
  }

  /** Bytes of all arrays. */
  get bytes(): number {
    const arrays = [this.#highs, this.#lows, this.#offsets, this.#expiries, this.#slots]
    return arrays.reduce((sum, { byteLength }) => sum + byteLength, 0)
  }

  /** Where the record of the oldest key stands; undefined when there is none. */
  get oldestOffset(): Offset | undefined {
    return this.size === 0 ? undefined : this.#offsets[this.#head % this.#offsets.length]
  }

  /** On the log's clock, ms; Infinity when there is none. */
  get oldestExpiryMs(): number {
    return this.size === 0 ? Infinity : this.#expiries[this.#head % this.#expiries.length]!
  }

  /** Offsets must rise. */
  push({ high, low }: KeyHash, offset: Offset, expiryMs: number): void {
    if (this.size === this.#offsets.length) this.#grow()
    const place = this.#tail++ % this.#offsets.length
    this.#highs[place] = high
    this.#lows[place] = low
    this.#offsets[place] = offset
    this.#expiries[place] = expiryMs
    this.#link(place)
  }

  /** Lets the oldest key go. */
  shift(): void {
    if (this.size === 0) return
    this.#unlink(this.#head++ % this.#offsets.length)
  }

  /** Records of keys with this hash that expire after `nowMs`, newest first. */
  candidates({ high, low }: KeyHash, nowMs: number): Offset[] {
    const found: Offset[] = []
    const mask = this.#slots.length - 1
    for (let slot = low & mask; this.#slots[slot] !== 0; slot = (slot + 1) & mask) {
      const place = this.#slots[slot]! - 1
      if (this.#lows[place] !== low || this.#highs[place] !== high) continue
      if (this.#expiries[place]! > nowMs) found.push(this.#offsets[place]!)
    }
    return found.length < 2 ? found : found.sort((left, right) => right - left)
  }

  #link(place: number): void {
    const mask = this.#slots.length - 1
    let slot = this.#lows[place]! & mask
    while (this.#slots[slot] !== 0) slot = (slot + 1) & mask
    this.#slots[slot] = place + 1
  }

  /** Without tombstones: what stands behind the gap moves into it where its own way leads over it. */
  #unlink(place: number): void {
    const slots = this.#slots
    const mask = slots.length - 1
    let gap = this.#lows[place]! & mask
    while (slots[gap] !== place + 1) gap = (gap + 1) & mask
    for (let slot = (gap + 1) & mask; slots[slot] !== 0; slot = (slot + 1) & mask) {
      const home = this.#lows[slots[slot]! - 1]! & mask
      if (((slot - home) & mask) < ((slot - gap) & mask)) continue
      slots[gap] = slots[slot]!
      gap = slot
    }
    slots[gap] = 0
  }

  #grow(): void {
    const places = this.#offsets.length
    const first = this.#head % places
    // In order from place 0, so that the numbers of head and tail fit the new count.
    const unrolled = <T extends Uint32Array | Float64Array>(from: T, to: T): T => {
      to.set(from.subarray(first))
      to.set(from.subarray(0, first), places - first)
      return to
    }
    this.#highs = unrolled(this.#highs, new Uint32Array(2 * places))
    this.#lows = unrolled(this.#lows, new Uint32Array(2 * places))
    this.#offsets = unrolled(this.#offsets, new Float64Array(2 * places))
    this.#expiries = unrolled(this.#expiries, new Float64Array(2 * places))
    this.#slots = new Uint32Array(4 * places)
    this.#tail = this.size
    this.#head = 0
    for (let place = 0; place < this.#tail; place++) this.#link(place)
  }
}
