import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { zstd } from '../../src/kit/compression.ts'
import { readRecords } from '../../src/model/batch-reader.ts'
import { singleRecordBatchBytes, writeBatch } from '../../src/model/batch-writer.ts'
import { GatewayError } from '../../src/model/errors.ts'
import {
  baseOffsetOf,
  batchBytesOf,
  batchHeaderBytes,
  batchProblem,
  codecOf,
  codecs,
  lastOffsetOf,
  maxTimestampOf,
  recordCountOf,
  setBaseOffset,
  setLeaderEpoch,
  setLogAppendTime,
  writeHeader,
} from '../../src/model/record-batch.ts'
import type { NewRecord } from '../../src/model/record.ts'
import { packedBatch } from '../support/packed-batch.ts'

const plain = (value: string, more: Partial<NewRecord> = {}): NewRecord => ({
  key: null,
  value: Buffer.from(value),
  headers: [],
  ...more,
})

const anyField = fc.option(fc.uint8Array({ maxLength: 40 }))
const anyRecord = fc.record({
  key: anyField,
  value: anyField,
  headers: fc.array(fc.record({ name: fc.string({ unit: 'grapheme' }), value: anyField }), {
    maxLength: 3,
  }),
  timestamp: fc.nat(2_000_000_000_000),
})

test('the bytes of a small batch are those that Kafka writes', () => {
  const batch = writeBatch(
    [plain('hi', { key: Buffer.from('k'), timestamp: 1_700_000_000_000 })],
    0,
  )
  assert.equal(
    Buffer.from(batch).toString('hex'),
    '0000000000000000' + // base offset
      '0000003b' + // length of what follows
      'ffffffff' + // leader epoch
      '02' + // magic
      Buffer.from(batch.subarray(17, 21)).toString('hex') + // CRC, checked below
      '0000' + // attributes
      '00000000' + // last offset delta
      '0000018bcfe56800' + // first timestamp
      '0000018bcfe56800' + // largest timestamp
      'ffffffffffffffff' + // no producer
      'ffff' +
      'ffffffff' +
      '00000001' + // one record
      '12' + // nine bytes
      '00' + // attributes
      '00' + // timestamp delta
      '00' + // offset delta
      '026b' + // key
      '046869' + // value
      '00', // no headers
  )
  assert.equal(batchProblem(batch), undefined)
})

test('records come out of a batch as they went in', () => {
  fc.assert(
    fc.property(fc.array(anyRecord, { minLength: 1, maxLength: 20 }), (records) => {
      const batch = writeBatch(records, 1)
      assert.equal(batchProblem(batch), undefined)
      assert.equal(batchBytesOf(batch), batch.length)
      assert.equal(recordCountOf(batch), records.length)
      assert.equal(maxTimestampOf(batch), Math.max(...records.map((record) => record.timestamp)))
      setBaseOffset(batch, 5_000_000_000)
      setLeaderEpoch(batch, 7)
      assert.equal(batchProblem(batch), undefined, 'both stand outside the CRC')
      assert.equal(lastOffsetOf(batch), 5_000_000_000 + records.length - 1)
      const read = readRecords(batch)
      assert.equal(read.length, records.length)
      for (const [i, record] of records.entries()) {
        const back = read[i]!
        assert.equal(back.offset, baseOffsetOf(batch) + i)
        assert.equal(back.timestamp, record.timestamp)
        assert.deepEqual(back.key && [...back.key], record.key && [...record.key])
        assert.deepEqual(back.value && [...back.value], record.value && [...record.value])
        assert.deepEqual(
          back.headers.map(({ name, value }) => [name, value && [...value]]),
          record.headers.map(({ name, value }) => [name, value && [...value]]),
        )
      }
    }),
  )
})

test('a single flipped bit behind the header is found, and never reads as other records', () => {
  const original = writeBatch([plain('one'), plain('two', { key: Buffer.from('k') })], 1)
  for (let bit = 16 * 8; bit < original.length * 8; bit++) {
    const damaged = Uint8Array.from(original)
    damaged[bit >> 3] = damaged[bit >> 3]! ^ (1 << (bit & 7))
    assert.notEqual(batchProblem(damaged), undefined, `bit ${bit}`)
  }
})

test('a sealed batch whose inside does not add up is CORRUPT_BATCH, never a crash', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      fc.integer({ min: 1, max: 5 }),
      (inside, count) => {
        const batch = new Uint8Array(batchHeaderBytes + inside.length)
        batch.set(inside, batchHeaderBytes)
        writeHeader(batch, {
          attributes: 0,
          lastOffsetDelta: count - 1,
          baseTimestamp: 0,
          maxTimestamp: 0,
          recordCount: count,
        })
        try {
          readRecords(batch)
        } catch (error) {
          assert.ok(error instanceof GatewayError && error.code === 'CORRUPT_BATCH')
        }
      },
    ),
  )
})

test('batches in every codec are read', () => {
  const records = [plain('one', { timestamp: 9 }), plain('two', { timestamp: 9 })]
  for (const codec of codecs) {
    const batch = packedBatch(records, codec)
    assert.equal(codecOf(batch), codec)
    const values = readRecords(batch).map((record) => Buffer.from(record.value!).toString())
    assert.deepEqual(values, ['one', 'two'], codec)
  }
})

test('a batch whose writer flushed, so that its zstd has several frames, is read whole', () => {
  const records = [plain('one', { timestamp: 9 }), plain('two', { timestamp: 9 })]
  const flushed = packedBatch(records, 'zstd', (bytes) =>
    Buffer.concat([
      zstd(bytes.subarray(0, 5)),
      zstd(bytes.subarray(5, 9)),
      zstd(bytes.subarray(9)),
    ]),
  )
  const values = readRecords(flushed).map((record) => Buffer.from(record.value!).toString())
  assert.deepEqual(values, ['one', 'two'])
})

test('a compressed batch whose inside is damaged is CORRUPT_BATCH', () => {
  for (const codec of codecs.filter((each) => each !== 'none')) {
    for (const inside of [Buffer.alloc(0), Buffer.from([1, 2, 3]), Buffer.alloc(100, 0xff)]) {
      const batch = Buffer.concat([Buffer.alloc(batchHeaderBytes), inside])
      writeHeader(batch, {
        attributes: codecs.indexOf(codec),
        lastOffsetDelta: 0,
        baseTimestamp: 0,
        maxTimestamp: 0,
        recordCount: 1,
      })
      assert.throws(
        () => readRecords(batch),
        (error) => error instanceof GatewayError && error.code === 'CORRUPT_BATCH',
        codec,
      )
    }
  }
})

test('with LogAppendTime every record has the time of the batch', () => {
  const batch = writeBatch([plain('a', { timestamp: 1 }), plain('b', { timestamp: 2 })], 0)
  setLogAppendTime(batch, 77)
  assert.equal(batchProblem(batch), undefined)
  assert.deepEqual(
    readRecords(batch).map((record) => record.timestamp),
    [77, 77],
  )
})

test('the size of a record alone in its batch is known before it is written', () => {
  fc.assert(
    fc.property(anyRecord, (record) => {
      assert.equal(singleRecordBatchBytes(record), writeBatch([record], 1).length)
    }),
  )
})
