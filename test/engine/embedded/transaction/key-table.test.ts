import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { KeyTable } from '../../../../src/engine/embedded/transaction/key-table.ts'
import type { KeyHash } from '../../../../src/engine/embedded/transaction/key-table.ts'
import { seededRandom } from '../../../support/seeded-random.ts'

test('a table gives back what a list would, whatever comes and goes', () => {
  // Few hashes, of which many share their home: runs, wraps and gaps are the rule.
  const hashes = fc.record({
    high: fc.integer({ min: 0, max: 2 }),
    low: fc.oneof(
      fc.integer({ min: 0, max: 3 }),
      fc.integer({ min: 125, max: 130 }),
      fc.constant(2 ** 32 - 1),
    ),
  })
  const steps = fc.array(
    fc.oneof({ weight: 3, arbitrary: hashes }, fc.constant('shift' as const)),
    {
      maxLength: 400,
    },
  )
  fc.assert(
    fc.property(steps, fc.boolean(), (taken, isBusy) => {
      const table = new KeyTable()
      const model: { hash: KeyHash; offset: number; expiryMs: number }[] = []
      let offset = 0
      for (const step of taken) {
        if (step === 'shift') {
          if (isBusy && model.length < 100) continue
          table.shift()
          model.shift()
        } else {
          const expiryMs = (offset * 7) % 50
          table.push(step, offset, expiryMs)
          model.push({ hash: step, offset, expiryMs })
          offset++
        }
        assert.equal(table.size, model.length)
        assert.equal(table.oldestOffset, model[0]?.offset)
      }
      const asked = [...model.map(({ hash }) => hash), { high: 9, low: 1 }, { high: 0, low: 126 }]
      for (const hash of asked) {
        const expected = model
          .filter((one) => one.hash.high === hash.high && one.hash.low === hash.low)
          .filter(({ expiryMs }) => expiryMs > 20)
          .map((one) => one.offset)
          .reverse()
        assert.deepEqual(table.candidates(hash, 20), expected)
      }
    }),
  )
})

test('a million keys cost 32 bytes each and some nanoseconds', (t) => {
  const count = 1_000_000
  const table = new KeyTable()
  const unit = seededRandom(11)
  const hashes = Uint32Array.from({ length: 2 * count }, () => unit() * 2 ** 32)
  const hashAt = (i: number): KeyHash => ({ high: hashes[2 * i]!, low: hashes[2 * i + 1]! })
  const startMs = performance.now()
  let longestMs = 0
  for (let i = 0; i < count; i++) {
    const beforeMs = performance.now()
    table.push(hashAt(i), i, i)
    longestMs = Math.max(longestMs, performance.now() - beforeMs)
  }
  const pushedMs = performance.now()
  for (let i = 0; i < count; i++) assert.equal(table.candidates(hashAt(i), -1)[0], i)
  const foundMs = performance.now()
  for (let i = 0; i < count; i++) {
    table.shift()
    table.push(hashAt(i), count + i, 0)
  }
  const bytes = table.bytes
  t.diagnostic(
    `${(bytes / 1024 ** 2).toFixed(1)} MiB for ${count} keys; ${Math.round(pushedMs - startMs)} ms to fill (longest step ${Math.round(longestMs)} ms), ${Math.round(foundMs - pushedMs)} ms to find each once`,
  )
  assert.ok(bytes <= 34 * 1024 ** 2, `${bytes} bytes`)
  assert.equal(table.size, count)
})
