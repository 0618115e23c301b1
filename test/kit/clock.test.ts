import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatIsoTime, parseIsoTime, pause, systemClock } from '../../src/kit/clock.ts'

test('a pause ends early, and says so, when its signal aborts', async () => {
  const stop = new AbortController()
  const waiting = pause(systemClock, 60_000, stop.signal)
  stop.abort()
  assert.equal(await waiting, false)
  assert.equal(await pause(systemClock, 60_000, stop.signal), false)
  assert.equal(await pause(systemClock, 1), true)
})

test('ISO 8601 dates are read, other spellings that Date.parse would guess at are not', () => {
  assert.equal(parseIsoTime('2026-11-21T00:00:00Z'), 1795219200000)
  assert.equal(parseIsoTime('2026-11-21'), 1795219200000)
  assert.equal(parseIsoTime('2026-11-21T01:00:00+01:00'), 1795219200000)
  for (const text of [
    '1',
    '21 Nov 2026',
    '2026-13-01',
    '2026-11-21T00:00:00',
    '2026-11-21 junk',
    '',
  ]) {
    assert.equal(parseIsoTime(text), undefined, text)
  }
  assert.equal(formatIsoTime(1795219200000), '2026-11-21T00:00:00.000Z')
})

test('a day that its month does not have is no time, instead of a day of the next one', () => {
  for (const text of ['2026-02-29', '2026-02-30T12:00:00Z', '2026-06-31T00:00:00+02:00']) {
    assert.equal(parseIsoTime(text), undefined, text)
  }
  assert.equal(parseIsoTime('2024-02-29'), 1709164800000)
})
