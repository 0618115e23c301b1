/**
 * The REST door: one Fastify server with the native and v2 contracts, operations and documents.
 * Every request passes one gate (Host and Origin, readiness) and every answer, refusals included,
 * carries its request id and the body that its surface promises.
 */
import { STATUS_CODES } from 'node:http'
import type { IncomingMessage, ServerOptions, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import fastify from 'fastify'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { OriginRules } from '../access/origin.ts'
import { checkOrigin, isListedOrigin } from '../access/origin.ts'
import type { TopicAdmin } from '../admin/topics.ts'
import type { Consumers } from '../consume/consumers.ts'
import type { Reader } from '../consume/reader.ts'
import type { Clock } from '../kit/clock.ts'
import type { Logger } from '../kit/logger.ts'
import type { Random } from '../kit/random.ts'
import { randomId } from '../kit/random.ts'
import { GatewayError, toGatewayError } from '../model/errors.ts'
import { bodyBytesInFlightMax, bodyBytesMax, waitMsMax } from '../model/limits.ts'
import { anonymous } from '../model/principal.ts'
import type { Producer } from '../produce/producer.ts'
import type { AnswerHeaders } from './exchange/answer.ts'
import { sendEmpty } from './exchange/answer.ts'
import type { ContractDocument } from './contract-document.ts'
import type { HttpMeter, RouterParts } from './contract-router.ts'
import { bindContract, silentHttpMeter } from './contract-router.ts'
import { corsHeaders, preflightHeaders } from './cors.ts'
import type { Documents } from './documents.ts'
import { loadDocuments } from './documents.ts'
import { nativeSurface } from './native/errors.ts'
import { nativeHandlers } from './native/handlers.ts'
import type { GatewayFacts } from './native/root.ts'
import type { GatewayState, MetricsPage } from './ops.ts'
import { opsPaths, registerOps } from './ops.ts'
import { problemOf } from './exchange/problem.ts'
import type { BodyLimits } from './request-body.ts'
import { RequestBodies } from './request-body.ts'
import type { Surface } from './exchange/surface.ts'
import { endsConnection } from './exchange/surface.ts'
import { v2Surface } from './v2/errors.ts'
import { v2Handlers } from './v2/handlers.ts'
import { WaitingCalls } from './exchange/waiting-calls.ts'

export interface HttpServerParts {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly topics: TopicAdmin
  readonly producer: Producer
  readonly reader: Reader
  readonly consumers: Consumers
  /** Of the engine and the program; asked once the gateway is ready. */
  readonly facts: () => GatewayFacts
  /** Asked by every request, so it should cost nothing. Not ready: 503 but for the ops routes. */
  readonly state: () => GatewayState
  readonly metrics: MetricsPage
  /** The port is the one the server listens on. */
  readonly origins: Omit<OriginRules, 'port'>
  /** Surfaces on which a produce to a missing topic makes it. */
  readonly autoCreate: 'compat' | 'all' | 'none'
  readonly meter?: HttpMeter
  /** Default: those of the model. */
  readonly bodyLimits?: BodyLimits
  /** Default: those of the package. */
  readonly documents?: Documents
}

/** Longer than any wait we grant, so that only a peer that has gone quiet is cut, ms. */
const idleConnectionMs = waitMsMax + 15_000
/** Longer than common load balancers keep idle connections (60 s), so that they close first, ms. */
const keepAliveMs = 72_000
/** A head arrives in one piece or two; whoever needs longer is holding a slot, ms. */
const headMs = 20_000

const bodyLimitsDefault: BodyLimits = {
  bytesMax: bodyBytesMax,
  inFlightMax: bodyBytesInFlightMax,
  lingerMs: 5_000,
}

/** `shouldUpgradeCallback` is younger than the type definitions of our lowest Node version. */
const httpOptions: ServerOptions & {
  readonly shouldUpgradeCallback: (request: IncomingMessage) => boolean
} = {
  headersTimeout: headMs,
  // Java's HttpClient asks for h2c with every POST; only WebSockets may leave HTTP/1.1.
  shouldUpgradeCallback: (request) => request.headers.upgrade?.toLowerCase() === 'websocket',
}

/**
 * Builds the server; it neither listens nor opens anything. Throws when a contract and its handlers
 * do not match. Push routes are registered on what it returns, behind the same gate.
 */
export function createHttpServer(parts: HttpServerParts): FastifyInstance {
  const documents = parts.documents ?? loadDocuments()
  const bodies = new RequestBodies(parts.bodyLimits ?? bodyLimitsDefault, parts.clock)
  const gate = new Gate(parts, bodies)
  const nextId = requestIds(parts.random)
  const server = fastify({
    // Ids of ours, never a client's: the log is searched by them.
    genReqId: nextId,
    requestIdHeader: false,
    // JAX-RS, on which v2 clients grew up, takes a slash at the end; so do people.
    routerOptions: { maxParamLength: 1024, ignoreTrailingSlash: true },
    // Our own gate answers while the gateway closes, in the surface's own words.
    return503OnClosing: false,
    requestTimeout: 0,
    connectionTimeout: idleConnectionMs,
    keepAliveTimeout: keepAliveMs,
    http: httpOptions,
    frameworkErrors: (error, request, reply) => {
      const code = error.code === 'FST_ERR_MAX_PARAM_LENGTH' ? 'NOT_FOUND' : 'BAD_REQUEST'
      gate.refuse(request, reply, new GatewayError(code, 'The path of the request cannot be used.'))
    },
    clientErrorHandler(error, socket) {
      refuseUnreadable(error, socket, nextId)
    },
  })
  // Bodies are read by the routes themselves, so Fastify must not look for a parser, nor at types.
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
    server.addHttpMethod(method, { hasBody: false, overrideExisting: true })
  }
  // The body reader writes 100 Continue once the request has been judged.
  server.server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    server.server.emit('request', request, response)
  })
  server.addHook('onRequest', (request, reply, done) => {
    if (gate.admits(request, reply)) done()
  })
  server.setNotFoundHandler((request, reply) => gate.refuseUnknown(request, reply))
  server.setErrorHandler((error, request, reply) => {
    gate.fail(request, reply, error)
  })

  const waiting = new WaitingCalls()
  const router: RouterParts = {
    clock: parts.clock,
    logger: parts.logger,
    meter: parts.meter ?? silentHttpMeter,
    bodies,
    waiting,
    authenticate: () => anonymous,
  }
  registerOps(server, { ...parts, documents })
  const surfaces = { ...parts, publicUrl: parts.origins.publicUrl }
  bindContract(server, documents.native, nativeHandlers(surfaces), nativeSurface, router)
  bindContract(server, documents.v2, v2Handlers(surfaces), v2Surface, router)
  gate.learnRoutes([documents.native, documents.v2])
  server.addHook('preClose', (done) => {
    waiting.drain()
    done()
  })
  return server
}

/** What every request passes before its route. */
class Gate {
  readonly #parts: HttpServerParts
  readonly #bodies: RequestBodies
  readonly #knownPaths: { readonly pattern: RegExp; readonly methods: Set<string> }[] = []
  #rules: OriginRules | undefined
  /** A `Host` that has passed: most callers use one name, and its check need not be repeated. */
  #knownHost: string | undefined

  constructor(parts: HttpServerParts, bodies: RequestBodies) {
    this.#parts = parts
    this.#bodies = bodies
  }

  /** False when the request has been answered here. */
  admits(request: FastifyRequest, reply: FastifyReply): boolean {
    const { headers } = request.raw
    const { origin, host } = headers
    const secFetchSite = headers['sec-fetch-site']
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
    const error = new GatewayError(
      'NOT_FOUND',
      `${method} is not possible here. Use one of: ${allow}.`,
    )
    const headers = { ...headersOf(request), allow }
    const surface = surfaceOf(path)
    surface.sendMethodError(reply.raw, headers, error, aboutOf(request))
    this.#count(surface, request, reply)
  }

  refuse(request: FastifyRequest, reply: FastifyReply, error: GatewayError): void {
    const headers = headersOf(request)
    if (!request.raw.complete) this.#bodies.abandon(request.raw)
    if (endsConnection(request.raw)) headers['connection'] = 'close'
    const surface = surfaceOf(pathOf(request))
    surface.sendError(reply.raw, headers, error, aboutOf(request))
    this.#count(surface, request, reply)
  }

  /** What never reached a route has none to be counted by. */
  #count(surface: Surface, request: FastifyRequest, reply: FastifyReply): void {
    const { method = '' } = request.raw
    this.#parts.meter?.answered(surface.name, method, 'none', reply.raw.statusCode, 0)
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

/** The native API has `/v1`, operations and documents; all other paths are v2's. */
function surfaceOf(path: string): Surface {
  return /^\/(v1|openapi|docs|healthz|readyz|metrics)(\/|$)/.test(path) ? nativeSurface : v2Surface
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

/** Short, and different from those of the run before: a random beginning and a count. */
function requestIds(random: Random): () => string {
  const run = randomId(random, 4)
  let count = 0
  return () => `r-${run}${(count++).toString(36)}`
}

interface UnreadableRequest extends Error {
  readonly code?: string
}

/** Bytes that are no HTTP request. There is no request to answer, only a socket. */
function refuseUnreadable(error: UnreadableRequest, socket: Socket, requestId: () => string): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const status = unreadableStatuses[error.code ?? ''] ?? 400
  const id = requestId()
  const refused = new GatewayError(
    'BAD_REQUEST',
    unreadableReasons[status] ?? 'This is no HTTP request.',
  )
  const body = JSON.stringify(problemOf(refused, status, id))
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: application/problem+json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nEbbgate-Request-Id: ${id}\r\nConnection: close\r\n\r\n${body}`,
  )
}

const unreadableStatuses: Readonly<Record<string, number>> = {
  HPE_HEADER_OVERFLOW: 431,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
}

const unreadableReasons: Readonly<Record<number, string>> = {
  408: 'The head of the request did not arrive in time.',
  431: 'The head of the request takes more than 16 KiB.',
}
