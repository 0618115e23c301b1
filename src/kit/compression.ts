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

/**
 * Decodes zstd frames, one behind the other: who flushes as it goes writes many. Throws when they are
 * damaged, would exceed `bytesMax` or are more than `framesMax`.
 */
export function unzstd(bytes: Uint8Array, bytesMax: number, framesMax: number): Uint8Array {
  let { inflated, taken } = unzstdFrame(bytes, bytesMax)
  if (taken === bytes.length) return inflated
  const parts = [inflated]
  let size = inflated.length
  for (let from = taken; from < bytes.length; from += taken) {
    if (parts.length === framesMax) throw new RangeError(`More than ${framesMax} zstd frames.`)
    // zlib wants room for one byte at least.
    ;({ inflated, taken } = unzstdFrame(bytes.subarray(from), Math.max(1, bytesMax - size)))
    size += inflated.length
    if (size > bytesMax) throw new RangeError(`The zstd frames hold more than ${bytesMax} bytes.`)
    parts.push(inflated)
  }
  return Buffer.concat(parts, size)
}

/** `taken`: bytes of the frame, which Node's decoder tells only when it is asked for itself. */
function unzstdFrame(bytes: Uint8Array, bytesMax: number): { inflated: Buffer; taken: number } {
  const options = { maxOutputLength: bytesMax, info: true }
  const answer: unknown = zstdDecompressSync(bytes, options)
  const { buffer, engine } = answer as { buffer: Buffer; engine: { bytesWritten: number } }
  return { inflated: buffer, taken: engine.bytesWritten }
}
