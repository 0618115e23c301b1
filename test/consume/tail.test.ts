import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { Tail } from '../../src/consume/tail.ts'
import type { Log } from '../../src/engine/log.ts'
import { systemClock } from '../../src/kit/clock.ts'
import { silentLogger } from '../../src/kit/logger.ts'
import { LogFixture } from '../support/log-fixture.ts'
import { until } from '../support/until.ts'

let fixture: LogFixture
let tail: Tail
let fetches = 0
let watches = 0
const tp = { topic: 't', partition: 0 }

beforeEach(async () => {
  fixture = await LogFixture.open()
  await fixture.createTopic('t', 1)
  fetches = 0
  watches = 0
  const { log: real, topics } = fixture.engine
  // The real log, with a count of what is asked of it.
  const log: Log = {
    append: (entries, options) => real.append(entries, options),
    fetch: (requests, options) => {
      fetches++
      return real.fetch(requests, options)
    },
    watch: (place, onAdvance) => {
      watches++
      return real.watch(place, onAdvance)
    },
    offsets: (queries, options) => real.offsets(queries, options),
    deleteRecords: (before, options) => real.deleteRecords(before, options),
    pressure: real.pressure,
  }
  tail = new Tail({ log, topics, clock: systemClock, logger: silentLogger })
})
afterEach(async () => {
  await tail.close()
  await fixture.close()
})

/** Follows and notes what comes, with copies of the borrowed bytes. */
function follow(at: number) {
  const seen: string[] = []
  const ended: string[] = []
  const { id } = fixture.engine.topics.known('t')!
  const following = tail.follow(tp, id, at, {
    onRun: ({ records }) => {
      for (const { offset, value } of records) seen.push(`${offset} ${String(value)}`)
    },
    onEnd: ({ code }) => void ended.push(code),
  })
  return { seen, ended, following }
}

test('however many follow a partition, it is watched and fetched once', async () => {
  const all = Array.from({ length: 50 }, () => follow(0))
  await fixture.turns()
  const before = fetches
  await fixture.write('t', 0, ['a', 'b'])
  for (const { seen } of all) {
    await until(() => seen.length === 2, 'both records')
    assert.deepEqual(seen, ['0 a', '1 b'])
  }
  assert.equal(watches, 1)
  await fixture.turns()
  assert.ok(fetches - before <= 3, `${fetches - before} fetches for one write`)
})

test('a later follower starts where the tail stands and is told where that is', async () => {
  const first = follow(0)
  await fixture.write('t', 0, ['a'])
  await until(() => first.seen.length === 1, 'the first record')
  const second = follow(0)
  assert.equal(second.following.from, 1)
  await fixture.write('t', 0, ['b'])
  await until(() => second.seen.length === 1, 'the second record')
  assert.deepEqual(second.seen, ['1 b'])
})

test('nobody is told anything after leaving', async () => {
  const [staying, leaving] = [follow(0), follow(0)]
  leaving.following.close()
  leaving.following.close()
  await fixture.write('t', 0, ['a'])
  await until(() => staying.seen.length === 1, 'the record')
  assert.deepEqual(leaving.seen, [])
})

test('the followers of a deleted topic are told once', async () => {
  const { ended } = follow(0)
  await fixture.turns()
  await fixture.deleteTopic('t')
  await until(() => ended.length > 0, 'the end')
  assert.deepEqual(ended, ['UNKNOWN_TOPIC'])
})

test('a namesake that is made later is not taken for the topic', async () => {
  const { seen, ended } = follow(0)
  await fixture.turns()
  await fixture.deleteTopic('t')
  await fixture.createTopic('t', 1)
  await fixture.write('t', 0, ['of another topic'])
  await until(() => ended.length > 0, 'the end')
  assert.deepEqual(seen, [])
})

test('much that was written at once comes in steps, whole and in order', async () => {
  const { seen } = follow(0)
  for (let i = 0; i < 20; i++) await fixture.write('t', 0, [`${i}`, 'x'.repeat(100_000)])
  await until(() => seen.length === 40, 'all records')
  assert.deepEqual(
    seen.map((line) => Number(line.split(' ')[0])),
    Array.from({ length: 40 }, (_, i) => i),
  )
})
