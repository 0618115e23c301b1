import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { compareDecimals } from '../../src/kit/decimal.ts'

const sign = (left: string, right: string): number => Math.sign(compareDecimals(left, right)) + 0

test('numbers that a double cannot tell apart are told apart by their digits', () => {
  assert.equal(sign('9007199254740993', '9007199254740992'), 1)
  assert.equal(sign('-12345678901234567890', '-12345678901234567891'), 1)
  assert.equal(sign('1e400', '9e399'), 1)
  assert.equal(sign('12345678901234567890.10', '1234567890123456789009e-2'), 1)
})

test('spellings of one number are equal', () => {
  for (const [left, right] of [
    ['49300.00', '4.93e4'],
    ['-0', '0.0'],
    ['100000000000000000000', '1E+20'],
    ['1e-400', '0'],
    ['123456789012345678900e-1', '12345678901234567890.000'],
  ] as const) {
    assert.equal(sign(left, right), 0, `${left} ${right}`)
  }
})

test('integers of any length compare as BigInt does', () => {
  const zeros = fc.nat(3)
  fc.assert(
    fc.property(fc.bigInt(), fc.bigInt(), zeros, (left, right, count) => {
      const spelt = `${right}.${'0'.repeat(count)}0e0`
      assert.equal(sign(String(left), spelt), left < right ? -1 : left > right ? 1 : 0)
    }),
  )
})
