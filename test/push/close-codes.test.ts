import assert from 'node:assert/strict'
import { test } from 'node:test'
import { afterClose, retryHint } from '../../src/client/close-table.ts'
import { closeCodes } from '../../src/push/close-codes.ts'

test('the client does after each close what the server means by it', () => {
  for (const [name, { code, client }] of Object.entries(closeCodes)) {
    // Without a way to get a new token, a client that needs one stops.
    assert.equal(afterClose(code), client === 'new-token' ? 'stop' : client, name)
  }
})

test('codes nobody knows come back, refusals do not', () => {
  for (const code of [1001, 1005, 1006, 1011, 1012, 1013, 4599, 3000]) {
    assert.equal(afterClose(code), 'back-off', String(code))
  }
  assert.equal(afterClose(4499), 'stop')
})

test('a hint is read from the reason', () => {
  assert.equal(retryHint('DRAINING retry=1830'), 1830)
  assert.equal(retryHint('DRAINING'), undefined)
  assert.equal(retryHint('retry=soon'), undefined)
})
