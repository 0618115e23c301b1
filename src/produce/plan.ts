/** From the records of one topic to batches: each record is judged, placed, and put into a batch. */
import type { AppendEntry } from '../engine/log.ts'
import type { TopicDescription } from '../engine/topics.ts'
import { singleRecordBatchBytes, writeBatch } from '../model/batch-writer.ts'
import { GatewayError } from '../model/errors.ts'
import { headersPerRecordMax } from '../model/limits.ts'
import type { Offset } from '../model/offset.ts'
import type { NewRecord } from '../model/record.ts'
import type { PlannedBatch } from './batch-builder.ts'
import { planBatches } from './batch-builder.ts'
import type { StickyPartitions } from './partitioner.ts'
import { partitionOfKey } from './partitioner.ts'
import type { RecordResult } from './record-result.ts'

/** What of a request decides its batches. */
export interface PlanWish {
  readonly records: readonly (NewRecord | GatewayError)[]
  readonly atomic?: boolean
  readonly expectedEnd?: Offset
}

/** A request as it goes to the engine. */
export interface Plan {
  readonly nowMs: number
  readonly batches: readonly PlannedBatch[]
  readonly entries: readonly AppendEntry[]
  /** The refused records; the others get theirs from the engine. */
  readonly results: RecordResult[]
}

export function isAtomic({ atomic = false, expectedEnd }: PlanWish): boolean {
  return atomic || expectedEnd !== undefined
}

/** Places the records and builds their batches. Throws for an atomic request with a bad record. */
export function planRecords(
  topic: TopicDescription,
  request: PlanWish,
  nowMs: number,
  stickies: StickyPartitions,
): Plan {
  const { records, expectedEnd } = request
  const results = new Array<RecordResult>(records.length)
  const partitions = new Int32Array(records.length)
  let sticky: number | undefined
  for (let place = 0; place < records.length; place++) {
    const record = records[place]!
    const refused = refusal(topic, record, nowMs)
    if (refused !== undefined) {
      // The condition names the partition, so without it the condition itself means nothing.
      if (expectedEnd !== undefined && refused.code === 'UNKNOWN_PARTITION') throw refused
      if (isAtomic(request)) throw notAtomic(place, records.length, refused)
      results[place] = { error: refused }
      partitions[place] = -1
      continue
    }
    partitions[place] =
      fixedPartition(topic, record as NewRecord) ??
      (sticky ??= stickies.next(topic.name, topic.partitions))
  }
  const batches = planBatches(records, partitions, topic.maxBatchBytes)
  const entries = batches.map(({ partition, records: planned }, i): AppendEntry => ({
    tp: { topic: topic.name, partition },
    batch: writeBatch(planned, nowMs, topic.compression),
    trusted: true,
    ...(i === 0 && expectedEnd !== undefined ? { expectedEnd } : {}),
  }))
  return { nowMs, batches, entries, results }
}

/** The partition that a record names or its key leads to; undefined when it has neither. */
export function fixedPartition(topic: TopicDescription, record: NewRecord): number | undefined {
  if (record.partition !== undefined) return record.partition
  return record.key === null ? undefined : partitionOfKey(record.key, topic.partitions.length)
}

/** Why a record can never be stored in this topic; undefined when it can. */
export function refusal(
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
  if (topic.needsKeys && record.key === null) {
    return new GatewayError(
      'INVALID_RECORD',
      `Topic '${topic.name}' is compacted (cleanup.policy), so every record needs a key.`,
    )
  }
  const bytes = singleRecordBatchBytes(record)
  if (bytes <= topic.maxBatchBytes) return undefined
  return new GatewayError(
    'RECORD_TOO_LARGE',
    `The record takes ${bytes} bytes, and max.message.bytes of topic '${topic.name}' is ${topic.maxBatchBytes}.`,
  )
}

function notAtomic(place: number, count: number, { message, code }: GatewayError): GatewayError {
  return new GatewayError(
    'INVALID_RECORD',
    `Nothing was stored, because record ${place + 1} of ${count} is refused (${code}): ${message}`,
  )
}
