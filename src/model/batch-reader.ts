/** Reads records out of a RecordBatch v2. Keys and values are slices, nothing is copied. */
import { VarintReader } from '../kit/varint.ts'
import { batchCodec } from './batch-codecs.ts'
import { GatewayError } from './errors.ts'
import { inflatedBatchBytesMax } from './limits.ts'
import {
  baseOffsetOf,
  baseTimestampOf,
  batchHeaderBytes,
  codecOf,
  hasLogAppendTime,
  isControl,
  maxTimestampOf,
  recordCountOf,
} from './record-batch.ts'
import type { RecordHeader, StoredRecord } from './record.ts'
import { noHeaders } from './record.ts'

/**
 * The records of one checked batch, in offset order; none for a control batch.
 * Throws CORRUPT_BATCH when the bytes inside do not add up, UNSUPPORTED for a codec we lack.
 */
export function readRecords(batch: Uint8Array): StoredRecord[] {
  if (isControl(batch)) return []
  const baseOffset = baseOffsetOf(batch)
  const baseTimestamp = baseTimestampOf(batch)
  const appendTime = hasLogAppendTime(batch) ? maxTimestampOf(batch) : undefined
  const count = recordCountOf(batch)
  const reader = new VarintReader(inflatedRecords(batch))
  const records: StoredRecord[] = []
  try {
    for (let i = 0; i < count; i++) {
      records.push(readRecord(reader, baseOffset, baseTimestamp, appendTime))
    }
    if (reader.at !== reader.bytes.length)
      throw new RangeError('Bytes stand behind the last record.')
  } catch (cause) {
    throw corrupt(batch, cause)
  }
  return records
}

/** The bytes behind the header, inflated where they are compressed. */
export function inflatedRecords(batch: Uint8Array): Uint8Array {
  const packed = batch.subarray(batchHeaderBytes)
  const name = codecOf(batch)
  if (name === 'none') return packed
  const codec = name === undefined ? undefined : batchCodec(name)
  if (codec === undefined) {
    throw new GatewayError(
      'UNSUPPORTED',
      `The batch at offset ${baseOffsetOf(batch)} is compressed with ${name ?? 'an unknown codec'}, which cannot be decoded here.`,
    )
  }
  try {
    return codec.inflate(packed, inflatedBatchBytesMax)
  } catch (cause) {
    throw corrupt(batch, cause)
  }
}

function corrupt(batch: Uint8Array, cause: unknown): GatewayError {
  return new GatewayError(
    'CORRUPT_BATCH',
    `The batch at offset ${baseOffsetOf(batch)} cannot be read.`,
    { cause },
  )
}

function readRecord(
  reader: VarintReader,
  baseOffset: number,
  baseTimestamp: number,
  appendTime: number | undefined,
): StoredRecord {
  const length = reader.next()
  const end = reader.at + length
  if (length < 0 || end > reader.bytes.length) throw new RangeError('A record is cut off.')
  reader.at += 1
  const timestamp = baseTimestamp + reader.next()
  const offset = baseOffset + reader.next()
  const key = readField(reader)
  const value = readField(reader)
  const headerCount = reader.next()
  const headers = headerCount === 0 ? noHeaders : readHeaders(reader, headerCount)
  if (reader.at !== end) throw new RangeError('A record does not have the length it claims.')
  return { offset, timestamp: appendTime ?? timestamp, key, value, headers }
}

function readField(reader: VarintReader): Uint8Array | null {
  const length = reader.next()
  if (length === -1) return null
  const from = reader.at
  if (length < 0 || from + length > reader.bytes.length) throw new RangeError('A field is cut off.')
  reader.at = from + length
  return reader.bytes.subarray(from, from + length)
}

function readHeaders(reader: VarintReader, count: number): RecordHeader[] {
  if (count < 0) throw new RangeError('A record has a negative number of headers.')
  const headers: RecordHeader[] = []
  for (let i = 0; i < count; i++) {
    const name = readField(reader)
    if (name === null) throw new RangeError('A header has no name.')
    headers.push({
      name: Buffer.from(name.buffer, name.byteOffset, name.length).toString('utf8'),
      value: readField(reader),
    })
  }
  return headers
}
