import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { TopicAdmin } from '../../src/admin/topics.ts'
import { GatewayError } from '../../src/model/errors.ts'
import { anonymous } from '../../src/model/principal.ts'
import { openTestEngine } from '../support/engine.ts'

const opened = await openTestEngine()
after(() => opened.close())
const { engine } = opened
const admin = new TopicAdmin(engine)

const wish = { partitions: 1, ifNotExists: false }

function hasCode(code: string): (error: unknown) => boolean {
  return (error) => error instanceof GatewayError && error.code === code
}

test('a page tells where the next one begins, and the last one that nothing follows', async () => {
  for (const name of ['b', 'a', 'c', 'B']) await admin.create(anonymous, { ...wish, name })
  const first = await admin.list(anonymous, { limit: 3 })
  assert.deepEqual(
    first.topics.map(({ name }) => name),
    ['B', 'a', 'b'],
  )
  assert.equal(first.next, 'b')
  const second = await admin.list(anonymous, { limit: 3, after: 'b' })
  assert.deepEqual(
    second.topics.map(({ name }) => name),
    ['c'],
  )
  assert.equal(second.next, null)
  const behind = await admin.list(anonymous, { after: 'zzz' })
  assert.deepEqual([behind.topics, behind.next], [[], null])
})

test("the gateway's own topics are not listed, described, made or deleted", async () => {
  await engine.topics.create([{ name: '__own', partitions: 1 }], { timeoutMs: 1000 })
  assert.ok(!(await admin.names(anonymous)).includes('__own'))
  assert.ok(!(await admin.list(anonymous)).topics.some(({ name }) => name === '__own'))
  await assert.rejects(admin.describe(anonymous, '__own'), hasCode('UNKNOWN_TOPIC'))
  await assert.rejects(admin.delete(anonymous, '__own'), hasCode('UNKNOWN_TOPIC'))
  const own = { ...wish, name: '__other' }
  await assert.rejects(admin.create(anonymous, own), hasCode('INVALID_REQUEST'))
})

test('only settings of the topic itself count as its own', async () => {
  const configs = { 'retention.ms': '1000' }
  const { topic } = await admin.create(anonymous, { ...wish, name: 'own', configs })
  const own = topic.configs.filter((config) => config.own)
  assert.deepEqual(
    own.map(({ name, value }) => [name, value]),
    [['retention.ms', '1000']],
  )
  assert.ok(topic.configs.length > 1)
})

test('a topic is made once, and a caller may be content with the one that is there', async () => {
  const twice = { ...wish, name: 'twice' }
  assert.equal((await admin.create(anonymous, twice)).created, true)
  await assert.rejects(admin.create(anonymous, twice), hasCode('TOPIC_EXISTS'))
  const content = await admin.create(anonymous, { ...twice, partitions: 5, ifNotExists: true })
  assert.deepEqual([content.created, content.topic.partitions.length], [false, 1])
})

test('a position of a topic that was made again is told apart', async () => {
  const remade = { ...wish, name: 'remade' }
  await admin.create(anonymous, remade)
  const { position } = await admin.offsets(anonymous, 'remade', { at: 'latest' })
  const here = await admin.offsets(anonymous, 'remade', { at: 'position', position })
  assert.deepEqual([...here.offsets], [[0, 0]])
  await admin.delete(anonymous, 'remade')
  await admin.create(anonymous, remade)
  const place = { at: 'position', position } as const
  await assert.rejects(admin.offsets(anonymous, 'remade', place), hasCode('EPOCH_MISMATCH'))
})
