import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { readRecords } from '../../../src/model/batch-reader.ts'
import { GatewayError } from '../../../src/model/errors.ts'
import { readInt32 } from '../../../src/model/offset.ts'
import { openTestEngine } from '../../support/engine.ts'
import { HeldDisk } from '../../support/held-disk.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import {
  append,
  batchOf,
  call,
  code,
  fetch,
  newTopic,
  tp,
  turnsUntil,
  values,
} from '../../support/one-partition.ts'
import { SimDisk } from '../../support/sim-disk.ts'

/** Where a batch header holds the leader epoch. */
const leaderEpochAt = 12
const log = 'logs/t-0/00000000000000000000.log'

/** The disk as it is when the process is killed at this moment. */
function killed(disk: SimDisk): SimDisk {
  return disk.clone()
}

describe('the data folder', () => {
  test('has the layout of the format document', async () => {
    const { engine, disk, close } = await openTestEngine()
    await newTopic(engine)
    await append(engine, 'a')
    await close()
    const names = [...disk.files().keys()].filter((name) => !name.startsWith('journal/')).sort()
    assert.deepEqual(names, [
      'logs/t-0/00000000000000000000.index',
      log,
      'logs/t-0/00000000000000000000.timeindex',
      'logs/t-0/partition.metadata',
      'meta.properties',
      'meta/0000000001.snapshot',
      'meta/0000000002.snapshot',
    ])
    const { id } = engine.topics.known('t')!
    assert.equal(
      disk.bytesOf('logs/t-0/partition.metadata').toString(),
      `version: 0\ntopic_id: ${id}\n`,
    )
    const properties = disk.bytesOf('meta.properties').toString()
    assert.match(
      properties,
      /^version=1\ncluster\.id=\S{22}\nnode\.id=1\ndirectory\.id=\S{22}\nebbgate\.format=1\n$/,
    )
  })

  test('of an unknown format is refused in one line, and nothing is touched', async () => {
    const { disk, close } = await openTestEngine()
    await close()
    const text = disk.bytesOf('meta.properties').toString()
    disk.damage('meta.properties', text.indexOf('format=1') + 7, Buffer.from('9'))
    const before = contents(disk)
    await assert.rejects(openTestEngine({ disk }), /has format 9; this version knows 1/)
    assert.deepEqual(contents(disk), before)
  })

  test('without a usable snapshot is refused, and nothing is touched', async () => {
    const { engine, disk, close } = await openTestEngine()
    await newTopic(engine)
    await close()
    for (const name of disk.files().keys()) {
      if (name.endsWith('.snapshot')) disk.damage(name, 9, Buffer.from('x'))
    }
    const before = contents(disk)
    await assert.rejects(openTestEngine({ disk }), code('CORRUPT_BATCH'))
    assert.deepEqual(contents(disk), before)
  })
})

describe('a start', () => {
  test('after a kill finds every acknowledged record, and the generation rises', async () => {
    const { engine, disk } = await openTestEngine()
    await newTopic(engine)
    for (let i = 0; i < 20; i++) await append(engine, `${i}`)
    const again = await openTestEngine({ disk: killed(disk) })
    assert.deepEqual(
      await values(again.engine),
      Array.from({ length: 20 }, (_, i) => `${i}`),
    )
    await append(again.engine, 'new')
    const { batches } = await fetch(again.engine, 20)
    assert.equal(readInt32(batches[0]!, leaderEpochAt), 2)
    await again.close()
  })

  test('does not trust a journal file whose name only the page cache knows', async () => {
    const { engine, disk } = await openTestEngine()
    await newTopic(engine)
    await append(engine, 'a')
    await turnsUntil(() => disk.files().has('journal/0002.jnl'))
    const after = killed(disk)
    // The killed process had just made a file, and its folder was not synced yet.
    await after.remove('journal/0002.jnl')
    await after.syncDirectory('journal')
    const file = await after.open('journal/0003.jnl', { create: true })
    await file.write([new Uint8Array(20 * 1024 * 1024)], 0)
    await file.sync()
    const again = await openTestEngine({ disk: after })
    await append(again.engine, 'b')
    after.crash(() => 0.99)
    const last = await openTestEngine({ disk: after })
    assert.deepEqual(await values(last.engine), ['a', 'b'])
    await last.close()
  })

  test('after a clean stop replays nothing', async () => {
    const { engine, disk, close } = await openTestEngine()
    await newTopic(engine)
    await append(engine, 'a')
    await close()
    const recovered: number[] = []
    const meter = {
      journalWrite: () => undefined,
      checkpoint: () => undefined,
      damagedBatch: () => undefined,
      removed: () => undefined,
      recovered: (frames: number) => recovered.push(frames),
    }
    const again = await openTestEngine({ disk, meter })
    assert.deepEqual(recovered, [0])
    assert.deepEqual(await values(again.engine), ['a'])
    await again.close()
  })

  test('keeps topics, configuration, log starts and committed offsets', async () => {
    const { engine, disk } = await openTestEngine()
    await newTopic(engine, { 'retention.ms': '5000' })
    for (const value of ['a', 'b', 'c']) await append(engine, value)
    await engine.log.deleteRecords([{ tp, before: 2 }], call)
    await engine.groups.commit({ groupId: 'g' }, [{ tp, offset: 2 }], call)
    await engine.topics.grow([{ name: 't', partitions: 3 }], call)
    const id = engine.topics.known('t')!.id
    for (const isCheckpointed of [false, true]) {
      if (isCheckpointed) await engine.checkpoint()
      const again = await openTestEngine({ disk: killed(disk) })
      assert.equal(again.engine.topics.known('t')!.id, id)
      assert.equal(again.engine.topics.known('t')!.partitions.length, 3)
      const configs = await again.engine.topics.configs({ type: 'topic', name: 't' }, call)
      assert.equal(configs.find(({ name }) => name === 'retention.ms')!.value, '5000')
      assert.equal((await fetch(again.engine, 1)).error?.code, 'OFFSET_OUT_OF_RANGE')
      assert.deepEqual(await values(again.engine, 2), ['c'])
      const [committed] = await again.engine.groups.committed({ groupId: 'g' }, 'all', call)
      assert.equal(committed?.offset, 2)
      await again.close()
    }
    await engine.close()
  })

  test('runs on, whatever index files are missing or spoiled', async () => {
    const { engine, disk, close } = await openTestEngine()
    await newTopic(engine, { 'segment.bytes': '20000' })
    for (let i = 0; i < 60; i++) await append(engine, `${i}`.padEnd(1000, '.'))
    await close()
    const spoil = (name: string): void =>
      disk.damage(name, 3, Buffer.from([255, 255, 255, 255, 255]))
    for (const name of disk.files().keys()) {
      if (name.endsWith('.index')) spoil(name)
      else if (name.endsWith('.timeindex')) disk.cut(name, 5)
    }
    const again = await openTestEngine({ disk, hotTailBytes: 0 })
    for (let i = 0; i < 60; i++) {
      const { batches, error } = await fetch(again.engine, i, 1)
      assert.equal(error, undefined)
      const [record] = readRecords(batches[0]!)
      assert.equal(Buffer.from(record!.value!).toString().replaceAll('.', ''), `${i}`)
    }
    const [answer] = await again.engine.log.offsets([{ tp, at: { time: 0 } }], call)
    assert.equal(answer!.offset, 0)
    await again.close()
  })
})

describe('segments', () => {
  test('roll by bytes and are named by their base offsets', async () => {
    const { engine, disk, close } = await openTestEngine({ hotTailBytes: 0 })
    await newTopic(engine, { 'segment.bytes': '1000' })
    for (let i = 0; i < 10; i++) await append(engine, 'x'.repeat(230))
    await turnsUntil(() => engine.log.pressure.inFlightBytes === 0)
    const logs = [...disk.files()].filter(([name]) => name.endsWith('.log'))
    assert.deepEqual(
      logs.map(([name]) => name.slice(9)),
      [
        '00000000000000000000.log',
        '00000000000000000003.log',
        '00000000000000000006.log',
        '00000000000000000009.log',
      ],
    )
    for (const [, size] of logs) assert.ok(size <= 1000)
    await close()
  })

  test('roll when records are further apart in time than segment.ms', async () => {
    const { engine, disk, close } = await openTestEngine()
    await newTopic(engine, { 'segment.ms': '1000' })
    for (const timestamp of [1_000, 1_900, 2_001, 2_002]) {
      await engine.log.append([{ tp, batch: batchOf('x', timestamp) }], call)
    }
    await close()
    const logs = [...disk.files().keys()].filter((name) => name.endsWith('.log'))
    assert.deepEqual(
      logs.map((name) => Number(name.slice(9, 29))),
      [0, 2],
    )
  })

  test('do not roll for the old times of clients on a topic with LogAppendTime', async () => {
    const { engine, disk, close } = await openTestEngine()
    await newTopic(engine, { 'segment.ms': '60000', 'message.timestamp.type': 'LogAppendTime' })
    for (const timestamp of [1_000, 2_000, 3_000]) {
      await engine.log.append([{ tp, batch: batchOf('x', timestamp) }], call)
    }
    await close()
    const logs = [...disk.files().keys()].filter((name) => name.endsWith('.log'))
    assert.deepEqual(logs, [log])
  })
})

describe('damage below the last checkpoint', () => {
  test('every flipped bit of a batch header answers CORRUPT_BATCH for that batch alone', async () => {
    const { engine, disk, close } = await openTestEngine({ hotTailBytes: 0 })
    await newTopic(engine)
    for (const value of ['aaaa', 'bbbb', 'cccc']) await append(engine, value)
    await turnsUntil(() => engine.log.pressure.inFlightBytes === 0)
    const bytes = disk.bytesOf(log)
    const size = bytes.length / 3
    for (let bit = 0; bit < 61 * 8; bit++) {
      const at = size + (bit >> 3)
      disk.damage(log, at, Uint8Array.of(bytes[at]! ^ (1 << (bit & 7))))
      const first = await fetch(engine, 0, 1)
      assert.deepEqual([first.error, first.next], [undefined, 1], `bit ${bit}`)
      const second = await fetch(engine, 1)
      // The leader epoch stands outside of the CRC, and nothing here depends on it.
      if (bit >> 3 >= 12 && bit >> 3 < 16) assert.equal(second.error, undefined)
      else {
        assert.equal(second.error?.code, 'CORRUPT_BATCH', `bit ${bit}`)
        assert.equal(second.next, 2, `bit ${bit}`)
        assert.deepEqual(second.batches, [])
      }
      assert.deepEqual(await values(engine, 2), ['cccc'], `bit ${bit}`)
      disk.damage(log, at, bytes.subarray(at, at + 1))
    }
    assert.equal(engine.health().state, 'corrupt')
    const [described] = await engine.topics.list(['t'], call)
    assert.equal(described!.partitions[0]!.damagedBatches, 1)
    await append(engine, 'still open')
    await close()
  })

  test('below the last checkpoint nothing is ever cut: damage costs its batch alone, over restarts', async () => {
    const { engine, disk, close } = await openTestEngine()
    await newTopic(engine)
    for (const value of ['a', 'b', 'c']) await append(engine, value)
    await close()
    const bytes = disk.bytesOf(log).length
    disk.damage(log, batchOf('a').length + 63, Buffer.from('?'))
    for (let start = 0; start < 2; start++) {
      const again = await openTestEngine({ disk, hotTailBytes: 0 })
      assert.equal((await fetch(again.engine, 1)).error?.code, 'CORRUPT_BATCH')
      const { batches, error } = await fetch(again.engine, 2, 1)
      assert.deepEqual([batches.length, error], [1, undefined])
      assert.equal(disk.bytesOf(log).subarray(0, bytes).length, bytes)
      await append(again.engine, 'more')
      await again.close()
    }
  })

  test('a segment that is too short makes its partition read-only, the good part stays readable', async () => {
    const { engine, disk, close } = await openTestEngine()
    await newTopic(engine)
    for (const value of ['a', 'b', 'c']) await append(engine, value)
    await close()
    disk.cut(log, disk.bytesOf(log).length - 10)
    const again = await openTestEngine({ disk })
    assert.deepEqual(await values(again.engine), ['a', 'b'])
    const slice = await fetch(again.engine, 2)
    assert.deepEqual([slice.error?.code, slice.next], ['CORRUPT_BATCH', 3])
    await assert.rejects(append(again.engine, 'd'), code('CORRUPT_BATCH'))
    assert.equal(again.engine.topics.known('t')!.partitions[0]!.state, 'corrupt')
    assert.equal(again.engine.health().state, 'corrupt')
    await again.close()
  })

  test('and stays so over the next start, although replayed records stand behind the gap', async () => {
    const { engine, disk } = await openTestEngine()
    await newTopic(engine)
    for (const value of ['a', 'b', 'c']) await append(engine, value)
    await engine.checkpoint()
    await append(engine, 'd')
    disk.kill(() => 0.99)
    disk.cut(log, disk.bytesOf(log).length - 2 * batchOf('d').length - 10)
    for (let start = 0; start < 3; start++) {
      const again = await openTestEngine({ disk, hotTailBytes: 0 })
      await assert.rejects(append(again.engine, 'e'), code('CORRUPT_BATCH'))
      assert.equal(again.engine.health().state, 'corrupt')
      const { batches } = await fetch(again.engine, 3)
      assert.equal(batches.length, 1)
      await again.close()
    }
  })

  test('a missing segment is said with where to go on', async () => {
    const { engine, disk, close } = await openTestEngine()
    await newTopic(engine, { 'segment.bytes': '300' })
    for (let i = 0; i < 6; i++) await append(engine, 'x'.repeat(150))
    await close()
    await disk.remove('logs/t-0/00000000000000000002.log')
    const again = await openTestEngine({ disk })
    const slice = await fetch(again.engine, 2)
    assert.equal(slice.error?.code, 'CORRUPT_BATCH')
    assert.equal((await fetch(again.engine, slice.next)).error, undefined)
    await again.close()
  })

  test('a bad sector costs the batch that lies on it, and no other', async () => {
    const { engine, disk, close } = await openTestEngine({ hotTailBytes: 0 })
    await newTopic(engine, { 'segment.bytes': '60000' })
    for (let i = 0; i < 300; i++) await append(engine, `${i}`.padEnd(1000, '.'))
    await turnsUntil(() => engine.log.pressure.inFlightBytes === 0)
    const size = batchOf('0'.padEnd(1000, '.')).length
    const badFrom = 20 * size + 400
    disk.faults.read = (path, from, to) =>
      path === log && from < badFrom + 512 && to > badFrom ? 'EIO' : undefined
    const found: string[] = []
    const damaged: number[][] = []
    for (let at = 0; at < 300;) {
      const { batches, next, error } = await fetch(engine, at)
      if (error !== undefined) damaged.push([at, next])
      for (const { value } of batches.flatMap((batch) => readRecords(batch)))
        found.push(Buffer.from(value!).toString().replaceAll('.', ''))
      at = next
    }
    assert.deepEqual(damaged, [[20, 21]])
    assert.deepEqual(
      found,
      Array.from({ length: 300 }, (_, i) => `${i}`).filter((_, i) => i !== 20),
    )
    disk.faults.read = () => undefined
    await close()
  })

  test('a read that the disk refuses is damage, not a crash', async () => {
    const { engine, disk, close } = await openTestEngine({ hotTailBytes: 0 })
    await newTopic(engine)
    await append(engine, 'a')
    await turnsUntil(() => engine.log.pressure.inFlightBytes === 0)
    disk.faults.read = () => 'EIO'
    assert.equal((await fetch(engine, 0)).error?.code, 'CORRUPT_BATCH')
    disk.faults.read = () => undefined
    assert.deepEqual(await values(engine), ['a'])
    await close()
  })
})

describe('a failing disk', () => {
  for (const [what, fail] of [
    [
      'a journal write',
      (disk: SimDisk) => (disk.faults.write = (_path, dsync) => (dsync ? 'EIO' : undefined)),
    ],
    [
      'a journal write that finds no space',
      (disk: SimDisk) => (disk.faults.write = (_path, dsync) => (dsync ? 'ENOSPC' : undefined)),
    ],
  ] as const) {
    test(`${what}: what is in flight is IO_ERROR, what comes later UNAVAILABLE, and the process is told`, async () => {
      const fatal: unknown[] = []
      const { engine, disk } = await openTestEngine({ onFatal: (cause) => fatal.push(cause) })
      await newTopic(engine)
      await append(engine, 'a')
      fail(disk)
      const failures = [append(engine, 'b'), append(engine, 'c')]
      for (const failure of failures) {
        await assert.rejects(failure, (error: unknown) => {
          assert.ok(error instanceof GatewayError)
          assert.deepEqual([error.code, error.applied], ['IO_ERROR', 'maybe'])
          return true
        })
      }
      assert.equal(fatal.length, 1)
      assert.equal(engine.health().state, 'fenced')
      disk.faults.write = () => undefined
      await assert.rejects(append(engine, 'd'), code('UNAVAILABLE'))
      await assert.rejects(fetch(engine, 0), code('UNAVAILABLE'))
      await assert.rejects(engine.topics.list('all', call), code('UNAVAILABLE'))
      await engine.close()
    })
  }

  test('a failed sync of a checkpoint ends the engine, and is never tried again', async () => {
    let fatal = 0
    const { engine, disk } = await openTestEngine({ onFatal: () => fatal++ })
    await newTopic(engine)
    await append(engine, 'a')
    let syncs = 0
    disk.faults.sync = (path) => (path === log ? (syncs++, 'EIO') : undefined)
    await assert.rejects(engine.checkpoint())
    assert.deepEqual([fatal, syncs, engine.health().state], [1, 1, 'fenced'])
    await engine.close()
    assert.equal(syncs, 1)
    // Not the page cache is believed, but the journal: a power cut after the restart loses nothing.
    disk.faults.sync = () => undefined
    disk.kill(() => 0.5)
    const again = await openTestEngine({ disk })
    assert.deepEqual(await values(again.engine), ['a'])
    disk.crash(() => 0.9)
    const last = await openTestEngine({ disk })
    assert.deepEqual(await values(last.engine), ['a'])
    await last.close()
  })

  test('a full disk refuses appends and nothing else, and is forgotten when there is room', async () => {
    const clock = new ManualClock(Date.now())
    const { engine, disk, close } = await openTestEngine({ clock })
    await newTopic(engine)
    await append(engine, 'a')
    await turnsUntil(() => engine.log.pressure.inFlightBytes === 0)
    disk.faults.write = (path, dsync) => (path.startsWith('logs/') && !dsync ? 'ENOSPC' : undefined)
    // The journal has it, so it is acknowledged; it stays in memory until there is room.
    assert.equal(await append(engine, 'b'), 1)
    await turnsUntil(() => engine.health().state === 'full')
    await assert.rejects(append(engine, 'c'), code('DISK_FULL'))
    assert.deepEqual(await values(engine), ['a', 'b'])
    const [committed] = await engine.groups.commit({ groupId: 'g' }, [{ tp, offset: 1 }], call)
    assert.equal(committed!.error, undefined)
    disk.faults.write = () => undefined
    for (let second = 0; second < 4; second++) {
      clock.advance(1000)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    assert.equal(engine.health().state, 'ok')
    assert.equal(await append(engine, 'c'), 2)
    await close()
    const again = await openTestEngine({ disk })
    assert.deepEqual(await values(again.engine), ['a', 'b', 'c'])
    await again.close()
  })

  test('a journal file that found no room gives back what it had taken', async () => {
    const disk = new SimDisk()
    let writes = 0
    disk.faults.write = (path) =>
      path.endsWith('.jnl.tmp') && ++writes > 25 ? 'ENOSPC' : undefined
    const { engine, close } = await openTestEngine({ disk })
    await turnsUntil(() => writes > 25)
    await newTopic(engine)
    await append(engine, 'a')
    const halves = [...disk.files()].filter(([name]) => name.endsWith('.tmp'))
    assert.deepEqual(
      halves.map(([, size]) => size),
      [0],
    )
    await close()
  })

  test('a full disk does not hold up the end, and what it kept out is there after the next start', async () => {
    const { engine, disk, close } = await openTestEngine()
    await newTopic(engine)
    disk.faults.write = (path, dsync) => (path.startsWith('logs/') && !dsync ? 'ENOSPC' : undefined)
    await append(engine, 'a')
    await turnsUntil(() => engine.health().state === 'full')
    await close()
    disk.faults.write = () => undefined
    const again = await openTestEngine({ disk })
    assert.deepEqual(await values(again.engine), ['a'])
    await again.close()
  })

  test('a failing segment write ends the engine, also while a checkpoint waits for it', async () => {
    let fatal = 0
    const { engine, disk, close } = await openTestEngine({ onFatal: () => fatal++ })
    await newTopic(engine)
    disk.faults.write = (path, dsync) => (path.startsWith('logs/') && !dsync ? 'EIO' : undefined)
    await append(engine, 'a')
    await assert.rejects(engine.checkpoint())
    assert.deepEqual([fatal, engine.health().state], [1, 'fenced'])
    await close()
    disk.faults.write = () => undefined
    const again = await openTestEngine({ disk })
    assert.deepEqual(await values(again.engine), ['a'])
    await again.close()
  })

  test('less than 256 MiB of free space refuses appends, with hysteresis', async () => {
    const clock = new ManualClock(Date.now())
    const { engine, disk, close } = await openTestEngine({ clock })
    await newTopic(engine)
    const tick = async (free: number): Promise<string> => {
      disk.free = free * 1024 * 1024
      clock.advance(1000)
      await new Promise((resolve) => setTimeout(resolve, 5))
      return engine.health().state
    }
    assert.equal(await tick(255), 'full')
    assert.equal(await tick(300), 'full')
    assert.equal(await tick(330), 'low')
    assert.equal(await tick(1200), 'low')
    assert.equal(await tick(1300), 'ok')
    assert.equal(await tick(1023), 'low')
    await close()
  })
})

describe('time', () => {
  test('an append that does not become durable in time is TIMEOUT, maybe', async () => {
    const clock = new ManualClock(Date.now())
    const held: (() => void)[] = []
    let isHeld = false
    const disk = new SimDisk({ schedule: (run) => (isHeld ? held.push(run) : setImmediate(run)) })
    const { engine, close } = await openTestEngine({ clock, disk })
    await newTopic(engine)
    isHeld = true
    const slow = engine.log.append([{ tp, batch: batchOf('a') }], { timeoutMs: 100 })
    await new Promise((resolve) => setImmediate(resolve))
    clock.advance(99)
    clock.advance(1)
    const [result] = await slow
    assert.deepEqual([result!.error?.code, result!.error?.applied], ['TIMEOUT', 'maybe'])
    isHeld = false
    for (const run of held.splice(0)) run()
    await turnsUntil(() => engine.log.pressure.inFlightBytes === 0)
    assert.deepEqual(await values(engine), ['a'])
    await close()
  })

  test('an idle engine makes a checkpoint after five seconds, and not again', async () => {
    const clock = new ManualClock(Date.now())
    let checkpoints = 0
    const meter = {
      journalWrite: () => undefined,
      damagedBatch: () => undefined,
      removed: () => undefined,
      recovered: () => undefined,
      checkpoint: () => checkpoints++,
    }
    const { engine, close } = await openTestEngine({ clock, meter })
    await newTopic(engine)
    await append(engine, 'a')
    const seconds = async (count: number): Promise<number> => {
      for (let i = 0; i < count; i++) {
        clock.advance(1000)
        for (let turn = 0; turn < 200; turn++) await new Promise((resolve) => setImmediate(resolve))
      }
      return checkpoints
    }
    const before = checkpoints
    assert.equal(await seconds(4), before)
    assert.equal(await seconds(2), before + 1)
    assert.equal(await seconds(20), before + 1)
    await close()
  })
})

describe('many segments', () => {
  test('stay readable with few files open, their indexes read again as needed', async () => {
    const { engine, disk, close } = await openTestEngine({ hotTailBytes: 0, openSegments: 2 })
    await newTopic(engine, { 'segment.bytes': '30000' })
    for (let i = 0; i < 200; i++) await append(engine, `${i}`.padEnd(1000, '.'))
    await engine.checkpoint()
    for (const from of [0, 199, 42, 150, 7, 99, 180, 42]) {
      const { batches } = await fetch(engine, from, 1)
      const [record] = readRecords(batches[0]!)
      assert.equal(Buffer.from(record!.value!).toString().replaceAll('.', ''), `${from}`)
      const [found] = await engine.log.offsets([{ tp, at: { time: record!.timestamp } }], call)
      assert.ok(found!.offset <= from)
    }
    assert.ok([...disk.files().keys()].filter((name) => name.endsWith('.log')).length >= 7)
    await close()
  })
})

describe('a journal that goes round', () => {
  test('recycles its files, and its size stays bounded', async () => {
    const journalSizes = { firstFileBytes: 65_536, fileBytes: 65_536 }
    const { engine, disk, close } = await openTestEngine({ journalSizes })
    await newTopic(engine)
    for (let i = 0; i < 400; i++) await append(engine, `${i}`)
    const files = [...disk.files().keys()].filter((name) => name.startsWith('journal/'))
    assert.ok(files.length <= 8, `${files.length} files after 400 frames of one block`)
    await close()
    const again = await openTestEngine({ disk, journalSizes })
    assert.equal((await values(again.engine)).length, 400)
    await again.close()
  })
})

describe('calls outside of the open engine', () => {
  test('are UNAVAILABLE, and closing twice is one close', async () => {
    const { engine } = await openTestEngine()
    await newTopic(engine)
    const pending = append(engine, 'promised')
    await Promise.all([engine.close(), engine.close()])
    assert.equal(await pending, 0)
    await assert.rejects(append(engine, 'late'), code('UNAVAILABLE'))
    await assert.rejects(fetch(engine, 0), code('UNAVAILABLE'))
    await assert.rejects(
      engine.topics.create([{ name: 'x', partitions: 1 }], call),
      code('UNAVAILABLE'),
    )
  })
})

describe('what is shown', () => {
  test('of a topic does not run ahead of what is durable', async () => {
    const disk = new HeldDisk()
    const { engine, close } = await openTestEngine({ disk })
    disk.isHeld = (what, path) => what === 'write' && path.endsWith('.jnl')
    const name = 't'
    const creating = engine.topics.create([{ name, partitions: 1 }], call)
    await turnsUntil(() => disk.held.length === 1)
    assert.equal(engine.topics.known(name), undefined)
    const growing = engine.topics.grow([{ name, partitions: 3 }], call)
    const altering = engine.topics.alterConfigs(
      { type: 'topic', name },
      [{ op: 'set', name: 'max.message.bytes', value: '5000' }],
      call,
    )
    disk.held.shift()!()
    await creating
    assert.equal(engine.topics.known(name)!.partitions.length, 1)
    assert.equal(engine.topics.known(name)!.maxBatchBytes, 1_048_588)
    disk.letGo()
    await Promise.all([growing, altering])
    assert.equal(engine.topics.known(name)!.partitions.length, 3)
    assert.equal(engine.topics.known(name)!.maxBatchBytes, 5000)
    await close()
  })

  test('of a delete waits until it is durable, in refusals too', async () => {
    const disk = new HeldDisk()
    const { engine, close } = await openTestEngine({ disk })
    await newTopic(engine)
    await append(engine, 'a')
    disk.isHeld = (what, path) => what === 'write' && path.endsWith('.jnl')
    const answered: string[] = []
    const deleting = engine.topics.delete(['t'], call).then(() => answered.push('delete'))
    const refused = [
      engine.topics.configs({ type: 'topic', name: 't' }, call).catch(() => undefined),
      engine.log.deleteRecords([{ tp, before: 1 }], call),
    ].map((refusal) => refusal.then(() => answered.push('refusal')))
    await new Promise((resolve) => setTimeout(resolve, 5))
    assert.deepEqual(answered, [])
    disk.letGo()
    await Promise.all([deleting, ...refused])
    await close()
  })

  test('nothing of a frame is shown before it is durable, then all of it in one turn', async () => {
    const held: (() => void)[] = []
    let isHeld = false
    const disk = new SimDisk({ schedule: (run) => (isHeld ? held.push(run) : setImmediate(run)) })
    const { engine, close } = await openTestEngine({ disk })
    await engine.topics.create([{ name: 't', partitions: 2 }], call)
    await turnsUntil(() => engine.log.pressure.inFlightBytes === 0)
    isHeld = true
    const other = { topic: 't', partition: 1 }
    const done = engine.transactions.transact(
      {
        entries: [
          { tp, batch: batchOf('a') },
          { tp: other, batch: batchOf('b') },
        ],
        offsets: { group: { groupId: 'g' }, commits: [{ tp, offset: 1 }] },
      },
      call,
    )
    const creating = engine.topics.create([{ name: 'early', partitions: 1 }], call)
    let committed: unknown
    void engine.groups.committed({ groupId: 'g' }, [tp], call).then((found) => (committed = found))
    await new Promise((resolve) => setTimeout(resolve, 5))
    const ends = () =>
      [tp, other].map((one) => engine.log.offsets([{ tp: one, at: 'latest' }], call))
    const shown = async () => (await Promise.all(ends())).map(([answer]) => answer!.offset)
    assert.deepEqual(await shown(), [0, 0])
    assert.equal(committed, undefined)
    assert.equal(engine.topics.known('early'), undefined)
    isHeld = false
    for (const run of held.splice(0)) run()
    await done
    assert.deepEqual(await shown(), [1, 1])
    await creating
    await turnsUntil(() => committed !== undefined)
    await close()
  })
})

function contents(disk: SimDisk): Map<string, string> {
  return new Map(
    [...disk.files().keys()].map((name) => [name, disk.bytesOf(name).toString('base64')]),
  )
}
