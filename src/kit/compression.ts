/** gzip and zstd as Node has them, with a ceiling on what comes out. */
import { constants, gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib'

/** One gzip member; the level is 1 to 9, or -1 for zlib's own choice. */
export function gzip(bytes: Uint8Array, level = -1): Uint8Array {
  return gzipSync(bytes, { level })
}

/** Inflates a gzip member. Throws when it is damaged or would exceed `bytesMax`. */
export function gunzip(bytes: Uint8Array, bytesMax: number): Uint8Array {
  return gunzipSync(bytes, { maxOutputLength: bytesMax })
}

/** One zstd frame. */
export function zstd(bytes: Uint8Array, level = constants.ZSTD_CLEVEL_DEFAULT): Uint8Array {
  return zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: level } })
}

/** Decodes a zstd frame. Throws when it is damaged or would exceed `bytesMax`. */
export function unzstd(bytes: Uint8Array, bytesMax: number): Uint8Array {
  return zstdDecompressSync(bytes, { maxOutputLength: bytesMax })
}
