/** The one write path: every surface hands its records here, and nothing else appends records. */
import type { Clock } from '../kit/clock.ts'
import type { Random } from '../kit/random.ts'
import type { CallOptions } from '../engine/call.ts'
import type { AppendEntry, AppendResult, Log } from '../engine/log.ts'
import type { TopicDescription, Topics } from '../engine/topics.ts'
import type { IdempotencyKey, Transactions } from '../engine/transactions.ts'
import { writeBatch } from '../model/batch-writer.ts'
import type { ErrorCode } from '../model/errors.ts'
import { GatewayError, toGatewayError } from '../model/errors.ts'
import { clientKeyTtlMs, produceTimeoutMs, recordsPerRequestMax } from '../model/limits.ts'
import type { Offset } from '../model/offset.ts'
import type { Principal } from '../model/principal.ts'
import type { NewRecord } from '../model/record.ts'
import { isInternalTopic, isTopicName } from '../model/topic.ts'
import type { PlannedBatch } from './batch-builder.ts'
import { readMemo, writeMemo } from './memo.ts'
import { StickyPartitions } from './partitioner.ts'
import type { Plan } from './plan.ts'
import { fixedPartition, isAtomic, planRecords, refusal } from './plan.ts'
import type { RecordResult } from './record-result.ts'
import { spread, unknownOffset } from './record-result.ts'

export type { RecordResult } from './record-result.ts'

export interface ProduceRequest {
  readonly topic: string
  /** A record that the door could not read stands here as its error, so that places are kept. */
  readonly records: readonly (NewRecord | GatewayError)[]
  /** One bad record refuses all, and all become visible together. */
  readonly atomic?: boolean
  /** Conditional append: PRECONDITION unless the partition that all records name ends here. Atomic. */
  readonly expectedEnd?: Offset
  /** A missing topic is made, with one partition. */
  readonly autoCreate?: boolean
  /** Until it is durable or refused, ms. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

/** Names a request, so that its repetition is known and answered like the first. */
export interface RequestKey {
  /** The whole scope: who asks, by which route, under which key. */
  readonly value: string
  /** Hash of everything that the answer depends on. */
  readonly fingerprint: Uint8Array
}

/** What a keyed request is answered, now or when it came first. */
export interface KeyedAnswer {
  readonly results: readonly RecordResult[]
  /** The request had been stored before. */
  readonly deduplicated: boolean
}

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
  /** For atomic requests that need more than one batch, and for keyed ones. */
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
        options = this.#left(options, begunMs)
      }
      const only = records.length === 1 ? records[0]! : undefined
      const isPlain = request.expectedEnd === undefined
      if (only === undefined || only instanceof GatewayError || !isPlain) {
        return await this.#produceMany(topic, request, options)
      }
      return [await this.#produceOne(topic, only, options)]
    } catch (error) {
      throw this.#refused(request, error)
    }
  }

  /**
   * The same under a key: all batches are one transaction of the engine, so a retry is stored once and
   * answered like the first try, refused records included. A request of which nothing was stored leaves
   * its key free. Throws IDEMPOTENCY_MISMATCH where the key was used for another request.
   */
  async produceOnce(
    _principal: Principal,
    request: ProduceRequest,
    requestKey: RequestKey,
  ): Promise<KeyedAnswer> {
    const key = keyOfClient(requestKey)
    try {
      checkCount(request.records.length)
      const begunMs = this.#clock.monotonicMs()
      const left = (): CallOptions => this.#left(callOptions(request), begunMs)
      // Before the topic: an answer is kept beyond its topic's end, and must not make it again.
      const first = await this.#transactions.recall(key, callOptions(request))
      if (first !== undefined) return { results: readMemo(first), deduplicated: true }
      const topic = this.#known(request.topic) ?? (await this.#missing(request, left()))
      const plan = this.#plan(topic, request)
      const { batches, entries, results, nowMs } = plan
      if (entries.length === 0) return { results: this.#told(topic, plan, []), deduplicated: false }
      const memo = writeMemo(batches, results, nowMs)
      const transaction = { entries, key: { ...key, memo } }
      const answer = await this.#transactions.transact(transaction, left())
      if (answer.deduplicated) return { results: readMemo(answer), deduplicated: true }
      return { results: this.#told(topic, plan, answer.results), deduplicated: false }
    } catch (error) {
      throw this.#refused(request, error)
    }
  }

  /**
   * For requests that stream: the topic is there, or is made, so that all their records keep their order.
   * Throws what a produce to it would be refused with.
   */
  async prepare(
    _principal: Principal,
    { topic, autoCreate }: { readonly topic: string; readonly autoCreate: boolean },
  ): Promise<void> {
    if (this.#known(topic) !== undefined) return
    await this.#missing({ topic, records: [], autoCreate }, { timeoutMs: produceTimeoutMs })
  }

  /** Resolves when the log has room: whoever reads records from a socket waits here. */
  async whenRoom(signal: AbortSignal): Promise<void> {
    const { pressure } = this.#log
    if (pressure.inFlightBytes > pressure.high) await pressure.whenRelieved(signal)
  }

  #left(options: CallOptions, begunMs: number): CallOptions {
    const spentMs = this.#clock.monotonicMs() - begunMs
    return { ...options, timeoutMs: Math.max(options.timeoutMs - spentMs, 1) }
  }

  #refused({ topic, records }: ProduceRequest, error: unknown): GatewayError {
    const refused = toGatewayError(error)
    this.#meter.failed(topic, records.length, refused.code)
    return refused
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
    request: ProduceRequest,
    options: CallOptions,
  ): Promise<readonly RecordResult[]> {
    const plan = this.#plan(topic, request)
    const { batches, entries } = plan
    const answers =
      isAtomic(request) && batches.length > 1
        ? (await this.#transactions.transact({ entries }, options)).results
        : await this.#append(batches, entries, options)
    return this.#told(topic, plan, answers)
  }

  #plan(topic: TopicDescription, request: ProduceRequest): Plan {
    return planRecords(topic, request, this.#clock.wallMs(), this.#sticky)
  }

  /** The results of all records, and the meter knows of them. */
  #told(topic: TopicDescription, plan: Plan, answers: readonly AppendResult[]): RecordResult[] {
    const { nowMs, batches, entries, results } = plan
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
    checkCount(recordCount)
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

/** All clients share the budget of their keys. */
const clientSpace = 'clients'

/** A client's key as the engine knows it. */
export function keyOfClient({ value, fingerprint }: RequestKey): IdempotencyKey {
  return { value, fingerprint, space: clientSpace, ttlMs: clientKeyTtlMs }
}

export function checkCount(recordCount: number): void {
  if (recordCount <= recordsPerRequestMax) return
  throw new GatewayError(
    'BODY_TOO_LARGE',
    `A request holds at most ${recordsPerRequestMax} records, this one has ${recordCount}.`,
  )
}

function callOptions({ timeoutMs = produceTimeoutMs, signal }: ProduceRequest): CallOptions {
  return signal === undefined ? { timeoutMs } : { timeoutMs, signal }
}

export function unknownTopic(name: string): GatewayError {
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
