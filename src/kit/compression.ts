/** Content codings and batch codecs, with a ceiling on what comes out. */
import { gunzipSync, zstdDecompressSync } from 'node:zlib'

/** Inflates a gzip member. Throws when it is damaged or would exceed `bytesMax`. */
export function gunzip(bytes: Uint8Array, bytesMax: number): Uint8Array {
  return gunzipSync(bytes, { maxOutputLength: bytesMax })
}

/** Decodes a zstd frame. Throws when it is damaged or would exceed `bytesMax`. */
export function unzstd(bytes: Uint8Array, bytesMax: number): Uint8Array {
  return zstdDecompressSync(bytes, { maxOutputLength: bytesMax })
}
