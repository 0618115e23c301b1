import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { GroupCoordinator } from '../../../../src/engine/embedded/group/coordinator.ts'
import { entryKinds } from '../../../../src/engine/embedded/journal/state-machine.ts'
import type { HeartbeatAnswer, HeartbeatOptions, Member } from '../../../../src/engine/groups.ts'
import { silentLogger } from '../../../../src/kit/logger.ts'
import type { ErrorCode } from '../../../../src/model/errors.ts'
import { GatewayError } from '../../../../src/model/errors.ts'
import type { TopicPartition } from '../../../../src/model/topic.ts'
import { MapCatalog, TurnJournal } from '../../../support/group-fixture.ts'
import { ManualClock } from '../../../support/manual-clock.ts'

const call = { timeoutMs: 5_000 }
const p = (partition: number, topic = 'orders'): TopicPartition => ({ topic, partition })

function setUp(members: 'memory' | 'journal' = 'memory', partitions = 2): Fixture {
  const clock = new ManualClock()
  const journal = new TurnJournal()
  const catalog = new MapCatalog()
  catalog.create('orders', partitions)
  const groups = new GroupCoordinator({ journal, catalog, clock, logger: silentLogger, members })
  groups.open()
  return { clock, journal, catalog, groups }
}

interface Fixture {
  clock: ManualClock
  journal: TurnJournal
  catalog: MapCatalog
  groups: GroupCoordinator
}

const fence = (memberId: string, memberEpoch: number, instanceId?: string): Member => ({
  groupId: 'g',
  memberId,
  memberEpoch,
  ...(instanceId === undefined ? {} : { instanceId }),
})

const full = (owned: readonly TopicPartition[] = []): HeartbeatOptions => ({
  ...call,
  subscription: { topics: ['orders'] },
  rebalanceTimeoutMs: 20_000,
  owned,
})

const join = ({ groups }: Fixture, id: string, instanceId?: string): Promise<HeartbeatAnswer> =>
  groups.heartbeat(fence(id, 0, instanceId), full())

const has = (code: ErrorCode) => (error: unknown) =>
  error instanceof GatewayError && error.code === code

test('the first member gets every partition with its join', async () => {
  const answer = await join(setUp(), 'm1')
  assert.deepEqual(answer, { memberEpoch: 1, intervalMs: 5_000, assignment: [p(0), p(1)] })
})

test('a partition passes on only after its owner gave it back, and epochs tell each step', async () => {
  const fixture = setUp()
  const { groups } = fixture
  await join(fixture, 'm1')
  const second = await join(fixture, 'm2')
  assert.deepEqual(second.assignment, [])
  assert.equal(second.memberEpoch, 2)
  const told = await groups.heartbeat(fence('m1', 1), call)
  assert.deepEqual(told, { memberEpoch: 1, intervalMs: 5_000, assignment: [p(0)] })
  const unchanged = await groups.heartbeat(fence('m2', 2), call)
  assert.equal(unchanged.assignment, undefined, 'still owned by m1')
  const done = await groups.heartbeat(fence('m1', 1), { ...call, owned: [p(0)] })
  assert.equal(done.memberEpoch, 2)
  assert.deepEqual((await groups.heartbeat(fence('m2', 2), call)).assignment, [p(1)])
  assert.equal((await groups.describe('g', call)).state, 'STABLE')
})

test('an acknowledged revocation raises the epoch by one even while more must be given back', async () => {
  const fixture = setUp('memory', 4)
  const { groups } = fixture
  await join(fixture, 'm1')
  await join(fixture, 'm2')
  const told = await groups.heartbeat(fence('m1', 1), call)
  const kept = told.assignment!
  assert.equal(kept.length, 2)
  await join(fixture, 'm3')
  await join(fixture, 'm4')
  const again = await groups.heartbeat(fence('m1', 1), { ...call, owned: kept })
  assert.equal(again.memberEpoch, 2)
  assert.equal(again.assignment!.length, 1)
})

test('watchers of a group are told once per turn when somebody should heartbeat', async () => {
  const fixture = setUp()
  let hints = 0
  const watch = fixture.groups.watch('g', () => hints++)
  await join(fixture, 'm1')
  await nextTurn()
  assert.equal(hints, 0, 'a member alone has nobody to tell')
  await Promise.all([join(fixture, 'm2'), join(fixture, 'm3')])
  await nextTurn()
  assert.equal(hints, 1)
  fixture.catalog.grow('orders', 6)
  await nextTurn()
  assert.equal(hints, 2)
  watch.close()
  await fixture.groups.leave(fence('m2', 0), call)
  await nextTurn()
  assert.equal(hints, 2)
})

test('a member that stops its heartbeats loses its partitions after 45 seconds', async () => {
  const fixture = setUp()
  const { groups, clock } = fixture
  await join(fixture, 'm1')
  clock.advance(44_999)
  assert.equal((await groups.describe('g', call)).members.length, 1)
  await groups.heartbeat(fence('m1', 1), call)
  clock.advance(44_999)
  assert.equal((await groups.describe('g', call)).members.length, 1)
  clock.advance(1)
  await assert.rejects(groups.heartbeat(fence('m1', 1), call), has('UNKNOWN_MEMBER'))
  assert.equal((await join(fixture, 'm1')).assignment?.length, 2)
})

test('a member that keeps what it must give back is removed after its rebalance timeout', async () => {
  const fixture = setUp()
  const { groups, clock } = fixture
  await join(fixture, 'm1')
  await join(fixture, 'm2')
  await groups.heartbeat(fence('m1', 1), call)
  for (let i = 0; i < 4; i++) {
    clock.advance(4_999)
    await groups.heartbeat(fence('m1', 1), call)
    await groups.heartbeat(fence('m2', 2), call)
  }
  clock.advance(4)
  await assert.rejects(groups.heartbeat(fence('m1', 1), call), has('UNKNOWN_MEMBER'))
  assert.equal((await groups.heartbeat(fence('m2', 2), call)).assignment?.length, 2)
})

test('a static member comes back under a new id without a rebalance', async () => {
  const fixture = setUp()
  const { groups } = fixture
  await join(fixture, 'm1', 'shelf')
  await join(fixture, 'm2')
  await groups.heartbeat(fence('m1', 1), { ...call, owned: [p(0)] })
  await assert.rejects(join(fixture, 'm3', 'shelf'), has('INSTANCE_IN_USE'))
  const { groupEpoch } = await groups.describe('g', call)
  await groups.leave(fence('m1', 2, 'shelf'), { ...call, keepSlot: true })
  await assert.rejects(groups.heartbeat(fence('m1', 2, 'shelf'), call), has('FENCED_MEMBER_EPOCH'))
  const back = await join(fixture, 'm3', 'shelf')
  assert.deepEqual(back.assignment, [p(0)])
  assert.equal((await groups.describe('g', call)).groupEpoch, groupEpoch)
  await assert.rejects(groups.heartbeat(fence('m1', 2, 'shelf'), call), has('INSTANCE_FENCED'))
})

test('commits are good from the epoch a partition was assigned at, up to the current one', async () => {
  const fixture = setUp()
  const { groups } = fixture
  const commitAs = async (
    member: Member,
    partition: number,
    offset: number,
  ): Promise<ErrorCode | undefined> => {
    const [result] = await groups.commit(member, [{ tp: p(partition), offset }], call)
    return result?.error?.code
  }
  await join(fixture, 'm1')
  await join(fixture, 'm2')
  await groups.heartbeat(fence('m1', 1), call)
  assert.equal(await commitAs(fence('m1', 1), 1, 7), undefined, 'not given back yet')
  await groups.heartbeat(fence('m1', 1), { ...call, owned: [p(0)] })
  assert.equal(await commitAs(fence('m1', 1), 0, 5), undefined, 'in flight while the epoch moved')
  assert.equal(await commitAs(fence('m1', 3), 0, 6), 'STALE_MEMBER_EPOCH')
  assert.equal(await commitAs(fence('m1', 1), 1, 8), 'STALE_MEMBER_EPOCH')
  assert.equal(await commitAs(fence('m1', 2), 1, 8), 'NOT_ASSIGNED')
  await groups.heartbeat(fence('m2', 2), call)
  assert.equal(await commitAs(fence('m2', 1), 1, 8), 'STALE_MEMBER_EPOCH', 'of no ownership of its')
  const all = await groups.committed({ groupId: 'g' }, 'all', call)
  assert.deepEqual(all.map(({ tp, offset }) => [tp.partition, offset]).sort(), [
    [0, 5],
    [1, 7],
  ])
  await assert.rejects(commitAs(fence('m9', 1), 0, 1), has('UNKNOWN_MEMBER'))
})

test('without a member offsets are set only while the group is empty', async () => {
  const fixture = setUp()
  const { groups } = fixture
  const reset = [{ tp: p(0), offset: 3, metadata: 'by hand', leaderEpoch: 2 }]
  assert.deepEqual(await groups.commit({ groupId: 'g' }, reset, call), [{ tp: p(0) }])
  await join(fixture, 'm1')
  await assert.rejects(groups.commit({ groupId: 'g' }, reset, call), has('GROUP_NOT_EMPTY'))
  await assert.rejects(groups.delete('g', call), has('GROUP_NOT_EMPTY'))
  await groups.leave(fence('m1', 1), call)
  const [found] = await groups.committed({ groupId: 'g' }, [p(0), p(1)], call)
  assert.deepEqual(found, { ...reset[0], topicId: 'orders-id-1' })
  await groups.deleteOffsets('g', [p(0)], call)
  await assert.rejects(groups.describe('g', call), has('UNKNOWN_GROUP'))
})

test('a commit names what is wrong with each of its partitions', async () => {
  const { groups } = setUp()
  const results = await groups.commit(
    { groupId: 'g' },
    [
      { tp: p(0), offset: 1 },
      { tp: p(0, 'nowhere'), offset: 1 },
      { tp: p(2), offset: 1 },
      { tp: p(1), offset: 1, topicId: 'an-older-one' },
      { tp: p(1), offset: -1 },
      { tp: p(1), offset: 1, metadata: 'x'.repeat(4_097) },
    ],
    call,
  )
  assert.deepEqual(
    results.map(({ error }) => error?.code),
    [
      undefined,
      'UNKNOWN_TOPIC',
      'UNKNOWN_PARTITION',
      'EPOCH_MISMATCH',
      'INVALID_REQUEST',
      'INVALID_REQUEST',
    ],
  )
})

test('a topic that was deleted and made again starts without offsets and is handed over anew', async () => {
  const fixture = setUp('memory', 1)
  const { groups, catalog } = fixture
  await join(fixture, 'm1')
  await groups.commit(fence('m1', 1), [{ tp: p(0), offset: 9 }], call)
  catalog.delete('orders')
  catalog.create('orders', 1)
  assert.deepEqual(await groups.committed({ groupId: 'g' }, [p(0)], call), [])
  const [old] = await groups.commit(fence('m1', 1), [{ tp: p(0), offset: 10 }], call)
  assert.equal(old?.error?.code, 'EPOCH_MISMATCH')
  assert.deepEqual((await groups.heartbeat(fence('m1', 1), call)).assignment, [])
  const again = await groups.heartbeat(fence('m1', 1), { ...call, owned: [] })
  assert.deepEqual(again.assignment, [p(0)])
})

test('patterns match whole topic names, never internal ones, and stay within RE2', async () => {
  const { groups, catalog } = setUp()
  catalog.create('orders-eu', 1)
  catalog.create('__settings', 1)
  const subscribe = (pattern: string): Promise<HeartbeatAnswer> =>
    groups.heartbeat(fence('m1', 0), { ...call, subscription: { pattern } })
  assert.deepEqual((await subscribe('order.')).assignment, [p(0), p(1)])
  const all = await subscribe('.*')
  assert.equal(
    all.assignment?.some(({ topic }) => topic === '__settings'),
    false,
  )
  for (const pattern of ['(?=a)b', '(a)\\1', '(', 'x'.repeat(1_001)]) {
    await assert.rejects(subscribe(pattern), has('INVALID_REQUEST'))
  }
})

test('with members in the journal a heartbeat that changes nothing writes nothing', async () => {
  const fixture = setUp('journal')
  const { groups, journal } = fixture
  await join(fixture, 'm1')
  const written = journal.entries.length
  assert.ok(journal.entries.every(({ kind }) => kind === entryKinds.GROUP) && written > 0)
  await groups.heartbeat(fence('m1', 1), call)
  await groups.heartbeat(fence('m1', 1), full([p(0), p(1)]))
  assert.equal(journal.entries.length, written)
})

test('a restored member has one full session timeout from the start', async () => {
  const fixture = setUp('journal')
  await join(fixture, 'm1')
  await fixture.groups.close()
  const { journal, catalog } = fixture
  const clock = new ManualClock()
  const parts = { journal, catalog, clock, logger: silentLogger, members: 'journal' as const }
  const restarted = new GroupCoordinator(parts)
  journal.replay(restarted.machines)
  clock.advance(100_000)
  restarted.open()
  clock.advance(44_999)
  const answer = await restarted.heartbeat(fence('m1', 1), full([p(0), p(1)]))
  assert.deepEqual(answer.assignment, [p(0), p(1)])
  assert.equal(answer.memberEpoch, 1)
})

test('a pattern in the journal that is none any more does not stop the start', async () => {
  const { journal, catalog, clock, groups } = setUp('journal')
  await groups.heartbeat(
    { groupId: 'g', memberId: 'm', memberEpoch: 0 },
    { ...call, subscription: { pattern: 'ord.*' }, owned: [], rebalanceTimeoutMs: 1_000 },
  )
  await groups.close()
  // As an earlier version with other limits may have left it.
  const written = journal.entries.splice(0)
  for (const { kind, payload } of written) {
    const text = Buffer.from(payload).toString('latin1').replace('ord.*', 'ord.(')
    journal.entries.push({ kind, payload: Buffer.from(text, 'latin1') })
  }
  const restored = new GroupCoordinator({
    journal,
    catalog,
    clock,
    logger: silentLogger,
    members: 'journal',
  })
  journal.replay(restored.machines)
  restored.open()
  catalog.create('orders-2', 1)
  const { members } = await restored.describe('g', call)
  assert.deepEqual(
    members.map(({ memberId, target }) => [memberId, target]),
    [['m', []]],
  )
  await restored.close()
})

test('an answer that rests on a change waits until the change is durable', async () => {
  const { groups, journal } = setUp()
  const events: string[] = []
  const write = groups.commit({ groupId: 'g' }, [{ tp: p(0), offset: 1 }], call)
  const durable = journal.settled().then(() => events.push('durable'))
  const read = groups.committed({ groupId: 'g' }, [p(0)], call).then(([found]) => {
    events.push(`read ${found?.offset}`)
  })
  await Promise.all([write, durable, read])
  assert.deepEqual(events, ['durable', 'read 1'])
})

test('a transaction checks and stages commits in its own frame', async () => {
  const fixture = setUp()
  const { groups, journal } = fixture
  const commits = [{ tp: p(0), offset: 4 }]
  assert.equal(groups.checkCommit({ groupId: 'g' }, commits), undefined)
  const entry = groups.stageCommit({ groupId: 'g' }, commits)
  assert.equal(entry.kind, entryKinds.OFFSETS)
  assert.equal(journal.entries.length, 0, 'the caller writes it')
  assert.equal((await groups.committed({ groupId: 'g' }, [p(0)], call))[0]?.offset, 4)
  await join(fixture, 'm1')
  assert.equal(groups.checkCommit({ groupId: 'g' }, commits)?.code, 'GROUP_NOT_EMPTY')
  assert.equal(groups.checkCommit(fence('m1', 1), commits), undefined)
  assert.equal(groups.checkCommit(fence('m1', 0), commits)?.code, 'STALE_MEMBER_EPOCH')
})

test('a commit that no journal frame could hold is refused before anything is kept', async () => {
  const { groups } = setUp()
  const metadata = 'm'.repeat(4096)
  const many = Array.from({ length: 4_000 }, () => ({ tp: p(0), offset: 1, metadata }))
  await assert.rejects(
    groups.commit({ groupId: 'g' }, many, call),
    (error) => error instanceof GatewayError && error.code === 'BODY_TOO_LARGE',
  )
  assert.deepEqual(await groups.committed({ groupId: 'g' }, 'all', call), [])
})

test('bad calls are refused with what is wrong', async () => {
  const { groups } = setUp()
  const refused = (member: Member, options: HeartbeatOptions): Promise<void> =>
    assert.rejects(groups.heartbeat(member, options), has('INVALID_REQUEST'))
  await refused(fence('m1', 0), call)
  await refused(fence('m1', -1), full())
  await refused(fence('', 0), full())
  await refused({ ...fence('m1', 0), groupId: '' }, full())
  await refused(fence('m1', 0), full([p(0)]))
  await refused(fence('m1', 0), { ...full(), rebalanceTimeoutMs: 0 })
  await refused(fence('m1', 0), { ...full(), subscription: { topics: ['a/b'] } })
  assert.deepEqual(await groups.list(call), [])
})
