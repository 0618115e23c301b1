/** The live end of the log: one watch and one fetch per partition and node, shared by all feeds. */
import type { Watch } from '../engine/call.ts'
import type { Log } from '../engine/log.ts'
import type { Topics } from '../engine/topics.ts'
import type { Clock } from '../kit/clock.ts'
import { pause } from '../kit/clock.ts'
import type { Logger } from '../kit/logger.ts'
import type { GatewayError } from '../model/errors.ts'
import { toGatewayError } from '../model/errors.ts'
import { tailStepBytes } from '../model/limits.ts'
import type { Offset } from '../model/offset.ts'
import type { TopicPartition } from '../model/topic.ts'
import type { Run } from './run.ts'
import { readRun } from './run.ts'

/** Called in the turn in which a run was read; the records are borrowed until the call returns. */
export interface TailListener {
  onRun(run: Run): void
  /** The topic is gone: UNKNOWN_TOPIC, UNKNOWN_PARTITION or EPOCH_MISMATCH. Nothing comes after it. */
  onEnd(error: GatewayError): void
}

/** A listener's place at a partition's tail. */
export interface Following {
  /** Where the first run for this listener will start. */
  readonly from: Offset
  /** Twice does nothing. */
  close(): void
}

export interface TailParts {
  readonly log: Log
  readonly topics: Topics
  readonly clock: Clock
  readonly logger: Logger
}

/** How long a partition that cannot be read is left alone, ms. */
const retryMs = 1_000

/** Every batch is fetched and decoded once, however many feeds show it. */
export class Tail {
  readonly #parts: TailParts
  readonly #partitions = new Map<string, PartitionTail>()

  constructor(parts: TailParts) {
    this.#parts = parts
  }

  /** `at`: where to begin if nobody follows this partition yet. Returns in the same turn. */
  follow(tp: TopicPartition, topicId: string, at: Offset, listener: TailListener): Following {
    const key = `${topicId}/${tp.partition}`
    let partition = this.#partitions.get(key)
    if (partition === undefined) {
      partition = new PartitionTail(this.#parts, tp, topicId, at, () =>
        this.#partitions.delete(key),
      )
      this.#partitions.set(key, partition)
    }
    return partition.add(listener)
  }

  /** Partitions a topic has now, or undefined when it is gone or another one has its name. */
  partitionsOf(topic: string, topicId: string): number | undefined {
    const known = this.#parts.topics.known(topic)
    return known?.id === topicId ? known.partitions.length : undefined
  }

  /** A hint that topics or partitions came or went. */
  watchTopics(onChange: () => void): Watch {
    return this.#parts.topics.watch(onChange)
  }

  close(): Promise<void> {
    for (const partition of this.#partitions.values()) partition.close()
    return Promise.resolve()
  }
}

class PartitionTail {
  readonly #parts: TailParts
  readonly #tp: TopicPartition
  readonly #topicId: string
  readonly #onClose: () => void
  readonly #listeners = new Set<TailListener>()
  readonly #watch: Watch
  readonly #closed = new AbortController()
  #next: Offset
  #news = false
  #running = false

  constructor(
    parts: TailParts,
    tp: TopicPartition,
    topicId: string,
    at: Offset,
    onClose: () => void,
  ) {
    this.#parts = parts
    this.#tp = tp
    this.#topicId = topicId
    this.#next = at
    this.#onClose = onClose
    this.#watch = parts.log.watch(tp, () => this.#wake())
  }

  add(listener: TailListener): Following {
    this.#listeners.add(listener)
    return {
      from: this.#next,
      close: () => {
        if (this.#listeners.delete(listener) && this.#listeners.size === 0) this.close()
      },
    }
  }

  close(): void {
    if (this.#closed.signal.aborted) return
    this.#closed.abort()
    this.#watch.close()
    this.#listeners.clear()
    this.#onClose()
  }

  #wake(): void {
    this.#news = true
    if (this.#running || this.#closed.signal.aborted) return
    this.#running = true
    // Never rejects: what goes wrong in a step is handled in it.
    void this.#run()
  }

  async #run(): Promise<void> {
    while (this.#news && !this.#closed.signal.aborted) {
      this.#news = false
      if (await this.#step()) this.#news = true
      // At most one fetch a turn: what is written meanwhile is read together.
      await new Promise<void>((resolve) => this.#parts.clock.soon(resolve))
    }
    this.#running = false
  }

  /** Reads once and tells the listeners. True when there may be more. */
  async #step(): Promise<boolean> {
    const before = this.#next
    let run: Run
    try {
      run = await readRun(this.#parts.log, this.#tp, this.#topicId, before, tailStepBytes)
    } catch (cause) {
      return await this.#fail(toGatewayError(cause))
    }
    try {
      if (this.#closed.signal.aborted) return false
      this.#next = run.gap?.to ?? run.next
      for (const listener of this.#listeners) listener.onRun(run)
      return this.#next !== before
    } finally {
      run.release()
    }
  }

  async #fail(error: GatewayError): Promise<boolean> {
    const signal = this.#closed.signal
    if (signal.aborted) return false
    if (isGone(error)) {
      const listeners = [...this.#listeners]
      this.close()
      for (const listener of listeners) listener.onEnd(error)
      return false
    }
    const { topic, partition } = this.#tp
    this.#parts.logger.warn(
      { err: error, topic, partition, offset: this.#next },
      'The tail of a partition cannot be read; it is tried again.',
    )
    return await pause(this.#parts.clock, retryMs, signal)
  }
}

/** Whether the topic is not there any more, as opposed to not readable just now. */
export function isGone({ code }: GatewayError): boolean {
  return code === 'UNKNOWN_TOPIC' || code === 'UNKNOWN_PARTITION' || code === 'EPOCH_MISMATCH'
}
