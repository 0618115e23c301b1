import assert from 'node:assert/strict'
import { test } from 'node:test'
import { simulate } from './simulation.ts'

/** `SIM_RUNS=5000 SIM_FROM=100000 node --test test/sim/*.test.ts` looks further. */
const runs = Number(process.env['SIM_RUNS'] ?? 150)
const from = Number(process.env['SIM_FROM'] ?? 0)

test('the same number gives the same life, operation by operation', async () => {
  const [first, second] = [await simulate(7), await simulate(7)]
  assert.deepEqual(first, second)
  assert.notEqual(first.trace, (await simulate(8)).trace)
})

test('nothing acknowledged is lost and nothing shown is taken back, whatever crashes when', async (t) => {
  let acked = 0
  let crashes = 0
  for (let number = from; number < from + runs; number++) {
    const report = await simulate(number)
    acked += report.acked
    crashes += report.crashes
  }
  assert.ok(acked > 10 * runs && crashes > 2 * runs, 'the runs did too little to prove anything')
  t.diagnostic(
    `${runs} lives from number ${from}: ${crashes} crashes, ${acked} acknowledged appends`,
  )
})
