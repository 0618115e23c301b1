/** Zigzag variable-length integers as Kafka writes them: 7 bits a byte, least significant group first. */

/** Bytes that `value` takes. Any safe integer. */
export function varintBytes(value: number): number {
  let rest = value < 0 ? -2 * value - 1 : 2 * value
  let count = 1
  while (rest >= 0x80) {
    rest = Math.floor(rest / 0x80)
    count++
  }
  return count
}

/** Writes `value` at `at` and returns the position behind it. Twice the value must be a safe integer. */
export function writeVarint(bytes: Uint8Array, at: number, value: number): number {
  let rest = value < 0 ? -2 * value - 1 : 2 * value
  // Bit operators are exact up to 2^31 only; larger numbers (timestamps) divide instead.
  while (rest > 0x7fff_ffff) {
    bytes[at++] = (rest % 0x80) | 0x80
    rest = Math.floor(rest / 0x80)
  }
  while (rest >= 0x80) {
    bytes[at++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  bytes[at++] = rest
  return at
}

/** A place in a byte array that moves as numbers are read. */
export class VarintReader {
  readonly bytes: Uint8Array
  at: number

  constructor(bytes: Uint8Array, at = 0) {
    this.bytes = bytes
    this.at = at
  }

  /** Throws RangeError when the number runs past the end or is not a safe integer. */
  next(): number {
    const bytes = this.bytes
    let at = this.at
    let raw = 0
    let scale = 1
    for (;;) {
      if (at >= bytes.length) throw new RangeError(`Number at byte ${this.at} is cut off.`)
      const byte = bytes[at++]!
      raw += (byte & 0x7f) * scale
      if (byte < 0x80) break
      scale *= 0x80
      if (scale > 0x8000_0000_0000_0000) {
        throw new RangeError(`Number at byte ${this.at} is too long.`)
      }
    }
    this.at = at
    const value = raw % 2 === 0 ? raw / 2 : -(raw + 1) / 2
    if (!Number.isSafeInteger(value)) throw new RangeError(`Number before byte ${at} is not exact.`)
    return value
  }
}
