/** The codecs of RecordBatch v2 that are there to use: two in Node, two in optional packages. */
import { gunzip, gzip, unzstd, zstd } from '../kit/compression.ts'
import { loadLz4 } from '../kit/lz4.ts'
import { loadSnappy } from '../kit/snappy.ts'
import { zstdFramesMax } from './limits.ts'
import type { Codec } from './record-batch.ts'
import { codecs } from './record-batch.ts'

export interface BatchCodec {
  /** `level` is the codec's own; undefined takes its default, and snappy and lz4 have none. */
  compress(bytes: Uint8Array, level: number | undefined): Uint8Array
  /** Throws when the bytes are damaged or would exceed `bytesMax`. */
  inflate(bytes: Uint8Array, bytesMax: number): Uint8Array
}

/** What a batch writer compresses with. */
export interface BatchCompression {
  readonly codec: Codec
  readonly level?: number
}

const asItIs = (bytes: Uint8Array): Uint8Array => bytes

/** Native packages are loaded by the first who asks, once. */
const loaded = new Map<Codec, BatchCodec | undefined>()

/** Undefined when the codec cannot be used here. */
export function batchCodec(codec: Codec): BatchCodec | undefined {
  if (!loaded.has(codec)) loaded.set(codec, load(codec))
  return loaded.get(codec)
}

/** Codecs whose records can be read and written here. */
export function usableCodecs(): Codec[] {
  return codecs.filter((codec) => batchCodec(codec) !== undefined)
}

function load(codec: Codec): BatchCodec | undefined {
  switch (codec) {
    case 'none':
      return { compress: asItIs, inflate: asItIs }
    case 'gzip':
      return { compress: gzip, inflate: gunzip }
    case 'zstd':
      return {
        compress: zstd,
        inflate: (bytes, bytesMax) => unzstd(bytes, bytesMax, zstdFramesMax),
      }
    case 'snappy':
      return loadSnappy()
    case 'lz4':
      return loadLz4()
  }
}
