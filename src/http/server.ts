/**
 * The REST door: one Fastify server with the native, v2 and v3 contracts, operations and documents.
 * Every request passes one gate (Host and Origin, readiness) and every answer, refusals included,
 * carries its request id and the body that its surface promises.
 */
import type { IncomingMessage, ServerOptions, ServerResponse } from 'node:http'
import fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import type { OriginRules } from '../access/origin.ts'
import { TrustedProxies } from '../access/trusted-proxies.ts'
import type { BackupAdmin } from '../admin/backups.ts'
import type { ClusterAdmin } from '../admin/cluster.ts'
import type { GroupAdmin } from '../admin/groups.ts'
import type { TopicAdmin } from '../admin/topics.ts'
import type { Consumers } from '../consume/consumers.ts'
import type { Sessions } from '../consume/sessions.ts'
import type { Reader } from '../consume/reader.ts'
import type { Clock } from '../kit/clock.ts'
import type { Logger } from '../kit/logger.ts'
import type { Random } from '../kit/random.ts'
import { randomId } from '../kit/random.ts'
import { GatewayError } from '../model/errors.ts'
import {
  answerBytesInFlightMax,
  bodyBytesInFlightMax,
  bodyBytesMax,
  waitMsMax,
} from '../model/limits.ts'
import { anonymous } from '../model/principal.ts'
import type { Producer } from '../produce/producer.ts'
import type { OneShotWriter } from '../produce/transaction.ts'
import type { HttpMeter, RouterParts } from './contract-router.ts'
import { bindContract, silentHttpMeter, withPlainColon } from './contract-router.ts'
import type { Documents } from './documents.ts'
import { loadDocuments } from './documents.ts'
import { AnswersInFlight } from './exchange/answers-in-flight.ts'
import { BaseUrls } from './exchange/base-url.ts'
import { WaitingCalls } from './exchange/waiting-calls.ts'
import { Gate } from './gate.ts'
import { nativeSurface } from './native/errors.ts'
import { nativeHandlers } from './native/handlers.ts'
import type { GatewayFacts } from './native/root.ts'
import type { GatewayState, MetricsPage } from './ops.ts'
import { registerOps } from './ops.ts'
import type { BodyLimits } from './request-body.ts'
import { RequestBodies } from './request-body.ts'
import { refuseUnreadable } from './unreadable.ts'
import type { DialectName } from './v2/dialects.ts'
import { dialects } from './v2/dialects.ts'
import { v2Surface } from './v2/errors.ts'
import { v2Handlers } from './v2/handlers.ts'
import { v3Surface } from './v3/errors.ts'
import { v3Handlers } from './v3/handlers.ts'

export interface HttpServerParts {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly topics: TopicAdmin
  readonly cluster: ClusterAdmin
  readonly backups: BackupAdmin
  readonly groups: GroupAdmin
  readonly producer: Producer
  readonly writer: OneShotWriter
  readonly reader: Reader
  readonly consumers: Consumers
  readonly sessions: Sessions
  /** Of the engine and the program; asked once the gateway is ready. */
  readonly facts: () => GatewayFacts
  /** Asked by every request, so it should cost nothing. Not ready: 503 but for the ops routes. */
  readonly state: () => GatewayState
  readonly metrics: MetricsPage
  /** The port is the one the server listens on. */
  readonly origins: Omit<OriginRules, 'port'>
  /** Addresses and networks of proxies whose `Forwarded` counts. Default: none. */
  readonly trustedProxies?: readonly string[]
  /** Surfaces on which a produce to a missing topic makes it. */
  readonly autoCreate: 'compat' | 'all' | 'none'
  readonly meter?: HttpMeter
  /** How v2 is spoken here. Default: as Confluent's proxy does. */
  readonly dialect?: DialectName
  /** Shared by all listeners of one process. Default: budgets of its own. */
  readonly budgets?: HttpBudgets
  /** Default: those of the model. */
  readonly bodyLimits?: BodyLimits
  /** Of answers that clients have not taken yet. Default: that of the model. */
  readonly answerBytesMax?: number
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

/** What bodies and answers may hold in memory at one time. */
export interface HttpBudgets {
  readonly bodies: RequestBodies
  readonly answers: AnswersInFlight
}

export function httpBudgets(
  parts: Pick<HttpServerParts, 'clock' | 'bodyLimits' | 'answerBytesMax'>,
): HttpBudgets {
  return {
    bodies: new RequestBodies(parts.bodyLimits ?? bodyLimitsDefault, parts.clock),
    answers: new AnswersInFlight(parts.answerBytesMax ?? answerBytesInFlightMax),
  }
}

/** `shouldUpgradeCallback` is younger than the type definitions of our lowest Node version. */
const httpOptions: ServerOptions & {
  readonly shouldUpgradeCallback: (request: IncomingMessage) => boolean
} = {
  headersTimeout: headMs,
  // The gate asks for it, so that the refusal has the body and the id of all others.
  requireHostHeader: false,
  // Java's HttpClient asks for h2c with every POST; only WebSockets may leave HTTP/1.1.
  // Whoever registers the push door says so; a server without it answers every request as it is.
  shouldUpgradeCallback: () => false,
}

/**
 * Builds the server; it neither listens nor opens anything. Throws when a contract and its handlers
 * do not match. Push routes are registered on what it returns, behind the same gate.
 */
export function createHttpServer(parts: HttpServerParts): FastifyInstance {
  const documents = parts.documents ?? loadDocuments()
  const { bodies, answers } = parts.budgets ?? httpBudgets(parts)
  const meter = parts.meter ?? silentHttpMeter
  const dialect = dialects[parts.dialect ?? 'confluent']
  const v2 = v2Surface(dialect)
  const gate = new Gate({ ...parts, bodies, meter, v2 })
  const nextId = requestIds(parts.random)
  const server = fastify({
    // Ids of ours, never a client's: the log is searched by them.
    genReqId: nextId,
    requestIdHeader: false,
    // JAX-RS, on which v2 clients grew up, takes a slash at the end; so do people.
    routerOptions: {
      maxParamLength: 1024,
      ignoreTrailingSlash: true,
      ignoreDuplicateSlashes: dialect.doubleSlashes,
    },
    // Our own gate answers while the gateway closes, in the surface's own words.
    return503OnClosing: false,
    requestTimeout: 0,
    connectionTimeout: idleConnectionMs,
    keepAliveTimeout: keepAliveMs,
    http: httpOptions,
    rewriteUrl: ({ url = '/' }) => withPlainColon(url),
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
  // RFC 9110 §10.1.1 lets us go on; the body does no harm to a client that expects what we do not know.
  server.server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
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
    meter,
    bodies,
    waiting,
    bases: new BaseUrls(parts.origins.publicUrl, new TrustedProxies(parts.trustedProxies ?? [])),
    authenticate: () => anonymous,
  }
  registerOps(server, { ...parts, documents })
  const surfaces = { ...parts, answers, dialect }
  bindContract(server, documents.native, nativeHandlers(surfaces), nativeSurface, router)
  bindContract(server, documents.v2, v2Handlers(surfaces), v2, router)
  bindContract(server, documents.v3, v3Handlers(surfaces), v3Surface, router)
  gate.learnRoutes([documents.native, documents.v2, documents.v3])
  server.addHook('preClose', (done) => {
    waiting.drain()
    done()
  })
  return server
}

/** Short, and different from those of the run before: a random beginning and a count. */
function requestIds(random: Random): () => string {
  const run = randomId(random, 4)
  let count = 0
  return () => `r-${run}${(count++).toString(36)}`
}
