/** A batch as a foreign client might send it: compressed, and not from our batch writer alone. */
import { batchCodec } from '../../src/model/batch-codecs.ts'
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
import type { Codec } from '../../src/model/record-batch.ts'
import type { NewRecord } from '../../src/model/record.ts'

type Compress = (bytes: Uint8Array) => Uint8Array

/** One CreateTime batch with base offset 0. Records need timestamps; there must be one. */
export function packedBatch(
  records: readonly NewRecord[],
  codec: Codec,
  compress: Compress = (bytes) => batchCodec(codec)!.compress(bytes, undefined),
): Uint8Array {
  const plain = writeBatch(records, 0)
  const body = compress(plain.subarray(batchHeaderBytes))
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
