/** Builds one RecordBatch v2 from records: two passes, one allocation, no object per record. */
import { varintBytes, writeVarint } from '../kit/varint.ts'
import { batchHeaderBytes, writeHeader } from './record-batch.ts'
import type { NewRecord, RecordHeader } from './record.ts'

/**
 * One uncompressed CreateTime batch with base offset 0 and producer fields -1. Records without a
 * timestamp get `nowMs`. `records` must not be empty.
 */
export function writeBatch(records: readonly NewRecord[], nowMs: number): Uint8Array {
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
  const batch = Buffer.allocUnsafe(size)
  let at = batchHeaderBytes
  for (let i = 0; i < records.length; i++) {
    const record = records[i]!
    at = writeRecord(batch, at, record, (record.timestamp ?? nowMs) - baseTimestamp, i)
  }
  writeHeader(batch, {
    attributes: 0,
    lastOffsetDelta: records.length - 1,
    baseTimestamp,
    maxTimestamp,
    recordCount: records.length,
  })
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
