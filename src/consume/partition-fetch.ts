/** Reading several partitions and waiting for them: watch, then fetch, composed in this one place. */
import type { Watch } from '../engine/call.ts'
import type { FetchRequest, FetchSlice, Log } from '../engine/log.ts'
import type { Clock } from '../kit/clock.ts'
import type { Offset } from '../model/offset.ts'
import type { TopicPartition } from '../model/topic.ts'

/** One partition that a caller wants to read. */
export interface Want {
  readonly tp: TopicPartition
  /** The next offset to read. */
  readonly from: Offset
  /** Names the incarnation: a namesake made later answers EPOCH_MISMATCH. */
  readonly topicId?: string
}

export interface FetchOrWaitOptions {
  /** For all partitions together, bytes of whole batches. */
  readonly bytesMax: number
  /** For one partition, bytes; so that a busy one leaves room for the others. Default: `bytesMax`. */
  readonly partitionBytesMax?: number
  /** How long to wait for the first `minBytes`, ms; 0 answers with what is there. */
  readonly waitMs: number
  /** How much counts as something, bytes of batches; at least 1, the default. */
  readonly minBytes?: number
  /** Deadline of one look into the log, ms; the waiting is not counted. */
  readonly timeoutMs: number
  /** Ends the waiting early: what is there by then is returned. */
  readonly signal?: AbortSignal
}

/**
 * One slice for every want, in the order of the wants. Answers at once when there is something to
 * read, when a slice carries an error, or when `waitMs` is 0; otherwise as soon as one of that comes
 * true, `waitMs` has passed or the signal aborts. The caller releases every slice.
 */
export async function fetchOrWait(
  log: Log,
  clock: Clock,
  wants: readonly Want[],
  options: FetchOrWaitOptions,
): Promise<FetchSlice[]> {
  const deadlineMs = clock.monotonicMs() + options.waitMs
  const slices = await log.fetch(toRequests(wants, options), options)
  if (options.waitMs <= 0 || isEnough(slices, options)) return slices
  const alarm = new Alarm(log, wants)
  try {
    for (;;) {
      const remainingMs = deadlineMs - clock.monotonicMs()
      if (remainingMs <= 0) return slices
      const fired = await alarm.next(clock, remainingMs, options.signal)
      if (fired === undefined) return slices
      await refetch(log, wants, slices, fired, options)
      if (isEnough(slices, options)) return slices
    }
  } catch (error) {
    releaseAll(slices)
    throw error
  } finally {
    alarm.close()
  }
}

/** Gives all borrowed batches back. */
export function releaseAll(slices: readonly FetchSlice[]): void {
  for (const slice of slices) slice.release()
}

/** Bytes of the batches in these slices. */
export function bytesOf(slices: readonly FetchSlice[]): number {
  let bytes = 0
  for (const slice of slices) for (const batch of slice.batches) bytes += batch.length
  return bytes
}

function isEnough(slices: readonly FetchSlice[], options: FetchOrWaitOptions): boolean {
  if (options.signal?.aborted === true) return true
  if (slices.some((slice) => slice.error !== undefined)) return true
  return bytesOf(slices) >= Math.max(1, Math.min(options.minBytes ?? 1, options.bytesMax))
}

function toRequests(wants: readonly Want[], options: FetchOrWaitOptions): FetchRequest[] {
  const bytesMax = options.partitionBytesMax ?? options.bytesMax
  return wants.map(({ tp, from, topicId }) =>
    topicId === undefined ? { tp, from, bytesMax } : { tp, from, bytesMax, topicId },
  )
}

/** Looks again where a watch fired and where bytes are held already; keeps the other, empty slices. */
async function refetch(
  log: Log,
  wants: readonly Want[],
  slices: FetchSlice[],
  fired: ReadonlySet<number>,
  options: FetchOrWaitOptions,
): Promise<void> {
  const places: number[] = []
  slices.forEach((slice, place) => {
    if (fired.has(place) || slice.batches.length > 0) places.push(place)
  })
  // A want goes on where the engine had nothing to show but moved on, so it is not read twice.
  const again = places.map((place) => {
    const want = wants[place]!
    const slice = slices[place]!
    return slice.batches.length === 0 ? { ...want, from: Math.max(want.from, slice.next) } : want
  })
  const fresh = await log.fetch(toRequests(again, options), options)
  places.forEach((place, i) => {
    slices[place]!.release()
    slices[place] = fresh[i]!
  })
}

/** The watches of one wait, gathered into one question: which partitions have news? */
class Alarm {
  readonly #watches: Watch[]
  #fired = new Set<number>()
  #ring: (() => void) | undefined

  constructor(log: Log, wants: readonly Want[]) {
    this.#watches = wants.map(({ tp }, place) =>
      log.watch(tp, () => {
        this.#fired.add(place)
        this.#ring?.()
      }),
    )
  }

  /** The places that fired since the last call; undefined when time ran out or the signal aborted. */
  next(
    clock: Clock,
    waitMs: number,
    signal: AbortSignal | undefined,
  ): Promise<ReadonlySet<number> | undefined> {
    if (signal?.aborted === true) return Promise.resolve(undefined)
    if (this.#fired.size > 0) return Promise.resolve(this.#take())
    return new Promise((resolve) => {
      const settle = (fired: ReadonlySet<number> | undefined): void => {
        timer.cancel()
        signal?.removeEventListener('abort', onAbort)
        this.#ring = undefined
        resolve(fired)
      }
      const onAbort = (): void => settle(undefined)
      const timer = clock.after(waitMs, () => settle(undefined))
      signal?.addEventListener('abort', onAbort, { once: true })
      // Watches of one commit group fire in one turn; the next turn takes them together.
      this.#ring = () => {
        this.#ring = undefined
        clock.soon(() => settle(this.#take()))
      }
    })
  }

  close(): void {
    for (const watch of this.#watches) watch.close()
  }

  #take(): ReadonlySet<number> {
    const fired = this.#fired
    this.#fired = new Set()
    return fired
  }
}
