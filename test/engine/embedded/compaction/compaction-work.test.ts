/** What happens to the log while compaction looks for something to do. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { compactedConfig, put, readAll, settle } from '../../../support/compacted-topic.ts'
import { openTestEngine } from '../../../support/engine.ts'
import { HeldDisk } from '../../../support/held-disk.ts'
import { ManualClock } from '../../../support/manual-clock.ts'
import { call, newTopic, tp, turnsUntil } from '../../../support/one-partition.ts'
import type { SimDisk } from '../../../support/sim-disk.ts'

/** An engine that was started anew, so that what its sealed segments hold must be read from files. */
async function restarted(
  disk: SimDisk,
  config: Record<string, string> = {},
  journalSizes = { firstFileBytes: 20 * 1024 * 1024, fileBytes: 20 * 1024 * 1024 },
) {
  const clock = new ManualClock()
  const failures: unknown[] = []
  const open = () =>
    openTestEngine({
      clock,
      disk,
      hotTailBytes: 0,
      journalSizes,
      compactionBytesPerSecond: Infinity,
      onFatal: (cause) => void failures.push(cause),
    })
  const first = await open()
  await newTopic(first.engine, { ...compactedConfig, ...config })
  for (let i = 0; i < 40; i++) {
    await put(first.engine, [[`k${i % 4}`, `${i}`.padEnd(60)]], clock.wallMs())
  }
  await settle(first.engine)
  await first.close()
  const { engine, close } = await open()
  await settle(engine)
  return { engine, close, failures, clock }
}

describe('while compaction looks for work', () => {
  test('a topic may be deleted', async () => {
    const disk = new HeldDisk()
    const { engine, close, failures } = await restarted(disk)
    disk.isHeld = (what, path) => what === 'read' && path.startsWith('logs/t-0/')
    const compacting = engine.compact()
    await turnsUntil(() => disk.held.length > 0)
    const deleting = engine.topics.delete(['t'], call)
    for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve))
    disk.letGo()
    await Promise.all([compacting, deleting])
    assert.deepEqual(failures, [])
    assert.equal(engine.health().state, 'ok')
    await close()
  })

  test('segments may go below a log start', async () => {
    const disk = new HeldDisk()
    const { engine, close, failures } = await restarted(disk, { 'max.compaction.lag.ms': '1' })
    disk.isHeld = (what, path) => what === 'read' && path.startsWith('logs/t-0/')
    const compacting = engine.compact()
    await turnsUntil(() => disk.held.length > 0)
    const first = disk.held.splice(0)
    const trimming = engine.log.deleteRecords([{ tp, before: 36 }], call)
    for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve))
    disk.isHeld = () => false
    for (const run of first) run()
    await Promise.all([compacting, trimming])
    assert.deepEqual(failures, [])
    assert.equal((await readAll(engine, 36)).length, 4)
    await close()
  })

  test('nothing begins that a journal without room could not note', async () => {
    const disk = new HeldDisk()
    const MiB = 1024 * 1024
    const journalSizes = { firstFileBytes: MiB, fileBytes: MiB }
    const { engine, close, failures } = await restarted(disk, {}, journalSizes)
    const [made] = await engine.topics.create([{ name: 'u', partitions: 1 }], call)
    assert.equal(made!.error, undefined)
    await put(engine, [['k', 'v']], 1, 'none', { topic: 'u', partition: 0 })
    // A checkpoint that cannot end: the journal is not used again, and fills.
    disk.isHeld = (what, path) => what === 'sync' && path.startsWith('logs/u-0/')
    const checkpoint = engine.checkpoint()
    await turnsUntil(() => disk.held.length > 0)
    for (const metadata of ['m'.repeat(4000), '']) {
      const commit = () =>
        engine.groups.commit({ groupId: 'g' }, [{ tp, offset: 1, metadata }], call)
      for (let isTaken = true, i = 0; isTaken; i++) {
        assert.ok(i < 3000, 'the journal took everything')
        const outcomes = await Promise.allSettled(Array.from({ length: 40 }, commit))
        isTaken = outcomes.every(({ status }) => status === 'fulfilled')
      }
    }
    await engine.compact()
    assert.equal((await readAll(engine)).length, 40)
    disk.letGo()
    await checkpoint
    assert.deepEqual(failures, [])
    await settle(engine)
    await engine.compact()
    assert.ok((await readAll(engine)).length < 20)
    await close()
  })

  test('a disk that refuses to read an index stops neither appends nor other topics', async () => {
    const disk = new HeldDisk()
    const { engine, close, failures } = await restarted(disk)
    disk.faults.read = (path) => (path.endsWith('.timeindex') ? 'EIO' : undefined)
    await engine.compact()
    assert.deepEqual(failures, [])
    await put(engine, [['k', 'v']], 1)
    disk.faults.read = () => undefined
    await engine.compact()
    await close()
  })
})
