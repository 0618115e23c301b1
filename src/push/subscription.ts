/** What one `subscribe` made: a cursor for each topic, and what the client is told about all of them. */
import type { Gap, OnGap } from '../consume/gap.ts'
import { gapError } from '../consume/gap.ts'
import type { PartitionPlace } from '../consume/scope.ts'
import { toPosition } from '../consume/scope.ts'
import { isGone } from '../consume/tail.ts'
import type { GatewayError } from '../model/errors.ts'
import { errorBody } from '../model/errors.ts'
import { formatPosition } from '../model/position.ts'
import type { Subscriber, SubscriberOwner } from './subscriber.ts'

/** The connection, as a subscription sees it. */
export interface SubscriptionHost {
  send(message: Readonly<Record<string, unknown>>): void
  /** The subscription is over and was told so. */
  over(subscription: Subscription, error?: GatewayError): void
  gapTold(why: Gap['why']): void
}

export type EndReason = 'until' | 'deleted' | 'moved'

export class Subscription implements SubscriberOwner {
  readonly sub: string
  /** When the last heartbeat spoke of it. */
  heartbeatMs = 0
  readonly #host: SubscriptionHost
  readonly #onGap: OnGap
  readonly #subscribers = new Set<Subscriber>()
  /** Cursors that ended before the subscription; their feeds are left with the others. */
  readonly #left = new Set<Subscriber>()
  readonly #behind = new Set<Subscriber>()
  readonly #finished = new Set<Subscriber>()
  #live = false
  #over = false

  constructor(host: SubscriptionHost, sub: string, onGap: OnGap) {
    this.#host = host
    this.sub = sub
    this.#onGap = onGap
  }

  get subscribers(): ReadonlySet<Subscriber> {
    return this.#subscribers
  }

  /** Every cursor there ever was: whoever gives the feeds back needs them all. */
  get allSubscribers(): Subscriber[] {
    return [...this.#subscribers, ...this.#left]
  }

  /** When it last sent records. */
  get sentMs(): number {
    let sentMs = 0
    for (const subscriber of this.#subscribers) sentMs = Math.max(sentMs, subscriber.sentMs)
    return sentMs
  }

  /** Takes the cursors and tells the gaps in front of them; sending begins. */
  open(subscribers: readonly Subscriber[], gaps: readonly Gap[]): void {
    for (const subscriber of subscribers) {
      this.#subscribers.add(subscriber)
      this.#behind.add(subscriber)
    }
    for (const gap of gaps) this.#tellGap(gap)
    for (const subscriber of subscribers) {
      if (!this.#over) subscriber.open()
    }
  }

  /** Where all of it stands. */
  position(): string {
    const places: PartitionPlace[] = []
    for (const subscriber of this.#subscribers) places.push(...subscriber.position())
    return formatPosition(toPosition(places))
  }

  lag(): number {
    let lag = 0
    for (const subscriber of this.#subscribers) lag += subscriber.lag()
    return lag
  }

  /** Sends what the socket takes, for those that live off rings. */
  pump(): void {
    for (const subscriber of this.#subscribers) subscriber.pump()
  }

  /** Stops without a word. */
  close(): void {
    this.#over = true
    for (const subscriber of this.#subscribers) subscriber.close()
  }

  /** Says that it is over, and stops. */
  end(why: EndReason): void {
    if (this.#over) return
    this.close()
    this.#host.send({ type: 'end', sub: this.sub, why, position: this.position() })
    this.#host.over(this)
  }

  caughtUp(subscriber: Subscriber): void {
    if (!this.#behind.delete(subscriber) || this.#behind.size > 0) return
    if (this.#over || this.#live) return
    this.#live = true
    this.#host.send({ type: 'live', sub: this.sub, position: this.position() })
  }

  fellBehind(subscriber: Subscriber): void {
    this.#behind.add(subscriber)
    this.#live = false
  }

  gap(gap: Gap): void {
    if (this.#over) return
    if (this.#onGap === 'fail') this.#fail(gapError(gap))
    else this.#tellGap(gap)
  }

  grown(subscriber: Subscriber, partitions: readonly number[]): void {
    if (this.#over) return
    const { id, topic } = subscriber.feed
    this.#host.send({
      type: 'assign',
      sub: this.sub,
      assignment: { [topic]: partitions },
      feeds: { [topic]: id },
      position: this.position(),
    })
  }

  finished(subscriber: Subscriber): void {
    this.#finished.add(subscriber)
    this.#endOrLive(subscriber)
  }

  ended(subscriber: Subscriber, error: GatewayError): void {
    if (this.#over) return
    if (!isGone(error)) {
      this.#fail(error)
      return
    }
    const { topic } = subscriber.feed
    if (this.#subscribers.size === 1) {
      this.end('deleted')
      return
    }
    this.#subscribers.delete(subscriber)
    this.#finished.delete(subscriber)
    this.#left.add(subscriber)
    this.#host.send({
      type: 'end',
      sub: this.sub,
      topic,
      why: 'deleted',
      position: this.position(),
    })
    this.#endOrLive(subscriber)
  }

  /** A cursor has nothing more to send: the others are not waited for on its behalf. */
  #endOrLive(subscriber: Subscriber): void {
    if (this.#finished.size === this.#subscribers.size) this.end('until')
    else this.caughtUp(subscriber)
  }

  #tellGap({ topic, epoch, partition, from, to, why }: Gap): void {
    this.#host.send({ type: 'gap', sub: this.sub, topic, epoch, partition, from, to, why })
    this.#host.gapTold(why)
  }

  #fail(error: GatewayError): void {
    this.close()
    const position = this.position()
    this.#host.send({ type: 'error', sub: this.sub, ...errorBody(error), position })
    this.#host.over(this, error)
  }
}
