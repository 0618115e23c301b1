/**
 * The composed whole. `createGateway` reads like a table of contents: what there is, who gets what, in
 * which order it opens; it closes in reverse. Only this file knows which engine, which session store
 * and which metrics are in use.
 */
import type { OriginRules } from '../access/origin.ts'
import { TopicAdmin } from '../admin/topics.ts'
import { Consumers } from '../consume/consumers.ts'
import { RedisSessionStore } from '../consume/redis-session-store.ts'
import { Reader } from '../consume/reader.ts'
import { SessionKeeper } from '../consume/session-keeper.ts'
import type { SessionStore } from '../consume/session-store.ts'
import { Tail } from '../consume/tail.ts'
import { MemorySessionStore } from '../consume/memory-session-store.ts'
import { directoryLock } from '../engine/embedded/disk/directory-lock.ts'
import { nodeDisk } from '../engine/embedded/disk/node-disk.ts'
import { createEmbeddedEngine } from '../engine/embedded/embedded-engine.ts'
import type { Engine } from '../engine/engine.ts'
import { createHttpServer } from '../http/server.ts'
import type { Clock } from '../kit/clock.ts'
import { systemClock } from '../kit/clock.ts'
import type { Closable } from '../kit/lifecycle.ts'
import { Lifecycle } from '../kit/lifecycle.ts'
import type { Logger } from '../kit/logger.ts'
import { silentLogger } from '../kit/logger.ts'
import type { Random } from '../kit/random.ts'
import { randomId, systemRandom } from '../kit/random.ts'
import { adminTimeoutMs } from '../model/limits.ts'
import { Metrics } from '../metrics/metrics.ts'
import { Producer } from '../produce/producer.ts'
import { registerPush } from '../push/websocket.ts'
import type { ConfigInput } from './config.ts'
import { completeConfig } from './config.ts'
import { Doors } from './doors.ts'
import { Readiness } from './readiness.ts'
import type { GatewayConfig } from './settings.ts'
import { version } from './version.ts'

/** What a gateway takes from outside; each has an answer for production. */
export interface GatewayParts {
  readonly clock?: Clock
  readonly random?: Random
  /** Default: says nothing. */
  readonly logger?: Logger
  /** An engine of one's own behind the same port; `data` is then not used. */
  readonly engine?: Engine
  /**
   * The disk failed under the engine, which has stopped: nothing is acknowledged any more. The
   * process should end, so that the next one recovers what is safe. Default: only the log says so.
   */
  readonly onFatal?: (cause: unknown) => void
}

export interface Gateway {
  /** Base URL; empty before `open()` has begun to listen. */
  readonly url: string
  readonly engine: Engine['kind']
  /** What an acknowledged event has survived. Valid after `open()`. */
  readonly durability: Engine['capabilities']['durability']
  /**
   * Resolves when requests are served. Throws INVALID_CONFIG, LOCKED, and what listening throws
   * (EADDRINUSE …); then call `close()`.
   */
  open(): Promise<void>
  /** Finishes what was promised, within `shutdown.graceMs`. May be called twice. */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** Throws INVALID_CONFIG. Nothing is opened and nothing listens before `open()`. */
export function createGateway(input: ConfigInput = {}, parts: GatewayParts = {}): Gateway {
  const config = completeConfig(input)
  const clock = parts.clock ?? systemClock
  const random = parts.random ?? systemRandom
  const logger = parts.logger ?? silentLogger
  const metrics = new Metrics(clock)
  // A process is another node after each start: its leases of before are for others to take.
  const node = randomId(random, 9)

  const engine = parts.engine ?? embeddedEngine(config, { clock, random, logger, metrics, parts })
  const { log, topics, transactions, groups } = engine
  metrics.set('ebbgate_info', { version, engine: engine.kind, node: process.version }, 1)
  const readiness = new Readiness(() => engine.health())

  const store = sessionStore(config, engine, { clock, random, logger })
  const keeper = new SessionKeeper({
    store,
    groups,
    topics,
    clock,
    random,
    logger,
    node,
    meter: metrics.sessions,
  })
  const consumers = new Consumers({
    store,
    keeper,
    log,
    groups,
    topics,
    clock,
    random,
    meter: metrics.read,
  })
  const producer = new Producer({
    log,
    topics,
    transactions,
    clock,
    random,
    meter: metrics.produce,
  })
  const reader = new Reader({ log, topics, clock, meter: metrics.read })
  const tail = new Tail({ log, topics, clock, logger })

  const origins = originsOf(config)
  const server = createHttpServer({
    clock,
    random,
    logger,
    topics: new TopicAdmin({ topics, log }),
    producer,
    reader,
    consumers,
    facts: () => ({ version, engine: engine.kind, capabilities: engine.capabilities }),
    state: () => readiness.state(),
    metrics: {
      contentType: metrics.contentType,
      text: () => {
        metrics.set('ebbgate_ready', {}, readiness.state().ready ? 1 : 0)
        metrics.set('ebbgate_log_in_flight_bytes', {}, log.pressure.inFlightBytes)
        return metrics.text()
      },
    },
    origins,
    autoCreate: config.topics.autoCreate,
    meter: metrics.http,
  })
  registerPush(server, { reader, tail, clock, random, logger, origins, meter: metrics.push, node })
  const doors = new Doors(server, clock, config.shutdown.graceMs)

  // Closed in reverse: whoever promises stops first, whoever keeps the promise stops last.
  const lifecycle = new Lifecycle()
  lifecycle.add(
    'the metrics',
    closable(() => metrics.close()),
  )
  lifecycle.add('the engine', engine)
  lifecycle.add('the session store', store)
  lifecycle.add('the session keeper', keeper)
  lifecycle.add('the doors', doors)
  lifecycle.add(
    'readiness',
    closable(() => readiness.end()),
  )

  return {
    engine: engine.kind,
    get url() {
      return doors.url
    },
    get durability() {
      return engine.capabilities.durability
    },
    async open() {
      // The doors open first, so that probes and impatient clients are answered during a recovery.
      await doors.open(config.host, config.port)
      await engine.open()
      await store.open()
      await keeper.open()
      readiness.begin()
    },
    close: () => lifecycle.close(),
    [Symbol.asyncDispose]: () => lifecycle.close(),
  }
}

function originsOf({ http, cors }: GatewayConfig): Omit<OriginRules, 'port'> {
  return {
    ...(http.publicUrl === undefined ? {} : { publicUrl: http.publicUrl }),
    allowedHosts: http.allowedHosts,
    corsOrigins: cors.origins,
  }
}

function embeddedEngine(
  config: GatewayConfig,
  { clock, random, logger, metrics, parts }: Toolbox & { metrics: Metrics; parts: GatewayParts },
): Engine {
  return createEmbeddedEngine({
    disk: nodeDisk(config.data),
    lock: directoryLock(config.data, clock),
    clock,
    random,
    logger,
    meter: metrics.engine,
    // Members outlive the process exactly when the sessions do that they belong to.
    members: config.sessions === 'memory' ? 'memory' : 'journal',
    ...(parts.onFatal === undefined ? {} : { onFatal: parts.onFatal }),
  })
}

function sessionStore(
  config: GatewayConfig,
  { topics }: Engine,
  { clock, logger }: Toolbox,
): SessionStore {
  if (config.sessions === 'memory') return new MemorySessionStore({ clock })
  return new RedisSessionStore({
    url: config.sessions.replace(/^unix:\/\//, ''),
    // Gateways that share a Redis are told apart by what they gate.
    namespace: async () => (await topics.cluster({ timeoutMs: adminTimeoutMs })).clusterId,
    logger,
  })
}

interface Toolbox {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

function closable(close: () => void): Closable {
  return {
    close: () => {
      close()
      return Promise.resolve()
    },
  }
}
