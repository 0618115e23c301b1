/**
 * The last offset of each key, for one round of compaction: 16 bytes of the key's hash and 8 of the
 * offset, in tables of fixed size. A full table refuses new keys, and the round ends before the
 * record that did not fit; so memory is bounded and the round still correct.
 *
 * The hash is SHA-256, cut: with a weaker one somebody who writes keys could make two that collide,
 * and compaction would take a record of one for an older record of the other.
 */
import { hash } from 'node:crypto'
import type { Offset } from '../../../model/offset.ts'

/** What one key costs, bytes: four words of hash and a float for the offset. */
export const keySlotBytes = 24
/** Behind it linear probing becomes slow. */
const loadMax = 0.75

export class KeyOffsets {
  readonly #slots: number
  readonly #hashes: Uint32Array
  /** The offset plus one; 0 is an empty slot. */
  readonly #offsets: Float64Array
  readonly #keysMax: number
  #keys = 0

  /** Room for `keys` keys, or for as many as `bytesMax` allows. */
  constructor(keys: number, bytesMax: number) {
    const wanted = Math.ceil(keys / loadMax) + 1
    this.#slots = Math.max(2, Math.min(wanted, Math.floor(bytesMax / keySlotBytes)))
    this.#keysMax = Math.floor(this.#slots * loadMax)
    this.#hashes = new Uint32Array(4 * this.#slots)
    this.#offsets = new Float64Array(this.#slots)
  }

  get size(): number {
    return this.#keys
  }

  /** Notes that `key` was written at `offset`, above all before. False when there is no room. */
  note(key: Uint8Array, offset: Offset): boolean {
    const slot = this.#find(key)
    if (this.#offsets[slot] === 0) {
      if (this.#keys >= this.#keysMax) return false
      this.#keys++
      this.#hashes.set(words, 4 * slot)
    }
    this.#offsets[slot] = offset + 1
    return true
  }

  /** The last offset noted for `key`; -1 when there is none. */
  last(key: Uint8Array): Offset {
    return this.#offsets[this.#find(key)]! - 1
  }

  /** The slot of this key, or the empty one where it belongs; leaves its hash in `words`. */
  #find(key: Uint8Array): number {
    const digest = hash('sha256', key, 'buffer')
    for (let i = 0; i < 4; i++) words[i] = digest.readUInt32LE(4 * i)
    let slot = words[0]! % this.#slots
    while (this.#offsets[slot] !== 0 && !this.#holds(slot)) slot = (slot + 1) % this.#slots
    return slot
  }

  #holds(slot: number): boolean {
    const hashes = this.#hashes
    for (let i = 0; i < 4; i++) if (hashes[4 * slot + i] !== words[i]) return false
    return true
  }
}

/** The hash of the key that was looked up last. */
const words = new Uint32Array(4)
