/**
 * Snappy as Kafka's Java clients write it: xerial block framing. Read also raw, as other clients do.
 *
 *   0 magic 82 "SNAPPY" 00    8 version i32 = 1    12 oldest version that can read it i32 = 1
 *  16 blocks: length i32 · raw snappy block, which begins with its inflated size as a varint
 *
 * All integers of the framing are big-endian. Source: snappy-java's SnappyOutputStream.
 */
import { optionalPackage } from './optional-package.ts'

export interface Snappy {
  /** In blocks of 32 KiB, as Java clients do. */
  compress(bytes: Uint8Array): Uint8Array
  /** Throws when the bytes are damaged or would exceed `bytesMax`, before room is taken for them. */
  inflate(bytes: Uint8Array, bytesMax: number): Uint8Array
}

interface RawSnappy {
  compressSync(bytes: Uint8Array): Uint8Array
  uncompressSync(bytes: Uint8Array, options: { readonly asBuffer: true }): Uint8Array
}

const magic = [0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00] as const
const headBytes = 16
const blockBytes = 32 * 1024

/** Undefined where the package is missing. */
export function loadSnappy(): Snappy | undefined {
  const raw = optionalPackage<RawSnappy>('snappy')
  if (raw === undefined) return undefined
  return {
    compress: (bytes) => compressFramed(raw, bytes),
    inflate(bytes, bytesMax) {
      const blocks = isFramed(bytes) ? blocksOf(bytes) : [bytes]
      let size = 0
      for (const block of blocks) size += inflatedBytesOf(block)
      if (size > bytesMax) {
        throw new RangeError(`It would inflate to ${size} bytes; the limit is ${bytesMax}.`)
      }
      const parts = blocks.map((block) => raw.uncompressSync(block, { asBuffer: true }))
      return parts.length === 1 ? parts[0]! : Buffer.concat(parts)
    },
  }
}

function compressFramed(raw: RawSnappy, bytes: Uint8Array): Uint8Array {
  const head = Buffer.alloc(headBytes)
  head.set(magic)
  head.writeInt32BE(1, 8)
  head.writeInt32BE(1, 12)
  const parts: Uint8Array[] = [head]
  for (let at = 0; at < bytes.length; at += blockBytes) {
    const block = raw.compressSync(bytes.subarray(at, at + blockBytes))
    const length = Buffer.alloc(4)
    length.writeInt32BE(block.length)
    parts.push(length, block)
  }
  return Buffer.concat(parts)
}

/** No raw block begins like this: behind its size it would copy what nothing has written yet. */
function isFramed(bytes: Uint8Array): boolean {
  return bytes.length >= headBytes && magic.every((byte, at) => bytes[at] === byte)
}

function blocksOf(bytes: Uint8Array): Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const blocks: Uint8Array[] = []
  for (let at = headBytes; at < bytes.length;) {
    if (at + 4 > bytes.length) throw new RangeError('A block of snappy has no length.')
    const length = view.getInt32(at)
    const end = at + 4 + length
    if (length <= 0 || end > bytes.length) throw new RangeError('A block of snappy is cut off.')
    blocks.push(bytes.subarray(at + 4, end))
    at = end
  }
  return blocks
}

/** What a raw block says it inflates to: an unsigned varint of at most five bytes. */
function inflatedBytesOf(block: Uint8Array): number {
  let size = 0
  for (let at = 0; at < 5; at++) {
    const byte = block[at]
    if (byte === undefined) break
    size += (byte & 0x7f) * 2 ** (7 * at)
    if (byte < 0x80) return size
  }
  throw new RangeError('A block of snappy does not say how large it is.')
}
