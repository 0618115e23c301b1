/**
 * Who wants to know when a partition's readable end moves. Level-triggered and coalesced: however
 * many frames came, a watcher is called once, with the newest end, in a later turn. Watch points go
 * by name, so a watcher of a deleted topic hears of its namesake.
 */
import type { Clock } from '../../../kit/clock.ts'
import type { Logger } from '../../../kit/logger.ts'
import type { Offset } from '../../../model/offset.ts'
import type { TopicPartition } from '../../../model/topic.ts'
import type { Watch } from '../../call.ts'

interface Watcher {
  readonly onAdvance: (end: Offset) => void
  closed: boolean
}

/** All watchers of one partition name. */
export interface WatchPoint {
  readonly watchers: Set<Watcher>
  end: Offset
  isDue: boolean
}

export class Watchers {
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #topics = new Map<string, Map<number, WatchPoint>>()
  #due: WatchPoint[] = []
  readonly #newcomers: { readonly point: WatchPoint; readonly watcher: Watcher }[] = []
  #flushIsDue = false

  constructor(clock: Clock, logger: Logger) {
    this.#clock = clock
    this.#logger = logger
  }

  watch(tp: TopicPartition, onAdvance: (end: Offset) => void): Watch {
    const point = this.#pointOf(tp)
    const watcher: Watcher = { onAdvance, closed: false }
    point.watchers.add(watcher)
    this.#newcomers.push({ point, watcher })
    this.#scheduleFlush()
    return {
      close: () => {
        watcher.closed = true
        point.watchers.delete(watcher)
        if (point.watchers.size === 0) this.#remove(tp, point)
      },
    }
  }

  /** The watch point of a partition that somebody watches. */
  find(topic: string, partition: number): WatchPoint | undefined {
    return this.#topics.get(topic)?.get(partition)
  }

  /** Wakes the watchers of a partition in a later turn. */
  wake(tp: TopicPartition, end: Offset): void {
    const point = this.find(tp.topic, tp.partition)
    if (point === undefined) return
    point.end = end
    if (point.isDue) return
    point.isDue = true
    this.#due.push(point)
    this.#scheduleFlush()
  }

  #pointOf({ topic, partition }: TopicPartition): WatchPoint {
    const partitions = this.#topics.get(topic) ?? new Map<number, WatchPoint>()
    this.#topics.set(topic, partitions)
    const point = partitions.get(partition) ?? { watchers: new Set(), end: 0, isDue: false }
    partitions.set(partition, point)
    return point
  }

  #remove({ topic, partition }: TopicPartition, point: WatchPoint): void {
    const partitions = this.#topics.get(topic)
    if (partitions?.get(partition) !== point) return
    partitions.delete(partition)
    if (partitions.size === 0) this.#topics.delete(topic)
  }

  #scheduleFlush(): void {
    if (this.#flushIsDue) return
    this.#flushIsDue = true
    this.#clock.soon(() => this.#flush())
  }

  #flush(): void {
    this.#flushIsDue = false
    const due = this.#due
    this.#due = []
    for (const { point, watcher } of this.#newcomers.splice(0)) {
      if (!point.isDue) this.#call(watcher, point.end)
    }
    for (const point of due) {
      point.isDue = false
      // A copy: who is called may watch anew, and comes in a later turn.
      for (const watcher of [...point.watchers]) this.#call(watcher, point.end)
    }
  }

  #call(watcher: Watcher, end: Offset): void {
    if (watcher.closed) return
    try {
      watcher.onAdvance(end)
    } catch (error) {
      // One faulty callback must not silence the others.
      this.#logger.error({ err: error }, 'A watcher of a partition threw.')
    }
  }
}
