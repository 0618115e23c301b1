/** Chance comes in from outside, so that a simulated run can be repeated from one number. */
import { randomBytes } from 'node:crypto'

export interface Random {
  /** `count` random bytes. */
  bytes(count: number): Uint8Array
  /** A number in [0, 1). */
  unit(): number
}

export const systemRandom: Random = {
  bytes: (count) => randomBytes(count),
  unit: () => Math.random(),
}

/** A random (version 4) UUID in its canonical 36 characters (RFC 9562). */
export function uuid(random: Random): string {
  const bytes = Buffer.from(random.bytes(16))
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80
  const hex = bytes.toString('hex')
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join('-')
}

/** A random identifier of `byteCount` bytes in unpadded base64url. */
export function randomId(random: Random, byteCount: number): string {
  return Buffer.from(random.bytes(byteCount)).toString('base64url')
}
