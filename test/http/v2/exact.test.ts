/** What an answer promises: cursors, positions that move when it was written, commits that last. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { RawHttp } from '../../support/raw-http.ts'
import type { Consumed } from '../../support/v2-http.ts'
import { json, openTestV2, refusal } from '../../support/v2-http.ts'

const v2 = await openTestV2()
after(() => v2.close())

interface Read {
  readonly records: readonly Consumed[]
  readonly cursor: string
}

async function read(instance: string, query = ''): Promise<Read> {
  const answer = await v2.http.get(`${instance}/records${query}`).expect(200)
  return { records: answer.body as Consumed[], cursor: answer.headers['ebbgate-cursor'] ?? '' }
}

const offsetsOf = ({ records }: Read): number[] => records.map(({ offset }) => offset)

test('R3: with a cursor the same request gives the same records', async () => {
  const topic = await v2.topic()
  await v2.produce(topic, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  const instance = await v2.subscribed([topic])
  const first = await read(instance, '?max_bytes=4')
  assert.deepEqual(offsetsOf(first), [0, 1, 2])
  const next = `?max_bytes=4&cursor=${first.cursor}`
  for (let again = 0; again < 3; again++) {
    assert.deepEqual(offsetsOf(await read(instance, next)), [3, 4, 5])
  }
  const second = await read(instance, next)
  assert.deepEqual(offsetsOf(await read(instance, `?cursor=${second.cursor}`)), [6, 7, 8, 9])
  assert.deepEqual(offsetsOf(await read(instance, next)), [3, 4, 5])
  assert.deepEqual(offsetsOf(await read(instance, '?max_bytes=4')), [6, 7, 8])
})

test('R3: a cursor keeps several partitions in the order they had', async () => {
  const topic = await v2.topic(4)
  for (const partition of [0, 1, 2, 3]) await v2.produce(topic, ['a', 'b', 'c'], partition)
  const instance = await v2.subscribed([topic])
  const seen: string[] = []
  let cursor = (await read(instance, '?max_bytes=1')).cursor
  for (let turn = 0; turn < 11; turn++) {
    const query = `?max_bytes=1&cursor=${cursor}`
    const [lost, taken] = [await read(instance, query), await read(instance, query)]
    assert.deepEqual(taken, lost)
    seen.push(...taken.records.map(({ partition, offset }) => `${partition}/${offset}`))
    cursor = taken.cursor
  }
  assert.equal(new Set(seen).size, 11)
  const rest = await read(instance, `?timeout=20&cursor=${cursor}`)
  assert.deepEqual(rest.records, [])
  assert.equal(rest.cursor, cursor)
})

test('in exact mode auto commit covers what the cursor names, not what was sent since', async () => {
  const topic = await v2.topic()
  await v2.produce(topic, [0, 1, 2, 3, 4, 5])
  const instance = await v2.subscribed([topic])
  const first = await read(instance, '?max_bytes=3')
  const second = await read(instance, `?max_bytes=3&cursor=${first.cursor}`)
  assert.deepEqual(offsetsOf(second), [2, 3])
  await read(instance, `?max_bytes=3&cursor=${first.cursor}`)
  assert.equal(await v2.committed(instance, topic), 2)
  await read(instance, `?max_bytes=3&cursor=${second.cursor}`)
  assert.equal(await v2.committed(instance, topic), 4)
})

test('the cursor of an older assignment, or of another instance, is an illegal state', async () => {
  const topic = await v2.topic(2)
  await v2.produce(topic, [0], 0)
  const group = v2.fresh('group')
  const instance = await v2.subscribed([topic], {}, group)
  const { cursor } = await read(instance)
  const other = await v2.subscribed([topic], {})
  const foreign = await v2.http.get(`${other}/records?cursor=${cursor}`)
  assert.deepEqual(refusal(foreign).slice(0, 2), [409, 40903])
  await v2.http.delete(`${instance}/subscription`).expect(204)
  await v2.send(`${instance}/subscription`, { topics: [topic] }).expect(204)
  const stale = await v2.http.get(`${instance}/records?cursor=${cursor}`)
  assert.deepEqual(refusal(stale).slice(0, 2), [409, 40903])
  assert.match(refusal(stale)[2], /^Illegal state: The cursor belongs to an older assignment/)
  const tag = (await read(instance)).cursor.slice(0, 11)
  for (const bad of ['x', 'a.b', `${tag}.AA`, `${tag}.____`]) {
    const refused = await v2.http.get(`${instance}/records?cursor=${bad}`)
    assert.ok([409, 422].includes(refused.status), bad)
  }
})

test('a cursor serves stand-alone readers as well, and is absent while nothing is assigned', async () => {
  const topic = await v2.topic()
  await v2.produce(topic, [0, 1])
  const instance = await v2.instance()
  await v2.send(`${instance}/assignments`, { partitions: [{ topic, partition: 0 }] }).expect(204)
  const first = await read(instance, '?max_bytes=2')
  assert.deepEqual(offsetsOf(await read(instance, `?cursor=${first.cursor}`)), [1])
  assert.deepEqual(offsetsOf(await read(instance, `?cursor=${first.cursor}`)), [1])
  const group = v2.fresh('group')
  await v2.subscribed([topic], {}, group)
  const idle = await v2.subscribed([topic], {}, group)
  assert.deepEqual(await read(idle, '?timeout=20'), { records: [], cursor: '' })
})

test('R4 and R5: a commit without body lasts, and covers what was written and nothing else', async () => {
  const topic = await v2.topic()
  await v2.produce(topic, [0, 1, 2, 3])
  const instance = await v2.subscribed([topic], { 'auto.commit.enable': false })
  await v2.send(`${instance}/offsets`, {}).expect(200)
  assert.equal(await v2.committed(instance, topic), 0)
  assert.deepEqual(offsetsOf(await read(instance, '?max_bytes=3')), [0, 1])
  const done = await v2.send(`${instance}/offsets?async=true`, { offsets: null }).expect(200)
  assert.deepEqual(done.body, [])
  assert.equal(await v2.committed(instance, topic), 2)
})

test('R12: no limit skips a record, and none blocks behind one that is too large', async () => {
  const topic = await v2.topic()
  await v2.produce(topic, ['s', 'x'.repeat(3000), 't', 'u'])
  const instance = await v2.subscribed([topic])
  const seen: unknown[] = []
  for (let polls = 0; polls < 10 && seen.length < 4; polls++) {
    seen.push(...(await v2.values(instance, '?max_bytes=1')))
  }
  assert.deepEqual(seen, ['s', 'x'.repeat(3000), 't', 'u'])
})

test('one read at a time: a second one waits for the first, and they share no record', async () => {
  const topic = await v2.topic()
  const instance = await v2.subscribed([topic], { 'consumer.request.timeout.ms': 10_000 })
  const reads = [v2.values(instance), v2.values(instance, '?timeout=3000')]
  await v2.produce(topic, ['a'])
  await v2.produce(topic, ['b'])
  const all = (await Promise.all(reads)).flat()
  if (all.length < 2) all.push(...(await v2.values(instance)))
  assert.deepEqual(all.sort(), ['a', 'b'])
})

test('what a reset connection may have lost is not committed by the next request', async () => {
  const topic = await v2.topic()
  const big = Array.from({ length: 12 }, (_, n) => `${n}`.padEnd(1_000_000, 'x'))
  for (const value of big) await v2.produce(topic, [value])
  const instance = await v2.subscribed([topic])
  const raw = await RawHttp.open(v2.http.port)
  raw.head(
    `GET ${instance}/records?max_bytes=20000000 HTTP/1.1`,
    'Host: localhost',
    `Accept: ${json}`,
  )
  await raw.until(/^HTTP\/1\.1 200 OK/)
  raw.destroy()
  assert.equal((await v2.consume(instance, '?max_bytes=1')).length, 1)
  assert.equal(await v2.committed(instance, topic), 0)
})
