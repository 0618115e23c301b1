import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { filteredBatch, openBatch } from '../../src/model/batch-filter.ts'
import { readRecords } from '../../src/model/batch-reader.ts'
import {
  baseOffsetOf,
  batchBytesOf,
  batchProblem,
  codecOf,
  deleteHorizonOf,
  hasLogAppendTime,
  lastOffsetOf,
  maxTimestampOf,
  producerIdOf,
  recordCountOf,
  setBaseOffset,
  setLeaderEpoch,
  setLogAppendTime,
} from '../../src/model/record-batch.ts'
import type { StoredRecord } from '../../src/model/record.ts'
import { packedBatch } from '../support/packed-batch.ts'

const anyField = fc.option(fc.uint8Array({ maxLength: 40 }))
const anyRecord = fc.record({
  key: anyField,
  value: anyField,
  headers: fc.array(fc.record({ name: fc.string({ unit: 'grapheme' }), value: anyField }), {
    maxLength: 3,
  }),
  timestamp: fc.nat(2_000_000_000_000),
})
const anyBatch = fc
  .record({
    records: fc.array(anyRecord, { minLength: 1, maxLength: 20 }),
    codec: fc.constantFrom('none' as const, 'gzip' as const, 'zstd' as const),
    base: fc.nat(2 ** 40),
    appendTime: fc.option(fc.nat(2_000_000_000_000), { nil: undefined }),
  })
  .map(({ records, codec, base, appendTime }) => {
    const batch = packedBatch(records, codec)
    if (appendTime !== undefined) setLogAppendTime(batch, appendTime)
    setBaseOffset(batch, base)
    setLeaderEpoch(batch, 7)
    return batch
  })

/** Buffers and plain arrays with the same bytes are the same. */
const hex = (field: Uint8Array | null): string | null =>
  field === null ? null : Buffer.from(field).toString('hex')
const plain = ({ key, value, headers, ...rest }: StoredRecord) => ({
  ...rest,
  key: hex(key),
  value: hex(value),
  headers: headers.map((header) => [header.name, hex(header.value)]),
})

test('what stays of a batch keeps offset, time, key, value and headers', () => {
  fc.assert(
    fc.property(
      anyBatch,
      fc.infiniteStream(fc.boolean()),
      fc.option(fc.nat(2_000_000_000_000), { nil: undefined }),
      (batch, dice, horizonMs) => {
        const before = readRecords(batch)
        const { body, records } = openBatch(batch)
        assert.deepEqual(
          records.map(({ offset, key, isTombstone }) => [offset, hex(key), isTombstone]),
          before.map(({ offset, key, value }) => [offset, hex(key), value === null]),
        )
        const stays = new Set(records.filter(() => dice.next().value).map(({ offset }) => offset))
        if (stays.size === 0) return
        const kept = records.filter(({ offset }) => stays.has(offset))
        const filtered = filteredBatch(batch, body, kept, horizonMs)!
        assert.equal(batchProblem(filtered), undefined)
        assert.equal(batchBytesOf(filtered), filtered.length)
        const same = [baseOffsetOf, lastOffsetOf, codecOf, hasLogAppendTime, producerIdOf]
        for (const of of same) assert.equal(of(filtered), of(batch))
        assert.equal(recordCountOf(filtered), kept.length)
        assert.equal(deleteHorizonOf(filtered), horizonMs)
        const after = readRecords(filtered)
        assert.deepEqual(
          after.map(plain),
          before.filter(({ offset }) => stays.has(offset)).map(plain),
        )
        assert.equal(maxTimestampOf(filtered), Math.max(...after.map((one) => one.timestamp)))
      },
    ),
  )
})

test('a delete horizon stays what it was when the batch is written once more', () => {
  const records = [1000, 900, 3000].map((timestamp) => ({
    key: Buffer.from('k'),
    value: null,
    headers: [],
    timestamp,
  }))
  const batch = packedBatch(records, 'none')
  const once = openBatch(batch)
  const withHorizon = filteredBatch(batch, once.body, once.records, 5000)!
  const twice = openBatch(withHorizon)
  const again = filteredBatch(withHorizon, twice.body, twice.records.slice(1), 9000)!
  assert.equal(deleteHorizonOf(again), 5000)
  assert.deepEqual(
    readRecords(again).map(({ offset, timestamp }) => [offset, timestamp]),
    [
      [1, 900],
      [2, 3000],
    ],
  )
})

test('a batch that keeps all its records and gets no horizon keeps its bytes', () => {
  const batch = packedBatch(
    [{ key: Buffer.from('k'), value: Buffer.from('v'), headers: [], timestamp: 1 }],
    'none',
  )
  setBaseOffset(batch, 10)
  const { body, records } = openBatch(batch)
  assert.deepEqual(Buffer.from(filteredBatch(batch, body, records, undefined)!), Buffer.from(batch))
})

test('records that lie about their length are refused, not taken for others', () => {
  const batch = packedBatch(
    [{ key: Buffer.from('key'), value: Buffer.from('value'), headers: [], timestamp: 1 }],
    'none',
  )
  for (let at = 61; at < batch.length; at++) {
    const lying = Uint8Array.from(batch)
    lying[at]! ^= 0x7f
    try {
      const { body, records } = openBatch(lying)
      for (const { from, to } of records) assert.ok(from >= 0 && to <= body.length)
    } catch (error) {
      assert.ok(error instanceof RangeError, String(error))
    }
  }
})
