/** The stateless read: from a place the caller names, over one or more topics, with a long poll. */
import type { FetchSlice, Log } from '../engine/log.ts'
import type { Topics } from '../engine/topics.ts'
import type { Clock } from '../kit/clock.ts'
import { GatewayError } from '../model/errors.ts'
import { readRecords } from '../model/batch-reader.ts'
import {
  fetchTimeoutMs,
  readBytesDefault,
  readBytesMax,
  readRecordsMax,
  waitingPollsMax,
} from '../model/limits.ts'
import type { Offset } from '../model/offset.ts'
import type { Place } from '../model/place.ts'
import type { Position } from '../model/position.ts'
import type { Principal } from '../model/principal.ts'
import { baseOffsetOf, lastOffsetOf } from '../model/record-batch.ts'
import type { StoredRecord } from '../model/record.ts'
import type { TopicPartition } from '../model/topic.ts'
import type { Gap, OnGap } from './gap.ts'
import { gapError } from './gap.ts'
import type { RecordFilter } from './filter.ts'
import { LastRecords } from './last-records.ts'
import { fetchOrWait } from './partition-fetch.ts'
import type { ReadRecord } from './read-record.ts'
import { recordFilter, ownRecord, placed, recordBytes } from './read-record.ts'
import type { Run } from './run.ts'
import { missingPart, readRun } from './run.ts'
import type { PartitionPlace, ReadTopic, TopicScope } from './scope.ts'
import { askBounds, openScopes, resolveFrom, resolveUntil, toPosition } from './scope.ts'

export type { Gap } from './gap.ts'
export type { ReadRecord } from './read-record.ts'

export interface ReadRequest {
  readonly topics: readonly ReadTopic[]
  readonly from: Place
  /** Exclusive; resolved to offsets once, when the read begins. */
  readonly until?: Place
  /** Longest wait for the first record, ms. */
  readonly waitMs: number
  /** Default and ceiling: `readRecordsMax`. */
  readonly recordsMax?: number
  /**
   * What the answer aims at, bytes of keys, values and headers; the first record is always
   * delivered. Default `readBytesDefault`, ceiling `readBytesMax`.
   */
  readonly bytesMax?: number
  /** Only records with one of these keys. */
  readonly keys?: readonly Uint8Array[]
  /** Only records that it lets pass; asked after `keys`. */
  readonly filter?: RecordFilter
  /** `fail` throws OFFSET_OUT_OF_RANGE, EPOCH_MISMATCH or CORRUPT_BATCH where `continue` tells a gap. */
  readonly onGap: OnGap
  /** Ends the wait early. */
  readonly signal?: AbortSignal
}

export interface ReadAnswer {
  readonly records: readonly ReadRecord[]
  /** Where to go on. Moves also past what was left out. */
  readonly position: Position
  /** Caught up with the readable end, or `until` reached. */
  readonly live: boolean
  readonly gaps: readonly Gap[]
  /** The records are borrowed: after this call nobody reads them. */
  release(): void
}

export interface StreamRequest {
  readonly topics: readonly ReadTopic[]
  readonly from: Place
  /** Exclusive; resolved to offsets once, now. */
  readonly until?: Place
  readonly onGap: OnGap
}

export interface StreamStart {
  readonly scopes: readonly TopicScope[]
  /** The next offset of every partition, topics and partitions in order. */
  readonly places: readonly PartitionPlace[]
  /** The exclusive ends, in the same order. */
  readonly untils: readonly PartitionPlace[] | undefined
  readonly gaps: readonly Gap[]
}

export interface ReadMeter {
  /** One read was answered. */
  read(records: number, bytes: number): void
  /** How many polls are waiting now. */
  waiting(polls: number): void
}

const silentMeter: ReadMeter = { read: () => undefined, waiting: () => undefined }

export interface ReaderParts {
  readonly log: Log
  readonly topics: Topics
  readonly clock: Clock
  readonly meter?: ReadMeter
}

/** Several partitions share one answer; none gets less than this of it, bytes. */
const shareBytesMin = 16 * 1024

export class Reader {
  readonly #log: Log
  readonly #topics: Topics
  readonly #clock: Clock
  readonly #meter: ReadMeter
  #waiting = 0

  constructor(parts: ReaderParts) {
    this.#log = parts.log
    this.#topics = parts.topics
    this.#clock = parts.clock
    this.#meter = parts.meter ?? silentMeter
  }

  /**
   * Records from `from` on, partitions in fair turns, each partition in order. Waits up to `waitMs`
   * for the first one. The caller releases the answer once it is written.
   *
   * Throws UNKNOWN_TOPIC, UNKNOWN_PARTITION; BAD_REQUEST for a place that does not fit the read;
   * OVERLOADED when too many polls wait already.
   */
  async read(_principal: Principal, request: ReadRequest): Promise<ReadAnswer> {
    const call = { timeoutMs: fetchTimeoutMs }
    const { onGap } = request
    const scopes = await openScopes(this.#topics, request.topics, call)
    const untils =
      request.until === undefined
        ? undefined
        : await resolveUntil(this.#log, this.#topics, scopes, request.until, call)
    if (request.from.at === 'last') {
      return await this.#readLast(scopes, request, request.from.count, untils)
    }
    const start = await resolveFrom(this.#log, this.#topics, scopes, request.from, onGap, call)
    const sweep = new Sweep(start.places, untils, request)
    sweep.gaps.push(...start.gaps)
    try {
      await this.#fill(sweep, request)
    } catch (error) {
      sweep.release()
      throw error
    }
    this.#meter.read(sweep.records.length, sweep.bytes)
    return sweep.answer()
  }

  /**
   * One record, with bytes of its own. Throws OFFSET_OUT_OF_RANGE below the log start, NOT_FOUND
   * beyond the end or where compaction took it, UNKNOWN_TOPIC, UNKNOWN_PARTITION, CORRUPT_BATCH.
   */
  async record(_principal: Principal, tp: TopicPartition, offset: Offset): Promise<ReadRecord> {
    const call = { timeoutMs: fetchTimeoutMs }
    const wanted = [{ topic: tp.topic, partitions: [tp.partition] }]
    const [scope] = await openScopes(this.#topics, wanted, call)
    const [slice] = await this.#log.fetch(
      [{ tp, from: offset, bytesMax: 1, topicId: scope!.epoch }],
      { ...call, bytesMax: 1 },
    )
    if (slice === undefined) throw new Error('The log answered no slice.')
    try {
      const outside = slice.error?.code === 'OFFSET_OUT_OF_RANGE'
      if (offset < slice.logStart) throw goneRecord(tp, offset, slice.logStart)
      if (slice.error !== undefined && !outside) throw slice.error
      const found = findRecord(slice.batches, offset)
      if (found === undefined || outside) {
        throw new GatewayError(
          'NOT_FOUND',
          `Partition ${tp.partition} of topic '${tp.topic}' has no record at offset ${offset}; it ends at ${slice.readableEnd}.`,
        )
      }
      this.#meter.read(1, recordBytes(found))
      return ownRecord(tp, found)
    } finally {
      slice.release()
    }
  }

  /**
   * Where a stream starts: what `read` resolves first, for callers that then go on by `run` and the
   * tail. Throws as `read` does.
   */
  async begin(_principal: Principal, request: StreamRequest): Promise<StreamStart> {
    const call = { timeoutMs: fetchTimeoutMs }
    const scopes = await openScopes(this.#topics, request.topics, call)
    const untils =
      request.until === undefined
        ? undefined
        : await resolveUntil(this.#log, this.#topics, scopes, request.until, call)
    const { from, onGap } = request
    const start = await resolveFrom(this.#log, this.#topics, scopes, from, onGap, call)
    return { scopes, ...start, untils }
  }

  /** The readable end of every partition of a topic, as it is now. */
  async ends(scope: TopicScope): Promise<PartitionPlace[]> {
    const [, ends] = await askBounds(this.#log, [scope], { timeoutMs: fetchTimeoutMs })
    return ends
  }

  /**
   * What one partition has from an offset on, for a stream that catches up: decoded, borrowed, at
   * once. Throws UNKNOWN_TOPIC or EPOCH_MISMATCH when the topic is gone.
   */
  run(from: PartitionPlace, bytesMax: number): Promise<Run> {
    return readRun(this.#log, from.tp, from.epoch, from.offset, bytesMax)
  }

  /** Rounds of fetches until the answer is full, or everything there is has been looked at. */
  async #fill(sweep: Sweep, request: ReadRequest): Promise<void> {
    const deadlineMs = this.#clock.monotonicMs() + request.waitMs
    let waitMs = 0
    for (;;) {
      const cursors = sweep.open()
      if (cursors.length === 0) return
      const bytesMax = sweep.roomBytes
      const partitionBytesMax = Math.max(shareBytesMin, Math.ceil(bytesMax / cursors.length))
      const wants = cursors.map(({ tp, epoch, next }) => ({ tp, from: next, topicId: epoch }))
      const fetchOptions = {
        bytesMax,
        partitionBytesMax,
        waitMs,
        timeoutMs: fetchTimeoutMs,
        ...(request.signal === undefined ? {} : { signal: request.signal }),
      }
      const fetched = fetchOrWait(this.#log, this.#clock, wants, fetchOptions)
      const slices = waitMs > 0 ? await this.#counted(fetched) : await fetched
      const moved = sweep.take(cursors, slices)
      if (sweep.isFull) return
      if (moved) {
        waitMs = 0
        continue
      }
      // Everything is read. Whoever has something to say says it; only an empty answer waits.
      const remainingMs = deadlineMs - this.#clock.monotonicMs()
      const hasNews = sweep.records.length > 0 || sweep.gaps.length > 0
      if (hasNews || remainingMs <= 0 || request.signal?.aborted === true) return
      if (this.#waiting >= waitingPollsMax) {
        throw new GatewayError(
          'OVERLOADED',
          `${this.#waiting} polls are waiting; more than ${waitingPollsMax} are not taken.`,
        )
      }
      waitMs = remainingMs
    }
  }

  async #counted<T>(wait: Promise<T>): Promise<T> {
    this.#meter.waiting(++this.#waiting)
    try {
      return await wait
    } finally {
      this.#meter.waiting(--this.#waiting)
    }
  }

  async #readLast(
    scopes: readonly TopicScope[],
    request: ReadRequest,
    count: number,
    untils: readonly PartitionPlace[] | undefined,
  ): Promise<ReadAnswer> {
    const last = new LastRecords(this.#log, {
      countMax: Math.min(count, request.recordsMax ?? readRecordsMax),
      bytesMax: Math.min(request.bytesMax ?? readBytesMax, readBytesMax),
      matches: recordFilter(request),
      onGap: request.onGap,
    })
    await last.collect(scopes, untils)
    this.#meter.read(last.records.length, last.bytes)
    return {
      records: last.records,
      position: toPosition(last.ends),
      live: true,
      gaps: last.gaps,
      release: () => undefined,
    }
  }
}

/** Where a read stands in one partition. */
interface Cursor {
  readonly tp: TopicPartition
  readonly epoch: string
  next: Offset
  /** Exclusive. */
  readonly until: Offset
  /** The readable end when it was last looked at. */
  end: Offset
}

/** What one partition has for the answer in one round. */
interface Source {
  readonly cursor: Cursor
  readonly slice: FetchSlice
  readonly records: Iterator<StoredRecord, undefined, undefined>
  /** Looked at, and left for its next turn. */
  waiting: StoredRecord | undefined
  taken: number
}

/** One read while it collects its answer. */
class Sweep {
  readonly records: ReadRecord[] = []
  readonly gaps: Gap[] = []
  bytes = 0
  readonly #cursors: readonly Cursor[]
  readonly #recordsMax: number
  readonly #bytesMax: number
  readonly #onGap: OnGap
  readonly #matches: (record: StoredRecord) => boolean
  readonly #held = new Set<FetchSlice>()
  /** Bytes looked at, those that did not match too: an answer must not search without end. */
  #examinedBytes = 0
  #cut = false

  constructor(
    places: readonly PartitionPlace[],
    untils: readonly PartitionPlace[] | undefined,
    request: ReadRequest,
  ) {
    this.#cursors = places.map(({ tp, epoch, offset }, i) => {
      const until = untils?.[i]?.offset ?? Number.MAX_SAFE_INTEGER
      return { tp, epoch, next: offset, until, end: Number.MAX_SAFE_INTEGER }
    })
    this.#recordsMax = Math.min(request.recordsMax ?? readRecordsMax, readRecordsMax)
    this.#bytesMax = Math.min(request.bytesMax ?? readBytesDefault, readBytesMax)
    this.#onGap = request.onGap
    this.#matches = recordFilter(request)
  }

  /** No further record has room, or enough was searched. */
  get isFull(): boolean {
    return (
      this.#cut ||
      this.bytes >= this.#bytesMax ||
      this.records.length >= this.#recordsMax ||
      this.#examinedBytes >= readBytesMax
    )
  }

  get roomBytes(): number {
    return Math.max(shareBytesMin, this.#bytesMax - this.bytes)
  }

  /**
   * Partitions that have not reached `until`, in the order of this round. Who begins follows from
   * how far the read has come: the same position gives the same answer, and the next one begins
   * with another partition, so a small `recordsMax` does not starve any.
   */
  open(): Cursor[] {
    const open = this.#cursors.filter(({ next, until }) => next < until)
    const read = this.#cursors.reduce((sum, { next }) => (sum + next) % 0x8000_0000, 0)
    const first = open.length === 0 ? 0 : read % open.length
    return [...open.slice(first), ...open.slice(0, first)]
  }

  /**
   * Takes over what a round fetched, partitions in turns of equal shares, so that one with much does
   * not fill the answer alone. True when any partition moved.
   */
  take(cursors: readonly Cursor[], slices: readonly FetchSlice[]): boolean {
    const before = cursors.map(({ next }) => next)
    const sources = cursors.map((cursor, i): Source => {
      const slice = slices[i]!
      this.#held.add(slice)
      return { cursor, slice, records: this.#walk(cursor, slice), waiting: undefined, taken: 0 }
    })
    let rest = sources
    while (rest.length > 0 && !this.isFull) {
      const bytes = Math.ceil((this.#bytesMax - this.bytes) / rest.length)
      const count = Math.ceil((this.#recordsMax - this.records.length) / rest.length)
      rest = rest.filter((source) => this.#takeShare(source, bytes, count))
    }
    for (const { slice, taken } of sources) if (taken === 0) this.#letGo(slice)
    return cursors.some(({ next }, i) => next !== before[i])
  }

  answer(): ReadAnswer {
    const places = this.#cursors.map(({ tp, epoch, next }) => ({ tp, epoch, offset: next }))
    return {
      records: this.records,
      position: toPosition(places),
      live: this.#cursors.every(({ next, until, end }) => next >= until || next >= end),
      gaps: this.gaps,
      release: () => this.release(),
    }
  }

  release(): void {
    for (const slice of this.#held) slice.release()
    this.#held.clear()
  }

  /** Gives a slice back early: nothing of it is in the answer. */
  #letGo(slice: FetchSlice): void {
    this.#held.delete(slice)
    slice.release()
  }

  /** Moves at least one record into the answer. True when the source may have more. */
  #takeShare(source: Source, bytesShare: number, countShare: number): boolean {
    let bytesTaken = 0
    for (let count = 0; !this.isFull; count++) {
      source.waiting ??= source.records.next().value ?? undefined
      const record = source.waiting
      if (record === undefined) return false
      const bytes = recordBytes(record)
      if (count > 0 && (count >= countShare || bytesTaken + bytes > bytesShare)) return true
      if (this.records.length > 0 && this.bytes + bytes > this.#bytesMax) {
        this.#cut = true
        return false
      }
      source.waiting = undefined
      source.taken++
      bytesTaken += bytes
      this.bytes += bytes
      this.records.push(placed(source.cursor.tp, record))
      source.cursor.next = record.offset + 1
    }
    return false
  }

  /** The records of a slice that belong to the answer; moves the cursor past all others. */
  *#walk(cursor: Cursor, slice: FetchSlice): Generator<StoredRecord, undefined, undefined> {
    if (slice.readableEnd >= 0) cursor.end = slice.readableEnd
    for (const batch of slice.batches) {
      if (this.isFull || cursor.next >= cursor.until) return
      yield* this.#walkBatch(cursor, batch)
    }
    if (this.isFull || cursor.next >= cursor.until) return
    if (slice.error !== undefined) this.#takeError(cursor, slice, slice.error)
    else cursor.next = Math.min(Math.max(cursor.next, slice.next), cursor.until)
  }

  *#walkBatch(cursor: Cursor, batch: Uint8Array): Generator<StoredRecord, undefined, undefined> {
    const batchEnd = lastOffsetOf(batch) + 1
    if (batchEnd <= cursor.next) return
    this.#examinedBytes += batch.length
    let records: StoredRecord[]
    try {
      records = readRecords(batch)
    } catch (error) {
      if (this.#onGap === 'fail' || !(error instanceof GatewayError)) throw error
      this.#pass(cursor, Math.max(cursor.next, baseOffsetOf(batch)), batchEnd, 'corrupt')
      return
    }
    for (const record of records) {
      if (record.offset < cursor.next) continue
      if (record.offset >= cursor.until) break
      if (this.#matches(record)) yield record
      else cursor.next = record.offset + 1
    }
    cursor.next = Math.min(batchEnd, cursor.until)
  }

  /** A part of the log that is not there is a gap; anything else ends the read. */
  #takeError(cursor: Cursor, slice: FetchSlice, error: GatewayError): void {
    const missing = missingPart(slice, cursor.next)
    if (missing === undefined || this.#onGap === 'fail') throw error
    this.#pass(cursor, cursor.next, missing.to, missing.why)
  }

  #pass(cursor: Cursor, from: Offset, to: Offset, why: Gap['why']): void {
    const { tp, epoch } = cursor
    const gap: Gap = { topic: tp.topic, epoch, partition: tp.partition, from, to, why }
    if (this.#onGap === 'fail') throw gapError(gap)
    this.gaps.push(gap)
    cursor.next = to
  }
}

function findRecord(batches: readonly Uint8Array[], offset: Offset): StoredRecord | undefined {
  for (const batch of batches) {
    if (offset < baseOffsetOf(batch) || offset > lastOffsetOf(batch)) continue
    return readRecords(batch).find((record) => record.offset === offset)
  }
  return undefined
}

function goneRecord(tp: TopicPartition, offset: Offset, logStart: Offset): GatewayError {
  return new GatewayError(
    'OFFSET_OUT_OF_RANGE',
    `Partition ${tp.partition} of topic '${tp.topic}' starts at offset ${logStart}; offset ${offset} is gone.`,
  )
}
