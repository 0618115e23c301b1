/**
 * The record of one idempotency key, a batch of its own in the frame of the records it protects. Its
 * record key is the whole hash; its value, big-endian:
 *
 *    0 version u8 = 1     1 flags u8: 1 fingerprint, 2 memo     2 space length u16     4 expiry i64, log time
 *   12 fingerprint length u32     16 memo length u32     20 result count u32
 *   24 space · fingerprint · memo
 *    … results: topic length u16 · topic · partition u32 · base i64 · last i64 · log append time i64 or -1
 */
import { hash } from 'node:crypto'
import { writeBatch } from '../../../model/batch-writer.ts'
import { readInt64, readUint32, writeInt32, writeInt64 } from '../../../model/offset.ts'
import type { StoredRecord } from '../../../model/record.ts'
import { noHeaders } from '../../../model/record.ts'
import { batchHeaderBytes } from '../../../model/record-batch.ts'
import type { AppendResult } from '../../log.ts'
import type { IdempotencyKey, OneShot } from '../../transactions.ts'
import type { KeyHash } from './key-table.ts'

const version = 1
const headBytes = 24
const hashBytes = 32
const resultBytes = 30
/** What a batch of one record adds to key and value at most. */
const frameBytes = batchHeaderBytes + 40

/** What the table needs of a record. */
export interface KeyHead {
  /** The whole hash. */
  readonly hash: Uint8Array
  readonly space: string
  /** On the log's clock, ms. */
  readonly expiryMs: number
}

export interface KeyRecord extends KeyHead {
  readonly fingerprint: Uint8Array | undefined
  readonly memo: Uint8Array | undefined
  readonly results: readonly AppendResult[]
}

/** SHA-256 of space and value: callers choose both, so the hash must not be one they can steer. */
export function hashOfKey({ space, value }: IdempotencyKey): Uint8Array {
  return hash('sha256', `${space}\0${value}`, 'buffer')
}

/** The part that the table keeps. */
export function shortHash(whole: Uint8Array): KeyHash {
  return { high: readUint32(whole, 0), low: readUint32(whole, 4) }
}

/** An upper bound of the batch that `writeKeyRecord` makes, bytes. */
export function keyRecordBytesAtMost({ key, entries }: OneShot): number {
  if (key === undefined) return 0
  let bytes = frameBytes + hashBytes + headBytes + Buffer.byteLength(key.space)
  bytes += (key.fingerprint?.length ?? 0) + (key.memo?.length ?? 0)
  for (const { tp } of entries) bytes += resultBytes + tp.topic.length
  return bytes
}

/** `timeMs`: log time. */
export function writeKeyRecord(record: KeyRecord, timeMs: number): Uint8Array {
  const key = record.hash
  const value = valueOf(record)
  return writeBatch([{ key, value, headers: noHeaders, timestamp: timeMs }], timeMs)
}

/** The head alone, copied from nothing: a start reads a million of them. */
export function readKeyHead({ key, value }: StoredRecord): KeyHead | undefined {
  if (key?.length !== hashBytes || value === null || value.length < headBytes) return undefined
  const spaceEnd = headBytes + (readUint32(value, 0) & 0xffff)
  if (value[0] !== version || spaceEnd > value.length) return undefined
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.length)
  try {
    const expiryMs = readInt64(value, 4)
    return { hash: key, space: bytes.toString('utf8', headBytes, spaceEnd), expiryMs }
  } catch {
    return undefined
  }
}

/** Undefined when these bytes are no key record that we know. */
export function readKeyRecord({ key, value }: StoredRecord): KeyRecord | undefined {
  if (key?.length !== hashBytes || value === null || value.length < headBytes) return undefined
  if (value[0] !== version) return undefined
  try {
    return recordOf(key, value)
  } catch {
    return undefined
  }
}

function valueOf({ space, expiryMs, fingerprint, memo, results }: KeyRecord): Uint8Array {
  const spaceBytes = Buffer.from(space)
  const topics = results.map(({ tp }) => Buffer.from(tp.topic))
  let size = headBytes + spaceBytes.length + (fingerprint?.length ?? 0) + (memo?.length ?? 0)
  for (const topic of topics) size += resultBytes + topic.length
  const bytes = Buffer.allocUnsafe(size)
  bytes[0] = version
  bytes[1] = (fingerprint === undefined ? 0 : 1) | (memo === undefined ? 0 : 2)
  bytes.writeUInt16BE(spaceBytes.length, 2)
  writeInt64(bytes, 4, expiryMs)
  writeInt32(bytes, 12, fingerprint?.length ?? 0)
  writeInt32(bytes, 16, memo?.length ?? 0)
  writeInt32(bytes, 20, results.length)
  let at = headBytes
  for (const part of [spaceBytes, fingerprint, memo]) {
    if (part === undefined) continue
    bytes.set(part, at)
    at += part.length
  }
  for (const [i, { tp, offsets, logAppendTime }] of results.entries()) {
    const topic = topics[i]!
    at = bytes.writeUInt16BE(topic.length, at)
    bytes.set(topic, at)
    at += topic.length
    writeInt32(bytes, at, tp.partition)
    writeInt64(bytes, at + 4, offsets?.base ?? -1)
    writeInt64(bytes, at + 12, offsets?.last ?? -1)
    writeInt64(bytes, at + 20, logAppendTime ?? -1)
    at += resultBytes - 2
  }
  return bytes
}

function recordOf(key: Uint8Array, value: Uint8Array): KeyRecord {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.length)
  const flags = bytes[1]!
  let at = headBytes
  // Copies: the bytes belong to the log, the answer outlives them.
  const take = (length: number): Buffer => {
    if (at + length > bytes.length) throw new RangeError('A field is cut off.')
    at += length
    return Buffer.from(bytes.subarray(at - length, at))
  }
  const space = take(bytes.readUInt16BE(2)).toString()
  const fingerprint = take(bytes.readUInt32BE(12))
  const memo = take(bytes.readUInt32BE(16))
  const results: AppendResult[] = []
  for (let left = bytes.readUInt32BE(20); left > 0; left--) {
    const topic = take(take(2).readUInt16BE()).toString()
    const fixed = take(resultBytes - 2)
    const logAppendTime = readInt64(fixed, 20)
    results.push({
      tp: { topic, partition: readUint32(fixed, 0) },
      offsets: { base: readInt64(fixed, 4), last: readInt64(fixed, 12) },
      ...(logAppendTime === -1 ? {} : { logAppendTime }),
    })
  }
  if (at !== bytes.length) throw new RangeError('Bytes stand behind the last result.')
  return {
    hash: key,
    space,
    expiryMs: readInt64(bytes, 4),
    fingerprint: (flags & 1) === 0 ? undefined : fingerprint,
    memo: (flags & 2) === 0 ? undefined : memo,
    results,
  }
}
