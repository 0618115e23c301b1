import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { readRecords } from '../../../../src/model/batch-reader.ts'
import { writeBatch } from '../../../../src/model/batch-writer.ts'
import { baseOffsetOf, deleteHorizonOf, lastOffsetOf } from '../../../../src/model/record-batch.ts'
import type { Write } from '../../../support/compacted-topic.ts'
import { compactedConfig, newest, put, readAll, settle } from '../../../support/compacted-topic.ts'
import { openTestEngine } from '../../../support/engine.ts'
import { HeldDisk } from '../../../support/held-disk.ts'
import { ManualClock } from '../../../support/manual-clock.ts'
import { call, code, fetch, newTopic, tp, turnsUntil } from '../../../support/one-partition.ts'
import { SimDisk } from '../../../support/sim-disk.ts'

const hour = 3_600_000
const day = 24 * hour

interface Options {
  readonly disk?: SimDisk
  readonly mapBytes?: number
  readonly hotTailBytes?: number
}

async function opened(config: Record<string, string> = {}, options: Options = {}) {
  const clock = new ManualClock()
  const { disk = new SimDisk(), mapBytes, hotTailBytes = 0 } = options
  const open = () =>
    openTestEngine({
      clock,
      disk,
      hotTailBytes,
      compactionBytesPerSecond: Infinity,
      ...(mapBytes === undefined ? {} : { compactionMapBytes: mapBytes }),
    })
  const { engine, close } = await open()
  await newTopic(engine, { ...compactedConfig, ...config })
  const write = (writes: readonly Write[]) => put(engine, writes, clock.wallMs())
  /** Fills the active segment, so that what was written before is in sealed ones. */
  const roll = async () => {
    for (let i = 0; i < 12; i++) await write([['filler', `${i}`.padEnd(60)]])
    await settle(engine)
  }
  return { engine, clock, disk, close, open, write, roll }
}

const logs = (disk: SimDisk): string[] =>
  [...disk.files().keys()].filter((path) => /^logs\/t-0\/.*\.log$/.test(path)).sort()

describe('log compaction', () => {
  test('of each key the newest record stays, at its offset and with its time', async () => {
    const { engine, clock, disk, close, write } = await opened()
    for (let i = 0; i < 40; i++) {
      clock.advance(10)
      await write([[`k${i % 4}`, `${i}`.padEnd(60)]])
    }
    await settle(engine)
    const before = await readAll(engine)
    const segments = logs(disk).length
    await engine.compact()
    const after = await readAll(engine)
    assert.deepEqual(newest(after), newest(before))
    assert.ok(after.length < 12, `${after.length} records`)
    for (const record of after) assert.deepEqual(record, before[record.offset])
    // Small neighbours were merged.
    assert.ok(logs(disk).length < segments / 2, `${logs(disk).length} of ${segments} segments`)
    await close()
  })

  test('a read from any offset gives what stays from there on, also after a restart', async () => {
    const { engine, close, open, write } = await opened()
    for (let i = 0; i < 30; i++) await write([[`k${i % 5}`, `${i}`.padEnd(60)]])
    await settle(engine)
    await engine.compact()
    const all = await readAll(engine)
    for (let from = 0; from < 30; from++) {
      for (const bytesMax of [1, 400]) {
        const expected = all.filter(({ offset }) => offset >= from)
        assert.deepEqual(await readAll(engine, from, bytesMax), expected)
      }
    }
    await close()
    const again = await open()
    assert.deepEqual(await readAll(again.engine), all)
    await again.close()
  })

  test('what is still appended to is left alone', async () => {
    const { engine, close, write } = await opened({ 'segment.bytes': '100000' })
    for (let i = 0; i < 20; i++) await write([['k', `${i}`]])
    await settle(engine)
    await engine.compact()
    assert.equal((await readAll(engine)).length, 20)
    await close()
  })

  test('nothing is compacted that a fall back to the older snapshot would replay', async () => {
    const { engine, close, write } = await opened()
    for (let i = 0; i < 30; i++) await write([['k', `${i}`.padEnd(60)]])
    await engine.checkpoint()
    await engine.compact()
    assert.equal((await readAll(engine)).length, 30)
    await engine.checkpoint()
    await engine.compact()
    assert.ok((await readAll(engine)).length < 10)
    await close()
  })

  test('batches keep their codec, and records inside them may be missing', async () => {
    const { engine, clock, close, roll } = await opened()
    for (const codec of ['gzip', 'zstd', 'none'] as const) {
      const writes = Array.from({ length: 10 }, (_, i): Write => [`${codec}${i % 3}`, `${i}`])
      await put(engine, writes, clock.wallMs(), codec)
    }
    await roll()
    const before = newest(await readAll(engine))
    await engine.compact()
    const after = await readAll(engine)
    assert.deepEqual(newest(after), before)
    assert.deepEqual(
      after.filter(({ key }) => key !== 'filler').map(({ offset }) => offset),
      [7, 8, 9, 17, 18, 19, 27, 28, 29],
    )
    await close()
  })

  test('a small map of keys takes more rounds and comes to the same end', async () => {
    const { engine, close, write } = await opened({}, { mapBytes: 24 * 6 })
    for (let i = 0; i < 60; i++) await write([[`k${i % 13}`, `${i}`.padEnd(60)]])
    await settle(engine)
    const before = newest(await readAll(engine))
    await engine.compact()
    const after = await readAll(engine)
    assert.deepEqual(newest(after), before)
    assert.ok(after.length < 45, `${after.length} records`)
    await close()
  })
})

describe('when a log is compacted', () => {
  test('not before enough of it is new', async () => {
    const { engine, close, write, roll } = await opened({ 'min.cleanable.dirty.ratio': '0.9' })
    for (let i = 0; i < 30; i++) await write([[`k${i}`, 'first'.padEnd(60)]])
    await roll()
    await engine.compact()
    for (let i = 0; i < 10; i++) await write([[`k${i}`, 'second'.padEnd(60)]])
    await roll()
    await engine.compact()
    const old = (await readAll(engine)).filter(({ key, value }) => key === 'k0' && value !== null)
    assert.equal(old.length, 2)
    await close()
  })

  test('not before min.compaction.lag.ms, whatever else', async () => {
    const { engine, clock, close, write, roll } = await opened({
      'min.compaction.lag.ms': String(hour),
    })
    await write([['k', 'first']])
    await write([['k', 'second']])
    await roll()
    await engine.compact()
    clock.jumpWall(10 * 365 * day)
    await engine.compact()
    clock.jumpWall(-10 * 365 * day)
    assert.equal((await readAll(engine)).filter(({ key }) => key === 'k').length, 2)
    clock.advance(hour + 1)
    await engine.compact()
    assert.equal((await readAll(engine)).filter(({ key }) => key === 'k').length, 1)
    await close()
  })

  test('after max.compaction.lag.ms, however little is new', async () => {
    const { engine, clock, close, open, write, roll } = await opened({
      'min.cleanable.dirty.ratio': '1',
      'max.compaction.lag.ms': String(hour),
    })
    for (let i = 0; i < 30; i++) await write([[`k${i}`, 'first'.padEnd(60)]])
    await roll()
    await engine.compact()
    await write([['k0', 'second']])
    await roll()
    await engine.compact()
    const k0 = async () => (await readAll(engine)).filter(({ key }) => key === 'k0').length
    assert.equal(await k0(), 2)
    clock.advance(hour + 1)
    await engine.compact()
    assert.equal(await k0(), 1)
    await close()
    // The first times of segments are not in memory after a start.
    const again = await open()
    await put(again.engine, [['k0', 'third']], clock.wallMs())
    for (let i = 0; i < 12; i++) await put(again.engine, [['f', `${i}`.padEnd(60)]], clock.wallMs())
    await settle(again.engine)
    clock.advance(hour + 1)
    await again.engine.compact()
    const left = (await readAll(again.engine)).filter(({ key }) => key === 'k0')
    assert.deepEqual(
      left.map(({ value }) => value),
      ['third'],
    )
    await again.close()
  })

  test('by itself, and no faster than its pace', async () => {
    const clock = new ManualClock()
    const { engine, close } = await openTestEngine({
      clock,
      hotTailBytes: 0,
      compactionBytesPerSecond: 1000,
    })
    await newTopic(engine, compactedConfig)
    for (let i = 0; i < 30; i++) await put(engine, [['k', `${i}`.padEnd(60)]], clock.wallMs())
    await settle(engine)
    const count = async () => (await readAll(engine)).length
    const pass = async (seconds: number) => {
      for (let i = 0; i < seconds; i++) {
        clock.advance(1000)
        for (let turns = 0; turns < 30; turns++) await new Promise((go) => setImmediate(go))
      }
    }
    await pass(16)
    assert.equal(await count(), 30)
    await pass(20)
    assert.ok((await count()) < 10, `${await count()} records`)
    await close()
  })
})

describe('tombstones', () => {
  test('are shown for delete.retention.ms of service after their compaction, then they go', async () => {
    const { engine, clock, close, open, write, roll } = await opened({
      'delete.retention.ms': String(day),
    })
    await write([['gone', 'value']])
    await write([['gone', null]])
    await roll()
    await engine.compact()
    const found = async (one = engine) =>
      (await readAll(one)).filter(({ key }) => key === 'gone').map(({ offset }) => offset)
    assert.deepEqual(await found(), [1])
    const { batches } = await fetch(engine, 1)
    assert.equal(deleteHorizonOf(batches[0]!), clock.wallMs() + day)
    assert.equal(readRecords(batches[0]!)[0]!.timestamp, clock.wallMs())
    // A wall clock that jumps takes nothing early.
    clock.jumpWall(1000 * day)
    await engine.compact()
    assert.deepEqual(await found(), [1])
    clock.jumpWall(-1000 * day)
    clock.advance(day - 1)
    await engine.compact()
    assert.deepEqual(await found(), [1])
    await close()
    const again = await open()
    clock.advance(2)
    await settle(again.engine)
    await again.engine.compact()
    assert.deepEqual(await found(again.engine), [])
    await again.close()
  })

  test('stay while a batch below them cannot be judged', async () => {
    const { clock, disk, close, open, write, roll } = await opened({
      'delete.retention.ms': '0',
    })
    await write([['gone', 'value']])
    await roll()
    await write([['gone', null]])
    await roll()
    await close()
    // The segment of the value is damaged: nobody knows which keys it holds.
    disk.damage('logs/t-0/00000000000000000000.log', 70, Buffer.from('damage'))
    const again = await open()
    await settle(again.engine)
    for (let round = 0; round < 3; round++) {
      clock.advance(2 * day)
      await again.engine.compact()
    }
    const { error, next } = await fetch(again.engine, 0)
    assert.equal(error?.code, 'CORRUPT_BATCH')
    const rest = await readAll(again.engine, next)
    assert.deepEqual(
      rest.filter(({ key }) => key === 'gone').map(({ value }) => value),
      [null],
    )
    await again.close()
  })
})

describe('readers of a log that is compacted', () => {
  test('inside an old segment finish there, and others go on in the new one', async () => {
    const disk = new HeldDisk()
    const { engine, close, write } = await opened({}, { disk })
    for (let i = 0; i < 30; i++) await write([[`k${i % 3}`, `${i}`.padEnd(60)]])
    await settle(engine)
    const all = await readAll(engine)
    const first = logs(disk)[0]!
    disk.isHeld = (what, path) => what === 'read' && path === first
    const reading = fetch(engine, 0, 1)
    await turnsUntil(() => disk.held.length === 1)
    const [held] = disk.held.splice(0)
    disk.isHeld = () => false
    let isDone = false
    const compacting = engine.compact().then(() => (isDone = true))
    for (let turns = 0; turns < 3000; turns++) await new Promise((go) => setImmediate(go))
    assert.equal(isDone, false)
    const now = await readAll(engine)
    assert.deepEqual(newest(now), newest(all))
    held!()
    const { batches, error } = await reading
    assert.equal(error, undefined)
    assert.equal(baseOffsetOf(batches[0]!), 0)
    await compacting
    assert.deepEqual(newest(await readAll(engine)), newest(all))
    await close()
  })

  test('find records by time, and the newest one, whether it is in memory or not', async () => {
    for (const hotTailBytes of [0, 1_000_000]) {
      const { engine, clock, close } = await opened({}, { hotTailBytes })
      const startMs = clock.wallMs()
      for (let i = 0; i < 30; i++) {
        // The newest by time stands in the middle, before a hole.
        await put(
          engine,
          [[i === 5 ? 'peak' : `k${i % 3}`, `${i}`.padEnd(60)]],
          startMs + (i === 5 ? 500 : i),
        )
      }
      await settle(engine)
      await engine.compact()
      const [max] = await engine.log.offsets([{ tp, at: 'max_timestamp' }], call)
      assert.deepEqual([max!.offset, max!.timestamp], [5, startMs + 500])
      const [late] = await engine.log.offsets([{ tp, at: { time: startMs + 400 } }], call)
      assert.equal(late!.offset, 5)
      await close()
    }
  })

  test('meet a flipped base offset as damage, in a compacted segment too', async () => {
    const { engine, disk, close, open, write } = await opened()
    for (let i = 0; i < 40; i++) await write([[`k${i % 4}`, `${i}`.padEnd(60)]])
    await settle(engine)
    await engine.compact()
    const { batches } = await fetch(engine, 0)
    const [first, second] = batches
    assert.ok(lastOffsetOf(first!) > baseOffsetOf(first!), 'there is no hole')
    await close()
    const log = logs(disk)[0]!
    const at = first!.length + 7
    disk.damage(log, at, Uint8Array.of(baseOffsetOf(second!) ^ 1))
    const again = await open()
    const { error } = await fetch(again.engine, baseOffsetOf(second!))
    assert.equal(error?.code, 'CORRUPT_BATCH')
    await again.close()
  })
})

describe('a topic that is compacted', () => {
  test('refuses records without a key, and keeps those it has from before', async () => {
    const { engine, clock, close, roll, write } = await opened({ 'cleanup.policy': 'delete' })
    const keyless = { key: null, value: Buffer.from('without a key'), headers: [] }
    const appendKeyless = async () => {
      const batch = writeBatch([keyless], clock.wallMs())
      return (await engine.log.append([{ tp, batch }], call))[0]!
    }
    assert.equal((await appendKeyless()).error, undefined)
    const change = { op: 'set', name: 'cleanup.policy', value: 'compact' } as const
    await engine.topics.alterConfigs({ type: 'topic', name: 't' }, [change], call)
    assert.equal(engine.topics.known('t')!.needsKeys, true)
    await write([['k', 'first']])
    await write([['k', 'second']])
    assert.ok(code('INVALID_RECORD')((await appendKeyless()).error))
    await roll()
    await engine.compact()
    const left = (await readAll(engine)).slice(0, 2)
    assert.deepEqual(
      left.map(({ value }) => value),
      ['without a key', 'second'],
    )
    await close()
  })

  test('deleted in the middle of a round takes its files along, and its namesake has none', async () => {
    const disk = new HeldDisk()
    const { engine, close, write } = await opened({}, { disk })
    for (let i = 0; i < 30; i++) await write([['k', `${i}`.padEnd(60)]])
    await settle(engine)
    disk.isHeld = (what, path) => what === 'write' && path.endsWith('.cleaned')
    const compacting = engine.compact()
    await turnsUntil(() => disk.held.length === 1)
    const deleting = engine.topics.delete(['t'], call)
    for (let turns = 0; turns < 100; turns++) await new Promise((go) => setImmediate(go))
    disk.letGo()
    await compacting
    await deleting
    await newTopic(engine, compactedConfig)
    await write([['k', 'new']])
    assert.equal((await readAll(engine)).length, 1)
    await settle(engine)
    assert.deepEqual(
      logs(disk).map((path) => path.slice(-8)),
      ['0000.log'],
    )
    assert.equal(engine.health().state, 'ok')
    await close()
  })
})

describe('a full disk', () => {
  test('puts compaction off, and nothing is left of the attempt', async () => {
    const { engine, disk, close, write } = await opened()
    for (let i = 0; i < 30; i++) await write([['k', `${i}`.padEnd(60)]])
    await settle(engine)
    disk.faults.write = (path) => (path.includes('.cleaned') ? 'ENOSPC' : undefined)
    await engine.compact()
    assert.equal((await readAll(engine)).length, 30)
    assert.equal(engine.health().state, 'ok')
    assert.ok(![...disk.files().keys()].some((path) => path.endsWith('.cleaned')))
    disk.faults.write = () => undefined
    await engine.compact()
    assert.ok((await readAll(engine)).length < 10)
    await close()
  })
})
