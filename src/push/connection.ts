/** One WebSocket: commands in, replies and records out, and whether the peer is still there. */
import type { Socket } from 'node:net'
import type { Gap } from '../consume/gap.ts'
import type { Reader } from '../consume/reader.ts'
import type { PartitionPlace } from '../consume/scope.ts'
import { toPosition } from '../consume/scope.ts'
import type { Clock, Timer } from '../kit/clock.ts'
import type { Logger } from '../kit/logger.ts'
import type { Random } from '../kit/random.ts'
import type { TimingWheel } from '../kit/timing-wheel.ts'
import { errorBody, GatewayError, toGatewayError } from '../model/errors.ts'
import {
  commandsWaitingBytesMax,
  commandsWaitingMax,
  inboundFrameBytesMax,
  stalledSocketMs,
  subscriptionsPerConnectionMax,
  unreadableMessagesMax,
} from '../model/limits.ts'
import { formatPosition } from '../model/position.ts'
import { anonymous } from '../model/principal.ts'
import type { CloseName } from './close-codes.ts'
import { closeAfter, closeCodes } from './close-codes.ts'
import type { RawMessage, SubscribeCommand } from './commands.ts'
import { idOf, parseCommand, readMessage } from './commands.ts'
import type { Feed, Vector } from './feed.ts'
import type { Feeds } from './feeds.ts'
import { messageFrame } from './frames.ts'
import type { PushMeter } from './push-meter.ts'
import { Slots } from './slots.ts'
import { SocketWriter } from './socket-writer.ts'
import { Subscriber } from './subscriber.ts'
import type { SubscriptionHost } from './subscription.ts'
import { Subscription } from './subscription.ts'

/** What a connection uses of a `ws` socket. */
export interface WebSocketLike {
  readonly readyState: number
  on(event: 'message', listener: (data: unknown, isBinary: boolean) => void): unknown
  on(event: 'close', listener: (code: number) => void): unknown
  on(event: 'ping' | 'error', listener: () => void): unknown
  pause(): void
  resume(): void
  ping(): void
  close(code: number, reason: string): void
  terminate(): void
}

export interface ConnectionParts {
  readonly reader: Reader
  readonly feeds: Feeds
  readonly wheel: TimingWheel
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly meter: PushMeter
  /** This gateway's name in `welcome`. */
  readonly node: string
  readonly heartbeatMs: number
  /** The number of subscriptions changed by this much. */
  subscriptionsChanged(this: void, delta: number): void
}

export class Connection implements SubscriptionHost {
  readonly id: string
  readonly #parts: ConnectionParts
  readonly #ws: WebSocketLike
  readonly #socket: Socket
  readonly #writer: SocketWriter
  readonly #subscriptions = new Map<string, Subscription>()
  /** For cursors that read the log. */
  readonly #turns = new Slots(1)
  /** Wakes the one whose turn it is and who waits for room on the socket. */
  #onReady: (() => void) | undefined
  readonly #commands: { readonly message: RawMessage; readonly bytes: number }[] = []
  #commandBytes = 0
  #working = false
  #paused = false
  #unreadable = 0
  #closed = false
  #tick: Timer | undefined
  #inboundBytes: number
  #inboundMs: number
  #takenBytes = -1
  #takenMs = 0

  constructor(parts: ConnectionParts, id: string, ws: WebSocketLike, socket: Socket) {
    this.id = id
    this.#parts = parts
    this.#ws = ws
    this.#socket = socket
    this.#writer = new SocketWriter(socket, ws, () => this.#onDrain())
    this.#inboundBytes = socket.bytesRead
    this.#inboundMs = parts.clock.monotonicMs()
    // In the turn of the upgrade: a listener that comes later misses the first messages.
    ws.on('message', (data, isBinary) => this.#onMessage(data, isBinary))
    ws.on('ping', () => this.#readOnlyIfTaken())
  }

  /** The server speaks first, always. */
  open(): void {
    const { node, heartbeatMs } = this.#parts
    this.send({
      type: 'welcome',
      connection: this.id,
      node,
      heartbeatMs,
      limits: { frame: inboundFrameBytesMax, subscriptions: subscriptionsPerConnectionMax },
    })
    this.#tickLater()
  }

  send(message: Readonly<Record<string, unknown>>): void {
    this.#writer.control(messageFrame(message))
  }

  gapTold(why: Gap['why']): void {
    this.#parts.meter.gap(why)
  }

  over(subscription: Subscription, error?: GatewayError): void {
    this.#forget(subscription)
    if (error !== undefined) this.#closeAfter(error)
  }

  /** Tells every subscription where it stands and closes; the client comes back after `retryMs`. */
  drain(retryMs: number): void {
    for (const subscription of [...this.#subscriptions.values()]) subscription.end('moved')
    this.close('DRAINING', retryMs)
  }

  /** Says good-bye with a code. Nothing follows the Close frame. */
  close(name: CloseName, retryMs?: number): void {
    if (this.#closed) return
    const hint = retryMs === undefined ? '' : ` retry=${retryMs}`
    this.#ws.close(closeCodes[name].code, `${name}${hint}`)
    this.release()
  }

  terminate(): void {
    this.#ws.terminate()
  }

  /** Gives back what the connection holds, once; the socket may still be closing. */
  release(): void {
    if (this.#closed) return
    this.#closed = true
    this.#tick?.cancel()
    this.#commands.length = 0
    for (const subscription of [...this.#subscriptions.values()]) {
      subscription.close()
      this.#forget(subscription)
    }
    this.#onReady?.()
  }

  #onMessage(data: unknown, isBinary: boolean): void {
    if (this.#closed) return
    const text = isBinary ? '' : String(data)
    const message = readMessage(text)
    if (message === undefined) {
      this.#onUnreadable()
      return
    }
    this.#commands.push({ message, bytes: text.length })
    this.#commandBytes += text.length
    void this.#work()
    this.#readOnlyIfTaken()
  }

  #onUnreadable(): void {
    const text = 'A message must be one JSON object in a text frame, with a type.'
    this.send({ type: 'error', ...errorBody(new GatewayError('BAD_REQUEST', text)) })
    if (++this.#unreadable >= unreadableMessagesMax) this.close('BAD_REQUEST')
  }

  /** One command after the other; what fails is answered and never rejects. */
  async #work(): Promise<void> {
    if (this.#working) return
    this.#working = true
    // Replies can be far larger than commands, so for a peer that takes none no more are made.
    while (!this.#writer.crowded) {
      const command = this.#commands.shift()
      if (command === undefined) break
      this.#commandBytes -= command.bytes
      await this.#handle(command.message)
      this.#readOnlyIfTaken()
    }
    this.#working = false
  }

  async #handle(message: RawMessage): Promise<void> {
    try {
      const command = parseCommand(message)
      switch (command.type) {
        case 'ping':
          this.send({ type: 'ok', id: command.id, time: this.#parts.clock.wallMs() })
          return
        case 'unsubscribe':
          this.#unsubscribe(command.id, command.sub)
          return
        case 'subscribe':
          await this.#subscribe(command)
      }
    } catch (cause) {
      this.#refuse(idOf(message), toGatewayError(cause))
    }
  }

  #refuse(id: number | undefined, error: GatewayError): void {
    this.send({ type: 'error', ...(id === undefined ? {} : { id }), ...errorBody(error) })
    this.#closeAfter(error)
  }

  /** Some errors end the connection, and bugs are logged. */
  #closeAfter(error: GatewayError): void {
    if (error.code === 'INTERNAL') {
      this.#parts.logger.error({ err: error, connection: this.id }, 'A connection failed.')
    }
    const close = closeAfter(error.code)
    if (close !== undefined) this.close(close)
  }

  async #subscribe(command: SubscribeCommand): Promise<void> {
    const { sub, partitions, onGap } = command
    if (this.#subscriptions.has(sub)) {
      throw new GatewayError('ALREADY_SUBSCRIBED', `'${sub}' is a subscription already.`)
    }
    if (this.#subscriptions.size >= subscriptionsPerConnectionMax) {
      throw new GatewayError(
        'TOO_MANY_SUBSCRIPTIONS',
        `A connection holds ${subscriptionsPerConnectionMax} subscriptions; open another one.`,
      )
    }
    const start = await this.#parts.reader.begin(anonymous, {
      topics: command.topics.map((topic) =>
        partitions === undefined ? { topic } : { topic, partitions },
      ),
      from: command.from,
      onGap,
      ...(command.until === undefined ? {} : { until: command.until }),
    })
    const feeds: Feed[] = []
    try {
      for (const scope of start.scopes) {
        feeds.push(await this.#parts.feeds.join(scope, command.format))
      }
      this.#refuseTwice(feeds)
    } catch (error) {
      for (const feed of feeds) this.#parts.feeds.leave(feed)
      throw error
    }
    const subscription = new Subscription(this, sub, onGap)
    const subscribers = feeds.map((feed) => {
      const until = start.untils === undefined ? undefined : vectorOf(start.untils, feed)
      const vector = vectorOf(start.places, feed)
      // Partitions that the feed took up while this subscription was being made.
      if (until === undefined) {
        for (const partition of feed.partitions) {
          if (!vector.has(partition)) vector.set(partition, 0)
        }
      }
      return new Subscriber(this.#subscriberParts, subscription, feed, vector, until)
    })
    if (this.#closed) {
      for (const feed of feeds) this.#parts.feeds.leave(feed)
      return
    }
    this.#subscriptions.set(sub, subscription)
    this.#parts.subscriptionsChanged(1)
    this.send({
      type: 'ok',
      id: command.id,
      sub,
      feeds: Object.fromEntries(feeds.map((feed) => [feed.topic, feed.id])),
      position: formatPosition(toPosition(start.places)),
      ...(start.untils === undefined ? {} : { until: formatPosition(toPosition(start.untils)) }),
    })
    subscription.open(subscribers, start.gaps)
  }

  /** Frames name their feed and no subscription, so a feed belongs to one subscription only. */
  #refuseTwice(feeds: readonly Feed[]): void {
    const wanted = new Set(feeds)
    for (const { sub, subscribers } of this.#subscriptions.values()) {
      for (const { feed } of subscribers) {
        if (!wanted.has(feed)) continue
        throw new GatewayError(
          'ALREADY_SUBSCRIBED',
          `'${sub}' reads topic '${feed.topic}' in this way already.`,
        )
      }
    }
  }

  #unsubscribe(id: number, sub: string): void {
    const subscription = this.#subscriptions.get(sub)
    if (subscription === undefined) {
      throw new GatewayError(
        'UNKNOWN_SUBSCRIPTION',
        `There is no subscription '${sub}' on this connection.`,
      )
    }
    subscription.close()
    const position = subscription.position()
    this.#forget(subscription)
    this.send({ type: 'ok', id, position })
  }

  #forget(subscription: Subscription): void {
    if (!this.#subscriptions.delete(subscription.sub)) return
    this.#parts.subscriptionsChanged(-1)
    for (const { feed } of subscription.allSubscribers) this.#parts.feeds.leave(feed)
  }

  get #subscriberParts(): ConstructorParameters<typeof Subscriber>[0] {
    const { feeds, reader, clock, meter } = this.#parts
    return {
      feeds,
      reader,
      clock,
      writer: this.#writer,
      turn: (step) => this.#turns.run(step),
      whenReady: (signal) => this.#whenReady(signal),
      delivered: (records, bytes) => meter.delivered(records, bytes),
    }
  }

  /** Whoever catches up waits here in its turn, behind those that live off the ring. */
  async #whenReady(signal: AbortSignal): Promise<boolean> {
    while (!this.#writer.ready) {
      if (signal.aborted || this.#closed) return false
      await new Promise<void>((resolve) => {
        // A slow socket is waited for many times, so the listener goes with each wait.
        const wake = (): void => {
          signal.removeEventListener('abort', wake)
          resolve()
        }
        this.#onReady = wake
        signal.addEventListener('abort', wake, { once: true })
      })
    }
    return !signal.aborted
  }

  #onDrain(): void {
    for (const subscription of [...this.#subscriptions.values()]) subscription.pump()
    this.#onReady?.()
    void this.#work()
    this.#readOnlyIfTaken()
  }

  /** Who sends commands faster than they are done, or takes no replies, is not read for a while. */
  #readOnlyIfTaken(): void {
    if (this.#closed) return
    const full =
      this.#commands.length > commandsWaitingMax ||
      this.#commandBytes > commandsWaitingBytesMax ||
      this.#writer.crowded
    if (full === this.#paused) return
    this.#paused = full
    if (full) this.#ws.pause()
    else this.#ws.resume()
  }

  #tickLater(): void {
    // Jittered, so that ten thousand pings do not fall into one turn.
    const delayMs = (this.#parts.heartbeatMs / 2) * (0.9 + 0.1 * this.#parts.random.unit())
    this.#tick = this.#parts.wheel.after(delayMs, () => this.#onTick())
  }

  #onTick(): void {
    if (this.#closed) return
    const nowMs = this.#parts.clock.monotonicMs()
    if (this.#isDead(nowMs)) {
      this.close('PEER_TIMEOUT')
      return
    }
    this.#ws.ping()
    if (!this.#writer.blocked) this.#heartbeat(nowMs)
    this.#tickLater()
  }

  /**
   * Only inbound bytes prove a peer: what is written to a dead one vanishes in the kernel's buffer. A
   * peer with a full socket cannot answer the ping behind it; there every byte that is taken is proof.
   */
  #isDead(nowMs: number): boolean {
    const { bytesRead, bytesWritten } = this.#socket
    if (bytesRead !== this.#inboundBytes) {
      this.#inboundBytes = bytesRead
      this.#inboundMs = nowMs
    }
    if (!this.#writer.blocked && !this.#paused) {
      this.#takenBytes = -1
      return nowMs - this.#inboundMs >= this.#parts.heartbeatMs * 2
    }
    // Silence counts anew from where the socket takes data again.
    this.#inboundMs = nowMs
    const taken = bytesWritten - this.#writer.unsentBytes
    if (taken !== this.#takenBytes) {
      this.#takenBytes = taken
      this.#takenMs = nowMs
    }
    return nowMs - this.#takenMs >= stalledSocketMs
  }

  /** For subscriptions that would be silent for too long before the next look. */
  #heartbeat(nowMs: number): void {
    // Names that clients choose do not become members by assignment: `__proto__` would not.
    const position = new Map<string, string>()
    const lag = new Map<string, number>()
    for (const subscription of this.#subscriptions.values()) {
      const silentMs = nowMs - Math.max(subscription.sentMs, subscription.heartbeatMs)
      if (silentMs < this.#parts.heartbeatMs * 0.55) continue
      subscription.heartbeatMs = nowMs
      position.set(subscription.sub, subscription.position())
      lag.set(subscription.sub, subscription.lag())
    }
    if (position.size === 0) return
    this.send({
      type: 'heartbeat',
      time: this.#parts.clock.wallMs(),
      position: Object.fromEntries(position),
      lag: Object.fromEntries(lag),
    })
  }
}

/** The places of one feed's topic. */
function vectorOf(places: readonly PartitionPlace[], feed: Feed): Vector {
  const own = places.filter(({ epoch }) => epoch === feed.epoch)
  return new Map(own.map(({ tp, offset }) => [tp.partition, offset]))
}
