import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { fetchOrWait, releaseAll } from '../../src/consume/partition-fetch.ts'
import type { FetchSlice } from '../../src/engine/log.ts'
import { readRecords } from '../../src/model/batch-reader.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { LogFixture } from '../support/log-fixture.ts'

let fixture: LogFixture
let clock: ManualClock
const options = { bytesMax: 1024 * 1024, timeoutMs: 5_000 }
const want = (partition: number, from: number) => ({ tp: { topic: 't', partition }, from })

beforeEach(async () => {
  fixture = await LogFixture.open()
  await fixture.createTopic('t', 3)
  // The waiting alone runs by this clock, so no test depends on how long the disk takes.
  clock = new ManualClock()
})
afterEach(() => fixture.close())

function valuesOf(slices: readonly FetchSlice[]): string[] {
  return slices.flatMap(({ batches }) =>
    batches.flatMap((batch) => readRecords(batch).map(({ value }) => String(value))),
  )
}

test('what is there is answered at once', async () => {
  await fixture.write('t', 0, ['a', 'b'])
  const slices = await fetchOrWait(fixture.log, clock, [want(0, 0), want(1, 0)], {
    ...options,
    waitMs: 60_000,
  })
  assert.deepEqual(valuesOf(slices), ['a', 'b'])
  assert.deepEqual(
    slices.map(({ next }) => next),
    [2, 0],
  )
  releaseAll(slices)
})

test('an empty read without patience answers empty', async () => {
  const slices = await fetchOrWait(fixture.log, clock, [want(0, 0)], { ...options, waitMs: 0 })
  assert.deepEqual(valuesOf(slices), [])
})

test('a write wakes the one who waits, from whichever partition', async () => {
  const wants = [want(0, 0), want(1, 0), want(2, 0)]
  const waiting = fetchOrWait(fixture.log, clock, wants, { ...options, waitMs: 60_000 })
  await fixture.write('t', 2, ['new'])
  const slices = await waiting
  assert.deepEqual(valuesOf(slices), ['new'])
  assert.equal(slices[2]!.next, 1)
  releaseAll(slices)
})

test('patience ends when its time is over, and not before', async () => {
  let done = false
  const waiting = fetchOrWait(fixture.log, clock, [want(0, 0)], { ...options, waitMs: 500 })
  void waiting.then(() => (done = true))
  await fixture.turns()
  clock.advance(499)
  await fixture.turns()
  assert.equal(done, false)
  clock.advance(1)
  assert.deepEqual(valuesOf(await waiting), [])
})

test('an abort ends the waiting with what is there', async () => {
  const abort = new AbortController()
  const { signal } = abort
  const waiting = fetchOrWait(fixture.log, clock, [want(0, 0)], {
    ...options,
    waitMs: 60_000,
    signal,
  })
  await fixture.turns()
  abort.abort()
  assert.deepEqual(valuesOf(await waiting), [])
})

test('less than the wanted bytes is waited out, then delivered', async () => {
  await fixture.write('t', 0, ['little'])
  const waitLong = { ...options, waitMs: 1_000, minBytes: 300 }
  const waiting = fetchOrWait(fixture.log, clock, [want(0, 0), want(1, 0)], waitLong)
  await fixture.turns()
  await fixture.write('t', 1, ['x'.repeat(500)])
  assert.deepEqual(valuesOf(await waiting), ['little', 'x'.repeat(500)])
  const late = fetchOrWait(fixture.log, clock, [want(0, 0)], waitLong)
  await fixture.turns()
  clock.advance(1_000)
  assert.deepEqual(valuesOf(await late), ['little'])
})

test('deletion of the topic wakes the one who waits', async () => {
  const waiting = fetchOrWait(fixture.log, clock, [want(0, 0)], { ...options, waitMs: 60_000 })
  await fixture.turns()
  await fixture.deleteTopic('t')
  const [slice] = await waiting
  assert.equal(slice!.error?.code, 'UNKNOWN_TOPIC')
})
