/** Offsets are JS numbers (docs/adr/0003): 64 bits exist only inside bytes. */

export type Offset = number

/** Reads a big-endian int64 as a number and asserts that it is exact (at most 2^53-1 either way). */
export function readInt64(bytes: Uint8Array, at: number): number {
  const value = readInt32(bytes, at) * 0x1_0000_0000 + readUint32(bytes, at + 4)
  if (!Number.isSafeInteger(value))
    throw new RangeError(`64-bit number at byte ${at} is not exact.`)
  return value
}

/** Writes a safe integer as a big-endian int64. */
export function writeInt64(bytes: Uint8Array, at: number, value: number): void {
  const high = Math.floor(value / 0x1_0000_0000)
  writeInt32(bytes, at, high)
  writeInt32(bytes, at + 4, value - high * 0x1_0000_0000)
}

export function readInt32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] ?? 0) << 24) |
    ((bytes[at + 1] ?? 0) << 16) |
    ((bytes[at + 2] ?? 0) << 8) |
    (bytes[at + 3] ?? 0)
  )
}

export function readUint32(bytes: Uint8Array, at: number): number {
  return readInt32(bytes, at) >>> 0
}

/** Takes any integer; the low 32 bits are written. */
export function writeInt32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}

export function readInt16(bytes: Uint8Array, at: number): number {
  return (((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16)) >> 16
}

export function writeInt16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8
  bytes[at + 1] = value
}
