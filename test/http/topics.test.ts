import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { naughtyStrings } from '../support/naughty-strings.ts'
import { openTestHttp } from '../support/http.ts'

const http = await openTestHttp()
after(() => http.close())

interface TopicBody {
  readonly name: string
  readonly id: string
  readonly replicationFactor: number
  readonly configs: Readonly<Record<string, string>>
  readonly partitions: readonly { partition: number; leader: number; start: number; end: number }[]
}

function detailOf(body: unknown): string {
  return (body as { detail: string }).detail
}

test('a topic is created with one partition, and described the same', async () => {
  const made = await http.post('/v1/topics').send({ name: 'made' }).expect(201)
  const topic = made.body as TopicBody
  assert.equal(topic.name, 'made')
  assert.equal(topic.replicationFactor, 1)
  assert.equal(topic.partitions.length, 1)
  assert.deepEqual([topic.partitions[0]?.start, topic.partitions[0]?.end], [0, 0])
  assert.equal(made.headers['location'], '/v1/topics/made')
  const described = await http.get('/v1/topics/made').expect(200)
  assert.deepEqual(described.body, topic)
  assert.equal(described.headers['cache-control'], 'no-store')
})

test('curl -d, which calls everything a form, creates a topic too', async () => {
  await http
    .post('/v1/topics')
    .type('application/x-www-form-urlencoded')
    .send('{"name":"by-curl","partitions":3}')
    .expect(201)
  const { body } = await http.get('/v1/topics/by-curl').expect(200)
  assert.equal((body as TopicBody).partitions.length, 3)
})

test('a name that is taken is a conflict, unless the caller is content with what there is', async () => {
  const first = await http.post('/v1/topics').send({ name: 'taken', partitions: 2 }).expect(201)
  const again = await http.post('/v1/topics').send({ name: 'taken' }).expect(409)
  assert.equal((again.body as { code: string }).code, 'TOPIC_EXISTS')
  const wished = { name: 'taken', ifNotExists: true }
  const content = await http.post('/v1/topics').send(wished).expect(200)
  assert.deepEqual(content.body, first.body)
})

test('settings are kept, and one that does not exist is refused', async () => {
  const configs = { 'retention.ms': '60000' }
  const made = await http.post('/v1/topics').send({ name: 'set', configs }).expect(201)
  assert.deepEqual((made.body as TopicBody).configs, configs)
  const wrong = { name: 'unset', configs: { 'retention.mss': '1' } }
  const refused = await http.post('/v1/topics').send(wrong).expect(422)
  assert.equal((refused.body as { code: string }).code, 'INVALID_CONFIG')
  await http.get('/v1/topics/unset').expect(404)
})

test('a replication that one node cannot give is refused', async () => {
  const wish = { name: 'replicated', replicationFactor: 3 }
  const { body } = await http.post('/v1/topics').send(wish).expect(422)
  assert.equal((body as { code: string }).code, 'INVALID_CONFIG')
})

test('pages lead through all topics once, in order', async () => {
  for (const name of ['page-a', 'page-b', 'page-c']) {
    await http.post('/v1/topics').send({ name }).expect(201)
  }
  const seen: string[] = []
  let after: string | null = ''
  while (after !== null) {
    const query: string = after === '' ? '' : `&after=${encodeURIComponent(after)}`
    const { body } = await http.get(`/v1/topics?limit=2${query}`).expect(200)
    const page = body as { topics: { name: string; partitions: number }[]; next: string | null }
    assert.ok(page.topics.length <= 2)
    seen.push(...page.topics.map(({ name }) => name))
    after = page.next
  }
  assert.deepEqual(seen, [...seen].sort())
  assert.equal(new Set(seen).size, seen.length)
  for (const name of ['page-a', 'page-b', 'page-c']) assert.ok(seen.includes(name))
})

test('a deleted topic is gone, and made again it is another one', async () => {
  const first = await http.post('/v1/topics').send({ name: 'again' }).expect(201)
  await http.post('/v1/topics/again/records').send('x').expect(200)
  await http.delete('/v1/topics/again').expect(204)
  const { body } = await http.get('/v1/topics/again').expect(404)
  assert.equal((body as { code: string }).code, 'UNKNOWN_TOPIC')
  await http.delete('/v1/topics/again').expect(404)
  const second = await http.post('/v1/topics').send({ name: 'again' }).expect(201)
  assert.notEqual((second.body as TopicBody).id, (first.body as TopicBody).id)
  assert.equal((second.body as TopicBody).partitions[0]?.end, 0)
})

test("names of the gateway's own exist for nobody", async () => {
  const { body } = await http.post('/v1/topics').send({ name: '__mine' }).expect(422)
  assert.match(detailOf(body), /gateway's own/)
  await http.get('/v1/topics/__ebbgate_settings').expect(404)
  await http.delete('/v1/topics/__ebbgate_settings').expect(404)
  await http.post('/v1/topics/__ebbgate_settings/records').send('x').expect(404)
  await http.get('/v1/topics/__ebbgate_settings/records').expect(404)
})

test('mistakes are named with what is right', async () => {
  const unknown = await http.post('/v1/topics').send({ name: 'x', partitons: 2 }).expect(400)
  assert.match(detailOf(unknown.body), /Did you mean 'partitions'/)
  const zero = await http.post('/v1/topics').send({ name: 'x', partitions: 0 }).expect(400)
  assert.match(detailOf(zero.body), /'partitions' must be >= 1, but is 0/)
  const text = await http.post('/v1/topics').send({ name: 'x', partitions: '2' }).expect(400)
  assert.match(detailOf(text.body), /must be integer/)
  const named = await http.post('/v1/topics').send({ name: 'no spaces' }).expect(400)
  assert.match(detailOf(named.body), /1 to 249 characters/)
  await http.post('/v1/topics').expect(400)
  await http.post('/v1/topics').type('application/xml').send('<a/>').expect(415)
})

test('offsets of a place are told for every partition, and as a position', async () => {
  await http.post('/v1/topics').send({ name: 'placed', partitions: 2 }).expect(201)
  await http.post('/v1/topics/placed/records?partition=1').type('json').send('[1,2,3]').expect(200)
  const end = await http.get('/v1/topics/placed/offsets').expect(200)
  const { offsets, position } = end.body as { offsets: object; position: string }
  assert.deepEqual(offsets, { 0: 0, 1: 3 })
  const start = await http.get('/v1/topics/placed/offsets?at=earliest').expect(200)
  assert.deepEqual((start.body as { offsets: object }).offsets, { 0: 0, 1: 0 })
  const same = await http.get(`/v1/topics/placed/offsets?at=${position}`).expect(200)
  assert.deepEqual(same.body, end.body)
  const early = await http.get('/v1/topics/placed/offsets?at=time:2001-01-01T00:00:00Z').expect(200)
  assert.deepEqual((early.body as { offsets: object }).offsets, { 0: 0, 1: 0 })
  const bare = await http.get('/v1/topics/placed/offsets?at=17').expect(400)
  assert.match(detailOf(bare.body), /offset:17/)
  await http.get('/v1/topics/placed/offsets?at=last:3').expect(400)
})

test('whatever stands where a name should be is created and deleted, or refused', async () => {
  for (const name of naughtyStrings) {
    const made = await http.post('/v1/topics').send({ name })
    assert.ok(made.status < 500, `${made.status} for ${JSON.stringify(name)}`)
    const path = `/v1/topics/${encodeURIComponent(name)}`
    if (made.status === 201) {
      await http.get(path).expect(200)
      await http.delete(path).expect(204)
    } else {
      const described = await http.get(path)
      assert.ok(described.status < 500, `${described.status} for ${JSON.stringify(name)}`)
    }
  }
})

const change = (topic: string, body: object) => http.patch(`/v1/topics/${topic}`).send(body)

test('settings are changed one by one, and null gives a default back', async () => {
  const configs = { 'retention.ms': '60000', 'segment.bytes': '1000000' }
  const made = await http.post('/v1/topics').send({ name: 'alter', configs }).expect(201)
  const wish = { configs: { 'retention.ms': null, 'compression.type': 'zstd' } }
  const changed = await change('alter', wish).expect(200)
  const topic = changed.body as TopicBody
  assert.deepEqual(topic.configs, { 'segment.bytes': '1000000', 'compression.type': 'zstd' })
  assert.equal(topic.id, (made.body as TopicBody).id)
  const described = await http.get('/v1/topics/alter').expect(200)
  assert.deepEqual(described.body, topic)
})

test('a setting has effect from the next record on', async () => {
  await http.post('/v1/topics').send({ name: 'smaller' }).expect(201)
  const large = 'x'.repeat(2000)
  await http.post('/v1/topics/smaller/records').send(large).expect(200)
  await change('smaller', { configs: { 'max.message.bytes': '1000' } }).expect(200)
  const refused = await http.post('/v1/topics/smaller/records').send(large).expect(413)
  assert.match(detailOf(refused.body), /max\.message\.bytes of topic 'smaller' is 1000/)
  await http.post('/v1/topics/smaller/records').send('small').expect(200)
})

test('partitions are added, the present number is no change, fewer are refused', async () => {
  await http.post('/v1/topics').send({ name: 'grow' }).expect(201)
  await http.post('/v1/topics/grow/records').send('kept').expect(200)
  const grown = await change('grow', { partitions: 3 }).expect(200)
  const ends = (grown.body as TopicBody).partitions.map(({ end }) => end)
  assert.deepEqual(ends, [1, 0, 0])
  await change('grow', { partitions: 3 }).expect(200)
  const fewer = await change('grow', { partitions: 2 }).expect(422)
  assert.match(detailOf(fewer.body), /has 3 partitions already; the new total was 2/)
  await http.post('/v1/topics/grow/records?partition=2').send('new').expect(200)
})

test('nothing is changed when a part of it is refused, or when it is only to be checked', async () => {
  await http.post('/v1/topics').send({ name: 'checked' }).expect(201)
  const before = (await http.get('/v1/topics/checked')).body as TopicBody
  const good = { partitions: 2, configs: { 'retention.ms': '1' } }
  const halves = [
    { ...good, configs: { 'retention.ms': '1', 'retenton.ms': '1' } },
    { ...good, configs: { 'retention.ms': 'soon' } },
  ]
  for (const bad of halves) await change('checked', bad).expect(422)
  await http.post('/v1/topics').send({ name: 'checked-three', partitions: 3 }).expect(201)
  await change('checked-three', good).expect(422)
  const three = (await http.get('/v1/topics/checked-three')).body as TopicBody
  assert.deepEqual(three.configs, {}, 'too few partitions, so no settings either')
  const answer = await change('checked', { ...good, validateOnly: true }).expect(200)
  assert.deepEqual(answer.body, before)
  assert.deepEqual((await http.get('/v1/topics/checked')).body, before)
})

test('mistakes in a change are named', async () => {
  await http.post('/v1/topics').send({ name: 'mistaken' }).expect(201)
  const near = await change('mistaken', { configs: { 'retenton.ms': '1' } }).expect(422)
  assert.match(detailOf(near.body), /Did you mean 'retention\.ms'\?/)
  const nothing = await change('mistaken', {}).expect(400)
  assert.match(detailOf(nothing.body), /'partitions' or 'configs'/)
  const number = await change('mistaken', { configs: { 'retention.ms': 1 } }).expect(400)
  assert.match(detailOf(number.body), /retention\.ms/)
  await change('nowhere', { partitions: 2 }).expect(404)
  await change('__ebbgate_settings', { partitions: 2 }).expect(404)
})

test('records before a place are deleted in every partition, and a start never moves back', async () => {
  await http.post('/v1/topics').send({ name: 'trim', partitions: 2 }).expect(201)
  for (const partition of [0, 0, 0, 1]) {
    await http.post(`/v1/topics/trim/records?partition=${partition}`).send('x').expect(200)
  }
  const trim = (before: string) =>
    http.delete(`/v1/topics/trim/records?before=${encodeURIComponent(before)}`)
  const none = await trim('earliest').expect(200)
  assert.deepEqual(none.body, { starts: { 0: 0, 1: 0 } })
  const { body } = await http.get('/v1/topics/trim/offsets?at=latest').expect(200)
  const { position } = body as { position: string }
  await http.post('/v1/topics/trim/records?partition=0').send('later').expect(200)
  const some = await trim(position).expect(200)
  assert.deepEqual(some.body, { starts: { 0: 3, 1: 1 } })
  const again = await trim('time:0').expect(200)
  assert.deepEqual(again.body, { starts: { 0: 3, 1: 1 } })
  const all = await trim('latest').expect(200)
  assert.deepEqual(all.body, { starts: { 0: 4, 1: 1 } })
  const topic = (await http.get('/v1/topics/trim')).body as TopicBody
  assert.deepEqual(
    topic.partitions.map(({ start, end }) => [start, end]),
    [
      [4, 4],
      [1, 1],
    ],
  )
})

test('a place that cannot be trimmed to deletes nothing', async () => {
  for (const [name, partitions] of [
    ['trim-one', 1],
    ['trim-two', 2],
  ] as const) {
    await http.post('/v1/topics').send({ name, partitions }).expect(201)
    await http.post(`/v1/topics/${name}/records?partition=0`).send('[1,2,3]').expect(200)
  }
  await http.delete('/v1/topics/trim-one/records').expect(400)
  await http.delete('/v1/topics/trim-one/records?before=last:1').expect(400)
  await http.delete('/v1/topics/nowhere/records?before=latest').expect(404)
  const beyond = await http.delete('/v1/topics/trim-one/records?before=offset:9').expect(410)
  assert.match(detailOf(beyond.body), /Partition 0 of topic 'trim-one' ends at offset \d+/)
  const two = await http.delete('/v1/topics/trim-two/records?before=offset:1').expect(400)
  assert.match(detailOf(two.body), /'before' names a place in all partitions/)
  const one = await http.delete('/v1/topics/trim-one/records?before=offset:1').expect(200)
  assert.deepEqual(one.body, { starts: { 0: 1 } })
})
