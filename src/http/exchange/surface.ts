/** What one surface (native, v2, v3) has of its own: how it refuses, how it shows errors. */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { GatewayError } from '../../model/errors.ts'
import type { AnswerHeaders } from './answer.ts'

/** Why the contract document refuses a request. */
export interface Refusal {
  readonly kind:
    | 'unknown-member'
    | 'unknown-parameter'
    | 'invalid-body'
    | 'invalid-parameter'
    | 'missing-body'
    | 'unreadable-body'
  /** The member or parameter, where one can be named. */
  readonly name: string
  /** A whole sentence that names the thing, the limit and the value met. */
  readonly message: string
}

export interface Surface {
  readonly name: 'native' | 'v2' | 'v3'
  /** Of answers whose body the router writes. */
  readonly contentType: string
  /** v2 and v3 clients may send parameters that their proxy ignores; on the native API that is a mistake. */
  readonly unknownParameters: 'refuse' | 'ignore'
  refuse(refusal: Refusal): GatewayError
  /**
   * Which of the two a body is written in, by its `Content-Type`. Absent: UTF-8, whatever it says.
   * Throws BAD_REQUEST for a charset that is not known.
   */
  charsetOf?(contentType: string | undefined): Charset
  /** The declared media type that a body of this one is read as; absent: the type itself. */
  readAs?(mediaType: string, appends: boolean): string
  /** Throws where the surface asks more of a request's types than the contract says. */
  checkTypes?(request: IncomingMessage): void
  /** Throws NOT_ACCEPTABLE where the surface takes `Accept` seriously. */
  checkAccept(accept: string | undefined): void
  /** Whether an operation that can read its body as it comes does so for this request. Default: yes. */
  streams?(call: StreamCall): boolean
  /** Writes the error's status, headers and body. */
  sendError(
    response: ServerResponse,
    headers: AnswerHeaders,
    error: GatewayError,
    about: ErrorContext,
  ): void
  /** 405: the path is known, the method is not. `headers` has `allow`. */
  sendMethodError(
    response: ServerResponse,
    headers: AnswerHeaders,
    error: GatewayError,
    about: ErrorContext,
  ): void
}

export type Charset = 'utf8' | 'latin1'

/** What decides whether a body is read as it comes. */
export interface StreamCall {
  readonly headers: IncomingHttpHeaders
  readonly mediaType: string
  readonly query: unknown
}

export interface ErrorContext {
  readonly requestId: string
  /** The route appends records: shippers take 5xx for "later" there. */
  readonly appends: boolean
}

/** Seconds for `Retry-After`: whole ones, and never "at once". */
export function retryAfterSeconds(retryAfterMs: number): number {
  return Math.max(1, Math.ceil(retryAfterMs / 1000))
}

/**
 * A client that waits for `100 Continue` and gets a final answer instead will not send the body, but
 * the parser would wait for it: the connection ends with the answer.
 */
export function endsConnection(request: IncomingMessage): boolean {
  return request.headers.expect !== undefined && !request.complete
}
