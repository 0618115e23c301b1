import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Consumers, InstanceOptions } from '../../src/consume/consumers.ts'
import type { ErrorCode } from '../../src/model/errors.ts'
import { GatewayError } from '../../src/model/errors.ts'
import { anonymous } from '../../src/model/principal.ts'
import type { TestEngine } from '../support/engine.ts'
import { openTestEngine } from '../support/engine.ts'
import type { InstanceNode } from '../support/instances.ts'
import {
  append,
  createTopic,
  openNode,
  take,
  takeCount,
  textsOf,
  v2Instance,
} from '../support/instances.ts'

const call = { timeoutMs: 5_000 }
const stranger = { subject: 'stranger', anonymous: false }
const has = (code: ErrorCode) => (error: unknown) =>
  error instanceof GatewayError && error.code === code

let test1: TestEngine
let node: InstanceNode
let consumers: Consumers
let made = 0

before(async () => {
  test1 = await openTestEngine()
  node = await openNode(test1.engine)
  consumers = node.consumers
})

after(async () => {
  await node.close()
  await test1.close()
})

interface Place {
  topic: string
  group: string
}

/** A topic and a group of the test's own. */
async function fresh(partitions = 1): Promise<Place> {
  const n = ++made
  await createTopic(test1.engine, `t${n}`, partitions)
  return { topic: `t${n}`, group: `g${n}` }
}

async function subscribed(
  { topic, group }: Place,
  name: string,
  options: Partial<InstanceOptions> = {},
): Promise<string> {
  await consumers.create(anonymous, group, { ...v2Instance, ...options, name })
  await consumers.subscribe(anonymous, group, name, { topics: [topic] })
  return name
}

const committedOf = async ({ group, topic }: Place, partition = 0): Promise<number | undefined> => {
  const tps = [{ topic, partition }]
  const [found] = await test1.engine.groups.committed({ groupId: group }, tps, call)
  return found?.offset
}

test('an instance without a name gets one, and a name is given once in its group', async () => {
  const { group } = await fresh()
  const created = await consumers.create(anonymous, group, v2Instance)
  assert.match(created.name, /^rest-consumer-[0-9a-f-]{36}$/)
  assert.match(created.id, /^s[A-Za-z0-9_-]{22}$/)
  await consumers.create(anonymous, group, { ...v2Instance, name: 'a' })
  const again = consumers.create(anonymous, group, { ...v2Instance, name: 'a' })
  await assert.rejects(again, has('SESSION_EXISTS'))
  await consumers.create(anonymous, `${group}-other`, { ...v2Instance, name: 'a' })
})

test('names that nobody could use again are refused', async () => {
  for (const name of ['', 'x'.repeat(256), 'half a pair \ud800']) {
    const created = consumers.create(anonymous, 'g', { ...v2Instance, name })
    await assert.rejects(created, has('INVALID_REQUEST'))
    await assert.rejects(consumers.create(anonymous, name, v2Instance), has('INVALID_REQUEST'))
    if (name !== '')
      await assert.rejects(consumers.find(anonymous, 'g', name), has('UNKNOWN_SESSION'))
  }
})

test("another principal's instance does not exist", async () => {
  const place = await fresh()
  const { group } = place
  const name = await subscribed(place, 'mine')
  const refused = has('UNKNOWN_SESSION')
  await assert.rejects(consumers.find(stranger, group, name), refused)
  await assert.rejects(consumers.poll(stranger, group, name, {}), refused)
  await assert.rejects(consumers.commit(stranger, group, name), refused)
  await assert.rejects(consumers.subscribe(stranger, group, name, { topics: ['x'] }), refused)
  await assert.rejects(consumers.delete(stranger, group, name), refused)
  assert.equal((await consumers.find(anonymous, group, name)).name, name)
})

test('a subscriber has joined when the answer comes, and reads from the start at once', async () => {
  const place = await fresh(2)
  await append(test1.engine, place.topic, 0, ['a', 'b'])
  const name = await subscribed(place, 'one')
  const group = await test1.engine.groups.describe(place.group, call)
  assert.equal(group.state, 'STABLE')
  assert.equal(group.members[0]?.assignment.length, 2)
  assert.deepEqual(await take(consumers, place.group, name), ['a', 'b'])
})

test('latest means the moment of the subscription, for partitions added later their start', async () => {
  const place = await fresh(1)
  const { engine } = test1
  await append(engine, place.topic, 0, ['old'])
  const name = await subscribed(place, 'one', { reset: 'latest' })
  await append(engine, place.topic, 0, ['new'])
  assert.deepEqual(await take(consumers, place.group, name), ['new'])
  await engine.topics.grow([{ name: place.topic, partitions: 2 }], call)
  await append(engine, place.topic, 1, ['first of its partition'])
  assert.deepEqual(await takeCount(consumers, place.group, name, 1), ['first of its partition'])
})

test('a second group gets everything again, a second subscriber of a group goes on', async () => {
  const place = await fresh()
  await append(test1.engine, place.topic, 0, ['a', 'b'])
  const one = await subscribed(place, 'one')
  assert.deepEqual(await take(consumers, place.group, one), ['a', 'b'])
  await consumers.commit(anonymous, place.group, one)
  await consumers.delete(anonymous, place.group, one)
  await append(test1.engine, place.topic, 0, ['c'])
  const two = await subscribed(place, 'two', { reset: 'latest' })
  assert.deepEqual(await take(consumers, place.group, two), ['c'])
  const other = { topic: place.topic, group: `${place.group}-other` }
  const three = await subscribed(other, 'three')
  assert.deepEqual(await take(consumers, other.group, three), ['a', 'b', 'c'])
})

test('a position moves when the answer was written, and only as far as it was', async () => {
  const place = await fresh()
  const { group } = place
  await append(test1.engine, place.topic, 0, ['a', 'b', 'c'])
  const name = await subscribed(place, 'one')
  const cut = await consumers.poll(anonymous, group, name, {})
  assert.deepEqual(textsOf(cut), ['a', 'b', 'c'])
  cut.dropped()
  const partly = await consumers.poll(anonymous, group, name, {})
  assert.deepEqual(textsOf(partly), ['a', 'b', 'c'])
  await partly.delivered(2)
  partly.dropped()
  assert.deepEqual(await take(consumers, group, name), ['c'])
  assert.deepEqual(await take(consumers, group, name, { waitMs: 20 }), [])
})

test('a second read waits until the first one is done', async () => {
  const place = await fresh()
  const { group } = place
  await append(test1.engine, place.topic, 0, ['a'])
  const name = await subscribed(place, 'one')
  const first = await consumers.poll(anonymous, group, name, {})
  let isBack = false
  const second = take(consumers, group, name, { waitMs: 30 }).then((texts) => {
    isBack = true
    return texts
  })
  await append(test1.engine, place.topic, 0, ['b'])
  await take(consumers, group, await subscribed({ ...place, group: `${group}x` }, 'z'), {}).catch(
    () => undefined,
  )
  assert.equal(isBack, false)
  await first.delivered(1)
  assert.deepEqual(await second, ['b'])
})

test('a poll waits for the first record, and no longer than asked', async () => {
  const place = await fresh(3)
  const name = await subscribed(place, 'one', { waitMs: 10_000 })
  const started = performance.now()
  assert.deepEqual(await take(consumers, place.group, name, { waitMs: 60 }), [])
  assert.ok(performance.now() - started >= 59)
  const waiting = take(consumers, place.group, name)
  await append(test1.engine, place.topic, 2, ['here'])
  assert.deepEqual(await waiting, ['here'])
  assert.ok(performance.now() - started < 5_000)
})

test('an instance that wants many bytes waits for them, one with -1 takes its whole time', async () => {
  const place = await fresh()
  const { group, topic } = place
  const many = await subscribed(place, 'many', { minBytes: 2_000, waitMs: 10_000 })
  const waiting = take(consumers, group, many)
  await append(test1.engine, topic, 0, ['x'.repeat(900)])
  await append(test1.engine, topic, 0, ['y'.repeat(900)])
  await append(test1.engine, topic, 0, ['z'.repeat(900)])
  assert.ok((await waiting).length >= 2)
  await consumers.delete(anonymous, group, many)
  const all = await subscribed({ topic, group: `${group}-all` }, 'all', {
    minBytes: -1,
    waitMs: 80,
  })
  const started = performance.now()
  assert.equal((await take(consumers, `${group}-all`, all)).length, 3)
  assert.ok(performance.now() - started >= 79)
})

test('an answer ends before the record that would reach max_bytes, but never without one', async () => {
  const place = await fresh()
  const { group } = place
  await append(test1.engine, place.topic, 0, ['x'.repeat(100), 'y'.repeat(50), 'z'.repeat(49)])
  const name = await subscribed(place, 'one')
  assert.deepEqual(await take(consumers, group, name, { bytesMax: 10 }), ['x'.repeat(100)])
  assert.deepEqual(await take(consumers, group, name, { bytesMax: 99 }), ['y'.repeat(50)])
  assert.deepEqual(await take(consumers, group, name, { bytesMax: 0 }), ['z'.repeat(49)])
})

test('a busy partition does not keep the others waiting', async () => {
  const place = await fresh(2)
  const { group, topic } = place
  await append(
    test1.engine,
    topic,
    0,
    Array.from({ length: 100 }, () => 'busy'),
  )
  await append(test1.engine, topic, 1, ['quiet'])
  const name = await subscribed(place, 'one')
  const two = [
    ...(await take(consumers, group, name, { bytesMax: 20 })),
    ...(await take(consumers, group, name, { bytesMax: 20 })),
  ]
  assert.ok(two.includes('quiet'), two.join())
})

test('a commit without offsets stores exactly what was delivered', async () => {
  const place = await fresh()
  const { group } = place
  await append(test1.engine, place.topic, 0, ['a', 'b', 'c'])
  const name = await subscribed(place, 'one')
  assert.equal(await committedOf(place), 0, 'the group begins here')
  await consumers.commit(anonymous, group, name)
  assert.equal(await committedOf(place), 0)
  const out = await consumers.poll(anonymous, group, name, {})
  await consumers.commit(anonymous, group, name)
  assert.equal(await committedOf(place), 0, 'the answer is not written yet')
  // The client has the answer and commits while the position is still being saved.
  const saving = out.delivered(2)
  await consumers.commit(anonymous, group, name)
  await saving
  assert.equal(await committedOf(place), 2)
})

test('a commit with offsets stores them, and says which partition is not ours', async () => {
  const place = await fresh(2)
  const { group, topic } = place
  const one = await subscribed(place, 'one')
  const commit = (partition: number, offset: number): Promise<void> =>
    consumers.commit(anonymous, group, one, [{ tp: { topic, partition }, offset, metadata: 'm' }])
  await commit(1, 7)
  assert.deepEqual(await consumers.committed(anonymous, group, one, [{ topic, partition: 1 }]), [
    {
      tp: { topic, partition: 1 },
      offset: 7,
      metadata: 'm',
      topicId: test1.engine.topics.known(topic)?.id,
    },
  ])
  await assert.rejects(commit(2, 7), has('UNKNOWN_PARTITION'))
  const elsewhere = await fresh()
  const tp = { topic: elsewhere.topic, partition: 0 }
  await assert.rejects(
    consumers.commit(anonymous, group, one, [{ tp, offset: 1 }]),
    has('NOT_ASSIGNED'),
  )
})

test('a commit ahead of the position is the way past a record one cannot take', async () => {
  const place = await fresh()
  const { group, topic } = place
  await append(test1.engine, topic, 0, ['poison', 'good'])
  const name = await subscribed(place, 'one')
  const poll = await consumers.poll(anonymous, group, name, {})
  poll.dropped()
  await consumers.commit(anonymous, group, name, [{ tp: { topic, partition: 0 }, offset: 1 }])
  assert.deepEqual(await take(consumers, group, name), ['good'])
})

test('a client that commits one too far does not lose a record by it', async () => {
  const place = await fresh()
  const { group, topic } = place
  await append(test1.engine, topic, 0, ['a', 'b'])
  const name = await subscribed(place, 'one')
  assert.deepEqual(await take(consumers, group, name, { bytesMax: 1 }), ['a'])
  await consumers.commit(anonymous, group, name, [{ tp: { topic, partition: 0 }, offset: 2 }])
  assert.deepEqual(await take(consumers, group, name), ['b'])
})

test('an instance without subscription sets offsets only of an empty group', async () => {
  const place = await fresh()
  const { group, topic } = place
  const offsets = [{ tp: { topic, partition: 0 }, offset: 5 }]
  await consumers.create(anonymous, group, { ...v2Instance, name: 'alone' })
  await consumers.commit(anonymous, group, 'alone', offsets)
  assert.equal(await committedOf(place), 5)
  await subscribed(place, 'member')
  await assert.rejects(consumers.commit(anonymous, group, 'alone', offsets), has('GROUP_NOT_EMPTY'))
})

test('with auto commit an answer is committed when the next one is asked for, and at the end', async () => {
  const place = await fresh()
  const { group } = place
  await append(test1.engine, place.topic, 0, ['a'])
  const name = await subscribed(place, 'one', { autoCommit: true })
  await take(consumers, group, name)
  assert.equal(await committedOf(place), 0)
  await append(test1.engine, place.topic, 0, ['b'])
  const cut = await consumers.poll(anonymous, group, name, {})
  assert.equal(await committedOf(place), 1)
  cut.dropped()
  await take(consumers, group, name)
  assert.equal(await committedOf(place), 1, 'an answer that was cut did not arrive')
  await consumers.delete(anonymous, group, name)
  assert.equal(await committedOf(place), 2)
  await assert.rejects(consumers.find(anonymous, group, name), has('UNKNOWN_SESSION'))
})

test('two instances share a topic without losing or repeating a committed record', async () => {
  const place = await fresh(4)
  const { group, topic } = place
  for (let p = 0; p < 4; p++) await append(test1.engine, topic, p, [`${p}-a`, `${p}-b`])
  const one = await subscribed(place, 'one', { waitMs: 100, autoCommit: true })
  const seen = await takeCount(consumers, group, one, 8)
  const started = performance.now()
  const two = await subscribed(place, 'two', { waitMs: 100, autoCommit: true })
  // The first one's next request commits what it has; then it gives two partitions back.
  seen.push(...(await take(consumers, group, one)))
  for (;;) {
    const { members } = await test1.engine.groups.describe(group, call)
    if (members.every(({ assignment }) => assignment.length === 2)) break
    seen.push(...(await take(consumers, group, one, { waitMs: 10 })))
    assert.ok(performance.now() - started < 3_000, 'the hand-over takes too long')
  }
  for (let p = 0; p < 4; p++) await append(test1.engine, topic, p, [`${p}-c`])
  while (seen.length < 12) {
    seen.push(...(await take(consumers, group, one)), ...(await take(consumers, group, two)))
  }
  const expected = [0, 1, 2, 3].flatMap((p) => ['a', 'b', 'c'].map((letter) => `${p}-${letter}`))
  assert.deepEqual(seen.sort(), expected.sort())
})

test('a partition is not handed over while an answer with its records is being written', async () => {
  const place = await fresh(2)
  const { group, topic } = place
  for (let p = 0; p < 2; p++) await append(test1.engine, topic, p, ['x'])
  const one = await subscribed(place, 'one')
  const out = await consumers.poll(anonymous, group, one, {})
  assert.equal(out.records.length, 2)
  const two = await subscribed(place, 'two', { waitMs: 100 })
  const polled = take(consumers, group, two)
  const { members } = await test1.engine.groups.describe(group, call)
  const sizes = members.map(({ assignment }) => assignment.length).sort()
  assert.deepEqual(sizes, [0, 2])
  await out.delivered(2)
  await consumers.commit(anonymous, group, one)
  assert.deepEqual(await polled, [], 'what was committed is not delivered again')
  const after = await test1.engine.groups.describe(group, call)
  assert.deepEqual(
    after.members.map(({ assignment }) => assignment.length),
    [1, 1],
  )
})

test('an instance beyond the number of partitions is idle and answers in its own time', async () => {
  const place = await fresh(1)
  await subscribed(place, 'one')
  const idle = await subscribed(place, 'idle', { waitMs: 30 })
  const started = performance.now()
  assert.deepEqual(await take(consumers, place.group, idle), [])
  assert.ok(performance.now() - started < 2_000)
})

test('a stale commit is retried when only the epoch moved, and refused when the partition did', async () => {
  const place = await fresh(2)
  const { group, topic } = place
  for (let p = 0; p < 2; p++) await append(test1.engine, topic, p, ['x'])
  const one = await subscribed(place, 'one', { waitMs: 50 })
  assert.equal((await takeCount(consumers, group, one, 2)).length, 2)
  await subscribed(place, 'two', { waitMs: 50 })
  const started = performance.now()
  for (;;) {
    const { members } = await test1.engine.groups.describe(group, call)
    if (members.every(({ assignment }) => assignment.length === 1)) break
    await take(consumers, group, one, { waitMs: 10 })
    assert.ok(
      performance.now() - started < 8_000,
      'a client that never commits holds up the others',
    )
  }
  await consumers.commit(anonymous, group, one)
  const commits = [0, 1].map((partition) => ({ tp: { topic, partition }, offset: 1 }))
  await assert.rejects(consumers.commit(anonymous, group, one, commits), has('NOT_ASSIGNED'))
})

test('a pattern shows its topics at once and takes in those that come later', async () => {
  const n = ++made
  const prefix = `pattern-${n}`
  await createTopic(test1.engine, `${prefix}-a`)
  const group = `g${n}`
  await consumers.create(anonymous, group, { ...v2Instance, name: 'one' })
  await consumers.subscribe(anonymous, group, 'one', { pattern: `${prefix}-.` })
  assert.deepEqual(await consumers.subscription(anonymous, group, 'one'), [`${prefix}-a`])
  await createTopic(test1.engine, `${prefix}-b`)
  await append(test1.engine, `${prefix}-b`, 0, ['late'])
  assert.deepEqual(await takeCount(consumers, group, 'one', 1), ['late'])
  for (const pattern of ['', '(?=x)', '(', 'x'.repeat(1_001)]) {
    const bad = consumers.subscribe(anonymous, group, 'one', { pattern })
    await assert.rejects(bad, has('INVALID_REQUEST'))
  }
  const names = [[], ['a/b'], ['__ebbgate_settings']]
  for (const topics of names) {
    const bad = consumers.subscribe(anonymous, group, 'one', { topics })
    await assert.rejects(bad, has('INVALID_REQUEST'))
  }
  assert.equal((await consumers.subscription(anonymous, group, 'one')).length, 2)
})

test('a second subscription replaces the first, and none can be polled no more', async () => {
  const [first, second] = [await fresh(), await fresh()]
  const { group } = first
  await append(test1.engine, first.topic, 0, ['first'])
  await append(test1.engine, second.topic, 0, ['second'])
  const name = await subscribed(first, 'one')
  assert.deepEqual(await take(consumers, group, name), ['first'])
  await consumers.subscribe(anonymous, group, name, { topics: [second.topic] })
  assert.deepEqual(await consumers.subscription(anonymous, group, name), [second.topic])
  assert.deepEqual(await takeCount(consumers, group, name, 1), ['second'])
  await consumers.unsubscribe(anonymous, group, name)
  assert.deepEqual(await consumers.subscription(anonymous, group, name), [])
  await assert.rejects(consumers.poll(anonymous, group, name, {}), has('ILLEGAL_STATE'))
  const { members } = await test1.engine.groups.describe(group, call)
  assert.equal(members.length, 0)
})

test('a subscription to a topic that does not exist yet waits for it', async () => {
  const n = ++made
  const place = { topic: `later-${n}`, group: `g${n}` }
  const name = await subscribed(place, 'one', { waitMs: 30, reset: 'latest' })
  assert.deepEqual(await take(consumers, place.group, name), [])
  await createTopic(test1.engine, place.topic)
  await append(test1.engine, place.topic, 0, ['first'])
  assert.deepEqual(await takeCount(consumers, place.group, name, 1), ['first'])
})

test('a topic that is deleted and made again is read from its new start', async () => {
  const place = await fresh()
  const { group, topic } = place
  await append(test1.engine, topic, 0, ['old 1', 'old 2'])
  const name = await subscribed(place, 'one', { waitMs: 50 })
  assert.equal((await take(consumers, group, name)).length, 2)
  await consumers.commit(anonymous, group, name)
  await test1.engine.topics.delete([topic], call)
  await createTopic(test1.engine, topic)
  await append(test1.engine, topic, 0, ['new'])
  assert.deepEqual(await takeCount(consumers, group, name, 1), ['new'])
})

test('what retention took is passed as the instance says', async () => {
  for (const reset of ['earliest', 'latest', 'none'] as const) {
    const place = await fresh()
    const { group, topic } = place
    const tp = { topic, partition: 0 }
    await append(test1.engine, topic, 0, ['a', 'b', 'c', 'd'])
    await test1.engine.groups.commit({ groupId: group }, [{ tp, offset: 1 }], call)
    await test1.engine.log.deleteRecords([{ tp, before: 2 }], call)
    const name = await subscribed(place, 'one', { reset, waitMs: 30 })
    if (reset === 'none') {
      const polled = consumers.poll(anonymous, group, name, {})
      await assert.rejects(polled, has('OFFSET_OUT_OF_RANGE'))
      continue
    }
    const expected = reset === 'earliest' ? ['c', 'd'] : []
    assert.deepEqual(await take(consumers, group, name), expected)
    await append(test1.engine, topic, 0, ['e'])
    assert.deepEqual(await take(consumers, group, name), ['e'])
  }
})

test('an instance that is deleted ends its waiting read', async () => {
  const place = await fresh()
  const name = await subscribed(place, 'one', { waitMs: 20_000 })
  const waiting = assert.rejects(
    consumers.poll(anonymous, place.group, name, {}),
    has('UNKNOWN_SESSION'),
  )
  await consumers.find(anonymous, place.group, name)
  await consumers.delete(anonymous, place.group, name)
  await waiting
  await assert.rejects(
    test1.engine.groups.describe(`${place.group}-no`, call),
    has('UNKNOWN_GROUP'),
  )
})

test('an answer of an instance that was deleted moves nothing in the next one of its name', async () => {
  const place = await fresh()
  await append(test1.engine, place.topic, 0, ['a', 'b'])
  const name = await subscribed(place, 'one')
  const late = await consumers.poll(anonymous, place.group, name, {})
  assert.deepEqual(textsOf(late), ['a', 'b'])
  await consumers.delete(anonymous, place.group, name)
  await subscribed(place, 'one')
  await late.delivered(2)
  assert.deepEqual(await take(consumers, place.group, name), ['a', 'b'])
})

test('a poll that waits does not go on for the next instance of its name', async () => {
  const place = await fresh()
  const name = await subscribed(place, 'one', { waitMs: 20_000 })
  const key = { group: place.group, name }
  const waiting = consumers.poll(anonymous, place.group, name, {})
  while ((await node.store.find(key))?.reader === null);
  const refused = assert.rejects(waiting, has('UNKNOWN_SESSION'))
  // As after a DELETE on another node, which wakes nobody here.
  await node.store.remove(key, (await node.store.find(key))!.session.id)
  await subscribed(place, 'one')
  await refused
  await append(test1.engine, place.topic, 0, ['a'])
  assert.deepEqual(await take(consumers, place.group, name), ['a'])
})

test('a client that goes away frees the instance for its next request', async () => {
  const place = await fresh()
  const name = await subscribed(place, 'one', { waitMs: 20_000 })
  const gone = new AbortController()
  const { signal } = gone
  const waiting = consumers.poll(anonymous, place.group, name, { signal })
  while ((await node.store.find({ group: place.group, name }))?.reader === null);
  const queued = consumers.poll(anonymous, place.group, name, { signal })
  gone.abort()
  await assert.rejects(queued, has('UNAVAILABLE'))
  assert.equal((await waiting).records.length, 0)
  await append(test1.engine, place.topic, 0, ['a'])
  assert.deepEqual(await take(consumers, place.group, name), ['a'])
})
