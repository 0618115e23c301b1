import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { GroupAdmin } from '../../src/admin/groups.ts'
import { writeBatch } from '../../src/model/batch-writer.ts'
import { GatewayError } from '../../src/model/errors.ts'
import { anonymous } from '../../src/model/principal.ts'
import { openTestEngine } from '../support/engine.ts'

const opened = await openTestEngine()
after(() => opened.close())
const { engine } = opened
const admin = new GroupAdmin(engine)
const call = { timeoutMs: 1_000 }

test('a group shows its members, what it has committed and how far it is behind', async () => {
  await engine.topics.create([{ name: 'orders', partitions: 2 }], call)
  const record = { key: null, value: Buffer.from('x'), headers: [] }
  const batch = writeBatch([record, record, record], 1)
  await engine.log.append([{ tp: { topic: 'orders', partition: 1 }, batch }], call)
  const commit = { tp: { topic: 'orders', partition: 1 }, offset: 1 }
  await engine.groups.commit({ groupId: 'billing' }, [commit], call)

  assert.deepEqual(await admin.list(anonymous), [
    { groupId: 'billing', type: 'CONSUMER', state: 'EMPTY' },
  ])
  assert.deepEqual(await admin.lags(anonymous, 'billing'), [
    { topic: 'orders', partition: 1, committed: 1, end: 3, lag: 2 },
  ])

  const member = { groupId: 'billing', memberId: 'm1', memberEpoch: 0 }
  const joined = { subscription: { topics: ['orders'] }, owned: [], rebalanceTimeoutMs: 1_000 }
  await engine.groups.heartbeat(member, { ...call, ...joined })
  const { members } = await admin.describe(anonymous, 'billing')
  assert.deepEqual(
    members.map(({ memberId, assignment }) => [memberId, assignment.length]),
    [['m1', 2]],
  )
})

test('a commit beyond the end is no negative lag', async () => {
  const commit = { tp: { topic: 'orders', partition: 0 }, offset: 7 }
  await engine.groups.commit({ groupId: 'ahead' }, [commit], call)
  const [lag] = await admin.lags(anonymous, 'ahead')
  assert.deepEqual([lag?.committed, lag?.end, lag?.lag], [7, 0, 0])
})

test('a group nobody knows is UNKNOWN_GROUP', async () => {
  for (const ask of [admin.describe(anonymous, 'no'), admin.lags(anonymous, 'no')]) {
    await assert.rejects(
      ask,
      (error) => error instanceof GatewayError && error.code === 'UNKNOWN_GROUP',
    )
  }
})
