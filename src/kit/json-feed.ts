/**
 * Cuts concatenated JSON that comes in pieces: a value is handed out as soon as its last byte is there,
 * and each byte is looked at once, however small the pieces are. Only brackets and strings are followed
 * here; whether what was cut is JSON, `checkJson` says.
 */
import { ByteSink } from './byte-sink.ts'
import {
  arrayClose,
  arrayOpen,
  backslash,
  isSpace,
  objectClose,
  objectOpen,
  quote,
} from './json-scanner.ts'

/** What the value is that has begun: none, an object or array, a string, or a number or word. */
type Inside = 'nothing' | 'container' | 'string' | 'bare'

export class JsonFeed {
  readonly #bytesMax: number
  /** The begin of a value whose end has not come. */
  readonly #held = new ByteSink()
  #inside: Inside = 'nothing'
  #depth = 0
  #quoted = false
  #escaped = false
  #tooLarge = false

  /** A value may take `bytesMax`. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** Of the value that has begun, bytes. */
  get heldBytes(): number {
    return this.#held.length
  }

  /** A value is larger than allowed: nothing comes any more. */
  get tooLarge(): boolean {
    return this.#tooLarge
  }

  /**
   * The values that end in `piece`, in their order, without white space around them. One that lies whole
   * in the piece is a slice of it.
   */
  push(piece: Buffer): Buffer[] {
    const values: Buffer[] = []
    const end = piece.length
    let start = 0
    let at = 0
    while (at < end && !this.#tooLarge) {
      if (this.#inside === 'nothing') {
        while (at < end && isSpace(piece[at]!)) at++
        if (at === end) return values
        start = at
        at = this.#begin(piece[at]!, at)
        continue
      }
      at = this.#follow(piece, at)
      if (this.#isBetween()) {
        const value = this.#take(piece, start, at)
        if (value !== undefined) values.push(value)
        start = at
      }
    }
    if (!this.#isBetween() && !this.#tooLarge) this.#hold(piece, start, end)
    return values
  }

  /** What has begun and was not ended, once everything has come: a number, a word, or half a value. */
  end(): Buffer | undefined {
    this.#inside = 'nothing'
    return this.#held.length === 0 || this.#tooLarge ? undefined : this.#held.take()
  }

  #isBetween(): boolean {
    return this.#inside === 'nothing'
  }

  /** The place from which to follow the value that begins at `at`. */
  #begin(byte: number, at: number): number {
    this.#depth = 0
    this.#quoted = this.#escaped = false
    if (byte === quote) {
      this.#inside = 'string'
      this.#quoted = true
      return at + 1
    }
    this.#inside = byte === objectOpen || byte === arrayOpen ? 'container' : 'bare'
    return at
  }

  /** The place behind what belongs to the value; the value has ended if nothing is inside any more. */
  #follow(piece: Buffer, from: number): number {
    const end = piece.length
    let at = from
    if (this.#inside === 'bare') {
      while (at < end && !isSpace(piece[at]!)) at++
      if (at < end) this.#inside = 'nothing'
      return at
    }
    while (at < end) {
      const byte = piece[at++]!
      if (this.#quoted) {
        if (this.#escaped) this.#escaped = false
        else if (byte === backslash) this.#escaped = true
        else if (byte === quote) {
          this.#quoted = false
          if (this.#depth === 0) break
        }
      } else if (byte === quote) {
        this.#quoted = true
      } else if (byte === objectOpen || byte === arrayOpen) {
        this.#depth++
      } else if (byte === objectClose || byte === arrayClose) {
        if (--this.#depth === 0) break
      }
    }
    if (this.#depth === 0 && !this.#quoted) this.#inside = 'nothing'
    return at
  }

  #take(piece: Buffer, start: number, end: number): Buffer | undefined {
    if (this.#held.length === 0) {
      if (end - start <= this.#bytesMax) return piece.subarray(start, end)
      this.#tooLarge = true
      return undefined
    }
    this.#hold(piece, start, end)
    return this.#tooLarge ? undefined : this.#held.take()
  }

  #hold(piece: Buffer, start: number, end: number): void {
    if (this.#held.length + end - start > this.#bytesMax) {
      this.#tooLarge = true
      this.#held.take()
      return
    }
    this.#held.bytes(piece.subarray(start, end))
  }
}
