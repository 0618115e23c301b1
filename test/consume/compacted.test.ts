/** Readers over a topic with holes in its offsets. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Reader } from '../../src/consume/reader.ts'
import type { Place } from '../../src/model/place.ts'
import { anonymous } from '../../src/model/principal.ts'
import { compactedConfig, put, settle } from '../support/compacted-topic.ts'
import type { TestEngine } from '../support/engine.ts'
import { openTestEngine } from '../support/engine.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { newTopic } from '../support/one-partition.ts'

let opened: TestEngine<ManualClock>
let reader: Reader
let startMs = 0
const written = 400

before(async () => {
  const clock = new ManualClock()
  startMs = clock.wallMs()
  opened = await openTestEngine({
    clock,
    hotTailBytes: 0,
    compactionBytesPerSecond: Infinity,
  })
  const { engine } = opened
  reader = new Reader({ log: engine.log, topics: engine.topics, clock })
  await newTopic(engine, compactedConfig)
  // One key is written once at the beginning, and a few over and over again.
  await put(engine, [['first', 'stays']], startMs)
  for (let i = 1; i < written; i++) {
    clock.advance(1)
    await put(engine, [[`k${i % 3}`, `${i}`.padEnd(100)]], clock.wallMs())
  }
  await settle(engine)
  await engine.compact()
})

after(() => opened.close())

async function read(from: Place, recordsMax = 1000) {
  const request = { topics: [{ topic: 't' }], from, waitMs: 0, recordsMax, onGap: 'fail' } as const
  const answer = await reader.read(anonymous, request)
  const offsets = answer.records.map(({ offset }) => offset)
  answer.release()
  return { offsets, position: answer.position, live: answer.live }
}

test('a read over a compacted topic goes on behind each hole and tells no gap', async () => {
  const all = await read({ at: 'earliest' })
  assert.equal(all.offsets[0], 0)
  assert.equal(all.offsets.at(-1), written - 1)
  assert.ok(all.offsets.length < 12, `${all.offsets.length} records`)
  assert.equal(all.live, true)
  const one: number[] = []
  let from: Place = { at: 'earliest' }
  for (let reads = 0; reads < all.offsets.length; reads++) {
    const { offsets, position } = await read(from, 1)
    one.push(...offsets)
    from = { at: 'position', position }
  }
  assert.deepEqual(one, all.offsets)
})

test('the last records are found behind a hole that is larger than what they are', async () => {
  const all = await read({ at: 'earliest' })
  const last = await read({ at: 'last', count: 100 })
  assert.deepEqual(last.offsets, all.offsets)
})

test('one record is there or was compacted away', async () => {
  const tp = { topic: 't', partition: 0 }
  assert.equal((await reader.record(anonymous, tp, 0)).offset, 0)
  await assert.rejects(reader.record(anonymous, tp, 10), /has no record at offset 10/)
})

test('a time inside a hole begins with the next record', async () => {
  const all = await read({ at: 'earliest' })
  const { offsets } = await read({ at: 'time', time: startMs + 10 })
  assert.deepEqual(offsets, all.offsets.slice(1))
})
