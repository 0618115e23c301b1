/** The one write path: every surface hands its records here, and nothing else appends records. */
import type { Clock } from '../kit/clock.ts'
import type { Random } from '../kit/random.ts'
import type { CallOptions } from '../engine/call.ts'
import type { AppendEntry, AppendResult, Log } from '../engine/log.ts'
import type { TopicDescription, Topics } from '../engine/topics.ts'
import type { Transactions } from '../engine/transactions.ts'
import { singleRecordBatchBytes, writeBatch } from '../model/batch-writer.ts'
import type { ErrorCode } from '../model/errors.ts'
import { GatewayError, toGatewayError } from '../model/errors.ts'
import { headersPerRecordMax, produceTimeoutMs, recordsPerRequestMax } from '../model/limits.ts'
import type { Offset } from '../model/offset.ts'
import type { Principal } from '../model/principal.ts'
import type { NewRecord } from '../model/record.ts'
import { isInternalTopic, isTopicName } from '../model/topic.ts'
import type { PlannedBatch } from './batch-builder.ts'
import { planBatches } from './batch-builder.ts'
import { partitionOfKey, StickyPartitions } from './partitioner.ts'

export interface ProduceRequest {
  readonly topic: string
  /** A record that the door could not read stands here as its error, so that places are kept. */
  readonly records: readonly (NewRecord | GatewayError)[]
  /** One bad record refuses all, and all become visible together. */
  readonly atomic?: boolean
  /** A missing topic is made, with one partition. */
  readonly autoCreate?: boolean
  /** Until it is durable or refused, ms. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

/** `offset` is -1 where an engine knows that it took the record, but no longer where it stands. */
export type RecordResult =
  | { readonly partition: number; readonly offset: Offset; readonly timestamp: number }
  | { readonly error: GatewayError }

/** What the write path reports. */
export interface ProduceMeter {
  /** `bytes`: of whole batches. */
  stored(topic: string, records: number, bytes: number): void
  /** Records refused or failed one by one, or with their request. */
  failed(topic: string, records: number, code: ErrorCode): void
}

export const noProduceMeter: ProduceMeter = {
  stored: () => undefined,
  failed: () => undefined,
}

export interface ProducerParts {
  readonly log: Log
  readonly topics: Topics
  /** For atomic requests that need more than one batch. */
  readonly transactions: Transactions
  readonly clock: Clock
  readonly random: Random
  readonly meter?: ProduceMeter
}

export class Producer {
  readonly #log: Log
  readonly #topics: Topics
  readonly #transactions: Transactions
  readonly #clock: Clock
  readonly #sticky: StickyPartitions
  readonly #meter: ProduceMeter

  constructor(parts: ProducerParts) {
    this.#log = parts.log
    this.#topics = parts.topics
    this.#transactions = parts.transactions
    this.#clock = parts.clock
    this.#sticky = new StickyPartitions(parts.random)
    this.#meter = parts.meter ?? noProduceMeter
  }

  /**
   * Appends the records of one request and resolves when they are durable: one result for each, in
   * order. Throws when the request is refused as a whole: UNKNOWN_TOPIC, OVERLOADED, BODY_TOO_LARGE
   * (more records than a request may have), INVALID_RECORD (`atomic` and one is bad), and whatever
   * the engine refuses a whole append with.
   */
  async produce(_principal: Principal, request: ProduceRequest): Promise<readonly RecordResult[]> {
    const { records } = request
    try {
      this.#admit(records.length)
      let options = callOptions(request)
      let topic = this.#known(request.topic)
      if (topic === undefined) {
        const begunMs = this.#clock.monotonicMs()
        topic = await this.#missing(request, options)
        const spentMs = this.#clock.monotonicMs() - begunMs
        options = { ...options, timeoutMs: Math.max(options.timeoutMs - spentMs, 1) }
      }
      const only = records.length === 1 ? records[0]! : undefined
      if (only === undefined || only instanceof GatewayError) {
        return await this.#produceMany(topic, request, options)
      }
      return [await this.#produceOne(topic, only, options)]
    } catch (error) {
      const refused = toGatewayError(error)
      this.#meter.failed(request.topic, records.length, refused.code)
      throw refused
    }
  }

  /** The common case by itself: no plan, no maps. */
  async #produceOne(
    topic: TopicDescription,
    record: NewRecord,
    options: CallOptions,
  ): Promise<RecordResult> {
    const nowMs = this.#clock.wallMs()
    const refused = refusal(topic, record, nowMs)
    if (refused !== undefined) return this.#failed(topic.name, refused)
    const partition =
      fixedPartition(topic, record) ?? this.#sticky.next(topic.name, topic.partitions)
    const batch = writeBatch([record], nowMs, topic.compression)
    const entry = { tp: { topic: topic.name, partition }, batch, trusted: true }
    const answer = (await this.#log.append([entry], options))[0]!
    if (answer.error !== undefined) return this.#failed(topic.name, answer.error)
    this.#meter.stored(topic.name, 1, batch.length)
    const timestamp = answer.logAppendTime ?? record.timestamp ?? nowMs
    return { partition, offset: answer.offsets?.base ?? unknownOffset, timestamp }
  }

  async #produceMany(
    topic: TopicDescription,
    { records, atomic = false }: ProduceRequest,
    options: CallOptions,
  ): Promise<readonly RecordResult[]> {
    const nowMs = this.#clock.wallMs()
    const results = new Array<RecordResult>(records.length)
    const partitions = new Int32Array(records.length)
    let sticky: number | undefined
    for (let place = 0; place < records.length; place++) {
      const record = records[place]!
      const refused = refusal(topic, record, nowMs)
      if (refused !== undefined) {
        if (atomic) throw notAtomic(place, records.length, refused)
        results[place] = { error: refused }
        partitions[place] = -1
        continue
      }
      partitions[place] =
        fixedPartition(topic, record as NewRecord) ??
        (sticky ??= this.#sticky.next(topic.name, topic.partitions))
    }
    const batches = planBatches(records, partitions, topic.maxBatchBytes)
    const entries = batches.map(({ partition, records: planned }) => ({
      tp: { topic: topic.name, partition },
      batch: writeBatch(planned, nowMs, topic.compression),
      trusted: true,
    }))
    const answers =
      atomic && batches.length > 1
        ? (await this.#transactions.transact({ entries }, options)).results
        : await this.#append(batches, entries, options)
    for (let i = 0; i < batches.length; i++) {
      const answer = answers[i]!
      spread(batches[i]!, answer, nowMs, results)
      if (answer.error !== undefined) continue
      this.#meter.stored(topic.name, batches[i]!.records.length, entries[i]!.batch.length)
    }
    for (const result of results) if ('error' in result) this.#failed(topic.name, result.error)
    return results
  }

  /**
   * One append for each round, sent one behind the other without waiting: the log keeps the order of
   * calls for a partition, so the rounds share its commits. A single round throws what it is refused
   * with, and so do several of which none was taken; else a refused one fails its own records.
   */
  async #append(
    batches: readonly PlannedBatch[],
    entries: readonly AppendEntry[],
    options: CallOptions,
  ): Promise<readonly AppendResult[]> {
    if (batches.length === 0) return []
    if (batches.every(({ round }) => round === 0)) return await this.#log.append(entries, options)
    const rounds: number[][] = []
    for (let i = 0; i < batches.length; i++) (rounds[batches[i]!.round] ??= []).push(i)
    const answers = new Array<AppendResult>(batches.length)
    const refusals: GatewayError[] = []
    await Promise.all(
      rounds.map(async (round) => {
        const sent = round.map((i) => entries[i]!)
        const answered = await this.#log.append(sent, options).catch((error: unknown) => {
          const refused = toGatewayError(error)
          refusals.push(refused)
          return sent.map(({ tp }): AppendResult => ({ tp, error: refused }))
        })
        round.forEach((i, at) => (answers[i] = answered[at]!))
      }),
    )
    if (refusals.length === rounds.length) {
      // The least that is known of any of them: one may have been written.
      throw refusals.find(({ applied }) => applied === 'maybe') ?? refusals[0]!
    }
    return answers
  }

  #failed(topic: string, error: GatewayError): RecordResult {
    this.#meter.failed(topic, 1, error.code)
    return { error }
  }

  /** A body that was read whole is refused while the log has too much to do already. */
  #admit(recordCount: number): void {
    const { inFlightBytes, high } = this.#log.pressure
    if (inFlightBytes > high) {
      throw new GatewayError(
        'OVERLOADED',
        `The log is busy: ${inFlightBytes} bytes are waiting to be written, the limit is ${high}.`,
      )
    }
    if (recordCount > recordsPerRequestMax) {
      throw new GatewayError(
        'BODY_TOO_LARGE',
        `A request holds at most ${recordsPerRequestMax} records, this one has ${recordCount}.`,
      )
    }
  }

  /** Internal topics do not exist at any door. */
  #known(name: string): TopicDescription | undefined {
    return isInternalTopic(name) ? undefined : this.#topics.known(name)
  }

  async #missing(
    { topic: name, autoCreate = false }: ProduceRequest,
    options: CallOptions,
  ): Promise<TopicDescription> {
    if (!autoCreate || isInternalTopic(name)) throw unknownTopic(name)
    if (!isTopicName(name)) throw new GatewayError('INVALID_REQUEST', illegalName(name))
    const [outcome] = await this.#topics.create([{ name, partitions: 1 }], options)
    // Somebody else may have made it in the same moment: that is as good.
    if (outcome?.error !== undefined && outcome.error.code !== 'TOPIC_EXISTS') throw outcome.error
    const made = this.#topics.known(name)
    if (made !== undefined) return made
    throw new GatewayError('UNAVAILABLE', `Topic '${name}' is being created.`)
  }
}

/** What an answer says where the engine knows no offset, as in Kafka. */
const unknownOffset = -1

function callOptions({ timeoutMs = produceTimeoutMs, signal }: ProduceRequest): CallOptions {
  return signal === undefined ? { timeoutMs } : { timeoutMs, signal }
}

/** The partition that a record names or its key leads to; undefined when it has neither. */
function fixedPartition(topic: TopicDescription, record: NewRecord): number | undefined {
  if (record.partition !== undefined) return record.partition
  return record.key === null ? undefined : partitionOfKey(record.key, topic.partitions.length)
}

/** Why a record can never be stored in this topic; undefined when it can. */
function refusal(
  topic: TopicDescription,
  record: NewRecord | GatewayError,
  nowMs: number,
): GatewayError | undefined {
  if (record instanceof GatewayError) return record
  const { partition, timestamp, headers } = record
  if (partition !== undefined && topic.partitions[partition] === undefined) {
    return new GatewayError(
      'UNKNOWN_PARTITION',
      `Topic '${topic.name}' has no partition ${partition}: it has ${topic.partitions.length}.`,
    )
  }
  if (timestamp !== undefined) {
    if (!Number.isSafeInteger(timestamp) || timestamp < 0) {
      return new GatewayError(
        'INVALID_RECORD',
        `The timestamp ${timestamp} is not a whole number of milliseconds since 1970.`,
      )
    }
    if (timestamp > nowMs + topic.timestampAfterMsMax) {
      return new GatewayError(
        'INVALID_RECORD',
        `The timestamp ${timestamp} is more than ${topic.timestampAfterMsMax} ms (message.timestamp.after.max.ms) ahead of the gateway's clock (${nowMs}).`,
      )
    }
    if (timestamp < nowMs - topic.timestampBeforeMsMax) {
      return new GatewayError(
        'INVALID_RECORD',
        `The timestamp ${timestamp} is more than ${topic.timestampBeforeMsMax} ms (message.timestamp.before.max.ms) behind the gateway's clock (${nowMs}).`,
      )
    }
  }
  if (headers.length > headersPerRecordMax) {
    return new GatewayError(
      'INVALID_RECORD',
      `A record has at most ${headersPerRecordMax} headers, this one has ${headers.length}.`,
    )
  }
  const bytes = singleRecordBatchBytes(record)
  if (bytes <= topic.maxBatchBytes) return undefined
  return new GatewayError(
    'RECORD_TOO_LARGE',
    `The record takes ${bytes} bytes, and max.message.bytes of topic '${topic.name}' is ${topic.maxBatchBytes}.`,
  )
}

/** Gives each record of a batch its own result. */
function spread(
  { partition, records, places }: PlannedBatch,
  { error, offsets, logAppendTime }: AppendResult,
  nowMs: number,
  results: RecordResult[],
): void {
  for (let i = 0; i < places.length; i++) {
    results[places[i]!] =
      error !== undefined
        ? { error }
        : {
            partition,
            offset: offsets === undefined ? unknownOffset : offsets.base + i,
            timestamp: logAppendTime ?? records[i]!.timestamp ?? nowMs,
          }
  }
}

function notAtomic(place: number, count: number, { message, code }: GatewayError): GatewayError {
  return new GatewayError(
    'INVALID_RECORD',
    `Nothing was stored, because record ${place + 1} of ${count} is refused (${code}): ${message}`,
  )
}

function unknownTopic(name: string): GatewayError {
  if (!isTopicName(name)) return new GatewayError('UNKNOWN_TOPIC', illegalName(name))
  if (isInternalTopic(name)) {
    return new GatewayError('UNKNOWN_TOPIC', `Topic '${name}' does not exist.`)
  }
  return new GatewayError(
    'UNKNOWN_TOPIC',
    `Topic '${name}' does not exist. Create it: curl … /v1/topics -d '{"name":"${name}"}' or: ebbgate topics create ${name}`,
  )
}

function illegalName(name: string): string {
  const shown = name.length > 80 ? `${name.slice(0, 80)}…` : name
  return `There is no topic '${shown}': a name has 1 to 249 characters of A-Z a-z 0-9 . _ -`
}
