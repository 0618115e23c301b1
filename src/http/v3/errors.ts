/** The v3 contract's answer to every error code. A code without a row here does not compile. */
import type { ErrorCode } from '../../model/errors.ts'
import { GatewayError } from '../../model/errors.ts'
import { acceptedTypes } from '../exchange/accept.ts'
import { sendWhole } from '../exchange/answer.ts'
import type { Charset, ErrorContext, Refusal, Surface } from '../exchange/surface.ts'
import { retryAfterSeconds } from '../exchange/surface.ts'

export const v3ContentType = 'application/json'

/** What the contract writes before the words about a payload that breaks its constraints. */
export const payloadError = 'Error: 42206 : Payload error. '

/**
 * HTTP status, `error_code`, and the contract's own message, which replaces ours. What cannot arise
 * here repeats INTERNAL, so that a surprise is loud.
 */
export const v3Errors = {
  BAD_REQUEST: [400, 400],
  INVALID_REQUEST: [422, 422],
  INVALID_FILTER: [500, 500],
  INVALID_RECORD: [422, 422],
  RECORD_TOO_LARGE: [413, 413],
  BODY_TOO_LARGE: [413, 413],
  UNSUPPORTED_MEDIA_TYPE: [415, 415, 'HTTP 415 Unsupported Media Type'],
  NOT_ACCEPTABLE: [406, 406, 'HTTP 406 Not Acceptable'],
  NOT_FOUND: [404, 404],
  UNSUPPORTED: [400, 40002],
  INVALID_CONFIG: [400, 40002],
  FORMAT_MISMATCH: [500, 500],
  UNAUTHENTICATED: [401, 40101],
  TOKEN_EXPIRED: [401, 40101],
  FORBIDDEN: [403, 40301],
  UNKNOWN_TOPIC: [404, 40403, 'This server does not host this topic-partition.'],
  UNKNOWN_PARTITION: [404, 40402, 'Partition not found.'],
  UNKNOWN_GROUP: [404, 404],
  UNKNOWN_MEMBER: [404, 404],
  UNKNOWN_SESSION: [500, 500],
  UNKNOWN_SUBSCRIPTION: [500, 500],
  OFFSET_OUT_OF_RANGE: [500, 500],
  EPOCH_MISMATCH: [500, 500],
  TOPIC_EXISTS: [400, 40002],
  PRECONDITION: [500, 500],
  IDEMPOTENCY_MISMATCH: [422, 422],
  GROUP_NOT_EMPTY: [400, 40002],
  GROUP_FULL: [400, 40002],
  INSTANCE_IN_USE: [400, 40002],
  INSTANCE_FENCED: [400, 40002],
  FENCED_MEMBER_EPOCH: [400, 40002],
  STALE_MEMBER_EPOCH: [400, 40002],
  NOT_ASSIGNED: [400, 40002],
  SESSION_EXISTS: [500, 500],
  ILLEGAL_STATE: [400, 40002],
  ALREADY_SUBSCRIBED: [500, 500],
  TOO_MANY_SUBSCRIPTIONS: [500, 500],
  RATE_LIMITED: [
    429,
    429,
    'Request rate limit exceeded: The rate limit of requests per second has been exceeded.',
  ],
  OVERLOADED: [503, 50301],
  UNAVAILABLE: [503, 50302],
  DISK_FULL: [503, 50302],
  TIMEOUT: [503, 50003],
  IO_ERROR: [503, 50003],
  INTERNAL: [500, 500],
  CORRUPT_BATCH: [500, 500],
  LOCKED: [500, 500],
} as const satisfies Record<
  ErrorCode,
  readonly [status: number, errorCode: number, message?: string]
>

/**
 * `error_code` of a record inside an answer, where it is not that of a refusal as a whole. What is
 * unsupported about a record is its schema, which the contract counts among payload errors.
 */
const itemCodes: Partial<Record<ErrorCode, number>> = {
  INVALID_REQUEST: 400,
  INVALID_RECORD: 400,
  UNSUPPORTED: 422,
}

/** A record's error as it stands in an answer. */
export function v3ItemOf(error: GatewayError, about: ErrorContext): ErrorBody {
  const { body } = v3ErrorOf(error, about)
  return { error_code: itemCodes[error.code] ?? body.error_code, message: body.message }
}

export interface ErrorBody {
  readonly error_code: number
  readonly message: string
}

/** Status and body of an error as v3 clients expect them. */
export function v3ErrorOf(
  { code, message }: GatewayError,
  { requestId }: ErrorContext,
): { status: number; body: ErrorBody } {
  const [status, errorCode, own]: readonly [number, number, string?] = v3Errors[code]
  const shown =
    code === 'INTERNAL' ? `An unexpected error; the log has it as ${requestId}.` : (own ?? message)
  return { status, body: { error_code: errorCode, message: shown } }
}

/** What the document refuses, in the words that clients of the original look for. */
function refuse({ kind, name, message }: Refusal): GatewayError {
  switch (kind) {
    case 'unreadable-body':
      return new GatewayError('BAD_REQUEST', message)
    case 'unknown-member':
      return new GatewayError('INVALID_REQUEST', `Unrecognized field: ${name}`)
    case 'missing-body':
      return new GatewayError(
        'INVALID_REQUEST',
        `${payloadError}Request body is empty. Data is required.`,
      )
    case 'invalid-body':
    case 'invalid-parameter':
    case 'unknown-parameter':
      return new GatewayError('INVALID_REQUEST', `${payloadError}${message}`)
  }
}

const acceptable = new Set(['*/*', 'application/*', v3ContentType])

function checkAccept(accept: string | undefined): void {
  if (accept === undefined || accept.trim() === '' || accept === '*/*') return
  if (acceptedTypes(accept).some((type) => acceptable.has(type))) return
  throw new GatewayError('NOT_ACCEPTABLE', 'Nothing that Accept wants is to be had here.')
}

/** The contract knows two; without one it is UTF-8. */
export function charsetOf(contentType = ''): Charset {
  const named = /;\s*charset\s*=\s*"?([^";\s]*)/i.exec(contentType)?.[1]?.toLowerCase()
  if (named === undefined || named === 'utf-8' || named === 'utf8') return 'utf8'
  if (named === 'iso-8859-1') return 'latin1'
  throw new GatewayError('BAD_REQUEST', 'The charset of a body can be UTF-8 or ISO-8859-1 alone.')
}

export const v3Surface: Surface = {
  name: 'v3',
  contentType: v3ContentType,
  unknownParameters: 'ignore',
  refuse,
  charsetOf,
  checkAccept,
  sendError(response, headers, error, about) {
    const { status, body } = v3ErrorOf(error, about)
    if (error.retryAfterMs !== undefined && (status === 503 || status === 429)) {
      headers['retry-after'] = retryAfterSeconds(error.retryAfterMs)
    }
    if (status === 401) headers['www-authenticate'] = 'Bearer realm="ebbgate"'
    sendWhole(response, status, headers, v3ContentType, JSON.stringify(body))
  },
  sendMethodError(response, headers) {
    const body = { error_code: 405, message: 'HTTP 405 Method Not Allowed' }
    sendWhole(response, 405, headers, v3ContentType, JSON.stringify(body))
  },
}
