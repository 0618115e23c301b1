/** Assignments and positions: stand-alone readers, and seeks of all kinds. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { json, openTestV2, refusal } from '../../support/v2-http.ts'

const v2 = await openTestV2()
after(() => v2.close())

test('an assigned instance reads its partitions alone, without a group', async () => {
  const topic = await v2.topic(3)
  for (const partition of [0, 1, 2]) await v2.produce(topic, [`p${partition}`], partition)
  const instance = await v2.instance()
  const partitions = [
    { topic, partition: '0' },
    { topic, partition: 2 },
  ]
  await v2.send(`${instance}/assignments`, { partitions }).expect(204)
  const shown = await v2.http.get(`${instance}/assignments`).expect(200)
  assert.deepEqual(shown.body, {
    partitions: [
      { topic, partition: 0 },
      { topic, partition: 2 },
    ],
  })
  assert.deepEqual((await v2.values(instance)).sort(), ['p0', 'p2'])
  assert.deepEqual(await v2.values(instance, '?timeout=20'), [])
})

test('a second assignment replaces the first and keeps the positions that stay', async () => {
  const topic = await v2.topic(2)
  await v2.produce(topic, ['a', 'b'], 0)
  await v2.produce(topic, ['c'], 1)
  const instance = await v2.instance()
  await v2.send(`${instance}/assignments`, { partitions: [{ topic, partition: 0 }] }).expect(204)
  assert.deepEqual(await v2.values(instance), ['a', 'b'])
  const both = [0, 1].map((partition) => ({ topic, partition }))
  await v2.send(`${instance}/assignments`, { partitions: both }).expect(204)
  assert.deepEqual(await v2.values(instance), ['c'])
  await v2.send(`${instance}/assignments`, { partitions: [] }).expect(204)
  const idle = await v2.http.get(`${instance}/records`).expect(409)
  assert.equal(refusal(idle)[1], 40903)
})

test('where an assigned partition begins is the commit, else the reset at that moment', async () => {
  const topic = await v2.topic()
  await v2.produce(topic, ['old'])
  const group = v2.fresh('group')
  const latest = await v2.instance({ 'auto.offset.reset': 'latest' }, group)
  const partitions = [{ topic, partition: 0 }]
  await v2.send(`${latest}/assignments`, { partitions }).expect(204)
  await v2.produce(topic, ['new'])
  assert.deepEqual(await v2.values(latest), ['new'])
  await v2.send(`${latest}/offsets`).expect(200)
  assert.equal(await v2.committed(latest, topic), 2)
  await v2.produce(topic, ['newer'])
  const next = await v2.instance({}, group)
  await v2.send(`${next}/assignments`, { partitions }).expect(204)
  assert.deepEqual(await v2.values(next), ['newer'])
})

test('subscription and assignment exclude each other, until one is given up', async () => {
  const topic = await v2.topic()
  await v2.produce(topic, [1])
  const subscribed = await v2.subscribed([topic])
  const partitions = [{ topic, partition: 0 }]
  const refused = await v2.send(`${subscribed}/assignments`, { partitions })
  assert.deepEqual(refusal(refused).slice(0, 2), [409, 40903])
  assert.match(refusal(refused)[2], /^Illegal state: .*mutually exclusive/)
  assert.deepEqual((await v2.http.get(`${subscribed}/assignments`).expect(200)).body, {
    partitions,
  })
  const assigned = await v2.instance()
  await v2.send(`${assigned}/assignments`, { partitions }).expect(204)
  const other = await v2.send(`${assigned}/subscription`, { topics: [topic] })
  assert.deepEqual(refusal(other).slice(0, 2), [409, 40903])
  await v2.http.delete(`${assigned}/subscription`).expect(204)
  await v2.send(`${assigned}/subscription`, { topics: [topic] }).expect(204)
})

test('what does not exist cannot be assigned', async () => {
  const topic = await v2.topic()
  const instance = await v2.instance()
  const assign = (place: object) =>
    v2.send(`${instance}/assignments`, { partitions: [place] }).expect(404)
  assert.equal(refusal(await assign({ topic: 'nowhere', partition: 0 }))[1], 40403)
  assert.equal(refusal(await assign({ topic: '__ebbgate_settings', partition: 0 }))[1], 40403)
  assert.equal(refusal(await assign({ topic, partition: 5 }))[1], 40402)
})

test('a stand-alone reader may not commit while the group has members, but it reads on', async () => {
  const topic = await v2.topic()
  await v2.produce(topic, ['a'])
  const group = v2.fresh('group')
  await v2.subscribed([topic], {}, group)
  const alone = await v2.instance({}, group)
  await v2.send(`${alone}/assignments`, { partitions: [{ topic, partition: 0 }] }).expect(204)
  assert.deepEqual(await v2.values(alone), ['a'])
  await v2.produce(topic, ['b'])
  assert.deepEqual(await v2.values(alone), ['b'])
  const refused = await v2.send(`${alone}/offsets`).expect(409)
  assert.equal(refusal(refused)[1], 40903)
  await v2.http.delete(alone).expect(204)
})

test('positions move to an offset, the beginning, the end', async () => {
  const topic = await v2.topic()
  await v2.produce(topic, ['a', 'b', 'c'])
  const instance = await v2.subscribed([topic])
  assert.deepEqual(await v2.values(instance), ['a', 'b', 'c'])
  const offsets = [{ topic, partition: 0, offset: '1', metadata: 'why' }]
  await v2.send(`${instance}/positions`, { offsets }).expect(204)
  assert.deepEqual(await v2.values(instance), ['b', 'c'])
  const partitions = [{ topic, partition: 0 }]
  await v2.send(`${instance}/positions/beginning`, { partitions }).expect(204)
  assert.deepEqual(await v2.values(instance), ['a', 'b', 'c'])
  await v2.send(`${instance}/positions/beginning`, { partitions }).expect(204)
  await v2.send(`${instance}/positions/end`, { partitions }).expect(204)
  await v2.produce(topic, ['d'])
  assert.deepEqual(await v2.values(instance), ['d'])
})

test('positions move to a time, and one beyond the last record is the end', async () => {
  const topic = await v2.topic()
  const records = [1_700_000_000_000, 1_700_000_100_000, 1_700_000_200_000].map(
    (timestamp, value) => ({ value, timestamp }),
  )
  await v2.http.post(`/topics/${topic}`).type(json).send({ records }).expect(200)
  const instance = await v2.subscribed([topic])
  const to = (timestamp: string) =>
    v2.send(`${instance}/positions`, { timestamps: [{ topic, partition: 0, timestamp }] })
  await to('2023-11-14T22:14:00Z').expect(204)
  assert.deepEqual(await v2.values(instance), [1, 2])
  await to('2023-11-14T23:13:20.001+01:00').expect(204)
  assert.deepEqual(await v2.values(instance), [1, 2])
  await to('2099-01-01T00:00:00Z').expect(204)
  assert.deepEqual(await v2.values(instance, '?timeout=20'), [])
  assert.deepEqual(refusal(await to('yesterday')).slice(0, 2), [422, 422])
})

test('a seek outside of the assignment is an illegal state that names the partition', async () => {
  const topic = await v2.topic(2)
  const instance = await v2.instance()
  await v2.send(`${instance}/assignments`, { partitions: [{ topic, partition: 0 }] }).expect(204)
  const seek = { offsets: [{ topic, partition: 1, offset: 0 }] }
  const refused = await v2.send(`${instance}/positions`, seek).expect(409)
  assert.equal(refusal(refused)[1], 40903)
  assert.match(refusal(refused)[2], new RegExp(`Partition 1 of topic '${topic}' is not assigned`))
})

test('after a seek back a commit without body covers what was read again, and nothing more', async () => {
  const topic = await v2.topic()
  await v2.produce(topic, ['a', 'b', 'c'])
  const instance = await v2.subscribed([topic], { 'auto.commit.enable': 'false' })
  assert.equal((await v2.consume(instance)).length, 3)
  await v2.send(`${instance}/offsets`).expect(200)
  assert.equal(await v2.committed(instance, topic), 3)
  await v2
    .send(`${instance}/positions/beginning`, { partitions: [{ topic, partition: 0 }] })
    .expect(204)
  await v2.send(`${instance}/offsets`).expect(200)
  assert.equal(await v2.committed(instance, topic), 3)
  assert.equal((await v2.consume(instance, '?max_bytes=4')).length, 1)
  await v2.send(`${instance}/offsets`).expect(200)
  assert.equal(await v2.committed(instance, topic), 1)
})

test('a seek while a poll waits is where that poll goes on', async () => {
  const topic = await v2.topic()
  await v2.produce(topic, ['a'])
  const instance = await v2.subscribed([topic], { 'consumer.request.timeout.ms': 20_000 })
  assert.deepEqual(await v2.values(instance), ['a'])
  const waiting = v2.values(instance)
  await v2
    .send(`${instance}/positions/beginning`, { partitions: [{ topic, partition: 0 }] })
    .expect(204)
  assert.deepEqual(await waiting, ['a'])
})

test('R15: a poison record has a name, and a seek is a way past it', async () => {
  const topic = await v2.topic()
  await v2.http.post(`/v1/topics/${topic}/records`).type('text/plain').send('{ no').expect(200)
  await v2.produce(topic, ['after'])
  const instance = await v2.subscribed([topic])
  const named = await v2.http.get(`${instance}/records`).expect(408)
  const [, partition, offset] = String(named.headers['ebbgate-skip-to']).split('/')
  await v2.send(`${instance}/positions`, { offsets: [{ topic, partition, offset }] }).expect(204)
  assert.deepEqual(await v2.values(instance), ['after'])
})
