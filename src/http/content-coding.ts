/** Content codings of request bodies (RFC 9110 §8.4.1), inflated with a ceiling on what comes out. */
import type { Transform } from 'node:stream'
import {
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createInflateRaw,
  createZstdDecompress,
} from 'node:zlib'
import { ByteSink } from '../kit/byte-sink.ts'
import { GatewayError } from '../model/errors.ts'

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
 * hold very many, so they are judged before they are kept. Throws BAD_REQUEST for damaged ones.
 */
export function inflateBody(
  coding: string,
  packed: Buffer,
  admit: (count: number) => void,
): Promise<Buffer> {
  const inflater = inflaterOf(coding, packed)
  const inflated = new ByteSink(packed.length)
  return new Promise((resolve, reject) => {
    inflater.on('data', (piece: Buffer) => {
      try {
        admit(piece.length)
        inflated.bytes(piece)
      } catch (error) {
        inflater.destroy(error as Error)
      }
    })
    inflater.on('end', () => resolve(inflated.take()))
    inflater.on('error', (cause) => {
      const damaged = `The body is not whole ${coding} data.`
      const isOurs = cause instanceof GatewayError
      reject(isOurs ? cause : new GatewayError('BAD_REQUEST', damaged, { cause }))
    })
    inflater.end(packed)
  })
}

const codings: ReadonlySet<string> = new Set(['gzip', 'x-gzip', 'deflate', 'br', 'zstd'])

function inflaterOf(coding: string, packed: Buffer): Transform {
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
