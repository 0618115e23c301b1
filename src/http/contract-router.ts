/**
 * Binds the operations of a contract document to handlers: one Fastify route each, with the checks
 * that the document asks for before the handler and one place that writes answers and errors.
 */
import { isUtf8 } from 'node:buffer'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { WrittenBody } from '../contract/operations.ts'
import type { Clock } from '../kit/clock.ts'
import { afterByteOrderMark } from '../kit/lines.ts'
import type { Logger } from '../kit/logger.ts'
import { GatewayError, toGatewayError } from '../model/errors.ts'
import type { Principal } from '../model/principal.ts'
import type { AnswerHeaders } from './exchange/answer.ts'
import { sendEmpty, sendWhole, sendWritten } from './exchange/answer.ts'
import type { BaseUrls } from './exchange/base-url.ts'
import { Call } from './exchange/call.ts'
import { acceptedCodings } from './content-coding.ts'
import type { ContractBody, ContractDocument, ContractOperation } from './contract-document.ts'
import { unknownParameter } from './contract-document.ts'
import type { RequestBodies } from './request-body.ts'
import type { Surface } from './exchange/surface.ts'
import { endsConnection } from './exchange/surface.ts'
import type { WaitingCalls } from './exchange/waiting-calls.ts'

/** A handler as the router sees it; the contract's types have done their work by then. */
export type AnyHandler = (call: never) => Promise<AnyAnswer>

export interface AnyAnswer {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: unknown
  readonly written?: WrittenBody | undefined
}

export interface HttpMeter {
  /** A request was answered; `route` is the contract's path, so labels stay bounded. */
  answered(surface: string, method: string, route: string, status: number, durationMs: number): void
}

export const silentHttpMeter: HttpMeter = { answered: () => undefined }

export interface RouterParts {
  readonly clock: Clock
  readonly logger: Logger
  readonly meter: HttpMeter
  readonly bodies: RequestBodies
  readonly waiting: WaitingCalls
  readonly bases: BaseUrls
  /** Who asks; throws UNAUTHENTICATED. */
  readonly authenticate: (request: IncomingMessage) => Principal
}

/**
 * Registers every operation of `document`. Throws when an operation has no handler, or a handler no
 * operation: the start fails instead of the first request.
 */
export function bindContract(
  server: FastifyInstance,
  document: ContractDocument,
  handlers: Readonly<Record<string, AnyHandler>>,
  surface: Surface,
  parts: RouterParts,
): void {
  const ids = new Set(document.operations.map(({ id }) => id))
  const extra = Object.keys(handlers).filter((id) => !ids.has(id))
  if (extra.length > 0) {
    throw new Error(`${document.name}.yaml has no operation ${extra.join(', ')}.`)
  }
  for (const operation of document.operations) {
    const handler = handlers[operation.id]
    if (handler === undefined) {
      throw new Error(`Operation ${operation.id} of ${document.name}.yaml has no handler.`)
    }
    const route = new ContractRoute(operation, handler, surface, parts)
    server.route({
      method: operation.method,
      url: routeUrl(operation.path),
      exposeHeadRoute: operation.method === 'GET' && !operation.noHead,
      handler: (request, reply) => {
        // The route writes every outcome itself, failures included, so nothing is left to await.
        void route.serve(request, reply)
      },
    })
  }
}

/** Fastify reads `:` as the begin of a parameter, so a colon of the document is doubled. */
export function routeUrl(path: string): string {
  return path.replaceAll(':', '::').replaceAll(/\{([^}]+)\}/g, ':$1')
}

/**
 * Some clients percent-encode the colon of `records:batch`, which means the same there (RFC 3986 §2.2
 * leaves it to us); the router would take it for a name. Only such an end of a path is touched.
 */
export function withPlainColon(url: string): string {
  return url.includes('%3') ? url.replace(encodedColon, '$1:$2') : url
}

const encodedColon = /^([^?]*\/[a-z-]+)%3[Aa]([a-z]+(?:\?|$))/

class ContractRoute {
  readonly #operation: ContractOperation
  readonly #handler: (call: Call) => Promise<AnyAnswer>
  readonly #surface: Surface
  readonly #parts: RouterParts

  constructor(
    operation: ContractOperation,
    handler: AnyHandler,
    surface: Surface,
    parts: RouterParts,
  ) {
    this.#operation = operation
    this.#handler = handler as (call: Call) => Promise<AnyAnswer>
    this.#surface = surface
    this.#parts = parts
  }

  /** Never rejects. */
  async serve(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { bodies, clock, meter } = this.#parts
    const startedMs = clock.monotonicMs()
    const response = reply.raw
    const headers: AnswerHeaders = { 'ebbgate-request-id': request.id }
    if (this.#operation.reads) {
      headers['cache-control'] = 'no-store'
      // What users stored must never be taken for a page or a script.
      headers['x-content-type-options'] = 'nosniff'
    }
    let held = 0
    try {
      const principal = this.#parts.authenticate(request.raw)
      const { waiting, bases } = this.#parts
      const call = new Call(request.raw, response, request.id, principal, waiting, bases)
      if (!this.#operation.anyAccept) this.#surface.checkAccept(request.raw.headers.accept)
      this.#surface.checkTypes?.(request.raw)
      this.#checkParameters(call, request)
      const { body } = this.#operation
      if (body !== undefined) {
        const sent = mediaTypeOf(request.raw.headers['content-type'])
        call.mediaType = this.#surface.readAs?.(sent, this.#operation.appends) ?? sent
        if (!body.raw) this.#checkMediaType(call, body)
        const charset = this.#surface.charsetOf?.(request.raw.headers['content-type'])
        // Under a key the whole body has to be known before any of it is stored.
        const isKeyed = request.raw.headers['idempotency-key'] !== undefined
        if (body.streamed && !isKeyed && (this.#surface.streams?.(call) ?? true)) {
          call.incoming = bodies.open(request.raw, response)
        } else {
          call.bytes = await bodies.read(request.raw, response)
          held = call.bytes.length
          if (charset === 'latin1') call.bytes = Buffer.from(call.bytes.toString('latin1'))
        }
        if (!body.raw) this.#checkBody(call, body)
      }
      await this.#send(response, headers, await this.#handler(call))
    } catch (error) {
      this.#fail(request, response, headers, error)
    } finally {
      if (held > 0) bodies.release(held)
      meter.answered(
        this.#surface.name,
        this.#operation.method,
        this.#operation.path,
        response.statusCode,
        clock.monotonicMs() - startedMs,
      )
    }
  }

  #checkParameters(call: Call, request: FastifyRequest): void {
    const { checkParams, checkQuery, checkHeaders, headerNames, queryNames } = this.#operation
    call.params = request.params
    if (checkParams !== undefined) {
      const refusal = checkParams(request.params as Record<string, unknown>)
      if (refusal !== undefined) throw this.#surface.refuse(refusal)
    }
    const query = request.query as Record<string, unknown>
    call.query = query
    if (this.#surface.unknownParameters === 'refuse' && !isQueryReadable(call.url)) {
      const message = 'The query is not percent-encoded UTF-8; a plain % is written %25.'
      throw this.#surface.refuse({ kind: 'invalid-parameter', name: '', message })
    }
    let named = false
    for (const name in query) {
      named = true
      if (!queryNames.has(name) && this.#surface.unknownParameters === 'refuse') {
        throw this.#surface.refuse(unknownParameter(name, queryNames))
      }
    }
    // Without parameters only a missing one could be wrong, and the check knows which is required.
    if (checkQuery !== undefined && (named || !this.#isQueryOptional)) {
      const refusal = checkQuery(query)
      if (refusal !== undefined) throw this.#surface.refuse(refusal)
    }
    if (checkHeaders !== undefined) {
      const { headers } = request.raw
      let declared: Record<string, unknown> | undefined
      for (const name of headerNames) {
        if (headers[name] !== undefined) (declared ??= {})[name] = headers[name]
      }
      const refusal = declared === undefined ? undefined : checkHeaders(declared)
      if (refusal !== undefined) throw this.#surface.refuse(refusal)
    }
  }

  /** Whether the operation can do without any query parameter. Asked once, remembered. */
  get #isQueryOptional(): boolean {
    this.#queryOptional ??= this.#operation.checkQuery?.({}) === undefined
    return this.#queryOptional
  }
  #queryOptional: boolean | undefined

  #checkMediaType(call: Call, body: ContractBody): void {
    if (call.mediaType === '' || body.checks.has(call.mediaType)) return
    throw new GatewayError(
      'UNSUPPORTED_MEDIA_TYPE',
      `Content-Type '${call.mediaType.slice(0, 100)}' is not taken here. Use one of: ${[...body.checks.keys()].join(', ')}.`,
    )
  }

  #checkBody(call: Call, body: ContractBody): void {
    if (isBlank(call.bytes)) {
      if (!body.required) return
      const message = 'The body is missing.'
      throw this.#surface.refuse({ kind: 'missing-body', name: '', message })
    }
    const check = body.checks.get(call.mediaType === '' ? body.fallback! : call.mediaType)
    const value = this.#parseJson(call.bytes)
    const refusal = check?.(value)
    if (refusal !== undefined) throw this.#surface.refuse(refusal)
    call.body = value
  }

  #parseJson(bytes: Buffer): unknown {
    if (!isUtf8(bytes)) throw this.#unreadable('The body is not UTF-8.')
    try {
      // A leading BOM is no JSON, yet some editors write one.
      return JSON.parse(bytes.toString('utf8', afterByteOrderMark(bytes))) as unknown
    } catch (error) {
      // The parser's own message quotes the body; only the place is ours to tell.
      const at = /position (\d+)/.exec(String(error))?.[1]
      const where = at === undefined ? '' : ` The mistake is at character ${at}.`
      throw this.#unreadable(`The body is not valid JSON.${where}`)
    }
  }

  #unreadable(message: string): GatewayError {
    return this.#surface.refuse({ kind: 'unreadable-body', name: '', message })
  }

  async #send(response: ServerResponse, headers: AnswerHeaders, answer: AnyAnswer): Promise<void> {
    if (answer.headers !== undefined) Object.assign(headers, answer.headers)
    const { written } = answer
    if (written !== undefined) {
      await sendWritten(response, answer.status, headers, written)
    } else if (answer.body === undefined) {
      sendEmpty(response, answer.status, headers)
    } else {
      const body = JSON.stringify(answer.body)
      sendWhole(response, answer.status, headers, this.#surface.contentType, body)
    }
  }

  #fail(
    request: FastifyRequest,
    response: ServerResponse,
    headers: AnswerHeaders,
    error: unknown,
  ): void {
    const failure = toGatewayError(error)
    if (failure.code === 'INTERNAL') {
      const { id: requestId } = request
      const { id: operation } = this.#operation
      this.#parts.logger.error({ requestId, operation, error }, 'A request failed unexpectedly.')
    }
    if (response.headersSent) {
      // The head is out, so the only truthful ending is a cut.
      response.destroy()
      return
    }
    if (!request.raw.complete) this.#parts.bodies.abandon(request.raw)
    if (endsConnection(request.raw)) headers['connection'] = 'close'
    if (failure.code === 'UNSUPPORTED_MEDIA_TYPE' && request.raw.headers['content-encoding']) {
      headers['accept-encoding'] = acceptedCodings
    }
    const about = { requestId: request.id, appends: this.#operation.appends }
    this.#surface.sendError(response, headers, failure, about)
  }
}

/** The bare media type in lower case: parameters say nothing we need. */
function mediaTypeOf(header: string | undefined): string {
  if (header === undefined) return ''
  const semicolon = header.indexOf(';')
  return (semicolon < 0 ? header : header.slice(0, semicolon)).trim().toLowerCase()
}

/** A parameter that cannot be decoded would be taken as it was typed, which nobody meant. */
function isQueryReadable(url: string): boolean {
  const query = url.indexOf('?')
  if (query < 0 || !url.includes('%', query)) return true
  try {
    decodeURIComponent(url.slice(query))
    return true
  } catch {
    return false
  }
}

/** Nothing but JSON white space. */
function isBlank(bytes: Uint8Array): boolean {
  for (const byte of bytes) {
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return false
  }
  return true
}
