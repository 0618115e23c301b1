/** Problem documents (RFC 9457): how the native API, and every path that is nobody's, shows errors. */
import type { ServerResponse } from 'node:http'
import type { GatewayError } from '../../model/errors.ts'
import { errorCodes } from '../../model/errors.ts'
import type { AnswerHeaders } from './answer.ts'
import { sendWhole } from './answer.ts'
import { retryAfterSeconds } from './surface.ts'

export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly code: string
  readonly retriable: boolean
  readonly applied: string
  readonly retryAfterMs?: number
  readonly requestId: string
}

export function problemOf(error: GatewayError, status: number, requestId: string): Problem {
  const { code, message, retriable, applied, retryAfterMs } = error
  return {
    type: `/docs/errors#${code}`,
    title: errorCodes[code].title,
    status,
    detail: code === 'INTERNAL' ? `An unexpected error; the log has it as ${requestId}.` : message,
    code,
    retriable,
    applied,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    requestId,
  }
}

/** `Retry-After` stands on what is worth repeating: a 429 or 503, never a 4xx or 500. */
export function sendProblem(
  response: ServerResponse,
  headers: AnswerHeaders,
  error: GatewayError,
  status: number,
  requestId: string,
): void {
  if (error.retryAfterMs !== undefined && (status === 503 || status === 429)) {
    headers['retry-after'] = retryAfterSeconds(error.retryAfterMs)
  }
  if (status === 401) headers['www-authenticate'] = 'Bearer realm="ebbgate"'
  const body = JSON.stringify(problemOf(error, status, requestId))
  sendWhole(response, status, headers, 'application/problem+json', body)
}
