/**
 * What every request passes before its route: who may speak to us at all, and whether we are ready. It
 * also answers for paths and methods that nobody serves.
 */
import type { AddressInfo } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { OriginRules } from '../access/origin.ts'
import { checkOrigin, isListedOrigin } from '../access/origin.ts'
import type { Logger } from '../kit/logger.ts'
import { GatewayError, toGatewayError } from '../model/errors.ts'
import type { ContractDocument } from './contract-document.ts'
import type { HttpMeter } from './contract-router.ts'
import { corsHeaders, preflightHeaders } from './cors.ts'
import type { AnswerHeaders } from './exchange/answer.ts'
import { sendEmpty } from './exchange/answer.ts'
import type { Surface } from './exchange/surface.ts'
import { endsConnection } from './exchange/surface.ts'
import { nativeSurface } from './native/errors.ts'
import type { GatewayState } from './ops.ts'
import { opsPaths } from './ops.ts'
import type { RequestBodies } from './request-body.ts'
import { v3Surface } from './v3/errors.ts'

export interface GateParts {
  readonly state: () => GatewayState
  readonly origins: Omit<OriginRules, 'port'>
  readonly bodies: RequestBodies
  readonly logger: Logger
  readonly meter: HttpMeter
  /** v2 in the dialect of this listener. */
  readonly v2: Surface
}

export class Gate {
  readonly #parts: GateParts
  readonly #knownPaths: { readonly pattern: RegExp; readonly methods: Set<string> }[] = []
  #rules: OriginRules | undefined
  /** A `Host` that has passed: most callers use one name, and its check need not be repeated. */
  #knownHost: string | undefined

  constructor(parts: GateParts) {
    this.#parts = parts
  }

  /** False when the request has been answered here. */
  admits(request: FastifyRequest, reply: FastifyReply): boolean {
    const { headers } = request.raw
    const { origin, host } = headers
    const secFetchSite = headers['sec-fetch-site']
    if (host === undefined && request.raw.httpVersion !== '1.0') {
      this.refuse(request, reply, new GatewayError('BAD_REQUEST', 'The header Host is missing.'))
      return false
    }
    if (origin !== undefined || secFetchSite !== undefined || host !== this.#knownHost) {
      const rules = this.#originRules(request)
      // Nobody can prove a credential yet; what is not checked must not open a door.
      const refused = checkOrigin(rules, { origin, host, secFetchSite, credential: 'none' })
      if (refused !== undefined) {
        this.refuse(request, reply, refused)
        return false
      }
      this.#knownHost = host
      if (origin !== undefined && this.#answersCors(rules, origin, request, reply)) return false
    }
    const state = this.#parts.state()
    if (!state.ready && !opsPaths.has(pathOf(request))) {
      const reason = state.reason ?? 'it is starting'
      this.refuse(
        request,
        reply,
        new GatewayError('UNAVAILABLE', `The gateway is not ready: ${reason}.`),
      )
      return false
    }
    return true
  }

  /** A path or method nobody serves. */
  refuseUnknown(request: FastifyRequest, reply: FastifyReply): void {
    const path = pathOf(request)
    const method = request.raw.method ?? ''
    const methods = this.#knownPaths.find(({ pattern }) => pattern.test(path))?.methods
    if (methods === undefined || methods.has(method)) {
      this.refuse(
        request,
        reply,
        new GatewayError('NOT_FOUND', `There is nothing at ${method} ${shown(path)}.`),
      )
      return
    }
    const allow = [...methods].join(', ')
    if (method === 'OPTIONS') {
      // Not a page's preflight, but somebody who asks what is possible here (RFC 9110 §9.3.7).
      sendEmpty(reply.raw, 204, { ...headersOf(request), allow })
      this.#count(this.#surfaceOf(path), request, reply)
      return
    }
    const error = new GatewayError(
      'NOT_FOUND',
      `${method} is not possible here. Use one of: ${allow}.`,
    )
    const headers = { ...headersOf(request), allow }
    const surface = this.#surfaceOf(path)
    surface.sendMethodError(reply.raw, headers, error, aboutOf(request))
    this.#count(surface, request, reply)
  }

  refuse(request: FastifyRequest, reply: FastifyReply, error: GatewayError): void {
    const headers = headersOf(request)
    if (!request.raw.complete) this.#parts.bodies.abandon(request.raw)
    if (endsConnection(request.raw)) headers['connection'] = 'close'
    const surface = this.#surfaceOf(pathOf(request))
    surface.sendError(reply.raw, headers, error, aboutOf(request))
    this.#count(surface, request, reply)
  }

  /** What never reached a route has none to be counted by. */
  #count(surface: Surface, request: FastifyRequest, reply: FastifyReply): void {
    const { method = '' } = request.raw
    this.#parts.meter.answered(surface.name, method, 'none', reply.raw.statusCode, 0)
  }

  /** An error that Fastify caught outside our own routes. */
  fail(request: FastifyRequest, reply: FastifyReply, error: unknown): void {
    const failure = toGatewayError(error)
    if (failure.code === 'INTERNAL') {
      this.#parts.logger.error({ requestId: request.id, error }, 'A request failed unexpectedly.')
    }
    if (reply.raw.headersSent) reply.raw.destroy()
    else this.refuse(request, reply, failure)
  }

  learnRoutes(documents: readonly ContractDocument[]): void {
    for (const { operations } of documents) {
      for (const { path, method, noHead } of operations) {
        const source = `^${path.replaceAll('.', '\\.').replaceAll(/\{[^}]+\}/g, '[^/]+')}$`
        let known = this.#knownPaths.find(
          ({ pattern }) => pattern.source === new RegExp(source).source,
        )
        if (known === undefined) {
          known = { pattern: new RegExp(source), methods: new Set() }
          this.#knownPaths.push(known)
        }
        known.methods.add(method)
        if (method === 'GET' && !noHead) known.methods.add('HEAD')
      }
    }
  }

  /** Adds what a listed page needs to read the answer; true when this was a preflight, now answered. */
  #answersCors(
    rules: OriginRules,
    origin: string,
    request: FastifyRequest,
    reply: FastifyReply,
  ): boolean {
    reply.raw.setHeader('vary', 'Origin')
    if (!isListedOrigin(rules, origin)) return false
    const asked = request.raw.headers['access-control-request-method']
    if (request.raw.method === 'OPTIONS' && asked !== undefined) {
      const wanted = request.raw.headers['access-control-request-headers']
      sendEmpty(reply.raw, 204, { ...headersOf(request), ...preflightHeaders(origin, wanted) })
      return true
    }
    for (const [name, value] of Object.entries(corsHeaders(origin))) {
      reply.raw.setHeader(name, value)
    }
    return false
  }

  /** The native API has `/v1`, operations and documents, v3 has `/v3`; all other paths are v2's. */
  #surfaceOf(path: string): Surface {
    if (/^\/v3(\/|$)/.test(path)) return v3Surface
    return /^\/(v1|openapi|docs|healthz|readyz|metrics)(\/|$)/.test(path)
      ? nativeSurface
      : this.#parts.v2
  }

  #originRules(request: FastifyRequest): OriginRules {
    if (this.#rules === undefined) {
      const address = request.server.server.address() as AddressInfo | null
      const rules = { ...this.#parts.origins, port: address?.port ?? 0 }
      if (address === null) return rules
      this.#rules = rules
    }
    return this.#rules
  }
}

function pathOf(request: FastifyRequest): string {
  const url = request.raw.url ?? '/'
  const query = url.indexOf('?')
  return query < 0 ? url : url.slice(0, query)
}

function headersOf(request: FastifyRequest): AnswerHeaders {
  return { 'ebbgate-request-id': request.id, 'cache-control': 'no-store' }
}

function aboutOf(request: FastifyRequest): { requestId: string; appends: boolean } {
  return { requestId: request.id, appends: false }
}

function shown(path: string): string {
  return path.length > 200 ? `${path.slice(0, 200)}…` : path
}
