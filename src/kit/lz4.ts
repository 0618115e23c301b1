/**
 * LZ4 frames, as Kafka stores them in RecordBatch v2 (a header checksum by the specification).
 *
 *   0 magic 04 22 4d 18    4 FLG    5 BD    [content size u64] [dictionary id u32]    header checksum
 *   blocks: size u32, its high bit = stored as it is · bytes · [checksum u32]    size 0 = the end
 *   [content checksum u32]
 *
 * All integers are little-endian. Source: the LZ4 Frame Format, version 1.6.
 */
import { optionalPackage } from './optional-package.ts'

export interface Lz4 {
  /** One frame with independent blocks and no checksums of content, which Kafka's reader takes. */
  compress(bytes: Uint8Array): Uint8Array
  /** Throws when the bytes are damaged or may exceed `bytesMax`, before room is taken for them. */
  inflate(bytes: Uint8Array, bytesMax: number): Uint8Array
}

interface Lz4Frames {
  compressFrameSync(bytes: Buffer): Uint8Array
  decompressFrameSync(bytes: Buffer): Uint8Array
}

const frameMagic = 0x184d_2204
const storedBit = 0x8000_0000
/** The format cannot do better: one byte of length stands for 255 bytes. */
const ratioMax = 255

/** Undefined where the package is missing. */
export function loadLz4(): Lz4 | undefined {
  const frames = optionalPackage<Lz4Frames>('lz4-napi')
  if (frames === undefined) return undefined
  return {
    compress: (bytes) => frames.compressFrameSync(bufferOf(bytes)),
    inflate(bytes, bytesMax) {
      const size = inflatedBytesAtMost(bytes)
      if (size > bytesMax) {
        throw new RangeError(`It may inflate to ${size} bytes; the limit is ${bytesMax}.`)
      }
      return frames.decompressFrameSync(bufferOf(bytes))
    },
  }
}

/**
 * An upper bound from the sizes of the blocks, exact but for the last one as writers make them. Throws
 * when the bytes are not exactly one frame.
 */
function inflatedBytesAtMost(bytes: Uint8Array): number {
  const frame = bufferOf(bytes)
  // A short frame throws a RangeError where it ends.
  if (frame.readUint32LE(0) !== frameMagic) throw new RangeError('It is no frame of LZ4.')
  const flags = frame.readUint8(4)
  const hasBlockChecksums = (flags & 0x10) !== 0
  const hasContentSize = (flags & 0x08) !== 0
  const hasContentChecksum = (flags & 0x04) !== 0
  const hasDictionary = (flags & 0x01) !== 0
  const blockBytesMax = 2 ** (8 + 2 * ((frame.readUint8(5) >>> 4) & 0x07))
  let at = 7 + (hasContentSize ? 8 : 0) + (hasDictionary ? 4 : 0)
  let inflated = 0
  for (;;) {
    const word = frame.readUint32LE(at)
    at += 4
    if (word === 0) break
    const isStored = word >= storedBit
    const size = isStored ? word - storedBit : word
    inflated += Math.min(isStored ? size : size * ratioMax, blockBytesMax)
    at += size + (hasBlockChecksums ? 4 : 0)
  }
  if (hasContentChecksum) at += 4
  if (at !== frame.length) throw new RangeError('A frame of LZ4 does not end with its bytes.')
  return inflated
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}
