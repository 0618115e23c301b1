import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { writeBatch } from '../../src/model/batch-writer.ts'
import { messageBytesDefault } from '../../src/model/limits.ts'
import type { NewRecord } from '../../src/model/record.ts'
import { planBatches } from '../../src/produce/batch-builder.ts'

function record(bytes: number, timestamp?: number): NewRecord {
  const fields = { key: null, value: Buffer.alloc(bytes), headers: [] }
  return timestamp === undefined ? fields : { ...fields, timestamp }
}

test('the records of one partition share a batch, in the order of the request', () => {
  const records = [record(1), record(2), record(3), record(4)]
  const batches = planBatches(records, Int32Array.of(1, 0, 1, 0), messageBytesDefault)
  assert.deepEqual(
    batches.map(({ partition, round, places }) => ({ partition, round, places })),
    [
      { partition: 1, round: 0, places: [0, 2] },
      { partition: 0, round: 0, places: [1, 3] },
    ],
  )
})

test('a record that was refused is in no batch', () => {
  const batches = planBatches([record(1), record(2)], Int32Array.of(-1, 0), 1000)
  assert.deepEqual(
    batches.map(({ places }) => places),
    [[1]],
  )
  assert.deepEqual(planBatches([], new Int32Array(), 1000), [])
})

test('no batch is larger than the topic allows, and none is split without need', () => {
  const sizes = fc.array(fc.nat(300), { minLength: 1, maxLength: 60 })
  const stamp = fc.option(fc.nat(2_000_000_000_000), { nil: undefined })
  fc.assert(
    fc.property(sizes, fc.integer({ min: 500, max: 3000 }), stamp, (bytes, max, timestamp) => {
      const records = bytes.map((size, i) => record(size, i % 2 === 0 ? timestamp : undefined))
      const batches = planBatches(records, new Int32Array(records.length), max)
      for (const { records: planned } of batches) {
        assert.ok(writeBatch(planned, 1_763_683_200_000).length <= max)
      }
      assert.deepEqual(
        batches.flatMap(({ places }) => places),
        records.map((_, place) => place),
      )
      assert.deepEqual(
        batches.map(({ round }) => round),
        batches.map((_, round) => round),
      )
      for (let i = 1; i < batches.length; i++) {
        const both = [...batches[i - 1]!.records, batches[i]!.records[0]!]
        // The plan counts at most 20 bytes too many for each record.
        assert.ok(writeBatch(both, 0).length + both.length * 40 > max)
      }
    }),
  )
})

test('a record that just fits stands alone', () => {
  const batches = planBatches([record(900), record(10)], new Int32Array(2), 1000)
  assert.deepEqual(
    batches.map(({ places }) => places),
    [[0], [1]],
  )
})

test('batches stay at the usual size on a topic that allows larger ones', () => {
  const records = Array.from({ length: 4 }, () => record(600_000))
  assert.equal(planBatches(records, new Int32Array(4), 16 * 1024 * 1024).length, 4)
})
