/** Content codings of request bodies (RFC 9110 §8.4.1), inflated with a ceiling on what comes out. */
import { promisify } from 'node:util'
import { brotliDecompress, gunzip, inflate, inflateRaw, zstdDecompress } from 'node:zlib'
import type { InputType } from 'node:zlib'
import { GatewayError } from '../model/errors.ts'

type Inflate = (bytes: InputType, limits: { maxOutputLength: number }) => Promise<Buffer>

const unzip = {
  gzip: promisify(gunzip) as Inflate,
  zlib: promisify(inflate) as Inflate,
  rawDeflate: promisify(inflateRaw) as Inflate,
  brotli: promisify(brotliDecompress) as Inflate,
  zstd: promisify(zstdDecompress) as Inflate,
}

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
  if (inflaterOf(coding, noBytes) === undefined) {
    throw new GatewayError(
      'UNSUPPORTED_MEDIA_TYPE',
      `Content-Encoding '${coding.slice(0, 60)}' is not supported. Use one of: ${acceptedCodings}.`,
    )
  }
}

/** Throws BODY_TOO_LARGE above `bytesMax` inflated bytes, BAD_REQUEST for damaged ones. */
export async function inflateBody(
  coding: string,
  bytes: Buffer,
  bytesMax: number,
): Promise<Buffer> {
  const unpack = inflaterOf(coding, bytes)
  if (unpack === undefined) throw new Error(`Coding ${coding} was not checked.`)
  try {
    return await unpack(bytes, { maxOutputLength: bytesMax })
  } catch (cause) {
    if (isTooLarge(cause)) {
      throw new GatewayError(
        'BODY_TOO_LARGE',
        `The body takes more than ${bytesMax} bytes once it is inflated.`,
      )
    }
    throw new GatewayError('BAD_REQUEST', `The body is not whole ${coding} data.`, { cause })
  }
}

const noBytes = Buffer.alloc(0)

function inflaterOf(coding: string, bytes: Buffer): Inflate | undefined {
  switch (coding) {
    case 'gzip':
    case 'x-gzip':
      return unzip.gzip
    case 'deflate':
      return isZlib(bytes) ? unzip.zlib : unzip.rawDeflate
    case 'br':
      return unzip.brotli
    case 'zstd':
      return unzip.zstd
    default:
      return undefined
  }
}

/** `deflate` means zlib data (RFC 1950), but some clients have always sent raw deflate (RFC 1951). */
function isZlib(bytes: Buffer): boolean {
  if (bytes.length < 2) return true
  const [method, flags] = [bytes[0]!, bytes[1]!]
  return (method & 0x0f) === 8 && ((method << 8) | flags) % 31 === 0
}

function isTooLarge(cause: unknown): boolean {
  return (cause as { code?: unknown }).code === 'ERR_BUFFER_TOO_LARGE'
}
