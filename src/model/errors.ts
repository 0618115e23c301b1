/**
 * The one list of failures that clients and operators see (docs/errors.md).
 * `retriable`: the same request may succeed later unchanged. `applied`: whether it may have been
 * written; after `maybe` a producer repeats only with the same idempotency key.
 */
export type Applied = 'no' | 'maybe'

export const errorCodes = {
  // the request
  BAD_REQUEST: { retriable: false, applied: 'no', title: 'Bad request' },
  INVALID_REQUEST: { retriable: false, applied: 'no', title: 'Invalid request' },
  INVALID_FILTER: { retriable: false, applied: 'no', title: 'Invalid filter' },
  INVALID_RECORD: { retriable: false, applied: 'no', title: 'Invalid record' },
  RECORD_TOO_LARGE: { retriable: false, applied: 'no', title: 'Record too large' },
  BODY_TOO_LARGE: { retriable: false, applied: 'no', title: 'Body too large' },
  UNSUPPORTED_MEDIA_TYPE: { retriable: false, applied: 'no', title: 'Unsupported media type' },
  NOT_ACCEPTABLE: { retriable: false, applied: 'no', title: 'Not acceptable' },
  NOT_FOUND: { retriable: false, applied: 'no', title: 'Not found' },
  UNSUPPORTED: { retriable: false, applied: 'no', title: 'Unsupported' },
  INVALID_CONFIG: { retriable: false, applied: 'no', title: 'Invalid configuration' },
  FORMAT_MISMATCH: { retriable: false, applied: 'no', title: 'Format mismatch' },
  // rights
  UNAUTHENTICATED: { retriable: false, applied: 'no', title: 'Unauthenticated' },
  TOKEN_EXPIRED: { retriable: false, applied: 'no', title: 'Token expired' },
  FORBIDDEN: { retriable: false, applied: 'no', title: 'Forbidden' },
  // missing things
  UNKNOWN_TOPIC: { retriable: false, applied: 'no', title: 'Unknown topic' },
  UNKNOWN_PARTITION: { retriable: false, applied: 'no', title: 'Unknown partition' },
  UNKNOWN_GROUP: { retriable: false, applied: 'no', title: 'Unknown group' },
  UNKNOWN_MEMBER: { retriable: false, applied: 'no', title: 'Unknown member' },
  UNKNOWN_SESSION: { retriable: false, applied: 'no', title: 'Unknown session' },
  UNKNOWN_SUBSCRIPTION: { retriable: false, applied: 'no', title: 'Unknown subscription' },
  OFFSET_OUT_OF_RANGE: { retriable: false, applied: 'no', title: 'Offset out of range' },
  EPOCH_MISMATCH: { retriable: false, applied: 'no', title: 'Topic was recreated' },
  // conflicts
  TOPIC_EXISTS: { retriable: false, applied: 'no', title: 'Topic exists' },
  PRECONDITION: { retriable: false, applied: 'no', title: 'Precondition failed' },
  IDEMPOTENCY_MISMATCH: { retriable: false, applied: 'no', title: 'Idempotency key reused' },
  GROUP_NOT_EMPTY: { retriable: false, applied: 'no', title: 'Group is not empty' },
  GROUP_FULL: { retriable: false, applied: 'no', title: 'Group is full' },
  INSTANCE_IN_USE: { retriable: false, applied: 'no', title: 'Instance id in use' },
  INSTANCE_FENCED: { retriable: false, applied: 'no', title: 'Instance fenced' },
  FENCED_MEMBER_EPOCH: { retriable: false, applied: 'no', title: 'Member fenced' },
  STALE_MEMBER_EPOCH: { retriable: false, applied: 'no', title: 'Stale member epoch' },
  NOT_ASSIGNED: { retriable: false, applied: 'no', title: 'Partition not assigned' },
  SESSION_EXISTS: { retriable: false, applied: 'no', title: 'Session exists' },
  ILLEGAL_STATE: { retriable: false, applied: 'no', title: 'Illegal state' },
  ALREADY_SUBSCRIBED: { retriable: false, applied: 'no', title: 'Already subscribed' },
  TOO_MANY_SUBSCRIPTIONS: { retriable: false, applied: 'no', title: 'Too many subscriptions' },
  // conditions that pass
  RATE_LIMITED: { retriable: true, applied: 'no', title: 'Rate limited' },
  OVERLOADED: { retriable: true, applied: 'no', title: 'Overloaded' },
  UNAVAILABLE: { retriable: true, applied: 'no', title: 'Unavailable' },
  DISK_FULL: { retriable: true, applied: 'no', title: 'Disk full' },
  // unknown outcome and our own faults
  TIMEOUT: { retriable: true, applied: 'maybe', title: 'Timed out' },
  IO_ERROR: { retriable: true, applied: 'maybe', title: 'Disk failed' },
  INTERNAL: { retriable: true, applied: 'maybe', title: 'Internal error' },
  CORRUPT_BATCH: { retriable: false, applied: 'no', title: 'Corrupt batch' },
  // at start only
  LOCKED: { retriable: false, applied: 'no', title: 'Data folder locked' },
} as const satisfies Record<
  string,
  { readonly retriable: boolean; readonly applied: Applied; readonly title: string }
>

export type ErrorCode = keyof typeof errorCodes

/** How long a client should wait where the thrower knows no better, in ms. */
const defaultRetryAfterMs = 1000

export interface GatewayErrorOptions {
  readonly cause?: unknown
  /** Weakens the code's `no` to `maybe`; the reverse is not possible. */
  readonly applied?: 'maybe'
  readonly retryAfterMs?: number
}

/**
 * The one error class, from the disk to the client. `message` names the thing, the limit and the
 * value met; never a secret, record contents or a path on the server.
 */
export class GatewayError extends Error {
  readonly code: ErrorCode
  readonly applied: Applied
  readonly retriable: boolean
  /** Milliseconds; present exactly when the error is retriable. */
  readonly retryAfterMs: number | undefined

  constructor(code: ErrorCode, message: string, options: GatewayErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'GatewayError'
    this.code = code
    this.retriable = errorCodes[code].retriable
    this.applied = options.applied ?? errorCodes[code].applied
    this.retryAfterMs = this.retriable ? (options.retryAfterMs ?? defaultRetryAfterMs) : undefined
  }
}

/** Lets a GatewayError pass and wraps anything else as INTERNAL, keeping the cause for the log. */
export function toGatewayError(error: unknown): GatewayError {
  if (error instanceof GatewayError) return error
  return new GatewayError('INTERNAL', 'An unexpected error occurred.', { cause: error })
}

/** An error as it stands inside an answer: native items, socket messages, NDJSON trailers. */
export function errorBody(error: GatewayError): {
  code: ErrorCode
  message: string
  retriable: boolean
  applied: Applied
  retryAfterMs?: number
} {
  const { code, message, retriable, applied, retryAfterMs } = error
  return {
    code,
    message,
    retriable,
    applied,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  }
}
