import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { openTestHttp } from '../support/http.ts'

const http = await openTestHttp()
after(() => http.close())

const v2 = 'application/vnd.kafka.v2+json'

interface Lag {
  readonly topic: string
  readonly partition: number
  readonly committed: number | null
  readonly end: number
  readonly lag: number
}

let names = 0

/** A topic of two partitions with four records in each. */
async function newTopic(): Promise<string> {
  const name = `g${++names}`
  await http.post('/v1/topics').send({ name, partitions: 2 }).expect(201)
  for (const partition of [0, 1]) {
    const records = '[1,2,3,4]'
    const path = `/v1/topics/${name}/partitions/${partition}/records`
    await http.post(path).type('application/json').send(records).expect(200)
  }
  return name
}

/** A member of the group that has read and committed nothing yet. */
async function join(group: string, topic: string): Promise<() => Promise<void>> {
  const wish = { format: 'json', 'auto.offset.reset': 'earliest' }
  const made = await http.post(`/consumers/${group}`).type(v2).send(wish).expect(200)
  const { instance_id: instance } = made.body as { instance_id: string }
  const path = `/consumers/${group}/instances/${instance}`
  await http
    .post(`${path}/subscription`)
    .type(v2)
    .send({ topics: [topic] })
    .expect(204)
  return async () => {
    await http.delete(path).expect(204)
  }
}

async function lags(group: string): Promise<readonly Lag[]> {
  const { body } = await http.get(`/v1/groups/${group}/offsets`).expect(200)
  return (body as { offsets: Lag[] }).offsets
}

function codeOf(body: unknown): string {
  return (body as { code: string }).code
}

test('a group is listed and described with its members and its lag', async () => {
  const topic = await newTopic()
  const leave = await join('billing', topic)
  const { body: list } = await http.get('/v1/groups').expect(200)
  const listed = (list as { groups: { group: string; members: number }[] }).groups
  assert.deepEqual(
    listed.find(({ group }) => group === 'billing'),
    { group: 'billing', state: 'stable', members: 1 },
  )
  const { body } = await http.get('/v1/groups/billing').expect(200)
  const { members, lag, state } = body as {
    members: { assignment: Record<string, number[]> }[]
    lag: number
    state: string
  }
  assert.equal(state, 'stable')
  assert.equal(lag, 8)
  assert.deepEqual(members[0]?.assignment, { [topic]: [0, 1] })
  await leave()
})

test('offsets are told with the end and the lag, page by page', async () => {
  const topic = await newTopic()
  const leave = await join('paged', topic)
  await leave()
  const rows = await lags('paged')
  assert.deepEqual(rows, [
    { topic, partition: 0, committed: 0, end: 4, lag: 4 },
    { topic, partition: 1, committed: 0, end: 4, lag: 4 },
  ])
  const first = await http.get('/v1/groups/paged/offsets?limit=1').expect(200)
  const { next } = first.body as { next: string }
  const path = `/v1/groups/paged/offsets?limit=1&after=${encodeURIComponent(next)}`
  const second = (await http.get(path).expect(200)).body as { offsets: Lag[]; next: string | null }
  assert.deepEqual([second.offsets, second.next], [[rows[1]], null])
  await http.get('/v1/groups/paged/offsets?after=nonsense').expect(400)
})

test('offsets are set by a word, a shift or positions, and only tried with validateOnly', async () => {
  const topic = await newTopic()
  await (
    await join('moved', topic)
  )()
  const path = '/v1/groups/moved/offsets'
  const put = async (body: object): Promise<(number | null)[]> => {
    const answer = await http.put(path).send(body).expect(200)
    const { offsets } = answer.body as { offsets: { after: number }[] }
    return offsets.map(({ after: to }) => to)
  }
  const committed = async (): Promise<(number | null)[]> =>
    (await lags('moved')).map((row) => row.committed)

  assert.deepEqual(await put({ to: 'latest', validateOnly: true }), [4, 4])
  assert.deepEqual(await committed(), [0, 0])
  assert.deepEqual(await put({ to: 'latest' }), [4, 4])
  assert.deepEqual(await put({ shiftBy: -1 }), [3, 3])
  assert.deepEqual(await put({ shiftBy: 100, partition: 1 }), [4])
  assert.deepEqual(await committed(), [3, 4])
  assert.deepEqual(await put({ positions: { [topic]: { '0': 1 } } }), [1])
  assert.deepEqual(await put({ to: 'offset:2', partition: 0, topics: [topic] }), [2])
  assert.deepEqual(await put({ to: 'last:3' }), [1, 1])
  const { position } = (await http.get(path).expect(200)).body as { position: string }
  await put({ to: 'earliest' })
  assert.deepEqual(await put({ to: position }), [1, 1])
  assert.deepEqual(await committed(), [1, 1])
})

test('a reset of which one part is impossible changes nothing', async () => {
  const topic = await newTopic()
  await (
    await join('whole', topic)
  )()
  const path = '/v1/groups/whole/offsets'
  const beyond = await http
    .put(path)
    .send({ positions: { [topic]: { '0': 2, '1': 5 } } })
    .expect(410)
  assert.equal(codeOf(beyond.body), 'OFFSET_OUT_OF_RANGE')
  await http
    .put(path)
    .send({ positions: { [topic]: { '7': 0 } } })
    .expect(404)
  await http.put(path).send({ to: 'latest', partition: 7 }).expect(404)
  await http.put(path).send({ to: 'latest', shiftBy: 1 }).expect(400)
  await http.put(path).send({}).expect(400)
  await http.put(path).send({ to: 'offset:1' }).expect(400)
  await http
    .put(path)
    .send({ to: 'latest', topics: ['nowhere'] })
    .expect(404)
  assert.deepEqual(
    (await lags('whole')).map(({ committed }) => committed),
    [0, 0],
  )
})

test('while a group has members its offsets stay and it is not deleted', async () => {
  const topic = await newTopic()
  const leave = await join('busy', topic)
  const reset = { to: 'latest', validateOnly: true }
  const refused = await http.put('/v1/groups/busy/offsets').send(reset).expect(409)
  assert.equal(codeOf(refused.body), 'GROUP_NOT_EMPTY')
  assert.equal(codeOf((await http.delete('/v1/groups/busy').expect(409)).body), 'GROUP_NOT_EMPTY')
  await leave()
  await http.delete('/v1/groups/busy').expect(204)
  assert.equal(codeOf((await http.get('/v1/groups/busy').expect(404)).body), 'UNKNOWN_GROUP')
  await http.get('/v1/groups/busy/offsets').expect(404)
  await http.delete('/v1/groups/busy').expect(404)
})

test('a group is founded by offsets that are set for named topics', async () => {
  const topic = await newTopic()
  await http.put('/v1/groups/founded/offsets').send({ to: 'latest' }).expect(404)
  await http
    .put('/v1/groups/founded/offsets')
    .send({ to: 'latest', topics: [topic] })
    .expect(200)
  assert.deepEqual(
    (await lags('founded')).map(({ lag }) => lag),
    [0, 0],
  )
})

test('a member that the group does not have cannot be put out', async () => {
  const topic = await newTopic()
  const leave = await join('small', topic)
  const { body } = await http.delete('/v1/groups/small/members/nobody').expect(404)
  assert.equal(codeOf(body), 'UNKNOWN_MEMBER')
  await leave()
})

test('pages lead through all groups once, in order', async () => {
  const topic = await newTopic()
  for (const name of ['pg-a', 'pg-b', 'pg-c']) {
    await http
      .put(`/v1/groups/${name}/offsets`)
      .send({ to: 'latest', topics: [topic] })
      .expect(200)
  }
  const seen: string[] = []
  let query = ''
  for (;;) {
    const { body } = await http.get(`/v1/groups?limit=2${query}`).expect(200)
    const page = body as { groups: { group: string }[]; next: string | null }
    seen.push(...page.groups.map(({ group }) => group))
    if (page.next === null) break
    query = `&after=${encodeURIComponent(page.next)}`
  }
  assert.deepEqual(seen, [...new Set(seen)].sort())
  assert.ok(['pg-a', 'pg-b', 'pg-c'].every((name) => seen.includes(name)))
})
