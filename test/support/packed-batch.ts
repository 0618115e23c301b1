/** A batch as a foreign client might send it: compressed, and not from our batch writer alone. */
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { writeBatch } from '../../src/model/batch-writer.ts'
import {
  baseTimestampOf,
  batchHeaderBytes,
  codecs,
  lastOffsetDeltaOf,
  maxTimestampOf,
  recordCountOf,
  writeHeader,
} from '../../src/model/record-batch.ts'
import type { NewRecord } from '../../src/model/record.ts'

const pack = { none: (bytes: Uint8Array) => bytes, gzip: gzipSync, zstd: zstdCompressSync }

/** Codecs that Node alone can compress with. */
export type PackCodec = keyof typeof pack

/** One CreateTime batch with base offset 0. Records need timestamps; there must be one. */
export function packedBatch(records: readonly NewRecord[], codec: PackCodec): Uint8Array {
  const plain = writeBatch(records, 0)
  const body = pack[codec](plain.subarray(batchHeaderBytes))
  const batch = new Uint8Array(batchHeaderBytes + body.length)
  batch.set(body, batchHeaderBytes)
  writeHeader(batch, {
    attributes: codecs.indexOf(codec),
    lastOffsetDelta: lastOffsetDeltaOf(plain),
    baseTimestamp: baseTimestampOf(plain),
    maxTimestamp: maxTimestampOf(plain),
    recordCount: recordCountOf(plain),
  })
  return batch
}
