/**
 * A strict JSON reader over bytes that builds nothing: it checks the grammar (RFC 8259, exactly what
 * JSON.parse accepts) and UTF-8, and says where things begin and end, so that values can be stored
 * and delivered as the bytes they came in. It does not recurse: open containers are a byte stack.
 *
 * A broken UTF-8 sequence inside a string does not stop it, because the end of the value can still be
 * found: it is noted on the value (`utf8At`), so that a batch loses one record and not all.
 */

/** A byte range that holds one JSON value, without white space around it. */
export interface JsonSlice {
  readonly start: number
  readonly end: number
  readonly kind: JsonKind
  /**
   * Every decoder takes it: few enough levels, numbers inside the range of a double, no lone
   * surrogate escape, whole UTF-8.
   */
  readonly portable: boolean
  /** Where the first broken UTF-8 sequence stands; -1 when there is none. */
  readonly utf8At: number
}

export type JsonKind = 'object' | 'array' | 'string' | 'number' | 'true' | 'false' | 'null'

export interface JsonLimits {
  /** Values with more levels are refused. At most 1,024. */
  readonly depthMax: number
  /** Values with more levels are not portable. */
  readonly depthPortable: number
}

/** Why bytes are not JSON. `at` is the byte where reading stopped, counted from the array's begin. */
export interface JsonFault {
  /** `end`: cut off. `depth`: more levels than allowed. `count`: more values than allowed. */
  readonly fault: 'syntax' | 'end' | 'depth' | 'utf8' | 'count'
  readonly at: number
}

export const objectOpen = 0x7b
export const objectClose = 0x7d
export const arrayOpen = 0x5b
export const arrayClose = 0x5d
export const quote = 0x22
export const backslash = 0x5c
const comma = 0x2c
const colon = 0x3a
const minus = 0x2d
const plus = 0x2b
const point = 0x2e
const zero = 0x30
const nine = 0x39

/** Open containers are kept in one stack for all scanners: a scan never yields to another. */
const stack = new Uint8Array(1025)

/** 0 for the bytes that stand for themselves in a string: printable ASCII but `"` and `\`. */
const inString = new Uint8Array(256).fill(1, 0, 0x20).fill(1, 0x80)
inString[quote] = 1
inString[backslash] = 1

/** What the byte behind a backslash is: 1 for one letter, 2 for `u`, 0 for a mistake. */
const escapeKind = new Uint8Array(256)
for (const letter of '"\\/bfnrt') escapeKind[letter.charCodeAt(0)] = 1
escapeKind['u'.charCodeAt(0)] = 2

/** The value of a hexadecimal digit, 16 for any other byte. */
const hexValue = new Uint8Array(256).fill(16)
for (let digit = 0; digit < 16; digit++) {
  hexValue[digit.toString(16).charCodeAt(0)] = digit
  hexValue[digit.toString(16).toUpperCase().charCodeAt(0)] = digit
}

/** Numbers shorter than this cannot leave the range of a double without an exponent. */
const plainDigitsMax = 300

/**
 * Walks over JSON text. `value()` checks the next value whole; `open`, `more` and `name` step into
 * containers instead. All of them skip white space first and answer false once something is wrong;
 * `fault` then says what, and the scanner is of no further use.
 */
export class JsonScanner {
  readonly bytes: Uint8Array
  readonly end: number
  /** The next byte to read. */
  at: number
  fault: JsonFault | undefined
  /** About the last value or name: its first byte (it ends at `at`). */
  start = 0
  kind: JsonKind = 'null'
  portable = true
  utf8At = -1
  /** The last member name, between its quotes. */
  nameStart = 0
  nameEnd = 0

  readonly #limits: JsonLimits
  #fresh = false

  constructor(bytes: Uint8Array, limits: JsonLimits, start = 0, end = bytes.length) {
    this.bytes = bytes
    this.#limits = limits
    this.at = start
    this.end = end
  }

  /** The last value as a slice. */
  slice(): JsonSlice {
    const { start, at: end, kind, portable, utf8At } = this
    return { start, end, kind, portable, utf8At }
  }

  /** Skips white space and tells whether anything is left. */
  rest(): boolean {
    const { bytes, end } = this
    let at = this.at
    while (at < end && isSpace(bytes[at]!)) at++
    this.at = at
    return at < end
  }

  /** The byte that comes next behind white space, or -1. */
  peek(): number {
    return this.rest() ? this.bytes[this.at]! : -1
  }

  /** Steps into the container that begins with `bracket` (`{` or `[`). */
  open(bracket: number): boolean {
    if (this.peek() !== bracket) return this.#stop(this.at)
    this.at++
    this.#fresh = true
    return true
  }

  /** Whether another item follows in the container that `bracket` closes; steps out of it if not. */
  more(bracket: number): boolean {
    const byte = this.peek()
    const fresh = this.#fresh
    this.#fresh = false
    if (byte === bracket) {
      this.at++
      return false
    }
    if (fresh) return byte !== -1 || this.#stop(this.at)
    if (byte !== comma) return this.#stop(this.at)
    this.at++
    return true
  }

  /** Reads a member's name and the colon behind it. */
  name(): boolean {
    if (this.peek() !== quote) return this.#stop(this.at)
    this.portable = true
    this.utf8At = -1
    const start = this.at + 1
    const end = this.#string(start)
    if (end < 0) return false
    this.nameStart = start
    this.nameEnd = end - 1
    this.at = end
    if (this.peek() !== colon) return this.#stop(this.at)
    this.at++
    return true
  }

  /** Checks one value whole, whatever it holds. */
  value(): boolean {
    const { bytes, end } = this
    const { depthMax, depthPortable } = this.#limits
    this.portable = true
    this.utf8At = -1
    let at = this.at
    while (at < end && isSpace(bytes[at]!)) at++
    this.start = at
    if (at >= end) return this.#stop(at)
    this.kind = kindOf(bytes[at]!)
    let depth = 0
    let byte: number
    for (;;) {
      // A value begins at `at`.
      byte = at < end ? bytes[at]! : -1
      if (byte === quote) {
        if ((at = this.#string(at + 1)) < 0) return false
      } else if (byte === objectOpen || byte === arrayOpen) {
        if (++depth > depthPortable) {
          this.portable = false
          if (depth > depthMax) return this.#stop(at, 'depth')
        }
        stack[depth] = byte
        at++
        while (at < end && isSpace(bytes[at]!)) at++
        const first = at < end ? bytes[at]! : -1
        if (first === byte + 2) {
          depth--
          at++
        } else {
          if (byte === objectOpen && (at = this.#name(at)) < 0) return false
          continue
        }
      } else if (byte === minus || (byte >= zero && byte <= nine)) {
        if ((at = this.#number(at)) < 0) return false
      } else if ((at = this.#word(at, byte)) < 0) {
        return false
      }
      // A value has ended before `at`: close what closes here, then go to the next one.
      for (;;) {
        if (depth === 0) {
          this.at = at
          return true
        }
        while (at < end && isSpace(bytes[at]!)) at++
        byte = at < end ? bytes[at]! : -1
        if (byte === comma) break
        if (byte !== stack[depth]! + 2) return this.#stop(at)
        depth--
        at++
      }
      at++
      while (at < end && isSpace(bytes[at]!)) at++
      if (stack[depth] === objectOpen && (at = this.#name(at)) < 0) return false
    }
  }

  /** A name, its colon and the white space behind it: where the member's value begins, or -1. */
  #name(from: number): number {
    const { bytes, end } = this
    if (from >= end || bytes[from] !== quote) return this.#lost(from)
    let at = this.#string(from + 1)
    if (at < 0) return -1
    while (at < end && isSpace(bytes[at]!)) at++
    if (at >= end || bytes[at] !== colon) return this.#lost(at)
    at++
    while (at < end && isSpace(bytes[at]!)) at++
    return at
  }

  /** The place behind the string whose first character is at `from`, or -1. */
  #string(from: number): number {
    const { bytes, end } = this
    let at = from
    for (;;) {
      // Four at a time: half as much again in bytes per second, measured with real events.
      while (
        at + 3 < end &&
        (inString[bytes[at]!]! |
          inString[bytes[at + 1]!]! |
          inString[bytes[at + 2]!]! |
          inString[bytes[at + 3]!]!) ===
          0
      ) {
        at += 4
      }
      while (at < end && inString[bytes[at]!] === 0) at++
      if (at >= end) return this.#lost(at)
      const byte = bytes[at]!
      if (byte === quote) return at + 1
      if (byte === backslash) {
        if ((at = this.#escape(at + 1)) < 0) return -1
      } else if (byte >= 0x80) {
        const count = sequenceBytes(bytes, at, end)
        if (count === 0) this.#broken(at)
        at += count === 0 ? 1 : count
      } else {
        return this.#lost(at)
      }
    }
  }

  /** The place behind the escape whose letter is at `at`, or -1. */
  #escape(at: number): number {
    if (at >= this.end) return this.#lost(at)
    const kind = escapeKind[this.bytes[at]!]!
    if (kind === 1) return at + 1
    if (kind === 0) return this.#lost(at)
    const unit = this.#hex(at + 1)
    if (unit < 0) return this.#lost(at)
    at += 5
    if (unit < 0xd800 || unit > 0xdfff) return at
    // A high surrogate is whole with a low one right behind it; everything else is a lone one.
    if (unit < 0xdc00 && at + 6 <= this.end && this.bytes[at] === backslash) {
      if (this.bytes[at + 1] === 0x75) {
        const low = this.#hex(at + 2)
        if (low >= 0xdc00 && low <= 0xdfff) return at + 6
      }
    }
    this.portable = false
    return at
  }

  /** Four hexadecimal digits as a number, or -1. */
  #hex(at: number): number {
    const { bytes } = this
    if (at + 4 > this.end) return -1
    const a = hexValue[bytes[at]!]!
    const b = hexValue[bytes[at + 1]!]!
    const c = hexValue[bytes[at + 2]!]!
    const d = hexValue[bytes[at + 3]!]!
    return (a | b | c | d) > 15 ? -1 : (a << 12) | (b << 8) | (c << 4) | d
  }

  /** The place behind the number that begins at `from`, or -1. */
  #number(from: number): number {
    const { bytes, end } = this
    let at = from
    if (bytes[at] === minus) at++
    let digit = at < end ? bytes[at]! : -1
    if (digit === zero) {
      at++
    } else {
      if (digit < zero || digit > nine) return this.#lost(at)
      do at++
      while (at < end && (digit = bytes[at]!) >= zero && digit <= nine)
    }
    if (at < end && bytes[at] === point) {
      const first = ++at
      while (at < end && (digit = bytes[at]!) >= zero && digit <= nine) at++
      if (at === first) return this.#lost(at)
    }
    let wide = at - from > plainDigitsMax
    if (at < end && (bytes[at]! | 0x20) === 0x65) {
      at++
      if (at < end && (bytes[at] === plus || bytes[at] === minus)) at++
      const first = at
      while (at < end && (digit = bytes[at]!) >= zero && digit <= nine) at++
      if (at === first) return this.#lost(at)
      wide = true
    }
    if (wide && !Number.isFinite(Number(latin1(bytes, from, at)))) this.portable = false
    return at
  }

  /** The place behind `true`, `false` or `null`, or -1. */
  #word(at: number, byte: number): number {
    const word = byte === 0x74 ? 'true' : byte === 0x66 ? 'false' : byte === 0x6e ? 'null' : ''
    if (word === '') return this.#lost(at)
    for (let i = 1; i < word.length; i++) {
      if (at + i >= this.end || this.bytes[at + i] !== word.charCodeAt(i)) return this.#lost(at + i)
    }
    return at + word.length
  }

  #broken(at: number): void {
    if (this.utf8At < 0) this.utf8At = at
    this.portable = false
  }

  #lost(at: number): -1 {
    this.#stop(at)
    return -1
  }

  #stop(at: number, fault: JsonFault['fault'] = at >= this.end ? 'end' : 'syntax'): false {
    this.fault ??= { fault, at }
    return false
  }
}

function kindOf(byte: number): JsonKind {
  switch (byte) {
    case objectOpen:
      return 'object'
    case arrayOpen:
      return 'array'
    case quote:
      return 'string'
    case 0x74:
      return 'true'
    case 0x66:
      return 'false'
    case 0x6e:
      return 'null'
    default:
      return 'number'
  }
}

/** White space between tokens (RFC 8259 §2). */
export function isSpace(byte: number): boolean {
  return byte <= 0x20 && (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09)
}

/**
 * How many bytes the UTF-8 sequence at `at` has; 0 when it is broken: overlong, a surrogate, above
 * U+10FFFF, cut off, or a stray continuation byte (RFC 3629 §4).
 */
function sequenceBytes(bytes: Uint8Array, at: number, end: number): number {
  const lead = bytes[at]!
  if (lead < 0xc2 || at + 1 >= end) return 0
  const second = bytes[at + 1]!
  if ((second & 0xc0) !== 0x80) return 0
  if (lead < 0xe0) return 2
  if (at + 2 >= end || (bytes[at + 2]! & 0xc0) !== 0x80) return 0
  if (lead < 0xf0) {
    if (lead === 0xe0 && second < 0xa0) return 0
    return lead === 0xed && second > 0x9f ? 0 : 3
  }
  if (lead > 0xf4 || at + 3 >= end || (bytes[at + 3]! & 0xc0) !== 0x80) return 0
  if (lead === 0xf0 && second < 0x90) return 0
  return lead === 0xf4 && second > 0x8f ? 0 : 4
}

function latin1(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1')
}
