/** One-shot transactions: records for many topics, and offsets of a group, stored together or not at all. */
import type { Clock } from '../kit/clock.ts'
import type { Random } from '../kit/random.ts'
import type { CallOptions } from '../engine/call.ts'
import type { TopicDescription, Topics } from '../engine/topics.ts'
import type { OneShot, Transactions } from '../engine/transactions.ts'
import { toGatewayError } from '../model/errors.ts'
import { produceTimeoutMs } from '../model/limits.ts'
import type { Principal } from '../model/principal.ts'
import type { NewRecord } from '../model/record.ts'
import { isInternalTopic } from '../model/topic.ts'
import type { PlannedBatch } from './batch-builder.ts'
import { readMemo, writeMemo } from './memo.ts'
import { StickyPartitions } from './partitioner.ts'
import { planRecords } from './plan.ts'
import type { KeyedAnswer, ProduceMeter, RequestKey } from './producer.ts'
import { checkCount, keyOfClient, noProduceMeter, unknownTopic } from './producer.ts'
import type { RecordResult } from './record-result.ts'
import { spread } from './record-result.ts'

export interface TransactionRequest {
  readonly records: readonly { readonly topic: string; readonly record: NewRecord }[]
  readonly offsets?: NonNullable<OneShot['offsets']>
  /** The request happens once; without it a repetition is another transaction. */
  readonly key?: RequestKey
}

export interface OneShotWriterParts {
  readonly topics: Topics
  readonly transactions: Transactions
  readonly clock: Clock
  readonly random: Random
  readonly meter?: ProduceMeter
}

const call: CallOptions = { timeoutMs: produceTimeoutMs }

/** The batches of one topic, with the places of their records in the whole request. */
interface TopicBatches {
  readonly topic: TopicDescription
  readonly batches: readonly PlannedBatch[]
  readonly entries: OneShot['entries']
}

export class OneShotWriter {
  readonly #parts: OneShotWriterParts
  readonly #sticky: StickyPartitions
  readonly #meter: ProduceMeter

  constructor(parts: OneShotWriterParts) {
    this.#parts = parts
    this.#sticky = new StickyPartitions(parts.random)
    this.#meter = parts.meter ?? noProduceMeter
  }

  /** The first answer under this key; undefined when there was none. Throws IDEMPOTENCY_MISMATCH. */
  async recall(_principal: Principal, key: RequestKey): Promise<KeyedAnswer | undefined> {
    const first = await this.#parts.transactions.recall(keyOfClient(key), call)
    return first === undefined ? undefined : { results: readMemo(first), deduplicated: true }
  }

  /**
   * Stores all records and commits all offsets, durably, or nothing of it. One result for each record,
   * in order. Throws UNKNOWN_TOPIC, INVALID_RECORD, RECORD_TOO_LARGE, BODY_TOO_LARGE above 16 MiB, and
   * what refuses the commit: GROUP_NOT_EMPTY, STALE_MEMBER_EPOCH, NOT_ASSIGNED.
   */
  async run(_principal: Principal, request: TransactionRequest): Promise<KeyedAnswer> {
    const { records, offsets, key } = request
    try {
      checkCount(records.length)
      const nowMs = this.#parts.clock.wallMs()
      const plans = this.#plan(records, nowMs)
      const batches = plans.flatMap((plan) => plan.batches)
      const results = new Array<RecordResult>(records.length)
      const answer = await this.#parts.transactions.transact(
        {
          entries: plans.flatMap((plan) => plan.entries),
          ...(offsets === undefined ? {} : { offsets }),
          ...(key === undefined
            ? {}
            : { key: { ...keyOfClient(key), memo: writeMemo(batches, results, nowMs) } }),
        },
        call,
      )
      if (answer.deduplicated) return { results: readMemo(answer), deduplicated: true }
      batches.forEach((batch, i) => spread(batch, answer.results[i]!, nowMs, results))
      for (const { topic, batches: stored, entries } of plans) {
        stored.forEach((batch, i) =>
          this.#meter.stored(topic.name, batch.records.length, entries[i]!.batch.length),
        )
      }
      return { results, deduplicated: false }
    } catch (error) {
      const refused = toGatewayError(error)
      const name = records[0]?.topic
      if (name !== undefined) this.#meter.failed(name, records.length, refused.code)
      throw refused
    }
  }

  #plan(records: TransactionRequest['records'], nowMs: number): TopicBatches[] {
    const byTopic = new Map<string, { records: NewRecord[]; places: number[] }>()
    records.forEach(({ topic, record }, place) => {
      const found = byTopic.get(topic) ?? { records: [], places: [] }
      byTopic.set(topic, found)
      found.records.push(record)
      found.places.push(place)
    })
    return [...byTopic].map(([name, { records: own, places }]): TopicBatches => {
      const topic = isInternalTopic(name) ? undefined : this.#parts.topics.known(name)
      if (topic === undefined) throw unknownTopic(name)
      const plan = planRecords(topic, { records: own, atomic: true }, nowMs, this.#sticky)
      const batches = plan.batches.map((batch) => ({
        ...batch,
        places: batch.places.map((place) => places[place]!),
      }))
      return { topic, batches, entries: plan.entries }
    })
  }
}
