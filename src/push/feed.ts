/** One topic as some subscribers wish to see it: its live records are framed once for all of them. */
import type { MissingPart, Run } from '../consume/run.ts'
import type { TopicScope } from '../consume/scope.ts'
import type { Following, Tail } from '../consume/tail.ts'
import type { OutFormat } from '../format/native-record.ts'
import { ByteSink } from '../kit/byte-sink.ts'
import type { Clock } from '../kit/clock.ts'
import type { Logger } from '../kit/logger.ts'
import type { GatewayError } from '../model/errors.ts'
import { toGatewayError } from '../model/errors.ts'
import {
  fanOutSlice,
  framePositionPartitionsMax,
  recordsFrameBytesMax,
  ringAgeMsMax,
  ringBytesMax,
} from '../model/limits.ts'
import type { Offset } from '../model/offset.ts'
import { formatPosition } from '../model/position.ts'
import type { FrameSource, PendingFrame, RecordsFrame } from './frames.ts'
import { encodeFrames, renderRun, withRecords } from './frames.ts'

/** Next offsets by partition. */
export type Vector = Map<number, Offset>

/** Offsets [from, to) of a partition that nobody can have. */
export interface FeedGap extends MissingPart {
  readonly partition: number
  readonly from: Offset
}

/** What one flush adds to the ring: frames that go out as they are, or a gap to be told. */
export interface Chunk {
  readonly frames: readonly RecordsFrame[]
  readonly bytes: Uint8Array
  readonly recordCount: number
  readonly gap?: FeedGap
  readonly builtMs: number
}

/** A subscriber that takes chunks from the ring. */
export interface RingSubscriber {
  /** The chunk it takes next. */
  readonly index: number
  /** Takes what its socket takes, in this turn. */
  pump(): void
  /** Its next chunk leaves the ring; `vector` is where it stands and its own from now on. */
  fallOff(vector: Vector): void
  /** The feed reads more partitions from now on, each from its log start. */
  grow(partitions: readonly number[]): void
  /** The topic is gone, or nothing more can be said about it. */
  end(error: GatewayError): void
}

export interface FeedParts {
  readonly tail: Tail
  readonly clock: Clock
  /** Tells how the bytes of the ring changed. */
  onRingBytes(this: void, delta: number): void
  readonly logger: Logger
}

/**
 * Follows the tail of its partitions and keeps recent chunks in a ring. Subscribers are places in
 * that ring; each is driven by its own index, so a late joiner never gets what it has read already.
 */
export class Feed implements FrameSource {
  readonly id: string
  readonly scope: TopicScope
  readonly format: OutFormat
  readonly #parts: FeedParts
  readonly #subscribers = new Set<RingSubscriber>()
  readonly #followings: Following[] = []
  /** Those whose sockets are full. Everybody else is at the head unless a fan-out is under way. */
  readonly #lagging = new Set<RingSubscriber>()
  /** Waiting for anything new: streams that read the log on their own. */
  readonly #waiters = new Set<() => void>()
  /** Where the next chunk's frames start: the vector at the head. */
  readonly #next: Vector = new Map()
  /** Where the oldest kept chunk starts. It never goes back. */
  readonly #ringStart: Vector = new Map()
  readonly #ends: Vector = new Map()
  #partitions: readonly number[]
  #chunks: Chunk[] = []
  #base = 0
  #ringBytes = 0
  #sink = new ByteSink(16 * 1024)
  #pending: PendingFrame[] = []
  /** Next offsets with the pending frames counted. */
  readonly #reached: Vector = new Map()
  #flushing = false
  #fanning = false
  #again = false
  #gone: GatewayError | undefined
  #closed = false

  /** `ends`: the readable ends, where following begins unless others follow these partitions already. */
  constructor(
    parts: FeedParts,
    id: string,
    scope: TopicScope,
    format: OutFormat,
    ends: ReadonlyMap<number, Offset>,
  ) {
    this.#parts = parts
    this.id = id
    this.scope = scope
    this.format = format
    this.#partitions = scope.partitions
    for (const partition of scope.partitions) this.#follow(partition, ends.get(partition) ?? 0)
  }

  get topic(): string {
    return this.scope.topic
  }

  get epoch(): string {
    return this.scope.epoch
  }

  get partitions(): readonly number[] {
    return this.#partitions
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Set once the topic is gone. */
  get gone(): GatewayError | undefined {
    return this.#gone
  }

  /** One past the newest chunk. */
  get head(): number {
    return this.#base + this.#chunks.length
  }

  /** The oldest chunk kept, and when it was built; undefined when the ring is empty. */
  get oldestMs(): number | undefined {
    return this.#chunks[0]?.builtMs
  }

  chunk(index: number): Chunk {
    return this.#chunks[index - this.#base]!
  }

  /** The vector at the head. */
  next(partition: number): Offset {
    return this.#next.get(partition) ?? 0
  }

  ringStart(partition: number): Offset {
    return this.#ringStart.get(partition) ?? 0
  }

  /** The durable end when the tail last looked. */
  durableEnd(partition: number): Offset {
    return this.#ends.get(partition) ?? this.next(partition)
  }

  /** The vector in front of chunk `index`. */
  borderAt(index: number): Vector {
    if (index === this.head) return new Map(this.#next)
    const vector = new Map(this.#ringStart)
    for (let at = this.#base; at < index; at++) advance(vector, this.chunk(at))
    return vector
  }

  /** The oldest chunk that holds something at or past `vector`. */
  firstIndexFor(vector: ReadonlyMap<number, Offset>): number {
    const index = this.#chunks.findIndex(({ frames, gap }) => {
      const reaches = (partition: number, next: Offset): boolean =>
        next > (vector.get(partition) ?? 0)
      if (gap !== undefined) return reaches(gap.partition, gap.to)
      return frames.some(({ partition, next }) => reaches(partition, next))
    })
    return index < 0 ? this.head : this.#base + index
  }

  attach(subscriber: RingSubscriber): void {
    this.#subscribers.add(subscriber)
  }

  detach(subscriber: RingSubscriber): void {
    this.#subscribers.delete(subscriber)
    this.#lagging.delete(subscriber)
  }

  /** A subscriber tells whether chunks are left that its socket did not take. */
  setLagging(subscriber: RingSubscriber, lagging: boolean): void {
    if (lagging) this.#lagging.add(subscriber)
    else this.#lagging.delete(subscriber)
  }

  /** Resolves when the head moves, the topic goes, or the signal aborts. */
  moved(signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.#gone !== undefined) return Promise.resolve()
    return new Promise((resolve) => {
      const done = (): void => {
        this.#waiters.delete(done)
        signal.removeEventListener('abort', done)
        resolve()
      }
      this.#waiters.add(done)
      signal.addEventListener('abort', done, { once: true })
    })
  }

  /** Takes up partitions that the topic has got; they are followed from their log start. */
  growTo(partitionCount: number): void {
    const born: number[] = []
    for (let partition = this.#partitions.length; partition < partitionCount; partition++) {
      born.push(partition)
    }
    if (born.length === 0 || this.#closed) return
    this.#partitions = [...this.#partitions, ...born]
    for (const partition of born) this.#follow(partition, 0)
    for (const subscriber of [...this.#subscribers]) subscriber.grow(born)
    this.#wakeWaiters()
  }

  /** Drops chunks that are too old, so that a quiet topic holds no memory. */
  evictOlderThan(timeMs: number): void {
    while ((this.#chunks[0]?.builtMs ?? Infinity) <= timeMs) this.evictOldest()
  }

  evictOldest(): void {
    const chunk = this.#chunks[0]
    if (chunk === undefined) return
    // Outside a fan-out only the lagging can stand here, and there are few of them.
    const candidates = this.#fanning || this.#flushing ? this.#subscribers : this.#lagging
    const falling = [...candidates].filter(({ index }) => index === this.#base)
    const border = falling.length > 0 ? new Map(this.#ringStart) : undefined
    this.#chunks.shift()
    this.#base++
    advance(this.#ringStart, chunk)
    this.#count(-chunk.bytes.length)
    for (const subscriber of falling) subscriber.fallOff(new Map(border))
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    for (const following of this.#followings) following.close()
    this.#count(-this.#ringBytes)
    this.#chunks = []
    this.#pending = []
    this.#wakeWaiters()
  }

  #follow(partition: number, at: Offset): void {
    const tp = { topic: this.topic, partition }
    const following = this.#parts.tail.follow(tp, this.epoch, at, {
      onRun: (run) => this.#guard(() => this.#take(partition, run)),
      onEnd: (error) => this.#end(error),
    })
    this.#followings.push(following)
    for (const vector of [this.#next, this.#ringStart, this.#reached]) {
      vector.set(partition, following.from)
    }
  }

  #guard(work: () => void): void {
    try {
      work()
    } catch (error) {
      this.#parts.logger.error({ err: error, topic: this.topic }, 'A feed failed.')
      this.#leave(toGatewayError(error))
    }
  }

  #take(partition: number, run: Run): void {
    if (this.#closed || this.#gone !== undefined) return
    if (!this.#flushing) {
      this.#flushing = true
      // What the other partitions deliver in this turn goes out in the same flush.
      this.#parts.clock.soon(() => this.#flush())
    }
    this.#ends.set(partition, run.end)
    // A stretch without records is not told by itself: the next frame or gap starts in front of it,
    // so what frames cover stays without holes.
    const from = this.#reached.get(partition) ?? run.from
    if (run.records.length > 0) {
      this.#pending.push(...renderRun(this.#sink, run, partition, from, this.format))
      this.#reached.set(partition, run.next)
      if (this.#sink.length >= recordsFrameBytesMax) this.#seal()
    }
    if (run.gap !== undefined) {
      this.#seal()
      const gapFrom = this.#reached.get(partition) ?? run.next
      this.#reached.set(partition, run.gap.to)
      this.#push({
        frames: [],
        bytes: new Uint8Array(0),
        recordCount: 0,
        gap: { ...run.gap, partition, from: gapFrom },
        builtMs: this.#parts.clock.monotonicMs(),
      })
    }
  }

  #flush(): void {
    if (this.#closed) return
    this.#guard(() => {
      this.#seal()
      this.#startFanOut()
    })
    this.#flushing = false
    this.#wakeWaiters()
  }

  /** Turns the pending frames into chunks of about one frame's size. */
  #seal(): void {
    if (this.#pending.length === 0) return
    const bytes = this.#sink.take()
    const frames = this.#pending.map((frame) => withRecords(frame, bytes))
    this.#pending = []
    let some: RecordsFrame[] = []
    let size = 0
    for (const frame of frames) {
      if (some.length > 0 && size + frame.records.length > recordsFrameBytesMax) {
        this.#pushFrames(some)
        some = []
        size = 0
      }
      some.push(frame)
      size += frame.records.length
    }
    this.#pushFrames(some)
  }

  #pushFrames(frames: readonly RecordsFrame[]): void {
    for (const { partition, next } of frames) this.#next.set(partition, next)
    const position =
      this.#partitions.length > framePositionPartitionsMax
        ? undefined
        : formatPosition([{ epoch: this.epoch, offsets: this.#next }])
    const encoded = encodeFrames(this, frames, position)
    this.#push({
      frames: encoded.frames,
      bytes: encoded.bytes,
      recordCount: frames.reduce((sum, { offsets }) => sum + offsets.length, 0),
      builtMs: this.#parts.clock.monotonicMs(),
    })
  }

  #push(chunk: Chunk): void {
    if (chunk.gap !== undefined) this.#next.set(chunk.gap.partition, chunk.gap.to)
    this.#chunks.push(chunk)
    this.#count(chunk.bytes.length)
    while (this.#ringBytes > ringBytesMax && this.#chunks.length > 1) this.evictOldest()
    this.evictOlderThan(chunk.builtMs - ringAgeMsMax)
  }

  #count(delta: number): void {
    this.#ringBytes += delta
    this.#parts.onRingBytes(delta)
  }

  #startFanOut(): void {
    if (this.#fanning) {
      this.#again = true
      return
    }
    this.#fanning = true
    this.#fanOut(this.#subscribers.values())
  }

  /** Writes to some subscribers and yields, so that produce replies do not wait behind thousands. */
  #fanOut(rest: SetIterator<RingSubscriber>): void {
    for (let left = fanOutSlice; left > 0; left--) {
      const { value, done } = rest.next()
      if (done === true) {
        this.#fanning = false
        if (this.#again) {
          this.#again = false
          this.#startFanOut()
        }
        return
      }
      value.pump()
    }
    this.#parts.clock.soon(() => this.#guard(() => this.#fanOut(rest)))
  }

  #end(error: GatewayError): void {
    if (this.#gone !== undefined || this.#closed) return
    this.#flush()
    this.#leave(error)
  }

  #leave(error: GatewayError): void {
    if (this.#gone !== undefined) return
    this.#gone = error
    for (const subscriber of [...this.#subscribers]) subscriber.end(error)
    this.#wakeWaiters()
  }

  #wakeWaiters(): void {
    for (const wake of [...this.#waiters]) wake()
  }
}

function advance(vector: Vector, { frames, gap }: Chunk): void {
  for (const { partition, next } of frames) vector.set(partition, next)
  if (gap !== undefined) vector.set(gap.partition, gap.to)
}
