/**
 * Writes a RecordBatch v2 again without some of its records, as log compaction does. What stays keeps
 * its offset, its timestamp and its bytes; the batch keeps its first and last offset, its codec and
 * its leader epoch. Readers compute the next offset from the last one, never from the count.
 *
 * A delete horizon (attribute bit 6) stands in the place of the base timestamp, and the timestamps of
 * the records count from it instead (KIP-534).
 */
import { varintBytes, VarintReader, writeVarint } from '../kit/varint.ts'
import { batchCodec } from './batch-codecs.ts'
import { inflatedRecords } from './batch-reader.ts'
import type { Offset } from './offset.ts'
import { writeInt16, writeInt32, writeInt64 } from './offset.ts'
import {
  attributesOf,
  baseOffsetOf,
  baseTimestampOf,
  batchHeaderBytes,
  batchLengthOverhead,
  codecOf,
  deleteHorizonBit,
  deleteHorizonOf,
  hasLogAppendTime,
  recordCountOf,
  sealBatch,
} from './record-batch.ts'

/** One record as it stands in the inflated bytes of its batch. */
export interface RecordPlace {
  readonly offset: Offset
  readonly key: Uint8Array | null
  /** Its value is null: with a key, it deletes that key. */
  readonly isTombstone: boolean
  readonly timestampDelta: number
  /** The whole record, its length included: bytes [from, to). */
  readonly from: number
  readonly to: number
  /** Behind its timestamp delta: bytes [rest, to) do not depend on the base timestamp. */
  readonly rest: number
}

export interface OpenedBatch {
  /** The records' bytes, inflated. */
  readonly body: Uint8Array
  readonly records: readonly RecordPlace[]
}

/** Throws when the batch is damaged inside, inflates too far or needs a codec that is not there. */
export function openBatch(batch: Uint8Array): OpenedBatch {
  const body = inflatedRecords(batch)
  const baseOffset = baseOffsetOf(batch)
  const reader = new VarintReader(body)
  const records: RecordPlace[] = []
  for (let count = recordCountOf(batch); count > 0; count--) {
    records.push(readPlace(reader, baseOffset))
  }
  if (reader.at !== body.length) throw new RangeError('Bytes stand behind the last record.')
  return { body, records }
}

/**
 * The batch with the records of `kept` alone, which must not be empty. `horizonMs` gives it a delete
 * horizon; one that it has already stays. Undefined when its codec cannot be written here.
 */
export function filteredBatch(
  batch: Uint8Array,
  body: Uint8Array,
  kept: readonly RecordPlace[],
  horizonMs: number | undefined,
): Uint8Array | undefined {
  const codec = batchCodec(codecOf(batch)!)
  if (codec === undefined) return undefined
  const oldBase = baseTimestampOf(batch)
  const setsHorizon = horizonMs !== undefined && deleteHorizonOf(batch) === undefined
  const newBase = setsHorizon ? horizonMs : oldBase
  const records = codec.compress(keptRecords(body, kept, oldBase - newBase), undefined)
  const filtered = Buffer.allocUnsafe(batchHeaderBytes + records.length)
  filtered.set(batch.subarray(0, batchHeaderBytes))
  filtered.set(records, batchHeaderBytes)
  writeInt32(filtered, 8, filtered.length - batchLengthOverhead)
  if (setsHorizon) writeInt16(filtered, 21, attributesOf(batch) | deleteHorizonBit)
  writeInt64(filtered, 27, newBase)
  if (!hasLogAppendTime(batch)) writeInt64(filtered, 35, latest(kept, oldBase))
  writeInt64(filtered, 43, -1)
  writeInt16(filtered, 51, -1)
  writeInt32(filtered, 53, -1)
  writeInt32(filtered, 57, kept.length)
  sealBatch(filtered)
  return filtered
}

/** The largest timestamp of a batch of CreateTime; with LogAppendTime the header alone knows it. */
function latest(kept: readonly RecordPlace[], baseTimestamp: number): number {
  let timestamp = -Infinity
  for (const { timestampDelta } of kept) {
    if (baseTimestamp + timestampDelta > timestamp) timestamp = baseTimestamp + timestampDelta
  }
  return timestamp
}

/** The kept records back to back, their timestamp deltas moved by `shift`. */
function keptRecords(body: Uint8Array, kept: readonly RecordPlace[], shift: number): Uint8Array {
  let size = 0
  for (const place of kept) size += shift === 0 ? place.to - place.from : shiftedBytes(place, shift)
  const records = Buffer.allocUnsafe(size)
  let at = 0
  for (const place of kept) {
    if (shift === 0) {
      records.set(body.subarray(place.from, place.to), at)
      at += place.to - place.from
      continue
    }
    const delta = place.timestampDelta + shift
    at = writeVarint(records, at, 1 + varintBytes(delta) + place.to - place.rest)
    records[at++] = 0
    at = writeVarint(records, at, delta)
    records.set(body.subarray(place.rest, place.to), at)
    at += place.to - place.rest
  }
  return records
}

function shiftedBytes({ timestampDelta, rest, to }: RecordPlace, shift: number): number {
  const size = 1 + varintBytes(timestampDelta + shift) + to - rest
  return varintBytes(size) + size
}

function readPlace(reader: VarintReader, baseOffset: Offset): RecordPlace {
  const from = reader.at
  const length = reader.next()
  const to = reader.at + length
  if (length < 0 || to > reader.bytes.length) throw new RangeError('A record is cut off.')
  reader.at += 1
  const timestampDelta = reader.next()
  const rest = reader.at
  const offset = baseOffset + reader.next()
  const key = readKey(reader, to)
  const isTombstone = reader.next() === -1
  if (reader.at > to) throw new RangeError('A record does not have the length it claims.')
  reader.at = to
  return { offset, key, isTombstone, timestampDelta, from, to, rest }
}

function readKey(reader: VarintReader, end: number): Uint8Array | null {
  const length = reader.next()
  if (length === -1) return null
  const from = reader.at
  if (length < 0 || from + length > end) throw new RangeError('A key is cut off.')
  reader.at = from + length
  return reader.bytes.subarray(from, from + length)
}
