/** Content codings of request bodies (RFC 9110 §8.4.1), inflated with a ceiling on what comes out. */
import type { Transform } from 'node:stream'
import type { Zlib } from 'node:zlib'
import {
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createInflateRaw,
  createZstdDecompress,
} from 'node:zlib'
import { ByteSink } from '../kit/byte-sink.ts'
import { GatewayError } from '../model/errors.ts'
import { zstdFramesMax } from '../model/limits.ts'

/** What we take, as it stands in `Accept-Encoding` of a 415. */
export const acceptedCodings = 'gzip, deflate, br, zstd'

/** The header's one coding in lower case; undefined when the body is as it is. */
export function codingOf(header: string | undefined): string | undefined {
  if (header === undefined) return undefined
  const coding = header.trim().toLowerCase()
  return coding === '' || coding === 'identity' ? undefined : coding
}

/** Throws UNSUPPORTED_MEDIA_TYPE for a coding, or a list of codings, that is not taken. */
export function checkCoding(coding: string): void {
  if (!codings.has(coding)) {
    throw new GatewayError(
      'UNSUPPORTED_MEDIA_TYPE',
      `Content-Encoding '${coding.slice(0, 60)}' is not supported. Use one of: ${acceptedCodings}.`,
    )
  }
}

/**
 * `admit` is told of every piece as it comes out, and what it throws ends the work: a few bytes may
 * hold very many, so they are judged before they are kept. Throws BAD_REQUEST for damaged ones, and
 * for bytes behind the end: who takes the body for whole must have seen all of it.
 */
export async function inflateBody(
  coding: string,
  packed: Buffer,
  admit: (count: number) => void,
): Promise<Buffer> {
  const inflated = new ByteSink(packed.length)
  let taken = await inflatePart(coding, packed, inflated, admit)
  // Frames of zstd may stand one behind the other (RFC 8878 §3); of gzip, Node reads on by itself.
  for (let frames = 1; coding === 'zstd' && taken < packed.length; frames++) {
    if (frames === zstdFramesMax) throw damaged(coding)
    taken += await inflatePart(coding, packed.subarray(taken), inflated, admit)
  }
  if (taken < packed.length && !endsItself(coding)) throw damaged(coding)
  return inflated.take()
}

/** How many bytes of `packed` the first part takes, which is all but for what stands behind an end. */
function inflatePart(
  coding: string,
  packed: Buffer,
  inflated: ByteSink,
  admit: (count: number) => void,
): Promise<number> {
  const inflater = inflaterOf(coding, packed)
  return new Promise((resolve, reject) => {
    inflater.on('data', (piece: Buffer) => {
      try {
        admit(piece.length)
        inflated.bytes(piece)
      } catch (error) {
        inflater.destroy(error as Error)
      }
    })
    inflater.on('end', () => resolve(inflater.bytesWritten))
    inflater.on('error', (cause) => {
      reject(cause instanceof GatewayError ? cause : damaged(coding, cause))
    })
    inflater.end(packed)
  })
}

/** Node refuses what stands behind gzip data, but for the zeros with which some writers pad it. */
function endsItself(coding: string): boolean {
  return coding === 'gzip' || coding === 'x-gzip'
}

function damaged(coding: string, cause?: unknown): GatewayError {
  const message = `The body is not whole ${coding} data.`
  return new GatewayError('BAD_REQUEST', message, cause === undefined ? {} : { cause })
}

const codings: ReadonlySet<string> = new Set(['gzip', 'x-gzip', 'deflate', 'br', 'zstd'])

function inflaterOf(coding: string, packed: Buffer): Transform & Zlib {
  switch (coding) {
    case 'gzip':
    case 'x-gzip':
      return createGunzip()
    case 'deflate':
      return isZlib(packed) ? createInflate() : createInflateRaw()
    case 'br':
      return createBrotliDecompress()
    case 'zstd':
      return createZstdDecompress()
    default:
      throw new Error(`Coding ${coding} was not checked.`)
  }
}

/** `deflate` means zlib data (RFC 1950), but some clients have always sent raw deflate (RFC 1951). */
function isZlib(bytes: Buffer): boolean {
  if (bytes.length < 2) return true
  const [method, flags] = [bytes[0]!, bytes[1]!]
  return (method & 0x0f) === 8 && ((method << 8) | flags) % 31 === 0
}
