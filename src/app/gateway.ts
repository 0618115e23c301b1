/**
 * The composed whole. `createGateway` reads like a table of contents: what there is, who gets what, in
 * which order it opens; it closes in reverse. Only this file knows which engine, which session store
 * and which metrics are in use.
 */
import type { OriginRules } from '../access/origin.ts'
import { BackupAdmin } from '../admin/backups.ts'
import { ClusterAdmin } from '../admin/cluster.ts'
import { reportGroups } from '../admin/group-report.ts'
import { GroupAdmin } from '../admin/groups.ts'
import { TopicAdmin } from '../admin/topics.ts'
import { Consumers } from '../consume/consumers.ts'
import { RedisSessionStore } from '../consume/redis-session-store.ts'
import { Reader } from '../consume/reader.ts'
import { Sessions } from '../consume/sessions.ts'
import { SessionKeeper } from '../consume/session-keeper.ts'
import type { SessionStore } from '../consume/session-store.ts'
import { Tail } from '../consume/tail.ts'
import { MemorySessionStore } from '../consume/memory-session-store.ts'
import { directoryLock } from '../engine/embedded/disk/directory-lock.ts'
import { nodeBackupPlace } from '../engine/embedded/disk/node-backup-place.ts'
import { nodeDisk } from '../engine/embedded/disk/node-disk.ts'
import { createEmbeddedEngine } from '../engine/embedded/embedded-engine.ts'
import type { Engine } from '../engine/engine.ts'
import type { Topics } from '../engine/topics.ts'
import type { MetricsPage } from '../http/ops.ts'
import type { HttpServerParts } from '../http/server.ts'
import { createHttpServer, httpBudgets } from '../http/server.ts'
import type { Clock } from '../kit/clock.ts'
import { systemClock } from '../kit/clock.ts'
import { Lifecycle } from '../kit/lifecycle.ts'
import type { Logger } from '../kit/logger.ts'
import { silentLogger } from '../kit/logger.ts'
import type { Random } from '../kit/random.ts'
import { randomId, systemRandom } from '../kit/random.ts'
import { adminTimeoutMs } from '../model/limits.ts'
import { Metrics } from '../metrics/metrics.ts'
import { Producer } from '../produce/producer.ts'
import { OneShotWriter } from '../produce/transaction.ts'
import { registerPush } from '../push/websocket.ts'
import type { ConfigInput } from './config.ts'
import { completeConfig, isLoopback } from './config.ts'
import { Doors } from './doors.ts'
import { listenersOf } from './listeners.ts'
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
  const { clock = systemClock, random = systemRandom, logger = silentLogger } = parts
  const tools: Tools = { clock, random, logger }
  const metrics = new Metrics(clock)
  // A process is another node after each start: its leases of before are for others to take.
  const node = randomId(random, 9)

  const engine = parts.engine ?? embeddedEngine(config, tools, metrics, parts.onFatal)
  const { log, topics, transactions, groups } = engine

  const store = sessionStore(config, topics, tools)
  const readiness = new Readiness(
    () => engine.health(),
    () => store.reachable,
  )
  const keeper = new SessionKeeper({
    ...tools,
    store,
    groups,
    topics,
    node,
    meter: metrics.sessions,
  })
  const reading = { ...tools, store, keeper, log, groups, topics, meter: metrics.read }
  const consumers = new Consumers(reading)
  const sessions = new Sessions({ ...reading, transactions })
  const writing = { ...tools, log, topics, transactions, meter: metrics.produce }
  const producer = new Producer(writing)
  const writer = new OneShotWriter(writing)
  const reader = new Reader({ log, topics, clock, meter: metrics.read })
  const tail = new Tail({ log, topics, clock, logger })

  const groupAdmin = new GroupAdmin({ groups, topics, log })
  const origins = originsOf(config)
  const httpParts: HttpServerParts = {
    ...tools,
    topics: new TopicAdmin({ topics, log }),
    cluster: new ClusterAdmin({ topics }),
    backups: new BackupAdmin({ backups: engine.backups, isAllowed: mayBackUp(config) }),
    groups: groupAdmin,
    producer,
    writer,
    reader,
    consumers,
    sessions,
    facts: () => ({ version, engine: engine.kind, capabilities: engine.capabilities }),
    state: () => readiness.state(),
    metrics: metricsPage(metrics, engine, readiness, groupAdmin),
    origins,
    trustedProxies: config.http.trustedProxies,
    autoCreate: config.topics.autoCreate,
    meter: metrics.http,
    // What bodies and answers may hold in memory is one budget for all listeners.
    budgets: httpBudgets({ clock }),
  }
  const places = listenersOf(config).map((place) => ({
    ...place,
    server: createHttpServer({ ...httpParts, dialect: place.dialect }),
  }))
  // Sockets are not a matter of dialects: they live at the first door.
  registerPush(places[0]!.server, { ...tools, reader, tail, origins, meter: metrics.push, node })
  const doors = new Doors(places, clock, config.shutdown.graceMs)

  // Closed in reverse: whoever promises stops first, whoever keeps the promise stops last.
  const lifecycle = new Lifecycle()
  lifecycle.add('the metrics', metrics)
  lifecycle.add('the engine', engine)
  lifecycle.add('the session store', store)
  lifecycle.add('the session keeper', keeper)
  lifecycle.add('the doors', doors)

  const open = async (): Promise<void> => {
    // The doors open first, so that probes and impatient clients are answered during a recovery.
    await doors.open()
    await engine.open()
    await store.open()
    await keeper.open()
    readiness.begin()
  }
  let opening: Promise<void> | undefined
  const close = async (): Promise<void> => {
    readiness.end()
    // What is being opened would be left open; why it failed, the caller of `open` has heard.
    await opening?.catch(() => undefined)
    await lifecycle.close()
  }
  return {
    engine: engine.kind,
    get url() {
      return doors.url
    },
    get durability() {
      return engine.capabilities.durability
    },
    open: () => (opening ??= open()),
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** What nearly every part takes. */
interface Tools {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

/**
 * A back-up writes where the caller says. That is the operator on this machine as long as nobody else
 * can reach us; else the operator must have named a root.
 */
function mayBackUp(config: GatewayConfig): boolean {
  const isLocal = listenersOf(config).every(({ host }) => isLoopback(host))
  return config.backup?.root !== undefined || (isLocal && config.http.publicUrl === undefined)
}

function embeddedEngine(
  { data, sessions, recover, backup }: GatewayConfig,
  tools: Tools,
  metrics: Metrics,
  onFatal: GatewayParts['onFatal'],
): Engine {
  return createEmbeddedEngine({
    ...tools,
    disk: nodeDisk(data),
    lock: directoryLock(data, tools.clock),
    meter: metrics.engine,
    backupPlace: (directory) =>
      nodeBackupPlace(directory, {
        data,
        root: backup?.root,
        newId: () => randomId(tools.random, 6),
      }),
    // Members outlive the process exactly when the sessions do that they belong to.
    members: sessions === 'memory' ? 'memory' : 'journal',
    ...(recover === undefined ? {} : { recover }),
    ...(onFatal === undefined ? {} : { onFatal }),
  })
}

function sessionStore({ sessions }: GatewayConfig, topics: Topics, tools: Tools): SessionStore {
  if (sessions === 'memory') return new MemorySessionStore(tools)
  return new RedisSessionStore({
    ...tools,
    url: sessions.replace(/^unix:\/\//, ''),
    // Gateways that share a Redis are told apart by what they gate.
    namespace: async () => (await topics.cluster({ timeoutMs: adminTimeoutMs })).clusterId,
  })
}

function originsOf({ http, cors }: GatewayConfig): Omit<OriginRules, 'port'> {
  return {
    ...(http.publicUrl === undefined ? {} : { publicUrl: http.publicUrl }),
    allowedHosts: http.allowedHosts,
    corsOrigins: cors.origins,
  }
}

/** Some values are not reported as they change but asked for when somebody looks. */
function metricsPage(
  metrics: Metrics,
  engine: Engine,
  readiness: Readiness,
  groups: GroupAdmin,
): MetricsPage {
  metrics.set('ebbgate_info', { version, engine: engine.kind, node: process.version }, 1)
  return {
    contentType: metrics.contentType,
    text: async () => {
      const isReady = readiness.state().ready
      metrics.set('ebbgate_ready', {}, isReady ? 1 : 0)
      // Groups that cannot be asked just now must not cost the rest of the page.
      if (isReady) await reportGroups(groups).then(metrics.groups.told, () => undefined)
      metrics.set('ebbgate_log_in_flight_bytes', {}, engine.log.pressure.inFlightBytes)
      return await metrics.text()
    },
  }
}
