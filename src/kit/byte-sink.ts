/** A growing byte buffer: answers are written around spliced bytes, without strings in between. */

/** Strings up to this length are written by hand: the call into native code costs more. */
const shortText = 48
/** The same for copies of bytes. */
const shortBytes = 24

/** Less than this left of a buffer is not worth going on with. */
const restMin = 1024
/** Larger buffers are not shared between two answers. */
const sharedBytesMax = 64 * 1024
const nothing = Buffer.alloc(0)

const quote = 0x22
const backslash = 0x5c

/** 1 for the bytes that a JSON string must escape: control characters, `"` and `\`. */
const escaped = new Uint8Array(256).fill(1, 0, 0x20)
escaped[quote] = 1
escaped[backslash] = 1

const hexDigits = '0123456789abcdef'
/** What stands for each escaped byte. */
const escapes: readonly string[] = Array.from({ length: 0x20 }, (_, byte) => {
  const short = { 8: '\\b', 9: '\\t', 10: '\\n', 12: '\\f', 13: '\\r' }[byte]
  return short ?? `\\u00${hexDigits[byte >> 4]!}${hexDigits[byte & 15]!}`
})

/**
 * Collects bytes in one buffer that doubles when it is full. `take` hands the bytes over without a
 * copy; afterwards the sink is empty and can be used again.
 */
export class ByteSink {
  #bytes: Buffer
  #length = 0
  /** Of the next buffer, bytes. */
  readonly #capacity: number

  /** `capacity`: what is expected, bytes; more is made room for. */
  constructor(capacity = 1024) {
    this.#bytes = Buffer.allocUnsafe(capacity)
    this.#capacity = Math.min(capacity, sharedBytesMax)
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length
  }

  byte(byte: number): this {
    if (this.#length === this.#bytes.length) this.#grow(1)
    this.#bytes[this.#length++] = byte
    return this
  }

  bytes(bytes: Uint8Array): this {
    const count = bytes.length
    if (this.#length + count > this.#bytes.length) this.#grow(count)
    if (count <= shortBytes) {
      const target = this.#bytes
      const at = this.#length
      for (let i = 0; i < count; i++) target[at + i] = bytes[i]!
    } else {
      this.#bytes.set(bytes, this.#length)
    }
    this.#length += count
    return this
  }

  /** Writes `text` as UTF-8. Lone surrogates become U+FFFD, as everywhere in Node. */
  text(text: string): this {
    const count = text.length
    // One UTF-16 unit takes at most three bytes of UTF-8.
    if (this.#length + count * 3 > this.#bytes.length) this.#grow(count * 3)
    const target = this.#bytes
    const at = this.#length
    if (count <= shortText) {
      let i = 0
      for (; i < count; i++) {
        const unit = text.charCodeAt(i)
        if (unit >= 0x80) break
        target[at + i] = unit
      }
      if (i === count) {
        this.#length = at + count
        return this
      }
    }
    this.#length = at + target.write(text, at, 'utf8')
    return this
  }

  /**
   * Writes a JSON string. Bytes must be valid UTF-8 and are escaped as they are copied; a string may
   * hold lone surrogates, which become `\udXXX` escapes.
   */
  jsonText(text: Uint8Array | string): this {
    if (typeof text === 'string') return this.text(JSON.stringify(text))
    this.byte(quote)
    const count = text.length
    let from = 0
    for (let at = 0; at < count; at++) {
      const byte = text[at]!
      if (escaped[byte] === 0) continue
      if (at > from) this.bytes(text.subarray(from, at))
      if (byte < 0x20) this.text(escapes[byte]!)
      else this.byte(backslash).byte(byte)
      from = at + 1
    }
    if (from < count) this.bytes(from === 0 ? text : text.subarray(from))
    return this.byte(quote)
  }

  /** Writes a JSON string that holds the bytes in base64 (RFC 4648 §4). */
  jsonBase64(bytes: Uint8Array): this {
    const base64 = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64')
    return this.byte(quote).text(base64).byte(quote)
  }

  /** Forgets what was written behind `length`, so that a writer can take its last piece back. */
  truncate(length: number): this {
    if (length > this.#length) throw new RangeError(`The sink holds ${this.#length} bytes only.`)
    this.#length = length
    return this
  }

  /** Everything written so far. The sink is empty afterwards and shares no memory with it. */
  take(): Buffer {
    const taken = this.#bytes.subarray(0, this.#length)
    // What is left of a small buffer serves the next answer; of a large one it would keep the whole
    // buffer alive for as long as somebody holds a few bytes of it.
    const rest = this.#bytes.subarray(this.#length)
    const shared = rest.length >= restMin && this.#bytes.buffer.byteLength <= sharedBytesMax
    this.#bytes = shared ? rest : nothing
    this.#length = 0
    return taken
  }

  #grow(more: number): void {
    const capacity = Math.max(this.#bytes.length * 2, this.#length + more, this.#capacity)
    const grown = Buffer.allocUnsafe(capacity)
    grown.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = grown
  }
}
