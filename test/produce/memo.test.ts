import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { AppendResult } from '../../src/engine/log.ts'
import { GatewayError } from '../../src/model/errors.ts'
import type { NewRecord } from '../../src/model/record.ts'
import { planBatches } from '../../src/produce/batch-builder.ts'
import { readMemo, writeMemo } from '../../src/produce/memo.ts'
import type { RecordResult } from '../../src/produce/record-result.ts'
import { spread } from '../../src/produce/record-result.ts'

const nowMs = 1_763_683_200_000
const item = fc.record({
  partition: fc.integer({ min: -1, max: 4 }),
  timestamp: fc.option(fc.nat(2_000_000_000_000), { nil: undefined }),
  text: fc.string({ maxLength: 30 }),
})

test('a memo and the stored results give back every answer, refused records included', () => {
  fc.assert(
    fc.property(fc.array(item, { maxLength: 60 }), fc.boolean(), (items, isAppendTime) => {
      const records = items.map(({ timestamp }): NewRecord => {
        const record = { key: null, value: Buffer.alloc(300_000), headers: [] }
        return timestamp === undefined ? record : { ...record, timestamp }
      })
      const answers: RecordResult[] = items.map(({ text }, place) => ({
        error: new GatewayError(place % 2 === 0 ? 'INVALID_RECORD' : 'TIMEOUT', text),
      }))
      const partitions = Int32Array.from(items, ({ partition }) => partition)
      const batches = planBatches(records, partitions, 1_000_000)
      const memo = writeMemo(batches, answers, nowMs)
      const results = batches.map(({ partition, records: planned }, i): AppendResult => {
        const offsets = { base: i * 1000, last: i * 1000 + planned.length - 1 }
        const tp = { topic: 't', partition }
        return isAppendTime ? { tp, offsets, logAppendTime: nowMs + 7 } : { tp, offsets }
      })
      for (const [i, batch] of batches.entries()) spread(batch, results[i]!, nowMs, answers)
      const again = readMemo({ results, deduplicated: true, memo })
      assert.deepEqual(again.map(plain), answers.map(plain))
    }),
  )
})

test('a memo of a hundred thousand records is small', (t) => {
  const records = Array.from({ length: 100_000 }, () => ({ key: null, value: null, headers: [] }))
  const batches = planBatches(records, new Int32Array(records.length), 1_000_000)
  const { length } = writeMemo(batches, new Array<RecordResult>(records.length), nowMs)
  t.diagnostic(`${length} bytes`)
  assert.ok(length < 300_000)
})

test('a memo that nobody here wrote is an error of ours, not a wrong answer', () => {
  for (const memo of [Buffer.alloc(0), Buffer.from('nonsense'), Buffer.of(2, 2, 2, 2)]) {
    assert.throws(() => readMemo({ results: [], deduplicated: true, memo }), { code: 'INTERNAL' })
  }
  assert.throws(() => readMemo({ results: [], deduplicated: true }), { code: 'INTERNAL' })
})

function plain(result: RecordResult): unknown {
  if (!('error' in result)) return result
  const { code, message, applied } = result.error
  return { code, message, applied }
}
