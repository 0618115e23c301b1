/** Every close code the gateway sends, what a client does then, and what each error code means here. */
import type { ErrorCode } from '../model/errors.ts'

/** What the client does after a close; clients carry the same table (docs/push-protocol.md). */
export type AfterClose = 'stop' | 'new-token' | 'back-off' | 'hint' | 'now' | 'once'

export const closeCodes = {
  NORMAL: { code: 1000, client: 'stop' },
  TOO_BIG: { code: 1009, client: 'once' },
  BAD_REQUEST: { code: 4400, client: 'stop' },
  UNAUTHENTICATED: { code: 4401, client: 'new-token' },
  FORBIDDEN: { code: 4403, client: 'stop' },
  INTERNAL: { code: 4500, client: 'back-off' },
  DRAINING: { code: 4503, client: 'hint' },
  PEER_TIMEOUT: { code: 4504, client: 'now' },
  SHED: { code: 4508, client: 'hint' },
  LIMIT: { code: 4529, client: 'hint' },
} as const satisfies Record<string, { readonly code: number; readonly client: AfterClose }>

export type CloseName = keyof typeof closeCodes

export interface PushAnswer {
  /** `gap`: told as a gap unless the subscription says `onGap:"fail"`. */
  readonly say: 'error' | 'gap'
  /** The connection is closed behind it. */
  readonly close?: CloseName
}

const error: PushAnswer = { say: 'error' }
const gap: PushAnswer = { say: 'gap' }
/** For codes that cannot arise here: a surprise is loud. */
const surprise: PushAnswer = { say: 'error', close: 'INTERNAL' }

export const pushAnswers = {
  BAD_REQUEST: error,
  INVALID_REQUEST: error,
  INVALID_FILTER: error,
  INVALID_RECORD: error,
  RECORD_TOO_LARGE: error,
  BODY_TOO_LARGE: { say: 'error', close: 'TOO_BIG' },
  UNSUPPORTED_MEDIA_TYPE: surprise,
  NOT_ACCEPTABLE: surprise,
  NOT_FOUND: surprise,
  UNSUPPORTED: error,
  INVALID_CONFIG: surprise,
  FORMAT_MISMATCH: surprise,
  UNAUTHENTICATED: { say: 'error', close: 'UNAUTHENTICATED' },
  TOKEN_EXPIRED: { say: 'error', close: 'UNAUTHENTICATED' },
  FORBIDDEN: error,
  UNKNOWN_TOPIC: error,
  UNKNOWN_PARTITION: error,
  UNKNOWN_GROUP: error,
  UNKNOWN_MEMBER: surprise,
  UNKNOWN_SESSION: error,
  UNKNOWN_SUBSCRIPTION: error,
  OFFSET_OUT_OF_RANGE: gap,
  EPOCH_MISMATCH: gap,
  TOPIC_EXISTS: surprise,
  PRECONDITION: surprise,
  IDEMPOTENCY_MISMATCH: error,
  GROUP_NOT_EMPTY: surprise,
  GROUP_FULL: error,
  INSTANCE_IN_USE: error,
  INSTANCE_FENCED: error,
  FENCED_MEMBER_EPOCH: surprise,
  STALE_MEMBER_EPOCH: error,
  NOT_ASSIGNED: error,
  SESSION_EXISTS: surprise,
  ILLEGAL_STATE: surprise,
  ALREADY_SUBSCRIBED: error,
  TOO_MANY_SUBSCRIPTIONS: error,
  RATE_LIMITED: error,
  OVERLOADED: error,
  UNAVAILABLE: error,
  DISK_FULL: error,
  TIMEOUT: error,
  IO_ERROR: { say: 'error', close: 'DRAINING' },
  INTERNAL: { say: 'error', close: 'INTERNAL' },
  CORRUPT_BATCH: gap,
  LOCKED: surprise,
} as const satisfies Record<ErrorCode, PushAnswer>

/** The connection's end that follows an error, if one does. */
export function closeAfter(code: ErrorCode): CloseName | undefined {
  const answer: PushAnswer = pushAnswers[code]
  return answer.close
}
