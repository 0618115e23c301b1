/** The connection to a gateway: one socket at a time, made again after every break. */
import { afterClose, retryHint } from './close-table.ts'
import { Backoff } from './backoff.ts'
import type { ServerMessage } from './messages.ts'
import { EbbgateError, readServerMessage } from './messages.ts'
import type { SubscribeOptions, SubscriptionHost } from './subscription.ts'
import { ClientSubscription } from './subscription.ts'

/**
 * `connecting`: a socket is being opened and has not been welcomed. `open`: welcomed.
 * `waiting`: broken, until its moment to try again. `holding`: closed on purpose, because the
 * application has more records than it takes. `closed`: for good.
 */
export type ClientState = 'connecting' | 'open' | 'waiting' | 'holding' | 'closed'

export interface ConnectOptions {
  /** Of the gateway (`http://host:8082`), or of the socket itself (`ws://host/v1/ws`). */
  readonly url: string
  readonly onState?: (state: ClientState) => void
  /** Default: the global one. */
  readonly WebSocket?: typeof WebSocket
}

const subprotocol = 'ebbgate.v1.json'
/** Opening a socket and being welcomed takes at most this long, ms. */
const connectTimeoutMs = 10_000
/** A heartbeat this many times overdue means that the peer is gone. */
const silenceFactor = 2.2
/** Shorter connections count as failures whatever the close code says, ms. */
const shortMs = 1_000

/** Connects at once and keeps connecting. */
export function connect(options: ConnectOptions): Client {
  return new Client(options)
}

export class Client implements SubscriptionHost {
  readonly #url: string
  readonly #options: ConnectOptions
  readonly #backoff = new Backoff()
  readonly #subscriptions = new Map<string, ClientSubscription>()
  /** Subscribe commands that were sent and not answered yet, by id. */
  readonly #asked = new Map<number, ClientSubscription>()
  readonly #feeds = new Map<string, ClientSubscription>()
  /** Subscribe commands that the gateway could not do just now. */
  readonly #retries = new Set<ReturnType<typeof setTimeout>>()
  #state: ClientState = 'connecting'
  #socket: WebSocket | undefined
  #timer: ReturnType<typeof setTimeout> | undefined
  #openedMs = 0
  #heartbeatMs = 15_000
  #heardMs = 0
  #probed = false
  #ids = 0
  #subs = 0
  #tooBig = false
  #onClosed: (() => void)[] = []

  constructor(options: ConnectOptions) {
    this.#options = options
    this.#url = socketUrl(options.url)
    this.#connect()
  }

  get state(): ClientState {
    return this.#state
  }

  /** Begins a subscription; it goes on over all sockets to come until it ends or is closed. */
  subscribe(options: SubscribeOptions): ClientSubscription {
    const subscription = new ClientSubscription(this, `s${++this.#subs}`, options)
    if (this.#state === 'closed') {
      subscription.finish(new EbbgateError('CLOSED', 'The client is closed.'))
      return subscription
    }
    this.#subscriptions.set(subscription.sub, subscription)
    if (this.#state === 'open') this.#ask(subscription)
    return subscription
  }

  /** Ends all subscriptions and closes the socket. Resolves once the socket is gone. */
  close(): Promise<void> {
    const socket = this.#socket
    this.#stop()
    if (socket === undefined || socket.readyState === 3) return Promise.resolve()
    return new Promise((resolve) => {
      // A peer that does not answer the close must not keep us.
      const patience = setTimeout(resolve, shortMs)
      this.#onClosed.push(() => {
        clearTimeout(patience)
        resolve()
      })
    })
  }

  left(subscription: ClientSubscription): void {
    this.#subscriptions.delete(subscription.sub)
    for (const [feed, owner] of this.#feeds) if (owner === subscription) this.#feeds.delete(feed)
    if (this.#state === 'open') {
      this.#send({ type: 'unsubscribe', id: ++this.#ids, sub: subscription.sub })
    }
    this.pressureChanged()
  }

  pressureChanged(): void {
    const all = [...this.#subscriptions.values()]
    if (this.#state === 'open' && all.some(({ isFull }) => isFull)) {
      this.#drop(1000)
      this.#enter('holding')
    } else if (this.#state === 'holding' && all.every(({ hasRoom }) => hasRoom)) {
      this.#connect()
    }
  }

  mustResume(why: string): void {
    if (this.#state !== 'open') return
    this.#drop(4000, why)
    this.#retryIn(this.#backoff.next())
  }

  #connect(): void {
    this.#enter('connecting')
    this.#openedMs = Date.now()
    const SocketClass = this.#options.WebSocket ?? WebSocket
    const socket = new SocketClass(this.#url, [subprotocol])
    this.#socket = socket
    // Each listener asks whether its socket is still the one: what an old one says is past.
    socket.onmessage = ({ data }) => {
      if (this.#socket === socket) this.#onMessage(data)
    }
    socket.onclose = ({ code, reason }) => {
      for (const tell of this.#onClosed.splice(0)) tell()
      if (this.#socket === socket) this.#onClose(code, reason)
    }
    // The close that follows says more than the error does.
    socket.onerror = () => undefined
    this.#later(connectTimeoutMs, () => {
      this.#drop()
      this.#retryIn(this.#backoff.next())
    })
  }

  #onMessage(data: unknown): void {
    this.#heardMs = Date.now()
    this.#probed = false
    const message = readServerMessage(data)
    if (message === undefined) return
    if (message.type === 'welcome') {
      this.#heartbeatMs = message.heartbeatMs
      this.#enter('open')
      this.#watch()
      for (const subscription of this.#subscriptions.values()) this.#ask(subscription)
    } else if (this.#state === 'open') {
      this.#onPush(message)
    }
  }

  #onPush(message: ServerMessage): void {
    switch (message.type) {
      case 'records':
        this.#feeds.get(message.feed)?.records(message)
        return
      case 'ok': {
        const subscription = this.#asked.get(message.id)
        this.#asked.delete(message.id)
        if (subscription === undefined || subscription.over) return
        subscription.accepted(message.position ?? '', message.until)
        for (const feed of Object.values(message.feeds ?? {})) this.#feeds.set(feed, subscription)
        return
      }
      case 'error':
        this.#onError(message)
        return
      case 'live':
        this.#subscriptions.get(message.sub)?.live(message.position)
        return
      case 'gap':
        this.#subscriptions.get(message.sub)?.gap(message)
        return
      case 'assign': {
        const subscription = this.#subscriptions.get(message.sub)
        if (subscription === undefined) return
        subscription.assigned(message.position)
        for (const feed of Object.values(message.feeds)) this.#feeds.set(feed, subscription)
        return
      }
      case 'end':
        this.#onEnd(message)
        return
      default:
      // Heartbeats have done their work by arriving; what is unknown is a later server's.
    }
  }

  #onError(message: Extract<ServerMessage, { type: 'error' }>): void {
    const { id, sub, code, retriable } = message
    const subscription =
      sub === undefined ? this.#asked.get(id ?? -1) : this.#subscriptions.get(sub)
    if (id !== undefined) this.#asked.delete(id)
    if (subscription === undefined || subscription.over) return
    if (retriable) {
      // Of this socket alone: the next one asks for everything as soon as it is welcomed.
      const retry = setTimeout(() => {
        this.#retries.delete(retry)
        if (!subscription.over) this.#ask(subscription)
      }, message.retryAfterMs ?? shortMs)
      this.#retries.add(retry)
      return
    }
    this.#subscriptions.delete(subscription.sub)
    subscription.finish(new EbbgateError(code, message.message))
  }

  #onEnd(message: Extract<ServerMessage, { type: 'end' }>): void {
    const subscription = this.#subscriptions.get(message.sub)
    // After `moved` a close follows; the next connection takes the subscription up again.
    if (subscription === undefined || message.why === 'moved') return
    if (message.topic !== undefined) {
      subscription.topicEnded(message.topic, message.position)
      return
    }
    this.#subscriptions.delete(message.sub)
    subscription.finish()
  }

  #ask(subscription: ClientSubscription): void {
    const id = ++this.#ids
    this.#asked.set(id, subscription)
    this.#send(subscription.command(id))
  }

  #onClose(code: number, reason: string): void {
    const lastedMs = Date.now() - this.#openedMs
    this.#drop()
    this.#backoff.lasted(lastedMs)
    const after = afterClose(code)
    if (after === 'stop' || (after === 'once' && this.#tooBig)) {
      const error = new EbbgateError('CLOSED', `The gateway closed with ${code} ${reason}`.trim())
      this.#stop(error)
      return
    }
    this.#tooBig = after === 'once'
    const hintMs = after === 'hint' ? retryHint(reason) : undefined
    const atOnce = after === 'now' && lastedMs >= shortMs
    this.#retryIn(hintMs ?? (atOnce ? 0 : this.#backoff.next()))
  }

  #retryIn(delayMs: number): void {
    if (this.#state === 'closed') return
    this.#enter('waiting')
    this.#later(delayMs, () => this.#connect())
  }

  /** A server that is heard of no more is left; before that it is asked once. */
  #watch(): void {
    this.#later(this.#heartbeatMs / 2, () => {
      const silentMs = Date.now() - this.#heardMs
      if (silentMs > this.#heartbeatMs * silenceFactor) {
        this.#drop(4000, 'silent')
        this.#retryIn(0)
        return
      }
      if (silentMs > this.#heartbeatMs * 1.2 && !this.#probed) {
        this.#probed = true
        this.#send({ type: 'ping', id: ++this.#ids })
      }
      this.#watch()
    })
  }

  #send(message: Readonly<Record<string, unknown>>): void {
    if (this.#socket?.readyState === 1) this.#socket.send(JSON.stringify(message))
  }

  /** Leaves the current socket, if there is one, and forgets what belonged to it. */
  #drop(code?: number, reason?: string): void {
    clearTimeout(this.#timer)
    const socket = this.#socket
    this.#socket = undefined
    this.#asked.clear()
    this.#feeds.clear()
    for (const retry of this.#retries) clearTimeout(retry)
    this.#retries.clear()
    if (socket !== undefined && socket.readyState < 2) socket.close(code, reason?.slice(0, 60))
  }

  #stop(error?: Error): void {
    if (this.#state === 'closed') return
    this.#drop(1000)
    this.#enter('closed')
    for (const subscription of this.#subscriptions.values()) subscription.finish(error)
    this.#subscriptions.clear()
  }

  #later(delayMs: number, run: () => void): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(run, delayMs)
  }

  #enter(state: ClientState): void {
    if (this.#state === state) return
    this.#state = state
    this.#options.onState?.(state)
  }
}

/** The socket's address, from that of the gateway. */
function socketUrl(text: string): string {
  const url = new URL(text)
  if (url.protocol === 'http:') url.protocol = 'ws:'
  if (url.protocol === 'https:') url.protocol = 'wss:'
  if (!url.pathname.endsWith('/v1/ws')) url.pathname = `${url.pathname.replace(/\/$/, '')}/v1/ws`
  return url.href
}
