import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { MemorySessionStore } from '../../src/consume/memory-session-store.ts'
import { RedisSessionStore } from '../../src/consume/redis-session-store.ts'
import type { GroupDescription } from '../../src/engine/groups.ts'
import { systemClock } from '../../src/kit/clock.ts'
import { silentLogger } from '../../src/kit/logger.ts'
import { anonymous } from '../../src/model/principal.ts'
import type { TestEngine } from '../support/engine.ts'
import { openTestEngine } from '../support/engine.ts'
import type { InstanceNode } from '../support/instances.ts'
import { append, createTopic, openNode, take, takeCount, v2Instance } from '../support/instances.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { redisSkip, startRedis } from '../support/redis.ts'

const call = { timeoutMs: 5_000 }

/** Moves the clock in small steps and lets everything that came due run in between. */
async function advance(clock: ManualClock, ms: number): Promise<void> {
  for (let moved = 0; moved < ms; moved += 500) {
    clock.advance(Math.min(500, ms - moved))
    for (let i = 0; i < 20; i++) await nextTurn()
  }
}

async function until(what: string, holds: () => Promise<boolean>, withinMs = 5_000): Promise<void> {
  const end = performance.now() + withinMs
  while (!(await holds())) {
    assert.ok(performance.now() < end, `not in time: ${what}`)
    await sleep(10)
  }
}

const describe = ({ engine }: TestEngine, group = 'g'): Promise<GroupDescription> =>
  engine.groups.describe(group, call)

async function join({ consumers }: InstanceNode, name: string, waitMs = 1_000): Promise<void> {
  await consumers.create(anonymous, 'g', { ...v2Instance, name, waitMs })
  await consumers.subscribe(anonymous, 'g', name, { topics: ['t'] })
}

test('an instance stays a member as long as its client asks, and goes when it is abandoned', async () => {
  const clock = new ManualClock(systemClock.wallMs())
  const under = await openTestEngine({ clock })
  await createTopic(under.engine, 't', 2)
  const counts = { active: 0, adopted: 0, expired: 0 }
  const meter = {
    active: (count: number) => void (counts.active = count),
    adopted: () => void counts.adopted++,
    expired: () => void counts.expired++,
  }
  const node = await openNode(under.engine, { clock, meter })
  await join(node, 'kept')
  await join(node, 'left')
  await advance(clock, 1_000)
  assert.equal(counts.active, 2)
  for (let i = 0; i < 4; i++) {
    await advance(clock, 74_000)
    await node.consumers.find(anonymous, 'g', 'kept')
    assert.equal((await describe(under)).members.length, 2, `after ${(i + 1) * 74} s`)
  }
  await advance(clock, 6_000)
  const { members } = await describe(under)
  assert.deepEqual(
    members.map(({ clientId, assignment }) => [clientId, assignment.length]),
    [['kept', 2]],
  )
  assert.deepEqual(counts, { active: 1, adopted: 0, expired: 1 })
  await assert.rejects(node.consumers.find(anonymous, 'g', 'left'), { code: 'UNKNOWN_SESSION' })
  await node.close()
  await under.close()
})

test('a member that the coordinator forgot joins again under its id and goes on', async () => {
  const clock = new ManualClock(systemClock.wallMs())
  const under = await openTestEngine({ clock })
  await createTopic(under.engine, 't')
  const node = await openNode(under.engine, { clock })
  await join(node, 'one')
  await append(under.engine, 't', 0, ['a', 'b'])
  assert.deepEqual(await take(node.consumers, 'g', 'one'), ['a', 'b'])
  await node.consumers.commit(anonymous, 'g', 'one')
  const [member] = (await describe(under)).members
  await under.engine.groups.leave(
    { groupId: 'g', memberId: member!.memberId, memberEpoch: 1 },
    call,
  )
  assert.equal((await describe(under)).members.length, 0)
  await append(under.engine, 't', 0, ['c'])
  await advance(clock, 6_000)
  const again = await describe(under)
  assert.equal(again.members[0]?.memberId, member?.memberId)
  assert.deepEqual(await take(node.consumers, 'g', 'one'), ['c'])
  await node.close()
  await under.close()
})

test('another node takes over a lapsed lease without a rebalance', async () => {
  const clock = new ManualClock(systemClock.wallMs())
  const under = await openTestEngine({ clock })
  await createTopic(under.engine, 't', 2)
  await append(under.engine, 't', 0, ['a'])
  const store = new MemorySessionStore({ clock })
  // A clock that nobody moves is what a process that died has.
  const dead = await openNode(under.engine, { store, node: 'dead', clock: new ManualClock() })
  await join(dead, 'one')
  assert.deepEqual(await take(dead.consumers, 'g', 'one'), ['a'])
  const before = await describe(under)
  const counts = { adopted: 0 }
  const meter = {
    active: () => undefined,
    expired: () => undefined,
    adopted: () => void counts.adopted++,
  }
  const alive = await openNode(under.engine, { store, node: 'alive', clock, meter })
  assert.equal(counts.adopted, 0, 'the lease is still good')
  await append(under.engine, 't', 1, ['b'])
  // Any node serves any request, with or without the lease.
  assert.deepEqual(await take(alive.consumers, 'g', 'one'), ['b'])
  await alive.consumers.commit(anonymous, 'g', 'one')
  await advance(clock, 120_000)
  assert.equal(counts.adopted, 1)
  const after = await describe(under)
  assert.deepEqual(after, before, 'no epoch moved, no partition changed hands')
  assert.equal((await store.find({ group: 'g', name: 'one' }))?.lease.node, 'alive')
  // The one that was only thought dead finds its lease gone and changes nothing.
  dead.keeper.nudge({ group: 'g', name: 'one' })
  await nextTurn()
  assert.deepEqual(await describe(under), before)
  await alive.close()
  assert.equal((await describe(under)).members.length, 0)
  await under.close()
})

test('a subscription on a node without the lease is joined by the node that has it', async () => {
  const under = await openTestEngine()
  await createTopic(under.engine, 't')
  await createTopic(under.engine, 'u')
  const store = new MemorySessionStore({ clock: under.clock })
  const holder = await openNode(under.engine, { store, node: 'holder' })
  const other = await openNode(under.engine, { store, node: 'other' })
  await join(holder, 'one')
  await append(under.engine, 'u', 0, ['hello'])
  await other.consumers.subscribe(anonymous, 'g', 'one', { topics: ['u'] })
  assert.deepEqual(await takeCount(other.consumers, 'g', 'one', 1), ['hello'])
  assert.equal((await describe(under)).members.length, 1)
  assert.equal((await store.find({ group: 'g', name: 'one' }))?.lease.node, 'holder')
  await other.close()
  await holder.close()
  await under.close()
})

test('with sessions in memory a node that closes leaves its groups', async () => {
  const under = await openTestEngine()
  await createTopic(under.engine, 't')
  const node = await openNode(under.engine)
  await join(node, 'one')
  await join(node, 'two')
  await node.close()
  await node.close()
  assert.equal((await describe(under)).members.length, 0)
  await under.close()
})

const needsRedis = { skip: redisSkip() }

test(
  'with sessions in Redis a client goes on after kill -9, without a rebalance',
  needsRedis,
  async () => {
    const server = await startRedis()
    const openStore = async (): Promise<RedisSessionStore> => {
      const store = new RedisSessionStore({ url: server.url, namespace: 'c', logger: silentLogger })
      await store.open()
      return store
    }
    const first = await openTestEngine({ members: 'journal' })
    await createTopic(first.engine, 't', 2)
    await append(first.engine, 't', 0, ['a', 'b'])
    const firstStore = await openStore()
    const dead = await openNode(first.engine, {
      store: firstStore,
      node: 'before',
      clock: new ManualClock(),
    })
    await join(dead, 'one')
    assert.deepEqual(await take(dead.consumers, 'g', 'one'), ['a', 'b'])
    const before = await describe(first)
    // A poll is under way when the process dies: its mark stays behind.
    await firstStore.beginRead({ group: 'g', name: 'one' }, 'anonymous', 'lost', 1_000)
    await first.close()
    await firstStore.close()

    const second = await openTestEngine({ members: 'journal', disk: first.disk })
    const store = await openStore()
    const node = await openNode(second.engine, { store, node: 'after' })
    await append(second.engine, 't', 1, ['c'])
    assert.deepEqual(await takeCount(node.consumers, 'g', 'one', 1), ['c'])
    await node.consumers.commit(anonymous, 'g', 'one')
    const offsets = await second.engine.groups.committed({ groupId: 'g' }, 'all', call)
    assert.deepEqual(offsets.map(({ offset }) => offset).sort(), [1, 2])
    assert.deepEqual(await describe(second), before, 'the same member at the same epoch')
    // The dead node's ten seconds pass.
    const redis = new Redis(server.url)
    await redis.hset('{ebbgate:1:c}:s:g/one', 'lease', '1')
    await redis.zadd('{ebbgate:1:c}:leases', '1', 'g/one')
    redis.disconnect()
    await until('the lapsed lease is adopted', async () => {
      return (await store.find({ group: 'g', name: 'one' }))?.lease.node === 'after'
    })
    await node.close()
    assert.deepEqual(await describe(second), before, 'a node that closes only lets go of the lease')
    const next = await openNode(second.engine, { store, node: 'next' })
    await until('the released lease is adopted at once', async () => {
      return (await store.find({ group: 'g', name: 'one' }))?.lease.node === 'next'
    })
    await next.consumers.delete(anonymous, 'g', 'one')
    assert.equal((await describe(second)).members.length, 0)
    await next.close()
    await store.close()
    await second.close()
    await server.close()
  },
)

test(
  'while Redis is away requests are refused at once, and go on when it is back',
  needsRedis,
  async () => {
    const server = await startRedis()
    const under = await openTestEngine({ members: 'journal' })
    await createTopic(under.engine, 't')
    const store = new RedisSessionStore({ url: server.url, namespace: 'c', logger: silentLogger })
    await store.open()
    const node = await openNode(under.engine, { store })
    await join(node, 'one')
    server.freeze()
    const started = performance.now()
    const { consumers } = node
    await assert.rejects(consumers.poll(anonymous, 'g', 'one', {}), { code: 'UNAVAILABLE' })
    assert.ok(performance.now() - started < 3_000)
    server.resume()
    await append(under.engine, 't', 0, ['a'])
    await until('the same instance is served again', async () => {
      try {
        return (await take(consumers, 'g', 'one', { waitMs: 50 })).join() === 'a'
      } catch {
        return false
      }
    })
    await node.close()
    await store.close()
    await under.close()
    await server.close()
  },
)

test('a node takes over every session that another one left, in its first look', async () => {
  const clock = new ManualClock(systemClock.wallMs())
  const under = await openTestEngine({ clock })
  const store = new MemorySessionStore({ clock })
  const dead = await openNode(under.engine, { store, node: 'dead', clock: new ManualClock() })
  for (let i = 0; i < 1_200; i++) {
    await dead.consumers.create(anonymous, 'g', { ...v2Instance, name: `i${i}` })
  }
  clock.advance(10_000)
  let active = 0
  const meter = {
    active: (count: number) => void (active = count),
    expired: () => undefined,
    adopted: () => undefined,
  }
  const alive = await openNode(under.engine, { store, node: 'alive', clock, meter })
  assert.equal(active, 1_200)
  await alive.close()
  await under.close()
})

test('an answer that nobody reports as written counts as cut after two minutes', async () => {
  const clock = new ManualClock(systemClock.wallMs())
  const under = await openTestEngine({ clock })
  await createTopic(under.engine, 't')
  await append(under.engine, 't', 0, ['a'])
  const node = await openNode(under.engine, { clock })
  await join(node, 'one')
  const forgotten = await node.consumers.poll(anonymous, 'g', 'one', {})
  const next = take(node.consumers, 'g', 'one')
  await advance(clock, 119_000)
  let isAnswered = false
  void next.then(() => (isAnswered = true))
  await nextTurn()
  assert.equal(isAnswered, false)
  await advance(clock, 2_000)
  assert.deepEqual(await next, ['a'])
  await forgotten.delivered(1)
  await node.close()
  await under.close()
})

test('polls that wait for one another are all answered before their connections count as idle', async () => {
  const clock = new ManualClock(systemClock.wallMs())
  const under = await openTestEngine({ clock })
  await createTopic(under.engine, 't')
  const node = await openNode(under.engine, { clock })
  await join(node, 'one', 60_000)
  let answered = 0
  const polls = [1, 2, 3].map(() =>
    take(node.consumers, 'g', 'one').then((texts) => {
      answered++
      return texts
    }),
  )
  await advance(clock, 59_000)
  assert.equal(answered, 0)
  await advance(clock, 8_000)
  assert.equal(answered, 3)
  assert.deepEqual(await Promise.all(polls), [[], [], []])
  await node.close()
  await under.close()
})
