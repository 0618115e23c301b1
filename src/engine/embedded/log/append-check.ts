/** What an append must satisfy before it may join the journal. */
import { GatewayError } from '../../../model/errors.ts'
import { batchCodec } from '../../../model/batch-codecs.ts'
import { readRecords } from '../../../model/batch-reader.ts'
import {
  baseTimestampOf,
  batchProblem,
  codecOf,
  deleteHorizonOf,
  hasLogAppendTime,
  isControl,
  isTransactional,
  lastOffsetDeltaOf,
  maxTimestampOf,
  producerIdOf,
  recordCountOf,
} from '../../../model/record-batch.ts'
import type { TopicPartition } from '../../../model/topic.ts'
import type { PartitionLog } from './partition-log.ts'
import type { Partitions } from './partitions.ts'

/** The partition a call means; an error when there is none, or another topic has the name now. */
export function findPartition(
  partitions: Partitions,
  tp: TopicPartition,
  topicId: string | undefined,
): PartitionLog | GatewayError {
  const logs = partitions.shown(tp.topic)
  if (logs === undefined) {
    return new GatewayError('UNKNOWN_TOPIC', `Topic '${tp.topic}' does not exist.`)
  }
  if (topicId !== undefined && logs[0]?.topicId !== topicId) {
    return new GatewayError(
      'EPOCH_MISMATCH',
      `Topic '${tp.topic}' was deleted and made again: its id is not '${topicId}' any more.`,
    )
  }
  return (
    logs[tp.partition] ??
    new GatewayError(
      'UNKNOWN_PARTITION',
      `Topic '${tp.topic}' has ${logs.length} partitions; ${tp.partition} is none of them.`,
    )
  )
}

/** Why this batch cannot be appended to this partition, or undefined. */
export function batchRefusal(
  log: PartitionLog,
  batch: Uint8Array,
  trusted: boolean,
  nowMs: number,
): GatewayError | undefined {
  const { topic, partition } = log.tp
  if (log.deleted) return new GatewayError('UNKNOWN_TOPIC', `Topic '${topic}' does not exist.`)
  if (log.damage !== undefined) {
    return new GatewayError(
      'CORRUPT_BATCH',
      `Partition ${partition} of '${topic}' is damaged and takes no records until an operator has looked at it.`,
    )
  }
  const { messageBytesMax, timestampAfterMsMax } = log.settings
  if (batch.length > messageBytesMax) {
    return new GatewayError(
      'RECORD_TOO_LARGE',
      `A batch of ${batch.length} bytes is above max.message.bytes of '${topic}' (${messageBytesMax}).`,
    )
  }
  if (!trusted) {
    const problem = structureProblem(batch)
    if (problem !== undefined) return new GatewayError('INVALID_RECORD', `The batch ${problem}.`)
    // Storing needs no codec, but records that nobody looked at might be unreadable for ever.
    const codec = codecOf(batch)!
    if (batchCodec(codec) === undefined) {
      return new GatewayError(
        'UNSUPPORTED',
        `The codec ${codec} is not installed here, so its records cannot be checked.`,
      )
    }
    const inside = recordsProblem(batch, log, nowMs)
    if (inside !== undefined) return new GatewayError('INVALID_RECORD', `The batch ${inside}.`)
  }
  const aheadMs = maxTimestampOf(batch) - nowMs
  if (aheadMs > timestampAfterMsMax) {
    return new GatewayError(
      'INVALID_RECORD',
      `A timestamp is ${aheadMs} ms ahead of the gateway's clock; message.timestamp.after.max.ms of '${topic}' is ${timestampAfterMsMax}.`,
    )
  }
  return undefined
}

/** Why a conditional append is refused, or undefined. `end` is where the batch would go. */
export function preconditionRefusal(
  log: PartitionLog,
  expectedEnd: number | undefined,
  end: number,
): GatewayError | undefined {
  if (expectedEnd === undefined || expectedEnd === end) return undefined
  return new GatewayError(
    'PRECONDITION',
    `Partition ${log.tp.partition} of '${log.tp.topic}' ends at ${end}, not at ${expectedEnd}.`,
  )
}

function structureProblem(batch: Uint8Array): string | undefined {
  try {
    return headerProblem(batch)
  } catch {
    // Reading a 64-bit number that JS cannot hold throws; no honest header has one.
    return 'has numbers out of range in its header'
  }
}

function headerProblem(batch: Uint8Array): string | undefined {
  const problem = batchProblem(batch)
  if (problem !== undefined) return problem
  if (isControl(batch) || isTransactional(batch)) return 'is a control or transactional batch'
  if (hasLogAppendTime(batch)) return 'claims a log append time'
  if (deleteHorizonOf(batch) !== undefined) return 'claims a delete horizon'
  if (producerIdOf(batch) !== -1) return 'names a producer id'
  if (baseTimestampOf(batch) > maxTimestampOf(batch))
    return 'has a largest timestamp below its first'
  const count = recordCountOf(batch)
  if (count === 0 || count !== lastOffsetDeltaOf(batch) + 1) {
    return `holds ${count} records for ${lastOffsetDeltaOf(batch) + 1} offsets`
  }
  return undefined
}

/** The records must be what the header says, because nobody looks at them again until they are read. */
function recordsProblem(batch: Uint8Array, log: PartitionLog, nowMs: number): string | undefined {
  const { timestampBeforeMsMax, compaction } = log.settings
  const oldestMs = nowMs - timestampBeforeMsMax
  try {
    const records = readRecords(batch)
    const first = records[0]!.offset
    let maxTimestamp = -Infinity
    for (const [i, record] of records.entries()) {
      if (record.offset !== first + i) return 'has records whose offsets are not dense'
      if (record.timestamp > maxTimestamp) maxTimestamp = record.timestamp
      if (record.timestamp < oldestMs)
        return `has a timestamp (${record.timestamp}) older than message.timestamp.before.max.ms allows`
      if (compaction !== undefined && record.key === null)
        return `has a record without a key, and '${log.tp.topic}' is compacted (cleanup.policy)`
    }
    if (maxTimestamp !== maxTimestampOf(batch)) return 'does not know its largest timestamp'
    return undefined
  } catch {
    return 'has records that cannot be read'
  }
}
