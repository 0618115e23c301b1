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
