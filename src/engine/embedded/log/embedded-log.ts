/** The log role of the embedded engine: append, fetch, watch, offsets. */
import type { Clock } from '../../../kit/clock.ts'
import { withDeadline } from '../../../kit/deadline.ts'
import type { Logger } from '../../../kit/logger.ts'
import { readRecords } from '../../../model/batch-reader.ts'
import { GatewayError, toGatewayError } from '../../../model/errors.ts'
import type { Offset } from '../../../model/offset.ts'
import { lastOffsetOf, maxTimestampOf, setLogAppendTime } from '../../../model/record-batch.ts'
import type { StoredRecord } from '../../../model/record.ts'
import type { TopicPartition } from '../../../model/topic.ts'
import type { CallOptions, Watch } from '../../call.ts'
import type {
  AppendEntry,
  AppendResult,
  FetchRequest,
  FetchSlice,
  Log,
  OffsetAnswer,
  OffsetQuery,
  Pressure,
} from '../../log.ts'
import { isPassing } from '../disk/disk.ts'
import type { Journal } from '../journal/journal.ts'
import { AppendCall } from './append-call.ts'
import { batchRefusal, findPartition, preconditionRefusal } from './append-check.ts'
import type { BatchEntry } from './batch-entry.ts'
import type { PartitionLog } from './partition-log.ts'
import type { Partitions } from './partitions.ts'
import type { SegmentRead } from './segment.ts'

/** What a look-up by time reads at once. */
const scanBytes = 1024 * 1024

export interface LogParts {
  readonly partitions: Partitions
  readonly journal: Journal
  readonly clock: Clock
  readonly logger: Logger
  /** Why nothing can be done at all, or no appends now. */
  readonly refusal: () => GatewayError | undefined
  readonly appendRefusal: () => GatewayError | undefined
  /** Moves a log start through the journal; resolves when that is durable. */
  readonly moveLogStart: (log: PartitionLog, before: Offset, timeoutMs: number) => Promise<void>
  readonly onDamage: () => void
}

export class EmbeddedLog implements Log {
  readonly #parts: LogParts
  readonly #partitions: Partitions

  constructor(parts: LogParts) {
    this.#parts = parts
    this.#partitions = parts.partitions
  }

  get pressure(): Pressure {
    return this.#partitions.pressure
  }

  append(entries: readonly AppendEntry[], options: CallOptions): Promise<AppendResult[]> {
    const { journal, clock } = this.#parts
    const refusal = this.#parts.appendRefusal() ?? cancelled(options)
    if (refusal !== undefined) return Promise.reject(refusal)
    const nowMs = clock.wallMs()
    const call = new AppendCall(entries.length, clock.monotonicMs() + options.timeoutMs)
    for (let index = 0; index < entries.length; index++) {
      const entry = entries[index]!
      const log = this.check(entry, nowMs)
      const error =
        log instanceof GatewayError
          ? log
          : preconditionRefusal(log, entry.expectedEnd, log.nextOffset)
      if (error !== undefined) {
        // A refusal may rest on what is not durable yet: it waits for that, like every answer.
        const refuse = (failed?: GatewayError): void =>
          call.refuse(index, entry.tp, failed ?? error)
        journal.whenSettled(call.deadlineMs, refuse)
        continue
      }
      const batch = this.stage(log as PartitionLog, entry.batch, nowMs, call, index)
      journal.joinOne(batch, batch)
    }
    return call.promise
  }

  /** The partition an entry may go to, or why it may not; without its precondition. */
  check(entry: AppendEntry, nowMs: number): PartitionLog | GatewayError {
    const log = findPartition(this.#partitions, entry.tp, entry.topicId)
    if (log instanceof GatewayError) return log
    return batchRefusal(log, entry.batch, entry.trusted === true, nowMs) ?? log
  }

  /** Gives a checked batch its offsets. It must join the journal in this same turn. */
  stage(log: PartitionLog, batch: Uint8Array, nowMs: number, call: AppendCall, index: number) {
    const logAppendTime = log.settings.logAppendTime ? nowMs : undefined
    if (logAppendTime !== undefined) setLogAppendTime(batch, logAppendTime)
    const staged = log.stage(batch, this.#partitions.generation, call, index)
    const { baseOffset: base, lastOffset: last } = staged
    call.expect(index, { tp: log.tp, base, last, logAppendTime })
    this.#partitions.pressure.add(staged.memoryBytes)
    return staged
  }

  /** A batch of the engine's own, which nobody checks and nobody waits for by itself. */
  stageOwn(log: PartitionLog, batch: Uint8Array): BatchEntry {
    const staged = log.stage(batch, this.#partitions.generation, undefined, 0)
    this.#partitions.pressure.add(staged.memoryBytes)
    return staged
  }

  fetch(
    requests: readonly FetchRequest[],
    options: CallOptions & { readonly bytesMax: number },
  ): Promise<FetchSlice[]> {
    const refusal = this.#parts.refusal() ?? cancelled(options)
    if (refusal !== undefined) return Promise.reject(refusal)
    const slices: FetchSlice[] = []
    let left = options.bytesMax
    for (const [i, request] of requests.entries()) {
      const slice = this.#fetchNow(request, left)
      if (slice === undefined) {
        const rest = this.#fetchRest(requests.slice(i), left, slices)
        return withDeadline(this.#parts.clock, rest, options, late)
      }
      slices.push(slice)
      left -= bytesOf(slice.batches)
    }
    return Promise.resolve(slices)
  }

  watch(tp: TopicPartition, onAdvance: (end: Offset) => void): Watch {
    const watch = this.#partitions.watchers.watch(tp, onAdvance)
    const log = findPartition(this.#partitions, tp, undefined)
    const point = this.#partitions.watchers.find(tp.topic, tp.partition)
    if (point !== undefined && !(log instanceof GatewayError)) point.end = log.readableEnd
    return watch
  }

  offsets(queries: readonly OffsetQuery[], options: CallOptions): Promise<OffsetAnswer[]> {
    const refusal = this.#parts.refusal() ?? cancelled(options)
    if (refusal !== undefined) return Promise.reject(refusal)
    const answers = Promise.all(queries.map((query) => this.#offset(query)))
    return withDeadline(this.#parts.clock, answers, options, late)
  }

  deleteRecords(
    before: readonly { readonly tp: TopicPartition; readonly before: Offset }[],
    options: CallOptions,
  ): Promise<{ tp: TopicPartition; logStart: Offset; error?: GatewayError }[]> {
    const refusal = this.#parts.refusal() ?? cancelled(options)
    if (refusal !== undefined) return Promise.reject(refusal)
    return Promise.all(before.map((one) => this.#trim(one.tp, one.before, options.timeoutMs)))
  }

  /** What can be answered from memory; undefined when a file must be read. */
  #fetchNow({ tp, from, bytesMax, topicId }: FetchRequest, left: number): FetchSlice | undefined {
    const log = findPartition(this.#partitions, tp, topicId)
    if (log instanceof GatewayError) return failedSlice(tp, from, log)
    if (from < log.logStart || from > log.readableEnd) {
      return { ...sliceOf(log, [], from), error: outOfRange(log, from) }
    }
    if (from === log.readableEnd || left <= 0) return sliceOf(log, [], from)
    const read = log.readTail(from, Math.min(bytesMax, left))
    return read === undefined ? undefined : sliceOf(log, read.batches, read.next)
  }

  async #fetchRest(
    requests: readonly FetchRequest[],
    bytesMax: number,
    slices: FetchSlice[],
  ): Promise<FetchSlice[]> {
    let left = bytesMax
    for (const request of requests) {
      const slice = this.#fetchNow(request, left) ?? (await this.#fetchFile(request, left))
      slices.push(slice)
      left -= bytesOf(slice.batches)
    }
    return slices
  }

  async #fetchFile({ tp, from, bytesMax }: FetchRequest, left: number): Promise<FetchSlice> {
    const log = findPartition(this.#partitions, tp, undefined)
    if (log instanceof GatewayError) return failedSlice(tp, from, log)
    let read: SegmentRead
    try {
      read = await this.#read(log, from, Math.min(bytesMax, left))
    } catch (cause) {
      if (cause instanceof GatewayError) return failedSlice(tp, from, cause)
      if (isPassing(cause)) {
        return {
          ...sliceOf(log, [], from),
          error: new GatewayError('UNAVAILABLE', 'Too many files are open.', { cause }),
        }
      }
      read = { batches: [], next: log.readableEnd, damage: 'The disk refuses to read it.' }
    }
    // Its segment went while the read was under way.
    const isGone = read.damage !== undefined && from < log.logStart
    if (isGone) return { ...sliceOf(log, [], from), error: outOfRange(log, from) }
    const slice = sliceOf(log, read.batches, read.next)
    return read.damage === undefined ? slice : { ...slice, error: this.#damaged(log, from, read) }
  }

  /** Files that are let go, by a delete or by the end of the engine, must not look like damage. */
  async #read(log: PartitionLog, from: Offset, bytesMax: number): Promise<SegmentRead> {
    const read = await log.read(from, bytesMax)
    if (log.isDropped) {
      throw new GatewayError('UNKNOWN_TOPIC', `Topic '${log.tp.topic}' does not exist.`)
    }
    const refusal = read.damage === undefined ? undefined : this.#parts.refusal()
    if (refusal !== undefined) throw refusal
    return read
  }

  #damaged(log: PartitionLog, from: Offset, read: SegmentRead): GatewayError {
    const { topic, partition } = log.tp
    if (log.noteDamage(from)) {
      this.#parts.onDamage()
      this.#parts.logger.error(
        { topic, partition, offset: from, next: read.next, damage: read.damage },
        'A damaged batch was met; what is before and after it stays readable.',
      )
    }
    return new GatewayError(
      'CORRUPT_BATCH',
      `Partition ${partition} of '${topic}' is damaged at offset ${from}; it can be read again from ${read.next}. ${read.damage}`,
    )
  }

  async #offset({ tp, at }: OffsetQuery): Promise<OffsetAnswer> {
    const log = findPartition(this.#partitions, tp, undefined)
    if (log instanceof GatewayError) return { tp, offset: -1, timestamp: -1, error: log }
    if (at === 'earliest') return { tp, offset: log.logStart, timestamp: -1 }
    if (at === 'latest' || at === 'durable') return { tp, offset: log.readableEnd, timestamp: -1 }
    try {
      const found =
        at === 'max_timestamp' ? await this.#newest(log) : await this.#atTime(log, at.time)
      return found === undefined
        ? { tp, offset: log.readableEnd, timestamp: -1 }
        : { tp, offset: found.offset, timestamp: found.timestamp }
    } catch (error) {
      return {
        tp,
        offset: -1,
        timestamp: -1,
        error: this.#parts.refusal() ?? toGatewayError(error),
      }
    }
  }

  /** The first record at or after `time`; damaged batches are passed over, reading names them. */
  async #atTime(log: PartitionLog, time: number): Promise<StoredRecord | undefined> {
    const end = log.readableEnd
    for (let at = await log.firstCandidate(time); at < end;) {
      const read = await this.#read(log, at, scanBytes)
      for (const batch of read.batches) {
        if (maxTimestampOf(batch) < time || lastOffsetOf(batch) < log.logStart) continue
        const found = readRecords(batch).find(
          ({ offset, timestamp }) => timestamp >= time && offset >= log.logStart,
        )
        if (found !== undefined) return found
      }
      at = read.next
    }
    return undefined
  }

  async #newest(log: PartitionLog): Promise<StoredRecord | undefined> {
    if (log.logStart === log.readableEnd) return undefined
    const { timestamp, lastOffset, cutEnd } = await log.newest()
    if (lastOffset >= log.readableEnd) await this.#parts.journal.settled()
    const inCut = cutEnd === undefined ? undefined : await this.#newestBelow(log, cutEnd)
    if (timestamp < 0 || (inCut?.timestamp ?? -1) >= timestamp) return inCut
    // Not by the offset of its batch: in memory and in a compacted segment batches end elsewhere.
    return (await this.#atTime(log, timestamp)) ?? inCut
  }

  /** Of a segment that the log start cuts through no index says what is latest in the rest of it. */
  async #newestBelow(log: PartitionLog, end: Offset): Promise<StoredRecord | undefined> {
    let newest: StoredRecord | undefined
    for (let at = log.logStart; at < end;) {
      const read = await this.#read(log, at, scanBytes)
      for (const batch of read.batches) {
        if (maxTimestampOf(batch) <= (newest?.timestamp ?? -1)) continue
        for (const record of readRecords(batch)) {
          const isIn = record.offset >= log.logStart && record.offset < end
          if (isIn && record.timestamp > (newest?.timestamp ?? -1)) newest = record
        }
      }
      at = Math.max(read.next, at + 1)
    }
    return newest
  }

  async #trim(
    tp: TopicPartition,
    before: Offset,
    timeoutMs: number,
  ): Promise<{ tp: TopicPartition; logStart: Offset; error?: GatewayError }> {
    const log = findPartition(this.#partitions, tp, undefined)
    if (log instanceof GatewayError) return { tp, logStart: -1, error: log }
    if (!Number.isSafeInteger(before) || before < 0 || before > log.readableEnd) {
      return { tp, logStart: log.logStart, error: outOfRange(log, before) }
    }
    try {
      if (before > log.plannedLogStart) await this.#parts.moveLogStart(log, before, timeoutMs)
      else await this.#parts.journal.settled(timeoutMs)
      return { tp, logStart: log.logStart }
    } catch (error) {
      const refusal = toGatewayError(error)
      // A delete that is not durable yet may be the reason: the refusal waits for it.
      const failed =
        refusal.applied === 'no'
          ? await this.#parts.journal.settled(timeoutMs).catch(toGatewayError)
          : undefined
      return { tp, logStart: log.logStart, error: failed ?? refusal }
    }
  }
}

/** Nothing is pooled yet: what was lent is simply let go. */
const release = (): void => undefined

function sliceOf(log: PartitionLog, batches: readonly Uint8Array[], next: Offset): FetchSlice {
  const { tp, logStart, readableEnd } = log
  return { tp, batches, next, logStart, readableEnd, durableEnd: readableEnd, release }
}

function failedSlice(tp: TopicPartition, from: Offset, error: GatewayError): FetchSlice {
  const unknown = { logStart: -1, readableEnd: -1, durableEnd: -1 }
  return { tp, batches: [], next: from, ...unknown, error, release }
}

function outOfRange(log: PartitionLog, offset: Offset): GatewayError {
  const { tp, logStart, readableEnd } = log
  return new GatewayError(
    'OFFSET_OUT_OF_RANGE',
    `Offset ${offset} is outside of partition ${tp.partition} of '${tp.topic}', which holds ${logStart} to ${readableEnd}.`,
  )
}

function bytesOf(batches: readonly Uint8Array[]): number {
  let bytes = 0
  for (const batch of batches) bytes += batch.length
  return bytes
}

function cancelled({ signal }: CallOptions): GatewayError | undefined {
  if (signal?.aborted !== true) return undefined
  return new GatewayError('UNAVAILABLE', 'The caller gave up before the call began.')
}

/** A read that was cut changed nothing. */
function late(): GatewayError {
  return new GatewayError('UNAVAILABLE', 'The deadline passed while the log was being read.')
}
