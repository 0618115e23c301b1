/** The v2 contract's answer to every error code. A code without a row here does not compile. */
import type { ErrorCode } from '../../model/errors.ts'
import { GatewayError } from '../../model/errors.ts'
import { sendWhole } from '../exchange/answer.ts'
import type { ErrorContext, Refusal, Surface } from '../exchange/surface.ts'
import { retryAfterSeconds } from '../exchange/surface.ts'
import type { Dialect } from './dialects.ts'
import { checkAccept, checkTypes, readBodyType, v2ContentType } from './media-types.ts'

const kafka = 'Kafka error: '
const illegal = 'Illegal state: '
const later = 'Broker not available: '

/**
 * HTTP status, `error_code`, and the contract's own message: `=` replaces ours, else it stands
 * before ours. What cannot arise here repeats INTERNAL, so that a surprise is loud.
 */
export const v2Errors = {
  BAD_REQUEST: [400, 400],
  INVALID_REQUEST: [422, 422],
  INVALID_FILTER: [500, 500],
  INVALID_RECORD: [422, 422],
  RECORD_TOO_LARGE: [413, 413],
  BODY_TOO_LARGE: [413, 413],
  UNSUPPORTED_MEDIA_TYPE: [415, 415, '=HTTP 415 Unsupported Media Type'],
  NOT_ACCEPTABLE: [406, 406, '=HTTP 406 Not Acceptable'],
  NOT_FOUND: [404, 404, '=HTTP 404 Not Found'],
  UNSUPPORTED: [400, 40002],
  INVALID_CONFIG: [500, 500],
  FORMAT_MISMATCH: [408, 40801],
  UNAUTHENTICATED: [401, 40101],
  TOKEN_EXPIRED: [401, 40101],
  FORBIDDEN: [403, 40301],
  UNKNOWN_TOPIC: [404, 40403, '=This server does not host this topic-partition.'],
  UNKNOWN_PARTITION: [404, 40402, '=Partition not found.'],
  UNKNOWN_GROUP: [404, 40405, '=Consumer group id not found.'],
  UNKNOWN_MEMBER: [409, 40903, illegal],
  UNKNOWN_SESSION: [404, 40403, '=Consumer instance not found.'],
  UNKNOWN_SUBSCRIPTION: [500, 500],
  OFFSET_OUT_OF_RANGE: [500, 50002, kafka],
  EPOCH_MISMATCH: [500, 50002, kafka],
  TOPIC_EXISTS: [500, 500],
  PRECONDITION: [500, 500],
  IDEMPOTENCY_MISMATCH: [422, 422],
  GROUP_NOT_EMPTY: [409, 40903, illegal],
  GROUP_FULL: [409, 40903, illegal],
  INSTANCE_IN_USE: [409, 40903, illegal],
  INSTANCE_FENCED: [409, 40903, illegal],
  FENCED_MEMBER_EPOCH: [409, 40903, illegal],
  STALE_MEMBER_EPOCH: [409, 40903, illegal],
  NOT_ASSIGNED: [409, 40903, illegal],
  SESSION_EXISTS: [
    409,
    40902,
    '=Consumer with specified consumer ID already exists in the specified consumer group.',
  ],
  ILLEGAL_STATE: [409, 40903, illegal],
  ALREADY_SUBSCRIBED: [500, 500],
  TOO_MANY_SUBSCRIPTIONS: [500, 500],
  RATE_LIMITED: [
    429,
    429,
    '=Request rate limit exceeded: The rate limit of requests per second has been exceeded.',
  ],
  OVERLOADED: [503, 50301],
  UNAVAILABLE: [503, 50302, later],
  DISK_FULL: [503, 50302, later],
  TIMEOUT: [503, 50003, kafka],
  IO_ERROR: [503, 50003, kafka],
  INTERNAL: [500, 500],
  CORRUPT_BATCH: [500, 50002, kafka],
  LOCKED: [500, 500],
} as const satisfies Record<
  ErrorCode,
  readonly [status: number, errorCode: number, message?: string]
>

/** `error_code` of a record inside a produce answer; all others are 50002. */
const itemCodes: Partial<Record<ErrorCode, number>> = {
  UNAUTHENTICATED: 40101,
  TOKEN_EXPIRED: 40101,
  FORBIDDEN: 40301,
  RATE_LIMITED: 50003,
  OVERLOADED: 50003,
  UNAVAILABLE: 50003,
  DISK_FULL: 50003,
  TIMEOUT: 50003,
  IO_ERROR: 50003,
  INTERNAL: 50003,
}

export function v2ItemCode(code: ErrorCode): number {
  return itemCodes[code] ?? 50002
}

/**
 * An error to which the contract gives an `error_code` that its meaning alone does not tell: the same
 * code of ours has several of theirs.
 */
export class V2Error extends GatewayError {
  readonly errorCode: number
  readonly headers: Readonly<Record<string, string>>

  constructor(
    code: ErrorCode,
    errorCode: number,
    message: string,
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(code, message)
    this.errorCode = errorCode
    this.headers = headers
  }
}

/** Status and body of an error as v2 clients expect them. */
function v2ErrorOf(
  error: GatewayError,
  about: ErrorContext,
): { status: number; body: { error_code: number; message: string } } {
  const [status, errorCode, own]: readonly [number, number, string?] = v2Errors[error.code]
  if (error instanceof V2Error) {
    return { status, body: { error_code: error.errorCode, message: error.message } }
  }
  if (error.code === 'UNKNOWN_TOPIC' && about.appends) {
    return { status, body: { error_code: 40401, message: 'Topic not found.' } }
  }
  if (error.code === 'INTERNAL') {
    const message = `An unexpected error; the log has it as ${about.requestId}.`
    return { status, body: { error_code: errorCode, message } }
  }
  return { status, body: { error_code: errorCode, message: v2Message(error.message, own) } }
}

function v2Message(message: string, own: string | undefined): string {
  if (own === undefined) return message
  return own.startsWith('=') ? own.slice(1) : `${own}${message}`
}

/** What Confluent's proxy says of a body it cannot take, where clients look for the words. */
function refuse({ kind, name, message }: Refusal): GatewayError {
  switch (kind) {
    case 'unreadable-body':
      return new GatewayError('BAD_REQUEST', message)
    case 'unknown-member':
      return new GatewayError('INVALID_REQUEST', `Unrecognized field: ${name}`)
    case 'missing-body':
    case 'invalid-body':
    case 'invalid-parameter':
    case 'unknown-parameter':
      return new GatewayError('INVALID_REQUEST', message)
  }
}

/** The surface in one dialect. */
export function v2Surface(dialect: Dialect): Surface {
  return {
    name: 'v2',
    contentType: v2ContentType,
    unknownParameters: 'ignore',
    refuse,
    readAs: (type, appends) => readBodyType(type, appends, dialect),
    checkTypes: (request) => checkTypes(request, dialect),
    checkAccept: (accept) => checkAccept(accept, dialect),
    sendError(response, headers, error, about) {
      const { status, body } = errorIn(dialect, error, about)
      if (error.retryAfterMs !== undefined && (status === 503 || status === 429)) {
        headers['retry-after'] = retryAfterSeconds(error.retryAfterMs)
      }
      if (status === 401) headers['www-authenticate'] = 'Bearer realm="ebbgate"'
      if (error instanceof V2Error) Object.assign(headers, error.headers)
      sendWhole(response, status, headers, dialect.errorType, JSON.stringify(body))
    },
    sendMethodError(response, headers) {
      const body = { error_code: 405, message: 'HTTP 405 Method Not Allowed' }
      sendWhole(response, 405, headers, dialect.errorType, JSON.stringify(body))
    },
  }
}

interface ErrorBody {
  readonly error_code: number
  readonly message: string
  readonly validation_errors?: readonly string[]
}

function errorIn(
  { errorCodes }: Dialect,
  error: GatewayError,
  about: ErrorContext,
): { status: number; body: ErrorBody } {
  const { status: own, body } = v2ErrorOf(error, about)
  if (errorCodes === 'five digits') return { status: own, body }
  // Where codes are statuses, a body that breaks the contract is a 400 that lists what is wrong.
  const status = own === 422 ? 400 : own
  const { message } = body
  const details = status === 400 ? { validation_errors: [message] } : {}
  return { status, body: { error_code: status, message, ...details } }
}
