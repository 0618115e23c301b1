/** One request on its way through a handler: what the contract checked, and what the door adds. */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { Principal } from '../../model/principal.ts'
import type { BaseUrls } from './base-url.ts'
import type { WaitingCalls } from './waiting-calls.ts'

/** A body that is read as it comes, while the answer is being written. */
export interface IncomingBody {
  /**
   * The bytes, inflated; the socket is read no faster than they are asked for. Ends where the client
   * ends it, or goes. Throws as a body that is read whole does.
   */
  pieces(): AsyncIterator<Buffer>
  /** The client has ended it: false while more may come, and when the client went in the middle. */
  readonly isWhole: boolean
  /** What one value of it may take, bytes. */
  readonly bytesMax: number
  /** Counts bytes that are kept of it among those of all bodies; negative ones are given back. Throws OVERLOADED. */
  hold(bytes: number): void
  /** How long the connection may be silent, ms. */
  allowSilence(ms: number): void
  /** No more of it will be read: a client that goes on is cut in the end. */
  abandon(): void
}

/** What the door knows besides the contract. Handlers see it beside `params`, `query` and `body`. */
export interface CallContext {
  readonly method: string
  /** The path and query as they were sent. */
  readonly url: string
  readonly headers: IncomingHttpHeaders
  /** The body's bytes, inflated; empty when there are none. */
  readonly bytes: Buffer
  /** Instead of `bytes`, where the document has the body read as it comes. */
  readonly incoming: IncomingBody | undefined
  /** `Content-Type` in lower case and without parameters; empty when there is none. */
  readonly mediaType: string
  readonly principal: Principal
  readonly requestId: string
  /** The address under which the client reaches the gateway, for links. No slash at the end. */
  readonly baseUrl: string
  /** Aborts when the client has gone or the gateway drains: for waits, never for writes. */
  readonly signal: AbortSignal
  /**
   * Calls back once the answer was handed to the kernel whole (`true`), or the connection ended
   * before (`false`).
   */
  onWritten(listener: (whole: boolean) => void): void
}

/** The same object for every operation; the router sets what the contract has checked. */
export class Call implements CallContext {
  params: unknown
  query: unknown
  body: unknown
  bytes: Buffer
  incoming: IncomingBody | undefined
  mediaType = ''
  readonly principal: Principal
  readonly requestId: string
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly #waiting: WaitingCalls
  readonly #bases: BaseUrls
  #signal: AbortSignal | undefined

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    requestId: string,
    principal: Principal,
    waiting: WaitingCalls,
    bases: BaseUrls,
  ) {
    this.request = request
    this.response = response
    this.requestId = requestId
    this.principal = principal
    this.bytes = noBytes
    this.#waiting = waiting
    this.#bases = bases
  }

  get method(): string {
    return this.request.method ?? 'GET'
  }

  get url(): string {
    return this.request.url ?? '/'
  }

  get headers(): IncomingHttpHeaders {
    return this.request.headers
  }

  get baseUrl(): string {
    return this.#bases.of(this.request)
  }

  /** Made when it is first asked for: most requests never wait. */
  get signal(): AbortSignal {
    this.#signal ??= this.#waiting.signalFor(this.response)
    return this.#signal
  }

  onWritten(listener: (whole: boolean) => void): void {
    // 'close' comes after 'finish' as well as without it; only then is it known which one it was.
    const { response } = this
    if (response.destroyed) {
      // The client left while its answer was being made: no event comes any more.
      listener(false)
      return
    }
    let finished = false
    response.once('finish', () => {
      finished = true
      listener(true)
    })
    response.once('close', () => {
      if (!finished) listener(false)
    })
  }
}

const noBytes = Buffer.alloc(0)
