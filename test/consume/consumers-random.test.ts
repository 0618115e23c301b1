/**
 * Many instances of one group on two nodes, coming and going while records arrive. While every client
 * is well-behaved, each record is delivered exactly once; when clients vanish, at least once, and what
 * was committed never again.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Consumers } from '../../src/consume/consumers.ts'
import { MemorySessionStore } from '../../src/consume/memory-session-store.ts'
import { GatewayError } from '../../src/model/errors.ts'
import { anonymous } from '../../src/model/principal.ts'
import { openTestEngine } from '../support/engine.ts'
import { append, createTopic, openNode, v2Instance } from '../support/instances.ts'

const partitions = 6
const batches = 150
const call = { timeoutMs: 5_000 }

interface Tally {
  /** Value -> how often an answer with it was written completely. */
  readonly seen: Map<string, number>
}

/** A client that polls until told to stop, then commits by its next request and ends its instance. */
async function client(
  consumers: () => Consumers,
  name: string,
  tally: Tally,
  random: () => number,
  stops: () => boolean,
): Promise<void> {
  const options = { ...v2Instance, name, autoCommit: true, waitMs: 50 }
  await consumers().create(anonymous, 'g', options)
  await consumers().subscribe(anonymous, 'g', name, { pattern: 't[0-9]' })
  while (!stops()) {
    const poll = await consumers().poll(anonymous, 'g', name, { bytesMax: 1 + random() * 4_000 })
    const { records } = poll
    const values = records.map(({ value }) => Buffer.from(value ?? []).toString())
    // Writing an answer takes its time, and sometimes it is cut, or ends at a record's border.
    await new Promise((resolve) => setTimeout(resolve, random() * 15))
    const roll = random()
    if (roll < 0.1) {
      poll.dropped()
      continue
    }
    const count = roll < 0.2 ? Math.floor(random() * values.length) : values.length
    for (const value of values.slice(0, count)) {
      tally.seen.set(value, (tally.seen.get(value) ?? 0) + 1)
    }
    await poll.delivered(count)
  }
  await consumers().delete(anonymous, 'g', name)
}

function mulberry(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

for (const seed of [1, 2, 3]) {
  test(`instances that come and go deliver each record once (seed ${seed})`, async () => {
    const random = mulberry(seed)
    const under = await openTestEngine()
    const { engine } = under
    const store = new MemorySessionStore({ clock: under.clock })
    const nodes = [
      await openNode(engine, { store, node: 'n1' }),
      await openNode(engine, { store, node: 'n2' }),
    ]
    const anyNode = (): Consumers => nodes[random() < 0.5 ? 0 : 1]!.consumers
    await createTopic(engine, 't0', partitions)
    const tally: Tally = { seen: new Map() }
    const expected = new Set<string>()
    let isOver = false
    const clients: Promise<void>[] = []
    const start = (name: string, polls: number): void => {
      let left = polls
      clients.push(client(anyNode, name, tally, random, () => isOver || left-- <= 0))
    }
    start('steady', Infinity)
    for (let i = 0; i < batches; i++) {
      if (i % 6 === 5) start(`guest-${i}`, 2 + Math.floor(random() * 15))
      if (i === 60) await createTopic(engine, 't1', 2)
      if (i === 90) await engine.topics.grow([{ name: 't0', partitions: partitions + 2 }], call)
      const topic = i > 60 && random() < 0.2 ? 't1' : 't0'
      const width = topic === 't1' ? 2 : i > 90 ? partitions + 2 : partitions
      const values = Array.from({ length: 1 + Math.floor(random() * 20) }, (_, k) => `${i}-${k}`)
      for (const value of values) expected.add(value)
      await append(engine, topic, Math.floor(random() * width), values)
      await new Promise((resolve) => setTimeout(resolve, random() * 8))
    }
    const end = performance.now() + 15_000
    while (tally.seen.size < expected.size && performance.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    isOver = true
    await Promise.all(clients)
    assert.equal(tally.seen.size, expected.size, 'records are missing')
    const repeated = [...tally.seen].filter(([, times]) => times > 1)
    assert.deepEqual(repeated, [], 'records were delivered twice')
    for (const node of nodes) await node.close()
    await under.close()
  })
}

test('records of a client that vanished are delivered by the others, committed ones never again', async () => {
  const under = await openTestEngine()
  const { engine } = under
  const node = await openNode(engine)
  const { consumers } = node
  await createTopic(engine, 't', 2)
  for (const p of [0, 1]) await append(engine, 't', p, [`${p}-committed`, `${p}-lost`])
  const open = async (name: string, ttlMs: number): Promise<void> => {
    await consumers.create(anonymous, 'g', { ...v2Instance, name, ttlMs, waitMs: 50 })
    await consumers.subscribe(anonymous, 'g', name, { topics: ['t'] })
  }
  await open('vanishes', 200)
  const poll = await consumers.poll(anonymous, 'g', 'vanishes', {})
  assert.equal(poll.records.length, 4)
  await poll.delivered(4)
  const commits = [0, 1].map((partition) => ({ tp: { topic: 't', partition }, offset: 1 }))
  await consumers.commit(anonymous, 'g', 'vanishes', commits)
  await open('stays', 60_000)
  const seen: string[] = []
  const end = performance.now() + 10_000
  while (seen.length < 2 && performance.now() < end) {
    const next = await consumers.poll(anonymous, 'g', 'stays', {})
    seen.push(...next.records.map(({ value }) => Buffer.from(value ?? []).toString()))
    await next.delivered(next.records.length)
  }
  assert.deepEqual(seen.sort(), ['0-lost', '1-lost'])
  const gone = consumers.find(anonymous, 'g', 'vanishes')
  await assert.rejects(gone, (error) => error instanceof GatewayError)
  await node.close()
  await under.close()
})
