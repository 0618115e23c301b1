/** CRC-32C (Castagnoli), as RecordBatch v2 and the journal use it. */
import { optionalPackage } from './optional-package.ts'

type Crc32c = (bytes: Uint8Array, start: number) => number

/** Below this many bytes the call into native code costs more than it saves. */
const nativeFromBytes = 512

const tables = sliceTables()
const native = loadNative()

/**
 * CRC-32C of `bytes` as an unsigned 32-bit number. `start` is the CRC of what stands before them,
 * so that a checksum over several buffers needs no copy.
 */
export function crc32c(bytes: Uint8Array, start = 0): number {
  return native !== undefined && bytes.length >= nativeFromBytes
    ? native(bytes, start)
    : crc32cInScript(bytes, start)
}

/** Slicing by eight (Kounavis and Berry): eight table look-ups for eight bytes. Exported for its test. */
export function crc32cInScript(bytes: Uint8Array, start = 0): number {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = tables
  const length = bytes.length
  let crc = ~start
  let at = 0
  for (const whole = length - 7; at < whole; at += 8) {
    const low =
      crc ^ (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24))
    crc =
      t7[low & 0xff]! ^
      t6[(low >>> 8) & 0xff]! ^
      t5[(low >>> 16) & 0xff]! ^
      t4[low >>> 24]! ^
      t3[bytes[at + 4]!]! ^
      t2[bytes[at + 5]!]! ^
      t1[bytes[at + 6]!]! ^
      t0[bytes[at + 7]!]!
  }
  for (; at < length; at++) crc = t0[(crc ^ bytes[at]!) & 0xff]! ^ (crc >>> 8)
  return ~crc >>> 0
}

type Tables = [
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
]

function sliceTables(): Tables {
  const made = Array.from({ length: 8 }, () => new Int32Array(256)) as Tables
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
    made[0][byte] = crc
  }
  for (let byte = 0; byte < 256; byte++) {
    for (let slice = 1; slice < 8; slice++) {
      const before = made[slice - 1]![byte]!
      made[slice]![byte] = made[0][before & 0xff]! ^ (before >>> 8)
    }
  }
  return made
}

/** Where the native package has no prebuilt binary the script serves alone. */
function loadNative(): Crc32c | undefined {
  return optionalPackage<{ crc32c: Crc32c }>('@node-rs/crc32')?.crc32c
}
