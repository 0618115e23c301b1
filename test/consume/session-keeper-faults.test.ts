/** What a store that fails, forgets or answers late does to the groups of its sessions. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { MemorySessionStore } from '../../src/consume/memory-session-store.ts'
import type { Membership, SessionKey } from '../../src/consume/session.ts'
import type {
  Lease,
  LeaseCheck,
  LeaseRenewal,
  StoredSession,
} from '../../src/consume/session-store.ts'
import { systemClock } from '../../src/kit/clock.ts'
import { GatewayError } from '../../src/model/errors.ts'
import { anonymous } from '../../src/model/principal.ts'
import type { TestEngine } from '../support/engine.ts'
import { openTestEngine } from '../support/engine.ts'
import type { InstanceNode } from '../support/instances.ts'
import { append, createTopic, openNode, take, v2Instance } from '../support/instances.ts'
import { ManualClock } from '../support/manual-clock.ts'

const call = { timeoutMs: 5_000 }
const one: SessionKey = { group: 'g', name: 'one' }

/** Sessions in memory, with the faults of a network in front of them. */
class FaultyStore extends MemorySessionStore {
  /** Names of verbs that fail. */
  readonly failing = new Set<'saveMembership' | 'renew'>()
  /** What the keeper's looks at sessions wait for before their answer arrives. */
  late: Promise<void> | undefined

  override async find(key: SessionKey, by?: string): Promise<StoredSession | undefined> {
    const found = await super.find(key, by)
    if (by === undefined) await this.late
    return found
  }

  override saveMembership(
    key: SessionKey,
    lease: Lease,
    membership: Membership | null,
  ): Promise<boolean> {
    if (this.failing.has('saveMembership')) return Promise.reject(unreachable())
    return super.saveMembership(key, lease, membership)
  }

  override renew(
    renewals: readonly LeaseRenewal[],
    leaseMs: number,
  ): Promise<(LeaseCheck | undefined)[]> {
    if (this.failing.has('renew')) return Promise.reject(unreachable())
    return super.renew(renewals, leaseMs)
  }
}

function unreachable(): GatewayError {
  return new GatewayError('UNAVAILABLE', 'The session store does not answer.')
}

interface Stage {
  readonly clock: ManualClock
  readonly under: TestEngine
  readonly store: FaultyStore
  readonly node: InstanceNode
  readonly counts: { active: number; adopted: number }
  readonly close: () => Promise<void>
}

/** A node with one instance that is subscribed to the topics `t` and `u`, of which `t` exists. */
async function openStage(): Promise<Stage> {
  const clock = new ManualClock(systemClock.wallMs())
  const under = await openTestEngine({ clock })
  await createTopic(under.engine, 't')
  const store = new FaultyStore({ clock })
  const counts = { active: 0, adopted: 0 }
  const meter = {
    active: (count: number) => void (counts.active = count),
    adopted: () => void counts.adopted++,
    expired: () => undefined,
  }
  const node = await openNode(under.engine, { clock, store, meter })
  await join(node)
  const close = async (): Promise<void> => {
    await node.close()
    await under.close()
  }
  return { clock, under, store, node, counts, close }
}

async function join({ consumers }: InstanceNode): Promise<void> {
  await consumers.create(anonymous, 'g', { ...v2Instance, name: 'one' })
  await consumers.subscribe(anonymous, 'g', 'one', { topics: ['t', 'u'] })
}

/** Moves the clock in small steps and lets everything that came due run in between. */
async function advance(clock: ManualClock, ms: number): Promise<void> {
  for (let moved = 0; moved < ms; moved += 500) {
    clock.advance(Math.min(500, ms - moved))
    await turns()
  }
}

async function turns(): Promise<void> {
  for (let i = 0; i < 20; i++) await nextTurn()
}

async function memberIds({ engine }: TestEngine): Promise<string[]> {
  const all = await engine.groups.list(call)
  if (all.length === 0) return []
  return (await engine.groups.describe('g', call)).members.map(({ memberId }) => memberId)
}

test('an assignment that could not be saved is told again, and what was delivered is not repeated', async () => {
  const { clock, under, store, node, close } = await openStage()
  await append(under.engine, 't', 0, ['a'])
  assert.deepEqual(await take(node.consumers, 'g', 'one'), ['a'])
  store.failing.add('saveMembership')
  await createTopic(under.engine, 'u')
  await turns()
  store.failing.clear()
  await advance(clock, 6_000)
  await append(under.engine, 'u', 0, ['b'])
  const records = await take(node.consumers, 'g', 'one')
  assert.deepEqual(records, ['b'], "'a' was delivered under an ownership that never ended")
  await close()
})

test('a session that its store lost gives its partitions back at once', async () => {
  const { clock, under, store, node, counts, close } = await openStage()
  await node.consumers.create(anonymous, 'g', { ...v2Instance, name: 'two' })
  await node.consumers.subscribe(anonymous, 'g', 'two', { topics: ['t'] })
  await store.remove(one, (await store.find(one))!.session.id)
  assert.equal((await memberIds(under)).length, 2)
  await advance(clock, 4_000)
  assert.equal((await memberIds(under)).length, 1)
  assert.equal(counts.active, 1)
  await close()
})

test('the next instance of a name does not wait for one that the store lost', async () => {
  const { under, store, node, close } = await openStage()
  const [lost] = await memberIds(under)
  await store.remove(one, (await store.find(one))!.session.id)
  await join(node)
  const [fresh, ...others] = await memberIds(under)
  assert.notEqual(fresh, lost)
  assert.deepEqual(others, [])
  await close()
})

test('an instance made anew while its namesake leaves is kept, and joins at once', async () => {
  const { under, store, node, counts, close } = await openStage()
  let arrive = (): void => undefined
  store.late = new Promise((resolve) => (arrive = resolve))
  // A heartbeat is under way, and who deletes the instance waits for its end.
  node.keeper.nudge(one)
  await turns()
  store.late = undefined
  const deleted = node.consumers.delete(anonymous, 'g', 'one')
  await turns()
  await node.consumers.create(anonymous, 'g', { ...v2Instance, name: 'one' })
  arrive()
  await deleted
  assert.equal(counts.active, 1)
  await node.consumers.subscribe(anonymous, 'g', 'one', { topics: ['t'] })
  assert.equal((await memberIds(under)).length, 1)
  await close()
})

test('a late answer about an earlier lease does not end the keeping of the session', async () => {
  const { clock, store, node, counts, close } = await openStage()
  let arrive = (): void => undefined
  store.late = new Promise((resolve) => (arrive = resolve))
  node.keeper.nudge(one)
  await turns()
  store.late = undefined
  store.failing.add('renew')
  await advance(clock, 12_000)
  // The lease has lapsed; whoever needs the session takes it again.
  await node.consumers.subscribe(anonymous, 'g', 'one', { topics: ['t'] })
  assert.equal(counts.adopted, 1)
  store.failing.clear()
  arrive()
  await advance(clock, 30_000)
  assert.deepEqual(counts, { active: 1, adopted: 1 })
  await close()
})

test('a look at the session that outlasts the lease is not followed by a heartbeat', async () => {
  const { clock, under, store, node, close } = await openStage()
  const { groups } = under.engine
  const heartbeat = groups.heartbeat.bind(groups)
  let beats = 0
  groups.heartbeat = (...args) => {
    beats++
    return heartbeat(...args)
  }
  let arrive = (): void => undefined
  store.late = new Promise((resolve) => (arrive = resolve))
  node.keeper.nudge(one)
  await turns()
  store.failing.add('renew')
  await advance(clock, 9_500)
  arrive()
  await turns()
  assert.equal(beats, 0)
  await close()
})

test('what was delivered before a partition was lost is not committed once it came back', async () => {
  const { clock, under, node, store, close } = await openStage()
  await append(under.engine, 't', 0, ['a', 'b', 'c'])
  assert.deepEqual(await take(node.consumers, 'g', 'one', { bytesMax: 1 }), ['a'])
  const { groups } = under.engine
  const commit = groups.commit.bind(groups)
  const tp = { topic: 't', partition: 0 }
  groups.commit = async (...args) => {
    groups.commit = commit
    // While the commit is on its way, another member has the partition for a moment.
    const { memberId, memberEpoch } = (await store.find(one))!.membership!
    await groups.leave({ groupId: 'g', memberId, memberEpoch }, call)
    await commit({ groupId: 'g' }, [{ tp, offset: 3 }], call)
    await advance(clock, 6_000)
    assert.equal((await store.find(one))!.membership!.owned.length, 1)
    return commit(...args)
  }
  await assert.rejects(node.consumers.commit(anonymous, 'g', 'one'), { code: 'STALE_MEMBER_EPOCH' })
  const [kept] = await groups.committed({ groupId: 'g' }, [tp], call)
  assert.equal(kept?.offset, 3)
  await close()
})
