/** Each difference of the table in src/http/v2/dialects.ts, seen from outside. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type request from 'supertest'
import type { DialectName } from '../../../src/http/v2/dialects.ts'
import { dialectNames } from '../../../src/http/v2/dialects.ts'
import type { TestV2 } from '../../support/v2-http.ts'
import { binary, control, json, openTestV2, refusal } from '../../support/v2-http.ts'

const opened: [DialectName, TestV2][] = await Promise.all(
  dialectNames.map(async (dialect): Promise<[DialectName, TestV2]> => {
    return [dialect, await openTestV2({ dialect })]
  }),
)
const all = Object.fromEntries(opened) as Record<DialectName, TestV2>
after(() => Promise.all(opened.map(([, v2]) => v2.close())))

/** What a dialect lets an instance say, and nothing more. */
function create(v2: TestV2, group: string, settings: object = {}): request.Test {
  return v2.send(`/consumers/${group}`, { format: 'json', ...settings })
}

async function reader(v2: TestV2, topic: string, settings: object = {}): Promise<string> {
  const made = await create(v2, v2.fresh('group'), settings).expect(200)
  const path = (made.body as { base_uri: string }).base_uri.slice(v2.http.url.length)
  await v2.send(`${path}/subscription`, { topics: [topic] }).expect(204)
  return path
}

async function small(v2: TestV2): Promise<string> {
  const name = v2.fresh('small')
  const configs = { 'max.message.bytes': '1000' }
  await v2.http.post('/v1/topics').send({ name, configs }).expect(201)
  return name
}

test('a failed record: the status and the item', async () => {
  const expected: Record<DialectName, [status: number, stored: object, failed: object]> = {
    confluent: [
      200,
      { partition: 0, offset: 0, error_code: null, error: null },
      { partition: null, offset: null, error_code: 50002 },
    ],
    karapace: [422, { partition: 0, offset: 0 }, { error_code: 1 }],
    redpanda: [200, { partition: 0, offset: 0 }, { partition: 0, offset: -1, error_code: 10 }],
    strimzi: [200, { partition: 0, offset: 0 }, { error_code: 500 }],
  }
  for (const [dialect, v2] of opened) {
    const [status, stored, failed] = expected[dialect]
    const topic = await small(v2)
    const records = [{ value: 1 }, { value: 'x'.repeat(2000), partition: 0 }]
    const answer = await v2.http.post(`/topics/${topic}`).type(json).send({ records })
    assert.equal(answer.status, status, dialect)
    const { offsets } = answer.body as { offsets: Record<string, unknown>[] }
    assert.deepEqual(offsets[0], stored, dialect)
    const { error, message, ...rest } = offsets[1]!
    assert.deepEqual(rest, failed, dialect)
    const words = dialect === 'strimzi' ? message : error
    assert.equal(typeof words, dialect === 'redpanda' ? 'undefined' : 'string', dialect)
    const all = await v2.http
      .post(`/topics/${topic}`)
      .type(json)
      .send({ records: [{ value: 1 }] })
    assert.equal(all.status, 200, dialect)
  }
})

test('a produce to a missing topic is made, refused, or a failed item', async () => {
  const post = (v2: TestV2, path = '') =>
    v2.http
      .post(`/topics/nowhere${path}`)
      .type(json)
      .send({ records: [{ value: 1 }] })
  assert.deepEqual(refusal(await post(all.karapace).expect(404))[1], 40401)
  const items = async (v2: TestV2, path?: string): Promise<unknown> =>
    ((await post(v2, path).expect(200)).body as { offsets: unknown[] }).offsets[0]
  assert.deepEqual(await items(all.redpanda), { partition: -1, offset: -1, error_code: 3 })
  const missing = (await items(all.strimzi)) as { error_code: number; message: string }
  assert.equal(missing.error_code, 404)
  assert.match(missing.message, /nowhere/)
  for (const dialect of ['karapace', 'redpanda', 'strimzi'] as const) {
    await all[dialect].http.get('/topics/nowhere').expect(404)
  }
  const topic = await all.redpanda.topic()
  const placed = all.redpanda.http.post(`/topics/${topic}/partitions/7`).type(json)
  const { body } = await placed.send({ records: [{ value: 1 }] }).expect(200)
  assert.deepEqual(body, { offsets: [{ partition: 7, offset: -1, error_code: 3 }] })
  await post(all.confluent).expect(200)
})

test('a record that is read has a timestamp and headers, or only where they are asked for', async () => {
  for (const [dialect, v2] of opened) {
    const topic = await v2.topic()
    const record = {
      value: 1,
      timestamp: 1_763_683_200_000,
      headers: [{ key: 'h', value: 'dg==' }],
    }
    await v2.http
      .post(`/topics/${topic}`)
      .type(json)
      .send({ records: [record] })
      .expect(200)
    const more = { timestamp: record.timestamp, headers: record.headers }
    const plain = { topic, key: null, value: 1, partition: 0, offset: 0 }
    const shows = dialect === 'karapace' || dialect === 'strimzi'
    const settings = { 'auto.offset.reset': 'earliest' }
    const [one] = await v2.consume(await reader(v2, topic, settings))
    assert.deepEqual(one, shows ? { ...plain, ...more } : plain, dialect)
    const [asked] = await v2.consume(
      await reader(v2, topic, settings),
      '?include=headers,timestamp',
    )
    assert.deepEqual(asked, { ...plain, ...more }, dialect)
  }
})

test('a commit: its field, what its number means, its answer', async () => {
  const expected: Record<DialectName, [field: string, kept: number, status: number]> = {
    confluent: ['offsets', 2, 200],
    karapace: ['offsets', 2, 204],
    redpanda: ['partitions', 1, 204],
    strimzi: ['offsets', 1, 204],
  }
  for (const [dialect, v2] of opened) {
    const [field, kept, status] = expected[dialect]
    const topic = await v2.topic()
    await v2.produce(topic, [0, 1, 2])
    const instance = await reader(v2, topic, { 'auto.offset.reset': 'earliest' })
    assert.equal((await v2.consume(instance)).length, 3)
    const places = [{ topic, partition: 0, offset: 1 }]
    await v2.send(`${instance}/offsets`, { [field]: places }).expect(status)
    assert.equal(await v2.committed(instance, topic), kept, dialect)
    const other = field === 'offsets' ? 'partitions' : 'offsets'
    const refused = await v2.send(`${instance}/offsets`, { [other]: places })
    assert.match(refusal(refused)[2], new RegExp(`^Unrecognized field: ${other}$`), dialect)
    await v2.send(`${instance}/offsets`, {}).expect(status)
    assert.equal(await v2.committed(instance, topic), 3, dialect)
  }
})

test('a partition without a commit is left out, or has a number that means none', async () => {
  const expected = { confluent: undefined, karapace: -1001, redpanda: -1, strimzi: undefined }
  for (const [dialect, v2] of opened) {
    const topic = await v2.topic()
    const made = await create(v2, v2.fresh('group')).expect(200)
    const path = (made.body as { base_uri: string }).base_uri.slice(v2.http.url.length)
    assert.equal(await v2.committed(path, topic), expected[dialect], dialect)
  }
})

test('where a new group begins, and who may choose', async () => {
  for (const [dialect, v2] of opened) {
    const topic = await v2.topic()
    await v2.produce(topic, ['old'])
    const instance = await reader(v2, topic)
    await v2.produce(topic, ['new'])
    const isLatest = dialect === 'confluent' || dialect === 'strimzi'
    assert.deepEqual(await v2.values(instance), isLatest ? ['new'] : ['old', 'new'], dialect)
  }
  const refused = await create(all.redpanda, 'g', { 'auto.offset.reset': 'latest' })
  assert.deepEqual(refusal(refused).slice(0, 2), [422, 42204])
})

test('auto commit has its field, its default, and may be fixed', async () => {
  const [own, other] = ['auto.commit.enable', 'enable.auto.commit']
  for (const [dialect, v2] of opened) {
    const [field, foreign] = dialect === 'strimzi' ? [other, own] : [own, other]
    await create(v2, 'auto', { [field]: 'false' }).expect(200)
    const refused = await create(v2, 'auto', { [foreign]: 'false' })
    assert.match(refusal(refused)[2], /^Unrecognized field: /, dialect)
    const topic = await v2.topic()
    await v2.produce(topic, [0])
    const instance = await reader(v2, topic, { 'auto.offset.reset': 'earliest' })
    await v2.consume(instance)
    await v2.consume(instance, '?timeout=20')
    assert.equal(await v2.committed(instance, topic), dialect === 'redpanda' ? 0 : 1, dialect)
    const isolated = await create(v2, 'auto', { 'isolation.level': 'read_committed' })
    assert.equal(isolated.status === 200, dialect === 'strimzi', dialect)
  }
  const fixed = await create(all.redpanda, 'g', { 'auto.commit.enable': 'true' })
  assert.deepEqual(refusal(fixed).slice(0, 2), [422, 42204])
})

test('scalars of a new instance are loose, or strings alone', async () => {
  for (const [dialect, v2] of opened) {
    await create(v2, 'loose', { 'fetch.min.bytes': '1' }).expect(200)
    const number = await create(v2, 'loose', { 'fetch.min.bytes': 1 })
    assert.equal(number.status, dialect === 'redpanda' ? 422 : 200, dialect)
  }
})

test('how long a poll waits where nobody says', async () => {
  const timed = async (v2: TestV2): Promise<number> => {
    const instance = await reader(v2, await v2.topic())
    const startedMs = performance.now()
    await v2.consume(instance)
    return performance.now() - startedMs
  }
  for (const dialect of ['redpanda', 'strimzi'] as const) {
    assert.ok((await timed(all[dialect])) < 900, dialect)
  }
  assert.ok((await timed(all.confluent)) >= 900)
  const { karapace } = all
  const topic = await karapace.topic()
  const instance = await reader(karapace, topic)
  const waiting = karapace.values(instance)
  await new Promise((resolve) => setTimeout(resolve, 1300))
  await karapace.produce(topic, ['late'])
  assert.deepEqual(await waiting, ['late'])
})

test('media types: as documented, older ones too, or strictly', async () => {
  const old = 'application/vnd.kafka.binary.v1+json'
  const records = { records: [{ value: 'YQ==' }] }
  for (const [dialect, v2] of opened) {
    const topic = await v2.topic()
    const lenient = dialect === 'karapace'
    for (const type of [old, 'application/vnd.kafka.binary+json', control, 'application/json']) {
      const sent = await v2.http.post(`/topics/${topic}`).type(type).send(records)
      assert.equal(sent.status, lenient ? 200 : 415, `${dialect} ${type}`)
    }
    await v2.http.post(`/topics/${topic}`).type(binary).send(records).expect(200)
    const v1 = await v2.http.get('/topics').set('Accept', 'application/vnd.kafka.v1+json')
    assert.equal(v1.status, lenient ? 200 : 406, dialect)
    const plain = await v2.http.get('/topics').set('Accept', 'application/json')
    assert.equal(plain.status, dialect === 'redpanda' ? 406 : 200, dialect)
    const bare = await v2.http.post('/consumers/bare')
    assert.equal(bare.status, dialect === 'redpanda' ? 415 : 200, dialect)
  }
  const { redpanda } = all
  const instance = await reader(redpanda, await redpanda.topic())
  await redpanda.http.delete(instance).expect(415)
  await redpanda.http.delete(instance).type(control).expect(204)
})

test('errors: five digits or the status, and their type', async () => {
  for (const [dialect, v2] of opened) {
    const missing = await v2.http.delete('/consumers/g/instances/none').type(control).expect(404)
    assert.equal(refusal(missing)[1], dialect === 'strimzi' ? 404 : 40403, dialect)
    const type = dialect === 'redpanda' ? 'application/json' : control
    assert.equal(missing.headers['content-type'], type, dialect)
    const nowhere = await v2.http.get('/nowhere').expect(404)
    assert.equal(nowhere.headers['content-type'], type, dialect)
    const bad = await v2.http.post('/topics/t').type(json).send({ records: [], extra: 1 })
    if (dialect === 'strimzi') {
      const {
        error_code: code,
        message,
        validation_errors: errors,
      } = bad.body as {
        error_code: number
        message: string
        validation_errors: string[]
      }
      assert.deepEqual([bad.status, code, errors], [400, 400, [message]])
    } else assert.deepEqual(refusal(bad).slice(0, 2), [422, 422], dialect)
  }
})

test('double slashes in paths are one, or nothing', async () => {
  for (const [dialect, v2] of opened) {
    const topic = await v2.topic()
    const doubled = await v2.http.get(`//topics//${topic}`)
    assert.equal(doubled.status, dialect === 'karapace' ? 200 : 404, dialect)
    await v2.http.get(`/topics/${topic}/`).expect(200)
  }
})

test('the native API is the same on every listener', async () => {
  for (const [, v2] of opened) {
    const { body } = await v2.http.get('/v1').expect(200)
    assert.ok('capabilities' in (body as object))
  }
})
