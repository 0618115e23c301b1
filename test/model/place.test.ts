import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parsePlace } from '../../src/model/place.ts'

test('the words of from and until are understood', () => {
  assert.deepEqual(parsePlace('from', 'earliest'), { at: 'earliest' })
  assert.deepEqual(parsePlace('from', 'latest'), { at: 'latest' })
  assert.deepEqual(parsePlace('from', 'offset:1043'), { at: 'offset', offset: 1043 })
  assert.deepEqual(parsePlace('from', 'last:10'), { at: 'last', count: 10 })
  assert.deepEqual(parsePlace('from', 'time:1763683200000'), { at: 'time', time: 1763683200000 })
  assert.deepEqual(parsePlace('from', 'time:2025-11-21T00:00:00Z'), {
    at: 'time',
    time: 1763683200000,
  })
  const place = parsePlace('from', '1.k9.0-1043')
  assert.equal(place.at, 'position')
})

test('a bare number is refused with both spellings it could mean', () => {
  assert.throws(() => parsePlace('from', '1043'), /offset:1043.*time:1043/)
})

test('anything else is refused by name', () => {
  for (const word of ['', 'newest', 'offset:', 'offset:-1', 'offset:1e3', 'time:soon', 'last:0']) {
    assert.throws(() => parsePlace('until', word), /until=/, word)
  }
  assert.throws(() => parsePlace('from', 'last:10001'), /between 1 and 10000/)
})
