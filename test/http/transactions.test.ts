import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { openTestHttp } from '../support/http.ts'

const http = await openTestHttp()
after(() => http.close())

interface Answer {
  readonly results: readonly { readonly partition: number; readonly offset: number }[]
  readonly committed?: Readonly<Record<string, Readonly<Record<string, number>>>>
  readonly deduplicated?: boolean
}

let names = 0

async function newTopic(partitions = 1): Promise<string> {
  const name = `t${++names}`
  await http.post('/v1/topics').send({ name, partitions }).expect(201)
  return name
}

/** A session that has a batch of these values out. */
async function batchOut(
  topic: string,
  group: string,
  values: readonly unknown[],
): Promise<{ session: string; cursor: string }> {
  const path = `/v1/topics/${topic}/records`
  await http.post(path).type('application/json').send(JSON.stringify(values)).expect(200)
  const made = await http
    .post(`/v1/groups/${group}/sessions`)
    .send({ topics: [topic] })
    .expect(201)
  const { session } = made.body as { session: string }
  const { body } = await http.post(`/v1/sessions/${session}/poll`).send({}).expect(200)
  const { cursor } = body as { cursor: string }
  return { session, cursor }
}

async function stored(topic: string): Promise<unknown[]> {
  const { body } = await http.get(`/v1/topics/${topic}/records`).expect(200)
  return (body as { records: { value: unknown }[] }).records.map(({ value }) => value)
}

async function committed(group: string): Promise<(number | null)[]> {
  const { body } = await http.get(`/v1/groups/${group}/offsets`).expect(200)
  return (body as { offsets: { committed: number | null }[] }).offsets.map((row) => row.committed)
}

function codeOf(body: unknown): string {
  return (body as { code: string }).code
}

test('records of many topics and the commit of a batch happen together', async () => {
  const [from, one, two] = [await newTopic(), await newTopic(), await newTopic(2)]
  const { session, cursor } = await batchOut(from, 'g1', [1, 2, 3])
  const records = [
    { topic: one, key: 'k', value: { sum: 6 } },
    { topic: two, partition: 1, value: 'x' },
    { topic: one, value: null, key: 'gone', headers: [{ name: 'h', value: 'v' }] },
  ]
  const sent = { records, commit: { session, cursor } }
  const { body, headers } = await http.post('/v1/transactions').send(sent).expect(200)
  const answer = body as Answer
  assert.deepEqual(
    answer.results.map(({ partition, offset }) => [partition, offset]),
    [
      [0, 0],
      [1, 0],
      [0, 1],
    ],
  )
  assert.deepEqual(answer.committed, { [from]: { '0': 3 } })
  assert.equal(headers['ebbgate-records'], '3')
  assert.deepEqual(await stored(one), [{ sum: 6 }, null])
  assert.deepEqual(await committed('g1'), [3])
  const next = await http.post(`/v1/sessions/${session}/poll`).send({ ack: cursor }).expect(200)
  assert.deepEqual((next.body as { records: unknown[] }).records, [])
})

test('values keep their bytes, and big numbers their digits', async () => {
  const topic = await newTopic()
  const body = `{"records":[{"topic":"${topic}","value":{"n": 12345678901234567890.10}}]}`
  await http.post('/v1/transactions').type('application/json').send(body).expect(200)
  const { text } = await http.get(`/v1/topics/${topic}/records`).expect(200)
  assert.match(text, /"value":\{"n": 12345678901234567890\.10\}/)
})

test('a batch is committed once: repeated without a key the transaction is refused', async () => {
  const [from, to] = [await newTopic(), await newTopic()]
  const { session, cursor } = await batchOut(from, 'g2', [1])
  const sent = { records: [{ topic: to, value: 1 }], commit: { session, cursor } }
  await http.post('/v1/transactions').send(sent).expect(200)
  const { body } = await http.post('/v1/transactions').send(sent).expect(409)
  assert.equal(codeOf(body), 'ILLEGAL_STATE')
  assert.deepEqual(await stored(to), [1])
})

test('of many that carry one cursor at the same time one is stored', async () => {
  const [from, to] = [await newTopic(), await newTopic()]
  const { session, cursor } = await batchOut(from, 'g3', [1])
  const sent = { records: [{ topic: to, value: 1 }], commit: { session, cursor } }
  const answers = await Promise.all(
    Array.from({ length: 8 }, () => http.post('/v1/transactions').send(sent)),
  )
  assert.deepEqual(
    answers.map(({ status }) => status).sort((a, b) => a - b),
    [200, ...Array.from({ length: 7 }, () => 409)],
  )
  assert.deepEqual(await stored(to), [1])
})

test('repeated under its key a transaction gets its first answer, whatever the session is by then', async () => {
  const [from, to] = [await newTopic(), await newTopic()]
  const { session, cursor } = await batchOut(from, 'g4', [1, 2])
  const sent = { records: [{ topic: to, value: 'once' }], commit: { session, cursor } }
  const send = (body: object): ReturnType<typeof http.post> =>
    http.post('/v1/transactions').set('idempotency-key', 'tx-1').send(body)
  const first = (await send(sent).expect(200)).body as Answer
  const again = (await send(sent).expect(200)).body as Answer
  assert.deepEqual(again, { ...first, deduplicated: true })
  await http.delete(`/v1/sessions/${session}`).expect(204)
  const late = (await send(sent).expect(200)).body as Answer
  assert.deepEqual([late.results, late.deduplicated], [first.results, true])
  assert.deepEqual(await stored(to), ['once'])
  const other = await send({ records: [{ topic: to, value: 'other' }] }).expect(422)
  assert.equal(codeOf(other.body), 'IDEMPOTENCY_MISMATCH')
})

test('one part that is refused refuses the whole', async () => {
  const [from, to] = [await newTopic(), await newTopic()]
  const { session, cursor } = await batchOut(from, 'g5', [1])
  const commit = { session, cursor }
  const good = { topic: to, value: 1 }
  const refuse = async (body: object, status: number): Promise<string> =>
    codeOf((await http.post('/v1/transactions').send(body).expect(status)).body)
  assert.equal(
    await refuse({ records: [good, { topic: 'nowhere', value: 1 }], commit }, 404),
    'UNKNOWN_TOPIC',
  )
  assert.equal(
    await refuse({ records: [good, { topic: '__own', value: 1 }], commit }, 404),
    'UNKNOWN_TOPIC',
  )
  assert.equal(
    await refuse({ records: [good, { ...good, partition: 7 }], commit }, 422),
    'INVALID_RECORD',
  )
  assert.equal(
    await refuse({ records: [good, { ...good, offset: 7 }], commit }, 400),
    'BAD_REQUEST',
  )
  assert.equal(
    await refuse({ records: [good], commit: { session, cursor: '99.1.x' } }, 409),
    'ILLEGAL_STATE',
  )
  assert.equal(
    await refuse({ records: [good], commit: { session: 'none', cursor } }, 404),
    'UNKNOWN_SESSION',
  )
  assert.equal(
    await refuse(
      { records: [good], commit: { group: 'g5', positions: { [from]: { '0': 1 } } } },
      409,
    ),
    'GROUP_NOT_EMPTY',
  )
  assert.equal(await refuse({}, 400), 'BAD_REQUEST')
  assert.deepEqual(await stored(to), [])
  assert.deepEqual(await committed('g5'), [0])
})

test('a transaction may commit for a group without members, and part of a batch by positions', async () => {
  const [from, to] = [await newTopic(), await newTopic()]
  const record = { topic: to, value: 1 }
  const positions = { [from]: { '0': 0 } }
  const empty = { records: [record], commit: { group: 'g6', positions } }
  await http.post('/v1/transactions').send(empty).expect(200)
  assert.deepEqual(await committed('g6'), [0])
  const { session } = await batchOut(from, 'g7', [1, 2, 3])
  const facts = (await http.get(`/v1/sessions/${session}`).expect(200)).body
  const { memberEpoch } = facts as { memberEpoch: number }
  const part = { session, positions: { [from]: { '0': 2 } }, memberEpoch }
  await http.post('/v1/transactions').send({ commit: part }).expect(200)
  assert.deepEqual(await committed('g7'), [2])
  const beyond = { ...part, positions: { [from]: { '0': 4 } } }
  await http
    .post('/v1/transactions')
    .send({ records: [record], commit: beyond })
    .expect(422)
  assert.deepEqual(await stored(to), [1])
})

test('a transaction above 16 MiB is refused whole', async () => {
  const topic = await newTopic()
  const value = 'x'.repeat(1_000_000)
  const records = Array.from({ length: 17 }, () => ({ topic, value }))
  const { body } = await http.post('/v1/transactions').send({ records }).expect(413)
  assert.equal(codeOf(body), 'BODY_TOO_LARGE')
  assert.deepEqual(await stored(topic), [])
})
