/** Committed offsets of groups that nobody uses any more go, and never early. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { EmbeddedEngine } from '../../../../src/engine/embedded/embedded-engine.ts'
import { openTestEngine } from '../../../support/engine.ts'
import { ManualClock } from '../../../support/manual-clock.ts'
import { call, newTopic, tp } from '../../../support/one-partition.ts'
import { SimDisk } from '../../../support/sim-disk.ts'

const hourMs = 3_600_000
const dayMs = 24 * hourMs
const tenYearsMs = 3_652 * dayMs
const member = (memberEpoch: number) => ({ groupId: 'g', memberId: 'm', memberEpoch })

async function commit(engine: EmbeddedEngine, offset: number, epoch?: number): Promise<void> {
  const ref = epoch === undefined ? { groupId: 'g' } : member(epoch)
  const [result] = await engine.groups.commit(ref, [{ tp, offset }], call)
  if (result!.error !== undefined) throw result!.error
}

async function committed(engine: EmbeddedEngine): Promise<number | undefined> {
  return (await engine.groups.committed({ groupId: 'g' }, [tp], call))[0]?.offset
}

async function join(engine: EmbeddedEngine, topics: readonly string[]): Promise<number> {
  const options = { ...call, subscription: { topics }, rebalanceTimeoutMs: 30_000, owned: [] }
  return (await engine.groups.heartbeat(member(0), options)).memberEpoch
}

/** Lets service go on for so long; whoever is a member sends its heartbeats. */
async function serve(clock: ManualClock, ms: number, beat?: () => Promise<unknown>) {
  const stepMs = beat === undefined ? 10 * 60_000 : 40_000
  for (let left = ms; left > 0; left -= stepMs) {
    await beat?.()
    clock.advance(Math.min(left, stepMs))
    for (let turn = 0; turn < 6; turn++) await new Promise((resolve) => setImmediate(resolve))
  }
}

async function opened(disk = new SimDisk(), clock = new ManualClock()) {
  const { engine, close } = await openTestEngine({ disk, clock })
  return { engine, close, disk, clock }
}

describe('offsets of a group without members', () => {
  test('go seven days after the last commit, each by itself', async () => {
    const { engine, clock, close } = await opened()
    await engine.topics.create([{ name: 't', partitions: 2 }], call)
    await commit(engine, 5)
    await serve(clock, 3 * dayMs)
    await engine.groups.commit(
      { groupId: 'g' },
      [{ tp: { topic: 't', partition: 1 }, offset: 9 }],
      call,
    )
    await serve(clock, 4 * dayMs - hourMs)
    assert.equal(await committed(engine), 5)
    await serve(clock, 2 * hourMs)
    assert.equal(await committed(engine), undefined)
    const left = await engine.groups.committed({ groupId: 'g' }, 'all', call)
    assert.deepEqual(
      left.map(({ tp: { partition }, offset }) => [partition, offset]),
      [[1, 9]],
    )
    await serve(clock, 3 * dayMs)
    assert.deepEqual(await engine.groups.list(call), [])
    await close()
  })

  test('survive a clock that is ten years ahead or behind, and a stop of any length', async () => {
    for (const jumpMs of [tenYearsMs, -tenYearsMs]) {
      const { engine, clock, disk, close } = await opened()
      await newTopic(engine)
      await commit(engine, 5)
      clock.jumpWall(jumpMs)
      await serve(clock, dayMs)
      assert.equal(await committed(engine), 5)
      await close()
      // The next process begins its monotonic clock anew, at another date.
      const later = new ManualClock(clock.wallMs() + jumpMs)
      const again = await opened(disk, later)
      await serve(later, 6 * dayMs - hourMs)
      assert.equal(await committed(again.engine), 5)
      await serve(later, 2 * hourMs)
      assert.equal(await committed(again.engine), undefined)
      await again.close()
    }
  })

  test('stay gone after a kill', async () => {
    const { engine, clock, disk, close } = await opened()
    await newTopic(engine)
    await commit(engine, 5)
    await engine.checkpoint()
    await serve(clock, 7 * dayMs + hourMs)
    assert.equal(await committed(engine), undefined)
    const again = await opened(disk.clone())
    assert.equal(await committed(again.engine), undefined)
    await again.close()
    await close()
  })
})

describe('offsets of a group with members', () => {
  test('stay while a member reads the topic, and count from the end of the last one', async () => {
    const { engine, clock, close } = await opened()
    await newTopic(engine)
    const epoch = await join(engine, ['t'])
    await commit(engine, 5, epoch)
    await serve(clock, 8 * dayMs, () => engine.groups.heartbeat(member(epoch), call))
    assert.equal(await committed(engine), 5)
    await engine.groups.leave(member(epoch), call)
    await serve(clock, 7 * dayMs - hourMs)
    assert.equal(await committed(engine), 5)
    await serve(clock, 2 * hourMs)
    assert.equal(await committed(engine), undefined)
    await close()
  })

  test('go when no member reads their topic any more', async () => {
    const { engine, clock, close } = await opened()
    await newTopic(engine)
    await engine.topics.create([{ name: 'other', partitions: 1 }], call)
    await commit(engine, 5)
    const epoch = await join(engine, ['other'])
    await serve(clock, 7 * dayMs + hourMs, () => engine.groups.heartbeat(member(epoch), call))
    assert.equal(await committed(engine), undefined)
    await close()
  })

  test('count from the restart when the members ended with their process', async () => {
    const { engine, clock, disk, close } = await opened()
    await newTopic(engine)
    const epoch = await join(engine, ['t'])
    await commit(engine, 5, epoch)
    await serve(clock, 6 * dayMs, () => engine.groups.heartbeat(member(epoch), call))
    const killed = disk.clone()
    await close()
    const later = new ManualClock()
    const again = await opened(killed, later)
    await serve(later, 7 * dayMs - hourMs)
    assert.equal(await committed(again.engine), 5)
    await serve(later, 2 * hourMs)
    assert.equal(await committed(again.engine), undefined)
    await again.close()
  })

  test('who joins and leaves again starts the seven days anew', async () => {
    const { engine, clock, close } = await opened()
    await newTopic(engine)
    const epoch = await join(engine, ['t'])
    await commit(engine, 5, epoch)
    await serve(clock, hourMs)
    assert.equal((await engine.groups.describe('g', call)).state, 'EMPTY')
    await serve(clock, 6 * dayMs)
    const back = await join(engine, ['t'])
    await engine.groups.leave(member(back), call)
    await serve(clock, 6 * dayMs)
    assert.equal(await committed(engine), 5)
    await serve(clock, 2 * dayMs)
    assert.equal(await committed(engine), undefined)
    await close()
  })
})
