import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { EmbeddedEngine } from '../../../../src/engine/embedded/embedded-engine.ts'
import { openTestEngine } from '../../../support/engine.ts'
import { HeldDisk } from '../../../support/held-disk.ts'
import { ManualClock } from '../../../support/manual-clock.ts'
import {
  append,
  call,
  code,
  fetch,
  newTopic,
  tp,
  turnsUntil,
} from '../../../support/one-partition.ts'
import { seededRandom } from '../../../support/seeded-random.ts'
import {
  allValues,
  bases,
  coverAll,
  everyBatchASegment,
  journalSizes,
  pass,
  segmentFiles,
} from '../../../support/segment-files.ts'
import { SimDisk } from '../../../support/sim-disk.ts'

async function deleteBefore(engine: EmbeddedEngine, before: number): Promise<void> {
  const [outcome] = await engine.log.deleteRecords([{ tp, before }], call)
  if (outcome!.error !== undefined) throw outcome!.error
}

async function withRecords(
  count: number,
  config: Record<string, string> = {},
  disk = new SimDisk(),
) {
  const clock = new ManualClock(Date.now())
  const opened = await openTestEngine({ disk, clock, journalSizes })
  await newTopic(opened.engine, { ...everyBatchASegment, ...config })
  for (let i = 0; i < count; i++) await append(opened.engine, `record ${i}`)
  return { ...opened, disk, clock }
}

describe('segments below a log start', () => {
  test('lose their names first and their bytes after the delay of the topic', async () => {
    const { engine, disk, clock, close } = await withRecords(6, { 'file.delete.delay.ms': '20000' })
    await pass(clock, 6_000)
    assert.deepEqual(bases(disk), [0, 1, 2, 3, 4, 5])
    await deleteBefore(engine, 4)
    await pass(clock, 8_000)
    assert.deepEqual(bases(disk), [4, 5])
    assert.deepEqual(bases(disk, '.log.deleted'), [0, 1, 2, 3])
    await pass(clock, 22_000)
    assert.deepEqual(
      segmentFiles(disk).filter((name) => name.endsWith('.deleted')),
      [],
    )
    assert.deepEqual(await allValues(engine, 4), ['record 4', 'record 5'])
    await close()
  })

  test('go when they are closed after the log start had passed them', async () => {
    const { engine, disk, clock, close } = await withRecords(5, { 'segment.bytes': '400' })
    await deleteBefore(engine, 5)
    await pass(clock, 8_000)
    for (let i = 5; i < 12; i++) await append(engine, `record ${i}`)
    await pass(clock, 20_000)
    assert.ok(!bases(disk).includes(0), `segments ${bases(disk).join(', ')}`)
    await close()
  })

  test('count no more in the size of the partition', async () => {
    const { engine, clock, close } = await withRecords(6)
    await pass(clock, 6_000)
    const sizeOf = async () => (await engine.topics.list(['t'], call))[0]!.partitions[0]!.bytes!
    const before = await sizeOf()
    await deleteBefore(engine, 3)
    await pass(clock, 8_000)
    assert.equal(await sizeOf(), before / 2)
    await close()
  })

  test('stay as long as the older snapshot could replay into them', async () => {
    const { engine, disk, close } = await withRecords(6)
    await deleteBefore(engine, 5)
    // Of two snapshots the older one stands before the first record.
    await engine.checkpoint()
    assert.deepEqual(bases(disk), [0, 1, 2, 3, 4, 5])
    await engine.checkpoint()
    await turnsUntil(() => bases(disk).length === 1)
    assert.deepEqual(bases(disk), [5])
    await close()
  })

  test('go without new traffic: checkpoints are made for them, and then no more', async () => {
    const { engine, disk, clock, close } = await withRecords(3)
    await deleteBefore(engine, 3)
    await pass(clock, 10_000)
    assert.deepEqual(bases(disk), [2], 'the newest segment stays')
    const before = disk.operations
    await pass(clock, 10_000)
    const snapshots = disk.operations - before
    assert.ok(snapshots < 30, `${snapshots} operations while nothing happens`)
    await close()
  })

  test('are found again by a start, and what was renamed is unlinked', async () => {
    const { engine, disk, clock, close } = await withRecords(6)
    await pass(clock, 8_000)
    await deleteBefore(engine, 3)
    await pass(clock, 8_000)
    assert.deepEqual(bases(disk, '.log.deleted'), [0, 1, 2])
    await deleteBefore(engine, 5)
    await close()
    const again = await openTestEngine({ disk, clock, journalSizes })
    assert.deepEqual(
      segmentFiles(disk).filter((name) => name.endsWith('.deleted')),
      [],
    )
    await pass(clock, 8_000)
    assert.deepEqual(bases(disk), [5])
    assert.deepEqual(await allValues(again.engine, 5), ['record 5'])
    await again.close()
  })
})

describe('readers of segments that go', () => {
  test('finish what they began, and those behind are told where the log starts', async () => {
    const disk = new HeldDisk()
    const clock = new ManualClock(Date.now())
    const { engine, close } = await openTestEngine({ disk, clock, hotTailBytes: 0 })
    await newTopic(engine, everyBatchASegment)
    for (let i = 0; i < 6; i++) await append(engine, `record ${i}`)
    await coverAll(engine)
    disk.isHeld = (what, path) => what === 'read' && path.endsWith('00.log')
    const reading = fetch(engine, 0)
    await turnsUntil(() => disk.held.length > 0)
    await deleteBefore(engine, 4)
    await pass(clock, 2_000)
    assert.deepEqual(bases(disk), [0, 1, 2, 3, 4, 5], 'renamed under the eyes of a reader')
    const { error, logStart } = await fetch(engine, 1)
    assert.equal(error?.code, 'OFFSET_OUT_OF_RANGE')
    assert.equal(logStart, 4)
    disk.letGo()
    assert.equal((await reading).batches.length, 1)
    await turnsUntil(() => bases(disk).length === 2)
    await close()
  })
})

describe('a topic deleted while its segments go', () => {
  test('leaves the files of its namesake alone', async () => {
    const disk = new HeldDisk()
    const { engine, clock, close } = await withRecords(6, {}, disk)
    await coverAll(engine)
    disk.isHeld = (what, path) => what === 'rename' && path.startsWith('logs/t-0/')
    await deleteBefore(engine, 5)
    await turnsUntil(() => disk.held.length > 0)
    const deleting = engine.topics.delete(['t'], call)
    await turnsUntil(() => engine.topics.known('t') === undefined)
    disk.letGo()
    await deleting
    await newTopic(engine, everyBatchASegment)
    for (let i = 0; i < 6; i++) await append(engine, `namesake ${i}`)
    await pass(clock, 70_000)
    assert.deepEqual(bases(disk), [0, 1, 2, 3, 4, 5])
    assert.equal((await allValues(engine, 0)).length, 6)
    await close()
  })
})

describe('a crash at any operation of a removal', () => {
  /** Runs a removal and ends it at operation `at` from its beginning; false: it ended before. */
  async function crashAt(at: number, how: 'crash' | 'kill'): Promise<boolean> {
    const { engine, disk, clock } = await withRecords(8, { 'file.delete.delay.ms': '2000' })
    await coverAll(engine)
    const from = disk.operations
    let isOver = false
    disk.onOperation = () => {
      if (disk.operations !== from + at) return
      isOver = true
      disk[how](seededRandom(at))
    }
    let isAcked = false
    const deleting = deleteBefore(engine, 5).then(() => (isAcked = true))
    deleting.catch(() => undefined)
    for (let seconds = 0; seconds < 4 && !isOver; seconds++) await pass(clock, 1_000)
    disk.onOperation = undefined
    if (!isOver) return false

    const after = new ManualClock(Date.now())
    const again = await openTestEngine({ disk, clock: after, journalSizes })
    const [start] = await again.engine.log.offsets([{ tp, at: 'earliest' }], call)
    assert.ok(
      start!.offset === 5 || (!isAcked && start!.offset === 0),
      `log start ${start!.offset}`,
    )
    const expected = Array.from(
      { length: 8 - start!.offset },
      (_, i) => `record ${i + start!.offset}`,
    )
    assert.deepEqual(await allValues(again.engine, start!.offset), expected)
    await append(again.engine, 'after')
    await coverAll(again.engine)
    await pass(after, 3_000)
    const kept = bases(disk)
    assert.equal(kept[0], start!.offset)
    const strays = segmentFiles(disk).filter((name) => {
      return name.endsWith('.deleted') || parseInt(name, 10) < start!.offset
    })
    assert.deepEqual(strays, [], `crash at operation ${at}`)
    await again.close()
    return true
  }

  for (const how of ['crash', 'kill'] as const) {
    test(`(${how}) takes nothing above the log start and leaves nothing below it`, async (t) => {
      let at = 1
      while (await crashAt(at, how)) at++
      assert.ok(at > 20, `only ${at} operations`)
      t.diagnostic(`${at - 1} operations`)
    })
  }
})

describe('a fall back to the older snapshot', () => {
  test('finds every file it needs, whatever was removed since', async () => {
    const { engine, disk, clock } = await withRecords(6)
    await pass(clock, 8_000)
    await deleteBefore(engine, 4)
    await pass(clock, 70_000)
    for (let i = 6; i < 9; i++) await append(engine, `record ${i}`)
    await deleteBefore(engine, 7)
    await engine.checkpoint()
    await pass(clock, 3_000)
    const snapshots = [...disk.files().keys()].filter((path) => path.endsWith('.snapshot')).sort()
    assert.equal(snapshots.length, 2)
    disk.crash(() => 0.99)
    disk.damage(snapshots[1]!, 50, Buffer.from('damage'))
    const again = await openTestEngine({ disk, clock, journalSizes })
    assert.equal(again.engine.health().state, 'ok')
    await assert.rejects(allValues(again.engine, 6), code('OFFSET_OUT_OF_RANGE'))
    assert.deepEqual(await allValues(again.engine, 7), ['record 7', 'record 8'])
    await again.close()
  })
})
