/** One subscription of the application: it outlives sockets, and knows what it has. */
import type { ClientRecord, GapMessage, RecordsMessage } from './messages.ts'
import { EbbgateError } from './messages.ts'
import { PositionVector } from './vector.ts'

export interface SubscribeOptions {
  readonly topics: readonly string[]
  readonly partitions?: readonly number[]
  /** `earliest`, `latest` (default), `time:…`, `offset:…`, `last:…`, or a position of an earlier read. */
  readonly from?: string
  /** Exclusive end; the subscription ends there. */
  readonly until?: string
  readonly onGap?: 'continue' | 'fail'
  readonly format?: 'json' | 'text' | 'binary'
  /** Takes each record instead of the iterator. */
  readonly onRecord?: (record: ClientRecord) => void
  /** Caught up with the end of the log; said again after each catch-up. */
  readonly onLive?: (position: string) => void
  /** Records are missing. */
  readonly onGapFound?: (gap: GapMessage) => void
  /** The subscription is over: without an error it ended as asked, or its topics were deleted. */
  readonly onEnd?: (error?: Error) => void
}

/** Records that wait for the iterator before the socket is given up for a while. */
export const waitingRecordsMax = 10_000

/** What a subscription asks of its client. */
export interface SubscriptionHost {
  /** Nobody wants it any more. */
  left(subscription: ClientSubscription): void
  /** Records wait, or room has come: look at `isFull` again. */
  pressureChanged(): void
  /** Something is missing between what it has and what came: the socket must start over. */
  mustResume(why: string): void
}

/** Breaks without progress after which something is wrong that trying again does not heal. */
const fruitlessResumesMax = 5

/** Iterate over it for records, or give `onRecord`. */
export class ClientSubscription implements AsyncIterable<ClientRecord> {
  readonly sub: string
  readonly options: SubscribeOptions
  readonly #host: SubscriptionHost
  /** What has come. */
  readonly #vector = new PositionVector()
  /** What the application has taken of it. */
  readonly #taken = new PositionVector()
  readonly #topics: Set<string>
  readonly #epochs = new Map<string, string>()
  /** Where it ends, once the server has turned the words into offsets. */
  readonly #until = new PositionVector()
  #waiting: ClientRecord[] = []
  #hasUntaken = false
  #wake: (() => void) | undefined
  #over = false
  #error: Error | undefined
  #resumes = 0

  constructor(host: SubscriptionHost, sub: string, options: SubscribeOptions) {
    this.#host = host
    this.sub = sub
    this.options = options
    this.#topics = new Set(options.topics)
  }

  /**
   * Where to go on, for a later `from`: behind the records that were taken from the iterator.
   * Undefined until the server has said where this begins.
   */
  get position(): string | undefined {
    return this.#hasUntaken ? this.#taken.format() : this.#vector.format()
  }

  get over(): boolean {
    return this.#over
  }

  get isFull(): boolean {
    return this.#waiting.length > waitingRecordsMax
  }

  /** So much room again that reading on is worth a connection. */
  get hasRoom(): boolean {
    return this.#waiting.length <= waitingRecordsMax / 2
  }

  /** Ends it. What waits is dropped. */
  close(): void {
    if (this.#over) return
    this.#waiting = []
    this.finish()
    this.#host.left(this)
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ClientRecord, void, undefined> {
    try {
      for (;;) {
        const records = this.#waiting
        this.#waiting = []
        if (records.length > 0) {
          this.#host.pressureChanged()
          for (const record of records) {
            yield record
            this.#taken.set(record.epoch, record.partition, record.offset + 1)
          }
          this.#hasUntaken = this.#waiting.length > 0
          continue
        }
        if (this.#error !== undefined) throw this.#error
        if (this.#over) return
        await new Promise<void>((resolve) => (this.#wake = resolve))
      }
    } finally {
      this.close()
    }
  }

  /** The command that begins it, or goes on where it stands. */
  command(id: number): Readonly<Record<string, unknown>> {
    const { partitions, onGap, format } = this.options
    const start = this.#vector.format() ?? this.options.from
    const until = this.#until.format() ?? this.options.until
    return {
      type: 'subscribe',
      id,
      sub: this.sub,
      topics: [...this.#topics],
      ...(partitions === undefined ? {} : { partitions }),
      ...(start === undefined ? {} : { from: start }),
      ...(until === undefined ? {} : { until }),
      ...(onGap === undefined ? {} : { onGap }),
      ...(format === undefined ? {} : { format }),
    }
  }

  /** The server has taken it up at this position. */
  accepted(position: string, until?: string): void {
    this.#vector.clear()
    this.#vector.merge(position)
    if (until !== undefined) this.#until.merge(until)
  }

  /** It reads more than before. */
  assigned(position: string): void {
    this.#vector.merge(position)
  }

  /** Takes a frame: repeats are dropped, a hole means to start over. */
  records(message: RecordsMessage): void {
    const { topic, epoch, partition, from, next } = message
    const expected = this.#vector.get(epoch, partition) ?? from
    if (from > expected) {
      this.#missing(`Offsets ${expected} to ${from} of ${topic}/${partition} did not come.`)
      return
    }
    this.#epochs.set(topic, epoch)
    if (next <= expected) return
    this.#resumes = 0
    if (!this.#hasUntaken) this.#taken.copyFrom(this.#vector)
    this.#vector.set(epoch, partition, next)
    let thrown: { readonly error: unknown } | undefined
    message.records.forEach((record, i) => {
      const offset = message.offsets?.[i] ?? from + i
      if (offset < expected || this.#over) return
      try {
        this.#deliver({ topic, epoch, partition, offset, ...record })
      } catch (error) {
        // The frame counts as taken, so the rest of it is given out before anybody hears of this.
        thrown ??= { error }
      }
    })
    this.#wakeUp()
    if (this.isFull) this.#host.pressureChanged()
    if (thrown !== undefined) throw thrown.error
  }

  gap(message: GapMessage): void {
    const { topic, epoch, partition, to } = message
    const before = this.#epochs.get(topic)
    if (before !== undefined && before !== epoch) this.#vector.delete(before)
    this.#epochs.set(topic, epoch)
    this.#vector.set(epoch, partition, to)
    this.options.onGapFound?.(message)
  }

  live(position: string): void {
    this.options.onLive?.(position)
  }

  /** One of its topics is gone. */
  topicEnded(topic: string, position: string): void {
    this.#topics.delete(topic)
    this.accepted(position)
    this.#until.keepEpochsOf(this.#vector)
  }

  /** It is over. Records that wait are still given out. */
  finish(error?: Error): void {
    if (this.#over) return
    this.#over = true
    this.#error = error
    this.#wakeUp()
    this.options.onEnd?.(error)
  }

  #deliver(record: ClientRecord): void {
    if (this.options.onRecord !== undefined) {
      this.options.onRecord(record)
      return
    }
    this.#hasUntaken = true
    this.#waiting.push(record)
  }

  #missing(why: string): void {
    if (++this.#resumes > fruitlessResumesMax) {
      this.finish(new EbbgateError('INTERNAL', `${why} Starting over did not help.`))
      this.#host.left(this)
    } else {
      this.#host.mustResume(why)
    }
  }

  #wakeUp(): void {
    const wake = this.#wake
    this.#wake = undefined
    wake?.()
  }
}
