/** Builds one RecordBatch v2 from records: two passes, one allocation, no object per record. */
import { varintBytes, writeVarint } from '../kit/varint.ts'
import type { BatchCompression } from './batch-codecs.ts'
import { batchCodec } from './batch-codecs.ts'
import { compressFromBytes } from './limits.ts'
import { batchHeaderBytes, codecs, writeHeader } from './record-batch.ts'
import type { NewRecord, RecordHeader } from './record.ts'

/**
 * One CreateTime batch with base offset 0 and producer fields -1. Records without a timestamp get
 * `nowMs`. `records` must not be empty. With `compression` they are compressed where that makes them
 * smaller and the codec is there; readers take both.
 */
export function writeBatch(
  records: readonly NewRecord[],
  nowMs: number,
  compression?: BatchCompression,
): Uint8Array {
  const baseTimestamp = records[0]?.timestamp ?? nowMs
  let maxTimestamp = baseTimestamp
  let size = batchHeaderBytes
  for (let i = 0; i < records.length; i++) {
    const record = records[i]!
    const timestamp = record.timestamp ?? nowMs
    if (timestamp > maxTimestamp) maxTimestamp = timestamp
    const body = recordBytes(record, timestamp - baseTimestamp, i)
    size += varintBytes(body) + body
  }
  const plain = Buffer.allocUnsafe(size)
  let at = batchHeaderBytes
  for (let i = 0; i < records.length; i++) {
    const record = records[i]!
    at = writeRecord(plain, at, record, (record.timestamp ?? nowMs) - baseTimestamp, i)
  }
  const packed = compression === undefined ? undefined : compressed(plain, compression)
  const batch = packed ?? plain
  writeHeader(batch, {
    attributes: packed === undefined ? 0 : codecs.indexOf(compression!.codec),
    lastOffsetDelta: records.length - 1,
    baseTimestamp,
    maxTimestamp,
    recordCount: records.length,
  })
  return batch
}

/**
 * The batch with its records compressed and its header still empty; undefined when that gains nothing.
 * In this turn and not on a thread, so that a later request never gets in front of this one.
 */
function compressed(plain: Buffer, { codec, level }: BatchCompression): Buffer | undefined {
  if (plain.length < compressFromBytes) return undefined
  const records = batchCodec(codec)?.compress(plain.subarray(batchHeaderBytes), level)
  if (records === undefined || batchHeaderBytes + records.length >= plain.length) return undefined
  const batch = Buffer.allocUnsafe(batchHeaderBytes + records.length)
  batch.set(records, batchHeaderBytes)
  return batch
}

/** Size of a batch that holds this record alone, bytes: what `max.message.bytes` is compared with. */
export function singleRecordBatchBytes(record: NewRecord): number {
  const body = recordBytes(record, 0, 0)
  return batchHeaderBytes + varintBytes(body) + body
}

/** An upper bound of what this record adds to a batch, bytes: deltas taken at their longest. */
export function recordBytesAtMost(record: NewRecord): number {
  return singleRecordBatchBytes(record) - batchHeaderBytes + 20
}

function recordBytes(record: NewRecord, timestampDelta: number, offsetDelta: number): number {
  let size = 1 + varintBytes(timestampDelta) + varintBytes(offsetDelta)
  size += fieldBytes(record.key) + fieldBytes(record.value) + varintBytes(record.headers.length)
  for (const header of record.headers) size += headerBytes(header)
  return size
}

function fieldBytes(field: Uint8Array | null): number {
  return field === null ? 1 : varintBytes(field.length) + field.length
}

function headerBytes(header: RecordHeader): number {
  const name = Buffer.byteLength(header.name)
  return varintBytes(name) + name + fieldBytes(header.value)
}

function writeRecord(
  batch: Buffer,
  start: number,
  record: NewRecord,
  timestampDelta: number,
  offsetDelta: number,
): number {
  let at = writeVarint(batch, start, recordBytes(record, timestampDelta, offsetDelta))
  batch[at++] = 0
  at = writeVarint(batch, at, timestampDelta)
  at = writeVarint(batch, at, offsetDelta)
  at = writeField(batch, at, record.key)
  at = writeField(batch, at, record.value)
  at = writeVarint(batch, at, record.headers.length)
  for (const header of record.headers) {
    at = writeVarint(batch, at, Buffer.byteLength(header.name))
    at += batch.write(header.name, at)
    at = writeField(batch, at, header.value)
  }
  return at
}

function writeField(batch: Buffer, start: number, field: Uint8Array | null): number {
  if (field === null) return writeVarint(batch, start, -1)
  const at = writeVarint(batch, start, field.length)
  batch.set(field, at)
  return at + field.length
}
