/** The native API's answer to every error code. A code without a row here does not compile. */
import type { ErrorCode } from '../../model/errors.ts'
import { GatewayError } from '../../model/errors.ts'
import { sendProblem } from '../exchange/problem.ts'
import type { Refusal, Surface } from '../exchange/surface.ts'
import { isStreamed } from './streamed-lines.ts'

/** HTTP status by code. What cannot arise here repeats INTERNAL, so that a surprise is loud. */
export const nativeErrors = {
  BAD_REQUEST: 400,
  INVALID_REQUEST: 422,
  INVALID_FILTER: 422,
  INVALID_RECORD: 422,
  RECORD_TOO_LARGE: 413,
  BODY_TOO_LARGE: 413,
  UNSUPPORTED_MEDIA_TYPE: 415,
  NOT_ACCEPTABLE: 406,
  NOT_FOUND: 404,
  UNSUPPORTED: 501,
  INVALID_CONFIG: 422,
  FORMAT_MISMATCH: 422,
  UNAUTHENTICATED: 401,
  TOKEN_EXPIRED: 401,
  FORBIDDEN: 403,
  UNKNOWN_TOPIC: 404,
  UNKNOWN_PARTITION: 404,
  UNKNOWN_GROUP: 404,
  UNKNOWN_MEMBER: 404,
  UNKNOWN_SESSION: 404,
  UNKNOWN_SUBSCRIPTION: 500,
  OFFSET_OUT_OF_RANGE: 410,
  EPOCH_MISMATCH: 410,
  TOPIC_EXISTS: 409,
  PRECONDITION: 412,
  IDEMPOTENCY_MISMATCH: 422,
  GROUP_NOT_EMPTY: 409,
  GROUP_FULL: 409,
  INSTANCE_IN_USE: 409,
  INSTANCE_FENCED: 409,
  FENCED_MEMBER_EPOCH: 409,
  STALE_MEMBER_EPOCH: 409,
  NOT_ASSIGNED: 409,
  SESSION_EXISTS: 409,
  ILLEGAL_STATE: 409,
  ALREADY_SUBSCRIBED: 500,
  TOO_MANY_SUBSCRIPTIONS: 500,
  RATE_LIMITED: 429,
  OVERLOADED: 503,
  UNAVAILABLE: 503,
  DISK_FULL: 503,
  TIMEOUT: 503,
  IO_ERROR: 503,
  INTERNAL: 500,
  CORRUPT_BATCH: 500,
  LOCKED: 500,
} as const satisfies Record<ErrorCode, number>

/** Shippers take 501 for "later" and try for ever, so routes that append refuse with 422. */
export function nativeStatus(code: ErrorCode, appends: boolean): number {
  return appends && code === 'UNSUPPORTED' ? 422 : nativeErrors[code]
}

export const nativeSurface: Surface = {
  name: 'native',
  contentType: 'application/json',
  unknownParameters: 'refuse',
  refuse: ({ message }: Refusal) => new GatewayError('BAD_REQUEST', message),
  // Whatever a client accepts, it gets JSON: some say `text/html` and read JSON all the same.
  checkAccept: () => undefined,
  streams: isStreamed,
  sendError(response, headers, error, { requestId, appends }) {
    sendProblem(response, headers, error, nativeStatus(error.code, appends), requestId)
  },
  sendMethodError(response, headers, error, { requestId }) {
    sendProblem(response, headers, error, 405, requestId)
  },
}
