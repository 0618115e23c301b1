/**
 * RecordBatch v2, the currency of the whole house: its header of 61 bytes.
 *
 *    0 baseOffset i64          21 attributes i16       43 producerId i64
 *    8 batchLength i32         23 lastOffsetDelta i32  51 producerEpoch i16
 *   12 partitionLeaderEpoch i32 27 baseTimestamp i64   53 baseSequence i32
 *   16 magic i8 = 2            35 maxTimestamp i64     57 recordCount i32
 *   17 crc u32, CRC-32C of bytes 21 to the end         61 records
 *
 * batchLength counts from byte 12. Bytes 0-16 lie outside the CRC, so base offset and leader epoch
 * may be patched, and a flipped bit there is not seen by the CRC: contiguity guards the base offset.
 * Source: Apache Kafka's protocol guide, "Record Batch" (KIP-98).
 */
import { crc32c } from '../kit/crc32c.ts'
import type { Offset } from './offset.ts'
import {
  readInt16,
  readInt32,
  readInt64,
  readUint32,
  writeInt16,
  writeInt32,
  writeInt64,
} from './offset.ts'

export const batchHeaderBytes = 61
/** Bytes in front of those that batchLength counts. */
export const batchLengthOverhead = 12
const magic = 2
const crcFrom = 21

export const codecs = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const
export type Codec = (typeof codecs)[number]

const codecBits = 0x07
const logAppendTimeBit = 0x08
const transactionalBit = 0x10
const controlBit = 0x20
/** The base timestamp is the time from which tombstones of this batch may go (KIP-534). */
export const deleteHorizonBit = 0x40

export const baseOffsetOf = (batch: Uint8Array): Offset => readInt64(batch, 0)
/** Size of the whole batch that starts at `at`, bytes. A claim until the batch was checked. */
export const batchBytesOf = (batch: Uint8Array, at = 0): number =>
  readInt32(batch, at + 8) + batchLengthOverhead
/** Never computed from the record count: compacted batches have holes. */
export const lastOffsetOf = (batch: Uint8Array): Offset =>
  readInt64(batch, 0) + readInt32(batch, 23)
export const lastOffsetDeltaOf = (batch: Uint8Array): number => readInt32(batch, 23)
export const baseTimestampOf = (batch: Uint8Array): number => readInt64(batch, 27)
export const maxTimestampOf = (batch: Uint8Array): number => readInt64(batch, 35)
export const producerIdOf = (batch: Uint8Array): number => readInt64(batch, 43)
export const recordCountOf = (batch: Uint8Array): number => readInt32(batch, 57)
export const attributesOf = (batch: Uint8Array): number => readInt16(batch, 21)
export const isControl = (batch: Uint8Array): boolean => (attributesOf(batch) & controlBit) !== 0
export const isTransactional = (batch: Uint8Array): boolean =>
  (attributesOf(batch) & transactionalBit) !== 0
export const hasLogAppendTime = (batch: Uint8Array): boolean =>
  (attributesOf(batch) & logAppendTimeBit) !== 0
/** From when on compaction may take the tombstones of a batch, ms; undefined while nothing says so. */
export const deleteHorizonOf = (batch: Uint8Array): number | undefined =>
  (attributesOf(batch) & deleteHorizonBit) === 0 ? undefined : baseTimestampOf(batch)
/** Undefined for the three numbers that no codec has. */
export const codecOf = (batch: Uint8Array): Codec | undefined =>
  codecs[attributesOf(batch) & codecBits]

export function setBaseOffset(batch: Uint8Array, offset: Offset): void {
  writeInt64(batch, 0, offset)
}

export function setLeaderEpoch(batch: Uint8Array, epoch: number): void {
  writeInt32(batch, 12, epoch)
}

/** Makes the batch reach up to this offset, over ones that are gone. Computes its CRC anew. */
export function setLastOffset(batch: Uint8Array, offset: Offset): void {
  writeInt32(batch, 23, offset - baseOffsetOf(batch))
  sealBatch(batch)
}

/** A batch without records that stands for offsets [base, last] which are gone. */
export function emptyBatch(base: Offset, last: Offset): Uint8Array {
  const batch = Buffer.alloc(batchHeaderBytes)
  writeHeader(batch, {
    attributes: 0,
    lastOffsetDelta: last - base,
    baseTimestamp: -1,
    maxTimestamp: -1,
    recordCount: 0,
  })
  setBaseOffset(batch, base)
  return batch
}

/** Marks the batch as LogAppendTime: every record then has `timeMs`. Needs a new CRC. */
export function setLogAppendTime(batch: Uint8Array, timeMs: number): void {
  writeInt16(batch, crcFrom, attributesOf(batch) | logAppendTimeBit)
  writeInt64(batch, 35, timeMs)
  sealBatch(batch)
}

/** Computes the CRC of bytes 21 to the end and puts it in its place. */
export function sealBatch(batch: Uint8Array): void {
  writeInt32(batch, 17, crc32c(batch.subarray(crcFrom)))
}

export interface BatchHeader {
  readonly attributes: number
  readonly lastOffsetDelta: number
  readonly baseTimestamp: number
  readonly maxTimestamp: number
  readonly recordCount: number
}

/** Fills the header of a batch whose records already stand behind it, and seals it. */
export function writeHeader(batch: Uint8Array, header: BatchHeader): void {
  writeInt64(batch, 0, 0)
  writeInt32(batch, 8, batch.length - batchLengthOverhead)
  writeInt32(batch, 12, -1)
  batch[16] = magic
  writeInt16(batch, crcFrom, header.attributes)
  writeInt32(batch, 23, header.lastOffsetDelta)
  writeInt64(batch, 27, header.baseTimestamp)
  writeInt64(batch, 35, header.maxTimestamp)
  writeInt64(batch, 43, -1)
  writeInt16(batch, 51, -1)
  writeInt32(batch, 53, -1)
  writeInt32(batch, 57, header.recordCount)
  sealBatch(batch)
}

/**
 * What is wrong with the batch that fills `bytes` exactly, or undefined. Checks length, magic, CRC
 * and the header's own consistency; not the records inside.
 */
export function batchProblem(bytes: Uint8Array): string | undefined {
  if (bytes.length < batchHeaderBytes) return `is shorter than its header (${bytes.length} bytes)`
  if (batchBytesOf(bytes) !== bytes.length) {
    return `says it has ${batchBytesOf(bytes)} bytes, but has ${bytes.length}`
  }
  if (bytes[16] !== magic) return `has magic ${bytes[16]}, not ${magic}`
  if (readUint32(bytes, 17) !== crc32c(bytes.subarray(crcFrom))) return 'does not match its CRC'
  if (codecOf(bytes) === undefined) return 'names an unknown codec'
  const lastDelta = lastOffsetDeltaOf(bytes)
  const count = recordCountOf(bytes)
  if (lastDelta < 0 || count < 0 || count > lastDelta + 1) {
    return `holds ${count} records up to offset delta ${lastDelta}`
  }
  return undefined
}
