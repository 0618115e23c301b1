/** A cursor: where one subscription stands in one feed. No queue, and no copy of what it has not sent. */
import type { PartitionPlace } from '../consume/scope.ts'
import type { Reader } from '../consume/reader.ts'
import type { Gap } from '../consume/gap.ts'
import type { Run } from '../consume/run.ts'
import { isGone } from '../consume/tail.ts'
import { ByteSink } from '../kit/byte-sink.ts'
import type { Clock } from '../kit/clock.ts'
import { pause } from '../kit/clock.ts'
import type { GatewayError } from '../model/errors.ts'
import { toGatewayError } from '../model/errors.ts'
import {
  catchUpSlowStepBytes,
  catchUpStepBytes,
  framePositionPartitionsMax,
} from '../model/limits.ts'
import type { Offset } from '../model/offset.ts'
import { formatPosition } from '../model/position.ts'
import type { Feed, FeedGap, RingSubscriber, Vector } from './feed.ts'
import type { Feeds } from './feeds.ts'
import type { RecordsFrame } from './frames.ts'
import { encodeFrames, renderRun, trimFrame, withRecords } from './frames.ts'
import type { SocketWriter } from './socket-writer.ts'

/** What a subscriber tells the subscription it belongs to. */
export interface SubscriberOwner {
  /** It has everything up to the head of its feed. May be said again after each fall-back. */
  caughtUp(subscriber: Subscriber): void
  /** It is behind and reads the log. */
  fellBehind(subscriber: Subscriber): void
  gap(gap: Gap): void
  grown(subscriber: Subscriber, partitions: readonly number[]): void
  /** Everything below `until` is sent. */
  finished(subscriber: Subscriber): void
  /** The topic is gone, or the log cannot be read any more. */
  ended(subscriber: Subscriber, error: GatewayError): void
}

export interface SubscriberParts {
  readonly feeds: Feeds
  readonly reader: Reader
  readonly clock: Clock
  readonly writer: SocketWriter
  /** The connection's cursors read and send one after the other: the socket has room for one of them. */
  turn(this: void, step: () => Promise<boolean>): Promise<boolean>
  /** Resolves true once the socket takes data, false when the signal aborted. */
  whenReady(this: void, signal: AbortSignal): Promise<boolean>
  delivered(this: void, records: number, bytes: number): void
}

/** How long a log that cannot be read is left alone, ms. */
const retryMs = 500

/**
 * Three states. In *catch-up* it holds a vector and reads the log; *joining* it holds the vector and
 * a chunk index, takes chunks frame by frame and drops what it has; *on the ring* a chunk index is all
 * it has. Falling off the ring is catch-up again. A subscriber with an `until` stays in catch-up,
 * because shared frames may run past its end.
 */
export class Subscriber implements RingSubscriber {
  readonly feed: Feed
  readonly #parts: SubscriberParts
  readonly #owner: SubscriberOwner
  readonly #until: ReadonlyMap<number, Offset> | undefined
  readonly #closed = new AbortController()
  #state: 'catch-up' | 'joining' | 'ring' | 'closed' = 'catch-up'
  /** Undefined on the ring. */
  #vector: Vector | undefined
  #index = 0
  /** The partition whose turn it is in catch-up. */
  #turn = 0
  #stepBytes = catchUpStepBytes
  /** When something was last sent, for heartbeats. */
  sentMs: number

  /** `vector`: the next offset of every partition of the feed. */
  constructor(
    parts: SubscriberParts,
    owner: SubscriberOwner,
    feed: Feed,
    vector: Vector,
    until?: ReadonlyMap<number, Offset>,
  ) {
    this.feed = feed
    this.#parts = parts
    this.#owner = owner
    this.#vector = vector
    this.#until = until
    this.sentMs = parts.clock.monotonicMs()
  }

  get index(): number {
    return this.#index
  }

  /** Begins. What is there already may be sent in this turn. */
  open(): void {
    if (!this.#tryJoin()) this.#startCatchUp()
  }

  close(): void {
    if (this.#state === 'closed') return
    // The place stays tellable: the last position of a closed subscription is its own.
    this.#vector = this.#places()
    this.#state = 'closed'
    this.#closed.abort()
    this.feed.detach(this)
  }

  /** What it has sent, as next offsets. Never more: a feed's place is not its own until it is on the ring. */
  position(): PartitionPlace[] {
    const { topic, epoch } = this.feed
    return [...this.#places()].map(([partition, offset]) => ({
      tp: { topic, partition },
      epoch,
      offset,
    }))
  }

  /** Records between its place and the durable end. */
  lag(): number {
    let lag = 0
    for (const [partition, offset] of this.#places()) {
      lag += Math.max(0, this.feed.durableEnd(partition) - offset)
    }
    return lag
  }

  pump(): void {
    if (this.#state !== 'joining' && this.#state !== 'ring') return
    while (this.#index < this.feed.head) {
      if (!this.#parts.writer.ready || !this.#takeChunk()) {
        this.feed.setLagging(this, true)
        return
      }
      // The owner may have ended the subscription over a gap.
      if (this.#closed.signal.aborted) return
      this.#index++
    }
    this.feed.setLagging(this, false)
    if (this.#state === 'joining' && this.#isAtBorder()) {
      this.#state = 'ring'
      this.#vector = undefined
    }
    this.#owner.caughtUp(this)
  }

  fallOff(vector: Vector): void {
    if (this.#state === 'closed') return
    // Whoever is joining knows better where it stands than the ring does.
    this.#vector ??= vector
    this.#state = 'catch-up'
    this.feed.detach(this)
    this.#owner.fellBehind(this)
    this.#startCatchUp()
  }

  grow(partitions: readonly number[]): void {
    // Whatever is born now lies behind an `until` that was resolved before.
    if (this.#state === 'closed' || this.#until !== undefined) return
    const wasCatchingUp = this.#state === 'catch-up'
    this.#vector = this.#places()
    for (const partition of partitions) this.#vector.set(partition, 0)
    this.#owner.grown(this, partitions)
    if (wasCatchingUp) return
    this.#state = 'catch-up'
    this.feed.detach(this)
    this.open()
  }

  end(error: GatewayError): void {
    this.close()
    this.#owner.ended(this, error)
  }

  /** The next offset of every partition, wherever it is known from. */
  #places(): Vector {
    return this.#vector ?? this.feed.borderAt(this.#index)
  }

  /** Sends one chunk, or what the socket takes of it. False when some of it is left. */
  #takeChunk(): boolean {
    const chunk = this.feed.chunk(this.#index)
    if (this.#state === 'ring') {
      if (chunk.gap === undefined) this.#write(chunk.bytes, chunk.recordCount)
      else this.#tellGap(chunk.gap, chunk.gap.from)
      return true
    }
    const vector = this.#vector!
    if (chunk.gap !== undefined) {
      const { partition, from, to } = chunk.gap
      const at = vector.get(partition) ?? 0
      if (to > at) {
        this.#tellGap(chunk.gap, Math.max(from, at))
        vector.set(partition, to)
      }
    }
    for (const frame of chunk.frames) {
      const at = vector.get(frame.partition) ?? 0
      if (frame.next <= at) continue
      if (!this.#parts.writer.ready) return false
      this.#sendOwn(frame.from < at ? trimFrame(frame, at) : frame)
    }
    return true
  }

  /** The feed's vector has come up to all of the own one: from here on a chunk index says it all. */
  #isAtBorder(): boolean {
    for (const [partition, offset] of this.#vector!) {
      if (this.feed.next(partition) < offset) return false
    }
    return true
  }

  /**
   * Comparing with the ring's start and registering happen in one turn, with no `await` between:
   * records that arrive in between would be lost.
   */
  #tryJoin(): boolean {
    if (this.#until !== undefined || this.feed.gone !== undefined) return false
    const vector = this.#vector!
    for (const [partition, offset] of vector) {
      if (offset < this.feed.ringStart(partition)) return false
    }
    this.#state = 'joining'
    this.#index = this.feed.firstIndexFor(vector)
    this.feed.attach(this)
    this.pump()
    return true
  }

  /** It ends by joining, finishing, failing or closing. */
  #startCatchUp(): void {
    this.#catchUp().catch((cause: unknown) => {
      if (this.#state !== 'closed') this.end(toGatewayError(cause))
    })
  }

  async #catchUp(): Promise<void> {
    const signal = this.#closed.signal
    while (!signal.aborted) {
      // Only those on the ring are told by the feed itself.
      if (this.feed.gone !== undefined) {
        this.end(this.feed.gone)
        return
      }
      if (this.#tryJoin()) return
      if (this.#isFinished()) {
        this.#owner.finished(this)
        return
      }
      const partition = this.#nextPartition()
      if (partition === undefined) {
        this.#owner.caughtUp(this)
        await this.feed.moved(signal)
        continue
      }
      if (!(await this.#parts.turn(() => this.#step(partition)))) return
      // Reads that come from memory must not keep everybody else waiting.
      await new Promise<void>((resolve) => this.#parts.clock.soon(resolve))
    }
  }

  /** Reads and sends some of one partition. False when there is nothing more to do here. */
  async #step(partition: number): Promise<boolean> {
    const { feed } = this
    const signal = this.#closed.signal
    if (!(await this.#parts.whenReady(signal))) return false
    const offset = this.#vector!.get(partition) ?? 0
    const place = { tp: { topic: feed.topic, partition }, epoch: feed.epoch, offset }
    let run: Run
    try {
      run = await this.#parts.feeds.step(() => this.#parts.reader.run(place, this.#stepBytes))
    } catch (cause) {
      if (signal.aborted) return false
      const error = toGatewayError(cause)
      if (error.retriable && !isGone(error)) return await pause(this.#parts.clock, retryMs, signal)
      this.end(error)
      return false
    }
    try {
      if (signal.aborted) return false
      this.#sendRun(run, partition, offset)
      return !signal.aborted
    } finally {
      run.release()
    }
  }

  /** Sends until the socket is full; what is left is read again later, not kept. */
  #sendRun(run: Run, partition: number, from: Offset): void {
    const vector = this.#vector!
    const until = this.#untilOf(partition)
    const sink = new ByteSink(this.#stepBytes)
    const pending = renderRun(sink, cutRun(run, until), partition, from, this.feed.format)
    const bytes = sink.take()
    for (const frame of pending) {
      if (!this.#parts.writer.ready) {
        this.#stepBytes = catchUpSlowStepBytes
        return
      }
      this.#sendOwn(withRecords(frame, bytes))
    }
    this.#stepBytes = catchUpStepBytes
    if (run.gap === undefined || (vector.get(partition) ?? 0) >= until) return
    this.#tellGap({ ...run.gap, partition, from: run.next }, run.next)
    // The owner may have ended the subscription over the gap.
    if (this.#state !== 'closed') vector.set(partition, run.gap.to)
  }

  /** A frame of its own, with its own position. */
  #sendOwn(frame: RecordsFrame): void {
    const vector = this.#vector!
    vector.set(frame.partition, frame.next)
    const position =
      vector.size > framePositionPartitionsMax
        ? undefined
        : formatPosition([{ epoch: this.feed.epoch, offsets: vector }])
    const { bytes } = encodeFrames(this.feed, [frame], position)
    this.#write(bytes, frame.offsets.length)
  }

  #write(bytes: Uint8Array, records: number): void {
    this.#parts.writer.data(bytes)
    this.sentMs = this.#parts.clock.monotonicMs()
    this.#parts.delivered(records, bytes.length)
  }

  #tellGap({ partition, to, why }: FeedGap, from: Offset): void {
    const { topic, epoch } = this.feed
    this.#owner.gap({ topic, epoch, partition, from, to, why })
  }

  /** Partitions take turns, those at the tip too: none waits until another has caught up. */
  #nextPartition(): number | undefined {
    const { partitions } = this.feed
    for (let i = 0; i < partitions.length; i++) {
      const partition = partitions[(this.#turn + i) % partitions.length]!
      const offset = this.#vector!.get(partition) ?? 0
      if (offset < Math.min(this.feed.next(partition), this.#untilOf(partition))) {
        this.#turn = (this.#turn + i + 1) % partitions.length
        return partition
      }
    }
    return undefined
  }

  /** Exclusive. A partition that has no end where others have one was born after it. */
  #untilOf(partition: number): Offset {
    if (this.#until === undefined) return Number.MAX_SAFE_INTEGER
    return this.#until.get(partition) ?? 0
  }

  #isFinished(): boolean {
    if (this.#until === undefined) return false
    for (const [partition, until] of this.#until) {
      if ((this.#vector!.get(partition) ?? 0) < until) return false
    }
    return true
  }
}

/** The run without what lies at or past `until`. */
function cutRun(run: Run, until: Offset): Run {
  if (run.next <= until) return run
  const records = run.records.filter(({ offset }) => offset < until)
  return { ...run, records, next: Math.min(run.next, until) }
}
