/** The main job, end to end, on real events and the shipped program, with a kill -9 in the middle. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { connect } from '../../src/client/index.ts'
import type { GatewayProcess } from '../support/gateway-process.ts'
import { startGateway } from '../support/gateway-process.ts'
import { Ledger } from '../support/ledger.ts'
import { readBack } from '../support/read-back.ts'
import type { KeyedReadBack } from '../support/read-back.ts'
import { createTopics, eventCount, sources } from '../support/real-events.ts'
import { RealRun } from '../support/real-run.ts'
import { V2Consumer } from '../support/v2-consumer.ts'
import type { V2Record } from '../support/v2-consumer.ts'

const deadlineMs = 60_000
const ledger = new Ledger()
/** What each topic holds when all is posted: the stateless read, checked against the ledger. */
const contents = new Map<string, readonly KeyedReadBack[]>()
let data: string
let gateway: GatewayProcess

before(async () => {
  data = await mkdtemp(join(tmpdir(), 'ebbgate-e2e-'))
  gateway = await startGateway({ data })
})

after(async () => {
  await gateway.stop()
  await rm(data, { recursive: true, force: true })
})

test('real events are posted as real senders post them, and a kill -9 in the middle loses nothing', async () => {
  await createTopics(gateway.url)
  const run = new RealRun(ledger)
  let killing: Promise<void> | undefined
  run.onProgress = () => {
    if (ledger.acknowledged > eventCount / 3) killing ??= gateway.kill()
  }
  await run.post(gateway.url)
  assert.ok(killing !== undefined, 'the gateway was killed while events were on their way')
  await killing
  assert.ok(!run.finished)

  gateway = await startGateway({ data })
  run.onProgress = () => undefined
  await run.post(gateway.url)
  assert.ok(run.finished)
  assert.equal(ledger.acknowledged + ledger.unanswered, eventCount)
  // At most one request of each source was on its way when the process died.
  assert.ok(ledger.unanswered <= sources.reduce((sum, { perRequest }) => sum + perRequest, 0))

  for (const { topic } of sources) {
    const content = await readBack(gateway.url, topic)
    assert.deepEqual(ledger.problems(topic, content), [])
    contents.set(topic, content)
  }
})

test('every record carries the key its sender meant, and keeps its place among those of that key', () => {
  for (const source of sources) {
    const content = contents.get(source.topic) ?? []
    assert.ok(content.length > 0)
    for (const { key, value } of content) assert.equal(key, source.keyOf(value), source.topic)
    const partitionOfKey = new Map<string, number>()
    for (const { key, partition } of content) {
      if (key === null) continue
      assert.equal(partitionOfKey.get(key) ?? partition, partition, `${source.topic} ${key}`)
      partitionOfKey.set(key, partition)
    }
  }
})

test('two v2 consumers of one group share all records: each comes to exactly one of them', async () => {
  const topics = sources.map(({ topic }) => topic)
  const consumers = await Promise.all(
    ['one', 'two'].map((name) => V2Consumer.join(gateway.url, 'billing', name, topics)),
  )
  const received = await Promise.all(consumers.map((consumer) => drain(consumer)))
  for (const [i, records] of received.entries()) {
    assert.ok(records.length > 0, `consumer ${i + 1} has a share`)
  }
  for (const { topic } of sources) {
    const content = contents.get(topic) ?? []
    const got = received.flat().filter((record) => record.topic === topic)
    assert.deepEqual(inOrder(got), inOrder(content), topic)
  }
  await Promise.all(consumers.map((consumer) => consumer.commit()))
  await Promise.all(consumers.map((consumer) => consumer.leave()))
})

test('a WebSocket tail from the beginning gets every record once, in order, byte for byte', async () => {
  for (const { topic } of sources) {
    const content = contents.get(topic) ?? []
    const client = connect({ url: gateway.url })
    const received: { partition: number; offset: number; value: string }[] = []
    const subscription = client.subscribe({ topics: [topic], from: 'earliest', format: 'binary' })
    const deadline = setTimeout(() => void client.close(), deadlineMs)
    for await (const { partition, offset, value } of subscription) {
      received.push({
        partition,
        offset,
        value: Buffer.from(String(value), 'base64').toString('latin1'),
      })
      if (received.length === content.length) break
    }
    clearTimeout(deadline)
    await client.close()
    for (const partition of new Set(received.map((record) => record.partition))) {
      const offsets = received.filter((record) => record.partition === partition)
      assert.deepEqual(
        offsets.map(({ offset }) => offset),
        offsets.map((_, i) => i),
        `${topic} ${partition} comes in order`,
      )
    }
    assert.deepEqual(
      received.map(({ partition, offset, value }) => `${partition}/${offset} ${value}`).sort(),
      content
        .map(({ partition, offset, value }) => `${partition}/${offset} ${value.toString('latin1')}`)
        .sort(),
      topic,
    )
  }
})

test('numbers keep their digits on every surface', async () => {
  const answer = await fetch(`${gateway.url}/v1/topics/trades/records?maxRecords=10000`)
  const native = await answer.text()
  assert.ok(native.includes('"price":49300.00'))
  const trace = await fetch(`${gateway.url}/v1/topics/vehicle/records?maxRecords=10000`)
  assert.ok((await trace.text()).includes('1364323939.012000'))
})

test('after a clean stop and start the same is there', async () => {
  assert.equal(await gateway.stop(), 0)
  gateway = await startGateway({ data })
  for (const { topic } of sources) {
    assert.deepEqual(
      inOrder(await readBack(gateway.url, topic)),
      inOrder(contents.get(topic) ?? []),
    )
  }
})

async function drain(consumer: V2Consumer): Promise<V2Record[]> {
  const records: V2Record[] = []
  const until = performance.now() + deadlineMs
  // Two empty polls in a row: one may fall into the moment in which partitions change hands.
  for (let empty = 0; empty < 2 && performance.now() < until;) {
    const polled = await consumer.poll(500)
    records.push(...polled)
    empty = polled.length === 0 ? empty + 1 : 0
  }
  return records
}

function inOrder(
  records: readonly { partition: number; offset: number; key: string | null; value: Buffer }[],
): string[] {
  return records
    .map(
      ({ partition, offset, key, value }) =>
        `${partition}/${offset} ${key} ${value.toString('latin1')}`,
    )
    .sort()
}
