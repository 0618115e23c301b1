import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type request from 'supertest'
import { openTestHttp } from '../support/http.ts'

const http = await openTestHttp()
after(() => http.close())

interface Read {
  readonly records: readonly { topic: string; partition: number; key: string; value: unknown }[]
  readonly position: string
  readonly live: boolean
}

for (const topic of ['left', 'right']) {
  await http.post('/v1/topics').send({ name: topic, partitions: 2 }).expect(201)
  const records = [0, 1, 2, 3].map((n) => ({
    key: `k${n % 2}`,
    value: { n, side: topic, id: 9007199254740992 },
    partition: n % 2,
  }))
  await http
    .post(`/v1/topics/${topic}/records`)
    .type('application/vnd.ebbgate.records+json')
    .send(JSON.stringify({ records }))
    .expect(200)
}

function query(body: unknown): request.Test {
  return http
    .post('/v1/records/read')
    .type('json')
    .send(typeof body === 'string' ? body : JSON.stringify(body))
}

async function read(body: unknown): Promise<Read> {
  return (await query(body).expect(200)).body as Read
}

const seen = ({ records }: Read): string[] =>
  records.map(({ topic, value }) => `${topic} ${(value as { n: number }).n}`).sort()

test('a read in a body covers several topics and says where it ended', async () => {
  const answer = await read({ topics: ['left', 'right'] })
  assert.equal(answer.records.length, 8)
  assert.equal(answer.live, true)
  assert.deepEqual(seen(await read({ topics: ['left', 'right'], from: answer.position })), [])
  const response = await query({ topics: ['left'] }).expect(200)
  assert.equal(response.headers['cache-control'], 'no-store')
  assert.equal(response.headers['x-content-type-options'], 'nosniff')
})

test('keys, partitions and a filter pick records, and the position moves past the others', async () => {
  const filter = { all: [{ field: 'value.n', op: 'ge', value: 2 }] }
  assert.deepEqual(seen(await read({ topics: ['left', 'right'], filter })), [
    'left 2',
    'left 3',
    'right 2',
    'right 3',
  ])
  assert.deepEqual(seen(await read({ topics: ['right'], keys: ['k1'], filter })), ['right 3'])
  assert.deepEqual(seen(await read({ topics: ['left'], partitions: [0] })), ['left 0', 'left 2'])
  const none = { field: 'value.n', op: 'gt', value: 9 }
  const answer = await read({ topics: ['left'], filter: none })
  assert.deepEqual([answer.records.length, answer.live], [0, true])
  assert.deepEqual(seen(await read({ topics: ['left'], from: answer.position })), [])
  const last = await read({ topics: ['left', 'right'], from: 'last:1', keys: ['k0'], filter })
  assert.deepEqual(seen(last), ['right 2'])
})

test('a number in the filter keeps the digits that it was written with', async () => {
  const ids = (id: string): string =>
    `{"topics":["left"],"filter":{"field":"value.id","op":"eq","value":${id}}}`
  assert.equal((await read(ids('9007199254740992'))).records.length, 4)
  assert.equal((await read(ids('9007199254740993'))).records.length, 0)
})

test('a filtered read can be an export', async () => {
  const response = await query({
    topics: ['left'],
    filter: { field: 'value.n', op: 'eq', value: 3 },
  })
    .accept('application/x-ndjson')
    .buffer(true)
    .expect(200)
  const lines = response.text.trimEnd().split('\n')
  assert.equal(lines.length, 2)
  assert.match(lines[0]!, /"n":3/)
  assert.match(lines[1]!, /^\{"position":/)
})

test('a long poll in a body waits for a record that passes the filter', async () => {
  const at = (await read({ topics: ['left'] })).position
  const filter = { field: 'value.n', op: 'eq', value: 100 }
  const waiting = read({ topics: ['left'], from: at, waitMs: 20_000, filter })
  await http.post('/v1/topics/left/records').type('json').send('[{"n":99},{"n":100}]').expect(200)
  assert.deepEqual(seen(await waiting), ['left 100'])
})

test('a position that no URL can carry is taken', async () => {
  await http.post('/v1/topics').send({ name: 'wide', partitions: 10_000 }).expect(201)
  await http.post('/v1/topics/wide/records?partition=9999').type('text').send('far').expect(200)
  const { position } = await read({ topics: ['wide'] })
  assert.ok(position.length > 16 * 1024, `${position.length} characters`)
  await http.post('/v1/topics/wide/records?partition=9999').type('text').send('next').expect(200)
  const { records } = await read({ topics: ['wide'], from: position })
  assert.deepEqual(
    records.map(({ value }) => value),
    ['next'],
  )
})

test('mistakes are named', async () => {
  const cases: readonly (readonly [body: unknown, status: number, detail: RegExp])[] = [
    [{}, 400, /'topics' is missing/],
    [{ topics: ['left'], fitler: {} }, 400, /Did you mean 'filter'/],
    [{ topics: ['left', 'right'], partitions: [0] }, 400, /one topic/],
    [{ topics: ['left'], from: '10' }, 400, /offset:10/],
    [{ topics: ['gone'] }, 404, /gone/],
    [{ topics: ['left'], filter: { field: 'value', op: 'is', value: 1 } }, 422, /filter.op/],
    [{ topics: ['left'], filter: {} }, 422, /no test/],
    [`{"topics":["left"],"filter":${'{"not":'.repeat(900)}{}${'}'.repeat(900)}}`, 422, /32 nodes/],
    [
      `{"topics":["left"],"filter":${'{"not":'.repeat(50_000)}{}${'}'.repeat(50_000)}}`,
      422,
      /deeper/,
    ],
  ]
  for (const [body, status, detail] of cases) {
    const response = await query(body).expect(status)
    assert.match((response.body as { detail: string }).detail, detail)
  }
})
