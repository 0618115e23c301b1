import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LogPressure } from '../../../../src/engine/embedded/log/pressure.ts'

test('relief comes when the bytes in flight have fallen to the low mark, not before', async () => {
  const pressure = new LogPressure()
  pressure.add(pressure.high + 10)
  let isRelieved = false
  const relieved = pressure.whenRelieved().then(() => (isRelieved = true))
  pressure.release(10)
  await Promise.resolve()
  assert.equal(isRelieved, false)
  pressure.release(pressure.high - pressure.low)
  await relieved
  assert.equal(pressure.inFlightBytes, pressure.low)
})

test('who gives up is let go at once', async () => {
  const pressure = new LogPressure()
  pressure.add(pressure.high)
  const giveUp = new AbortController()
  const waiting = pressure.whenRelieved(giveUp.signal)
  giveUp.abort()
  await waiting
})
