/** Equal wishes share one feed: whoever comes first opens it, the last leaver closes it. */
import type { Reader } from '../consume/reader.ts'
import type { TopicScope } from '../consume/scope.ts'
import type { Tail } from '../consume/tail.ts'
import type { OutFormat } from '../format/native-record.ts'
import type { Clock, Timer } from '../kit/clock.ts'
import type { Logger } from '../kit/logger.ts'
import { catchUpStepsMax, ringAgeMsMax, ringsBytesMax } from '../model/limits.ts'
import { Feed } from './feed.ts'
import type { PushMeter } from './push-meter.ts'
import { Slots } from './slots.ts'

export interface FeedsParts {
  readonly reader: Reader
  readonly tail: Tail
  readonly clock: Clock
  readonly logger: Logger
  readonly meter: PushMeter
  /** Default: `ringsBytesMax`. */
  readonly ringsBytesMax?: number
}

interface Entry {
  readonly key: string
  readonly opening: Promise<Feed>
  users: number
}

/** Rings are looked over this often, ms. */
const sweepMs = 1_000

export class Feeds {
  readonly #parts: FeedsParts
  readonly #entries = new Map<string, Entry>()
  readonly #open = new Map<Feed, Entry>()
  readonly #topicsWatch: { close(): void }
  readonly #ringsBytesMax: number
  readonly #steps = new Slots(catchUpStepsMax)
  #feedsOpened = 0
  #ringBytes = 0
  #sweep: Timer | undefined
  /** The sweep is not the regular one: there is too much. */
  #sweepsSoon = false
  #closed = false

  constructor(parts: FeedsParts) {
    this.#parts = parts
    this.#ringsBytesMax = parts.ringsBytesMax ?? ringsBytesMax
    this.#topicsWatch = parts.tail.watchTopics(() => this.#growAll())
  }

  /**
   * The feed of one topic in one format; every call is paired with one `leave`. Throws what the log
   * says when the topic has gone meanwhile.
   */
  async join(scope: TopicScope, format: OutFormat): Promise<Feed> {
    const key = `${scope.epoch}/${format}/${scope.whole ? '*' : scope.partitions.join()}`
    let entry = this.#entries.get(key)
    if (entry === undefined) {
      entry = { key, opening: this.#openFeed(scope, format), users: 0 }
      this.#entries.set(key, entry)
    }
    // Counted before the wait, so that nobody who leaves meanwhile closes it.
    entry.users++
    let feed: Feed
    try {
      feed = await entry.opening
    } catch (error) {
      this.#forget(entry)
      throw error
    }
    this.#open.set(feed, entry)
    // The topic may have grown since its scope was taken, and the hint of that passed before the feed
    // was known here.
    this.#grow(feed)
    const { gone } = feed
    if (gone === undefined) return feed
    this.#forget(entry)
    this.leave(feed)
    throw gone
  }

  leave(feed: Feed): void {
    const entry = this.#open.get(feed)
    if (entry === undefined || --entry.users > 0) return
    this.#forget(entry)
    this.#open.delete(feed)
    feed.close()
    this.#parts.meter.feeds(this.#open.size)
  }

  /** Runs one catch-up read when a place is free; in the order of the asking. */
  step<T>(work: () => Promise<T>): Promise<T> {
    return this.#steps.run(work)
  }

  close(): void {
    this.#closed = true
    this.#topicsWatch.close()
    this.#sweep?.cancel()
    for (const feed of this.#open.keys()) feed.close()
    this.#open.clear()
    this.#entries.clear()
  }

  /** Whoever comes next opens a feed anew. */
  #forget(entry: Entry): void {
    if (this.#entries.get(entry.key) === entry) this.#entries.delete(entry.key)
  }

  async #openFeed(scope: TopicScope, format: OutFormat): Promise<Feed> {
    const { reader, tail, clock, logger, meter } = this.#parts
    const ends = await reader.ends(scope)
    const feed = new Feed(
      { tail, clock, logger, onRingBytes: (delta) => this.#countRing(delta) },
      `f${++this.#feedsOpened}`,
      scope,
      format,
      new Map(ends.map(({ tp, offset }) => [tp.partition, offset])),
    )
    if (this.#closed) feed.close()
    meter.feeds(this.#open.size + 1)
    return feed
  }

  #growAll(): void {
    for (const feed of this.#open.keys()) this.#grow(feed)
  }

  #grow(feed: Feed): void {
    if (!feed.scope.whole) return
    const count = this.#parts.tail.partitionsOf(feed.topic, feed.epoch)
    if (count !== undefined) feed.growTo(count)
  }

  #countRing(delta: number): void {
    this.#ringBytes += delta
    this.#parts.meter.ringBytes(this.#ringBytes)
    if (this.#ringBytes <= 0 || this.#closed) return
    // Not at once: chunks are counted while a ring is being changed.
    const isOver = this.#ringBytes > this.#ringsBytesMax
    if (isOver && !this.#sweepsSoon) this.#sweep?.cancel()
    else if (this.#sweep !== undefined) return
    this.#sweepsSoon = isOver
    this.#sweep = this.#parts.clock.after(isOver ? 0 : sweepMs, () => this.#evict())
  }

  #evict(): void {
    this.#sweep = undefined
    this.#sweepsSoon = false
    const oldestMs = this.#parts.clock.monotonicMs() - ringAgeMsMax
    for (const feed of this.#open.keys()) feed.evictOlderThan(oldestMs)
    while (this.#ringBytes > this.#ringsBytesMax) {
      const oldest = this.#oldestFeed()
      if (oldest === undefined) break
      oldest.evictOldest()
    }
    if (this.#ringBytes > 0) this.#countRing(0)
  }

  #oldestFeed(): Feed | undefined {
    let oldest: Feed | undefined
    for (const feed of this.#open.keys()) {
      if ((feed.oldestMs ?? Infinity) < (oldest?.oldestMs ?? Infinity)) oldest = feed
    }
    return oldest
  }
}
