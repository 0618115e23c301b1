/** Short rounds of the torture's programmes about damaged bytes. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { flipBits } from '../../torture/bits.ts'

test('a flipped bit anywhere in a data folder is healed, or found and named, and costs nothing else', async (t) => {
  const seed = Number(process.env['BITS_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
  t.diagnostic(`BITS_SEED=${seed}`)
  const { counts, problems } = await flipBits({ seed, bodyBits: 80, headerStep: 193 })
  for (const [what, count] of counts) t.diagnostic(`${what}: ${count}`)
  assert.deepEqual(problems, [])
  for (const kind of ['healed', 'batch named', 'read-only up to it', 'taken for torn']) {
    assert.ok(
      [...counts.keys()].some((key) => key.endsWith(kind)),
      kind,
    )
  }
})
