/** The WebSocket endpoint: everything is decided before the 101, as an ordinary HTTP answer. */
import type { IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import fastifyWebsocket from '@fastify/websocket'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { OriginRules } from '../access/origin.ts'
import { checkOrigin } from '../access/origin.ts'
import type { Reader } from '../consume/reader.ts'
import type { Tail } from '../consume/tail.ts'
import type { Clock } from '../kit/clock.ts'
import type { Closable } from '../kit/lifecycle.ts'
import type { Logger } from '../kit/logger.ts'
import type { Random } from '../kit/random.ts'
import { randomId } from '../kit/random.ts'
import { TimingWheel } from '../kit/timing-wheel.ts'
import { GatewayError } from '../model/errors.ts'
import {
  heartbeatMsDefault,
  inboundFrameBytesMax,
  pushCloseMs,
  pushConnectionsMax,
} from '../model/limits.ts'
import type { ConnectionParts, WebSocketLike } from './connection.ts'
import { Connection } from './connection.ts'
import { Feeds } from './feeds.ts'
import type { PushMeter } from './push-meter.ts'
import { silentPushMeter } from './push-meter.ts'

export interface PushParts {
  readonly reader: Reader
  readonly tail: Tail
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  /** Who may open a socket; the port is the one the server listens on. */
  readonly origins: Omit<OriginRules, 'port'>
  readonly meter?: PushMeter
  /** This gateway's name in `welcome`. Default: a random one. */
  readonly node?: string
  /** Default: `heartbeatMsDefault`. */
  readonly heartbeatMs?: number
  /** Default: `pushConnectionsMax`. */
  readonly connectionsMax?: number
  /** Bytes of all rings together. Default: the limit of this name. */
  readonly ringsBytesMax?: number
}

/** Open sockets, until they are closed. */
export interface PushDoor extends Closable {
  /**
   * Closes every socket with 4503 and a moment to come back, each its own, and refuses new ones.
   * Resolves when all are gone, at most `pushCloseMs` later. Twice does nothing more.
   */
  drain(): Promise<void>
}

export const pushPath = '/v1/ws'
const subprotocol = 'ebbgate.v1.json'
/** The peer has this long to answer our Close frame, ms. */
const closeTimeoutMs = 5_000
/** A client comes back after something between these, ms, so that not all come at once. */
const retryMsMin = 500
const retryMsMax = 10_000

/**
 * Adds `/v1/ws` to a server. Refusals are thrown as GatewayError and answered by the server's error
 * handler. The sockets drain when the server closes, before it stops listening to them.
 */
export function registerPush(server: FastifyInstance, parts: PushParts): PushDoor {
  const door = new Door(parts)
  // Without this, every request that asks for any upgrade would lose its body to the listener below:
  // Java's HttpClient and `curl --http2` offer h2c with each POST.
  Object.assign(server.server, { shouldUpgradeCallback: isSocketUpgrade })
  // Once an upgrade is offered, nobody reads the socket any more: if it is answered and not taken up,
  // by whatever hook or handler, the socket would stay half-open for good, and `close` wait for it.
  server.addHook('onResponse', ({ raw }, _reply, done) => {
    if (isSocketUpgrade(raw)) raw.socket.destroySoon()
    done()
  })
  void server.register(async (scope) => {
    await scope.register(fastifyWebsocket, {
      options: {
        maxPayload: inboundFrameBytesMax,
        clientTracking: false,
        perMessageDeflate: false,
        // The first one offered would be echoed otherwise, and that may be a bearer with its token.
        handleProtocols: (offered) => (offered.has(subprotocol) ? subprotocol : false),
        ...{ closeTimeout: closeTimeoutMs },
      },
      // The default closes clients without a code.
      preClose: (done) => {
        door.close().then(() => done(), done)
      },
      // A socket that fails says so in its `close`, too.
      errorHandler: () => undefined,
    })
    scope.route({
      method: 'GET',
      url: pushPath,
      preValidation: (request, _reply, done) => done(door.refusal(request)),
      handler: () => {
        throw new GatewayError(
          'BAD_REQUEST',
          `${pushPath} speaks WebSocket: connect with 'Upgrade: websocket', for example with wscat.`,
        )
      },
      wsHandler: (ws, request) => door.open(ws, request),
    })
  })
  return door
}

/** Only WebSockets for our own path leave HTTP; any other offer to upgrade is ignored. */
function isSocketUpgrade({ headers, url }: IncomingMessage): boolean {
  return headers.upgrade?.toLowerCase() === 'websocket' && url?.split('?', 1)[0] === pushPath
}

class Door implements PushDoor {
  readonly #parts: PushParts
  readonly #meter: PushMeter
  readonly #feeds: Feeds
  readonly #wheel: TimingWheel
  readonly #connectionParts: ConnectionParts
  readonly #connections = new Set<Connection>()
  readonly #run: string
  #opened = 0
  #subscriptions = 0
  #onEmpty: (() => void) | undefined
  #draining: Promise<void> | undefined

  constructor(parts: PushParts) {
    const { reader, tail, clock, random, logger } = parts
    const heartbeatMs = parts.heartbeatMs ?? heartbeatMsDefault
    this.#parts = parts
    this.#meter = parts.meter ?? silentPushMeter
    this.#feeds = new Feeds({
      reader,
      tail,
      clock,
      logger,
      meter: this.#meter,
      ...(parts.ringsBytesMax === undefined ? {} : { ringsBytesMax: parts.ringsBytesMax }),
    })
    // Pings come every half heartbeat; a twentieth of that is near enough.
    this.#wheel = new TimingWheel(clock, { tickMs: Math.max(5, heartbeatMs / 40), slots: 64 })
    this.#run = randomId(random, 4)
    this.#connectionParts = {
      reader,
      feeds: this.#feeds,
      wheel: this.#wheel,
      clock,
      random,
      logger,
      meter: this.#meter,
      node: parts.node ?? `gw-${this.#run}`,
      heartbeatMs,
      subscriptionsChanged: (delta) => {
        this.#subscriptions += delta
        this.#meter.subscriptions(this.#subscriptions)
      },
    }
  }

  /** Why this request gets no socket, if it does not. */
  refusal(request: FastifyRequest): GatewayError | undefined {
    const error = this.#foreign(request) ?? unusableProtocol(request) ?? this.#noRoom()
    if (error !== undefined) this.#meter.refused(error.code)
    return error
  }

  open(ws: WebSocketLike, request: FastifyRequest): void {
    const id = `c-${this.#run}${(++this.#opened).toString(36)}`
    const connection = new Connection(this.#connectionParts, id, ws, request.raw.socket)
    this.#connections.add(connection)
    this.#meter.connections(this.#connections.size)
    ws.on('close', (code) => {
      connection.release()
      this.#connections.delete(connection)
      this.#meter.connections(this.#connections.size)
      this.#meter.closed(code)
      if (this.#connections.size === 0) this.#onEmpty?.()
    })
    connection.open()
    // The drain may have begun while this socket was between its check and the 101.
    if (this.#draining !== undefined) connection.drain(this.#retryMs())
  }

  drain(): Promise<void> {
    this.#draining ??= this.#drainAll()
    return this.#draining
  }

  async close(): Promise<void> {
    await this.drain()
    this.#wheel.close()
    this.#feeds.close()
  }

  async #drainAll(): Promise<void> {
    for (const connection of [...this.#connections]) connection.drain(this.#retryMs())
    if (this.#connections.size === 0) return
    await new Promise<void>((resolve) => {
      const timer = this.#parts.clock.after(pushCloseMs, resolve)
      this.#onEmpty = () => {
        timer.cancel()
        resolve()
      }
    })
    // Their Close frame is behind data that they do not take.
    for (const connection of [...this.#connections]) connection.terminate()
  }

  #retryMs(): number {
    return Math.round(retryMsMin + this.#parts.random.unit() * (retryMsMax - retryMsMin))
  }

  #foreign(request: FastifyRequest): GatewayError | undefined {
    const { origin, host, 'sec-fetch-site': secFetchSite } = request.headers
    const address = request.server.server.address() as AddressInfo | null
    return checkOrigin(
      { ...this.#parts.origins, port: address?.port ?? 0 },
      {
        origin,
        host,
        secFetchSite: typeof secFetchSite === 'string' ? secFetchSite : undefined,
        // No credential is checked yet, so none proves that a browser did not send the request.
        credential: 'none',
      },
    )
  }

  #noRoom(): GatewayError | undefined {
    if (this.#draining !== undefined) {
      return new GatewayError('UNAVAILABLE', 'The gateway is stopping.')
    }
    const max = this.#parts.connectionsMax ?? pushConnectionsMax
    if (this.#connections.size < max) return undefined
    return new GatewayError('OVERLOADED', `This node holds ${max} WebSockets, which is its most.`)
  }
}

/** Clients fail by themselves when they offered something and nothing is echoed, so that is refused. */
function unusableProtocol({ headers }: FastifyRequest): GatewayError | undefined {
  const header = headers['sec-websocket-protocol']
  if (header === undefined) return undefined
  const offered = header.split(',').map((name) => name.trim())
  if (offered.includes(subprotocol)) return undefined
  return new GatewayError(
    'BAD_REQUEST',
    `None of the ${offered.length} subprotocols offered is spoken here; offer '${subprotocol}'.`,
  )
}
