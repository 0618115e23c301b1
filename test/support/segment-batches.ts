/** The batches of a segment file as our own reader sees them, in the form in which Kafka's are told. */
import { readRecords } from '../../src/model/batch-reader.ts'
import { GatewayError } from '../../src/model/errors.ts'
import {
  attributesOf,
  baseOffsetOf,
  batchBytesOf,
  batchHeaderBytes,
  codecOf,
  hasLogAppendTime,
  isControl,
  isTransactional,
  lastOffsetOf,
  maxTimestampOf,
  producerIdOf,
  recordCountOf,
} from '../../src/model/record-batch.ts'
import type { NewRecord } from '../../src/model/record.ts'

/** What both sides say of a batch. Bytes are in base64. */
export interface BatchLine {
  readonly baseOffset: number
  readonly lastOffset: number
  readonly count: number
  readonly bytes: number
  readonly codec: string | undefined
  readonly logAppendTime: boolean
  readonly maxTimestamp: number
  readonly producerId: number
  readonly transactional: boolean
  readonly control: boolean
  readonly deleteHorizon: boolean
  /** None for a control batch; undefined for a codec that we cannot decode. */
  readonly records: readonly RecordLine[] | undefined
}

export interface RecordLine {
  readonly offset: number
  readonly timestamp: number
  readonly key: string | null
  readonly value: string | null
  readonly headers: readonly (readonly [name: string, value: string | null])[]
}

const deleteHorizonBit = 0x40

/** The batches of a whole file, back to back. Throws when its last one is cut off. */
export function batchesIn(segment: Uint8Array): Uint8Array[] {
  const batches: Uint8Array[] = []
  for (let at = 0; at < segment.length;) {
    const left = segment.length - at
    const bytes = left < batchHeaderBytes ? Infinity : batchBytesOf(segment, at)
    if (bytes > left) throw new Error(`The batch at byte ${at} is cut off.`)
    batches.push(segment.subarray(at, at + bytes))
    at += bytes
  }
  return batches
}

export function batchLine(batch: Uint8Array): BatchLine {
  return {
    baseOffset: baseOffsetOf(batch),
    lastOffset: lastOffsetOf(batch),
    count: recordCountOf(batch),
    bytes: batch.length,
    codec: codecOf(batch),
    logAppendTime: hasLogAppendTime(batch),
    maxTimestamp: maxTimestampOf(batch),
    producerId: producerIdOf(batch),
    transactional: isTransactional(batch),
    control: isControl(batch),
    deleteHorizon: (attributesOf(batch) & deleteHorizonBit) !== 0,
    records: recordLines(batch),
  }
}

export function recordLine(record: NewRecord, offset: number, timestamp: number): RecordLine {
  return {
    offset,
    timestamp,
    key: base64(record.key),
    value: base64(record.value),
    headers: record.headers.map(({ name, value }) => [name, base64(value)] as const),
  }
}

function recordLines(batch: Uint8Array): RecordLine[] | undefined {
  try {
    return readRecords(batch).map((record) => recordLine(record, record.offset, record.timestamp))
  } catch (error) {
    if (error instanceof GatewayError && error.code === 'UNSUPPORTED') return undefined
    throw error
  }
}

function base64(bytes: Uint8Array | null): string | null {
  return bytes && Buffer.from(bytes).toString('base64')
}
