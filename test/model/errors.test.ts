import assert from 'node:assert/strict'
import { test } from 'node:test'
import { GatewayError, errorBody, errorCodes, toGatewayError } from '../../src/model/errors.ts'

test('what passes says when to come back; what does not, does not', () => {
  for (const code of Object.keys(errorCodes) as (keyof typeof errorCodes)[]) {
    const body = errorBody(new GatewayError(code, 'x'))
    assert.equal('retryAfterMs' in body, body.retriable, code)
  }
})

test('an adapter may weaken "not applied" to "maybe"', () => {
  assert.equal(new GatewayError('UNAVAILABLE', 'x').applied, 'no')
  assert.equal(new GatewayError('UNAVAILABLE', 'x', { applied: 'maybe' }).applied, 'maybe')
})

test('an unexpected error shows nothing of itself to clients, and keeps its cause for the log', () => {
  const cause = new Error('secret path')
  const error = toGatewayError(cause)
  assert.equal(error.code, 'INTERNAL')
  assert.ok(!error.message.includes('secret'))
  assert.equal(error.cause, cause)
  assert.equal(toGatewayError(error), error)
})
