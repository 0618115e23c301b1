/** Which media types the v2 contract takes and gives, in each dialect. */
import type { IncomingMessage } from 'node:http'
import { GatewayError } from '../../model/errors.ts'
import { acceptedTypes } from '../exchange/accept.ts'
import type { Dialect } from './dialects.ts'

export const v2ContentType = 'application/vnd.kafka.v2+json'

const embedded = /^application\/vnd\.kafka\.(\w+)\.v2\+json$/
/** Also those of the contract before, and those that name no version. */
const older =
  /^application\/vnd\.kafka(?:\.(binary|json|avro|jsonschema|protobuf))?(?:\.v[12])?\+json$/

const acceptable = new Set([
  '*/*',
  'application/*',
  'application/json',
  v2ContentType,
  'application/vnd.kafka.json.v2+json',
  'application/vnd.kafka.binary.v2+json',
  'application/vnd.kafka.avro.v2+json',
  'application/vnd.kafka.jsonschema.v2+json',
  'application/vnd.kafka.protobuf.v2+json',
])

/** The type of today that an older spelling means; others stay as they are. */
export function readType(type: string, { types }: Dialect): string {
  const match = types === 'old' ? older.exec(type) : null
  if (match === null) return type
  return match[1] === undefined ? v2ContentType : `application/vnd.kafka.${match[1]}.v2+json`
}

/** What a body of this type is read as. Control bodies are JSON under whatever type habit writes on them. */
export function readBodyType(sent: string, appends: boolean, dialect: Dialect): string {
  const type = readType(sent, dialect)
  if (!appends) return embedded.test(type) ? v2ContentType : type
  // Where a missing format is a guess that clients rely on, it is `binary`.
  const isFormatless = type === v2ContentType || type === 'application/json'
  return dialect.types === 'old' && isFormatless ? 'application/vnd.kafka.binary.v2+json' : type
}

/** Throws UNSUPPORTED_MEDIA_TYPE where a consumer call must say that it speaks v2, body or not. */
export function checkTypes({ method, url, headers }: IncomingMessage, { types }: Dialect): void {
  if (types !== 'strict' || (method !== 'POST' && method !== 'DELETE')) return
  if (url?.startsWith('/consumers/') !== true) return
  const type = headers['content-type']?.split(';')[0]?.trim().toLowerCase() ?? ''
  if (type === v2ContentType || embedded.test(type)) return
  throw new GatewayError('UNSUPPORTED_MEDIA_TYPE', `Content-Type must be ${v2ContentType} here.`)
}

export function checkAccept(accept: string | undefined, dialect: Dialect): void {
  if (accept === undefined || accept.trim() === '' || accept === '*/*') return
  for (const type of acceptedTypes(accept)) {
    if (dialect.types === 'strict' && type === 'application/json') continue
    if (acceptable.has(readType(type, dialect))) return
  }
  throw new GatewayError('NOT_ACCEPTABLE', 'Nothing that Accept wants is to be had here.')
}
