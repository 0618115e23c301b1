/** A short run of the kill loop; `npm run torture -- --only kills --kills 100` is the long one. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { killRounds } from '../torture/kills.ts'

test('kill -9 under load, again and again, loses, moves, doubles and invents nothing', async (t) => {
  const seed = Math.floor(Math.random() * 2 ** 31)
  t.diagnostic(`again with: npm run torture -- --only kills --kills 5 --seed ${seed}`)
  const report = await killRounds({ kills: 5, seed })
  assert.deepEqual(report.problems, [])
  assert.ok(report.acknowledged > 100, `load was on: ${report.acknowledged} acknowledged`)
  assert.ok(report.seenByReaders > 0)
  assert.ok(report.commits > 0)
})
