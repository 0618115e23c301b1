import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { EmbeddedEngine } from '../../../../src/engine/embedded/embedded-engine.ts'
import { retentionFirstPassMs, retentionPassMs } from '../../../../src/model/limits.ts'
import { openTestEngine } from '../../../support/engine.ts'
import { ManualClock } from '../../../support/manual-clock.ts'
import { batchOf, call, fetch, newTopic, tp, turnsUntil } from '../../../support/one-partition.ts'
import { seededRandom } from '../../../support/seeded-random.ts'
import {
  allValues,
  appendAt,
  bases,
  coverAll,
  everyBatchASegment,
  journalSizes,
  logStart,
  pass,
} from '../../../support/segment-files.ts'
import { SimDisk } from '../../../support/sim-disk.ts'

const hourMs = 3_600_000
const dayMs = 24 * hourMs
const tenYearsMs = 3650 * dayMs

/** An engine that is past the minutes in which nothing goes by time. */
async function opened(config: Record<string, string>, disk = new SimDisk()) {
  const clock = new ManualClock()
  const { engine, close } = await openTestEngine({ disk, clock, journalSizes })
  await newTopic(engine, { ...everyBatchASegment, ...config })
  clock.advance(retentionFirstPassMs)
  return { engine, disk, clock, close }
}

async function configure(engine: EmbeddedEngine, name: string, value: string): Promise<void> {
  await engine.topics.alterConfigs({ type: 'topic', name: 't' }, [{ op: 'set', name, value }], call)
}

describe('retention by time', () => {
  test('takes segments whose largest timestamp is too old, and stops at the first that is not', async () => {
    const { engine, clock, close } = await opened({ 'retention.ms': String(dayMs) })
    const now = clock.wallMs()
    for (const age of [3, 2, 0.5, 2, 0]) await appendAt(engine, now - age * dayMs, `${age}`)
    await engine.retain()
    assert.equal(await logStart(engine), 2)
    assert.deepEqual(await allValues(engine, 2), ['0.5', '2', '0'])
    assert.equal((await fetch(engine, 1)).error?.code, 'OFFSET_OUT_OF_RANGE')
    await close()
  })

  test('closes the active segment when all its records are old, and offsets go on', async () => {
    const { engine, disk, clock, close } = await opened({ 'retention.ms': String(dayMs) })
    for (let i = 0; i < 3; i++) await appendAt(engine, clock.wallMs() - 2 * dayMs)
    await engine.retain()
    assert.equal(await logStart(engine), 3)
    await coverAll(engine)
    await turnsUntil(() => bases(disk).length === 0)
    assert.equal((await engine.topics.list(['t'], call))[0]!.partitions[0]!.bytes, 0)
    assert.equal(await appendAt(engine, clock.wallMs(), 'new'), 3)
    assert.deepEqual(await allValues(engine, 3), ['new'])
    await close()
    const again = await openTestEngine({ disk, clock, journalSizes })
    assert.equal(await logStart(again.engine), 3)
    assert.deepEqual(await allValues(again.engine, 3), ['new'])
    await again.close()
  })

  test('leaves a closed segment closed, also when nothing came behind it before a restart', async () => {
    const config = { 'retention.ms': String(dayMs), 'segment.bytes': '5000' }
    const { engine, disk, clock, close } = await opened(config)
    await appendAt(engine, clock.wallMs() - 2 * dayMs)
    await engine.retain()
    await close()
    const second = await openTestEngine({ disk, clock, journalSizes })
    assert.equal(await appendAt(second.engine, -1, 'behind it'), 1)
    await second.engine.checkpoint()
    assert.equal(bases(disk).at(-1), 1)
    assert.equal(await appendAt(second.engine, -1, 'and more'), 2)
    disk.crash(() => 0.99)
    const third = await openTestEngine({ disk, clock, journalSizes })
    assert.deepEqual(await allValues(third.engine, 1), ['behind it', 'and more'])
    await coverAll(third.engine)
    await turnsUntil(() => bases(disk).length === 1)
    await third.close()
  })

  test('runs at once where a start finds little room', async () => {
    const { engine, disk, clock, close } = await opened({ 'retention.bytes': '100' })
    for (let i = 0; i < 5; i++) await appendAt(engine, clock.wallMs())
    await coverAll(engine)
    await close()
    disk.free = 800 * 1024 ** 2
    const again = await openTestEngine({ disk, clock, journalSizes })
    for (let turns = 0; turns < 200; turns++) await new Promise((go) => setImmediate(go))
    assert.ok((await logStart(again.engine)) > 0)
    await again.close()
  })

  test('runs by itself, but not in the first minutes after a start', async () => {
    const clock = new ManualClock()
    const { engine, close } = await openTestEngine({ clock, journalSizes })
    await newTopic(engine, { ...everyBatchASegment, 'retention.ms': '1000' })
    await appendAt(engine, clock.wallMs() - dayMs)
    await engine.retain()
    clock.advance(retentionFirstPassMs - 1000)
    await pass(clock, 500)
    assert.equal(await logStart(engine), 0)
    await pass(clock, 1_000)
    assert.equal(await logStart(engine), 1)
    await appendAt(engine, clock.wallMs())
    clock.advance(retentionPassMs)
    await pass(clock, 1_000)
    assert.equal(await logStart(engine), 2)
    await close()
  })

  test('finds the timestamps of earlier lives', async () => {
    const disk = new SimDisk()
    const first = await opened({ 'retention.ms': String(dayMs) }, disk)
    const now = first.clock.wallMs()
    for (const age of [5, 4, 0.1, 0]) await appendAt(first.engine, now - age * dayMs)
    await first.close()
    const { engine, close } = await openTestEngine({ disk, clock: first.clock, journalSizes })
    first.clock.advance(retentionFirstPassMs)
    await engine.retain()
    assert.equal(await logStart(engine), 2)
    await close()
  })

  test('obeys a change of the configuration at its next pass', async () => {
    const { engine, clock, close } = await opened({ 'retention.ms': '-1' })
    for (const age of [900, 3, 2, 0]) await appendAt(engine, clock.wallMs() - age * dayMs)
    await engine.retain()
    assert.equal(await logStart(engine), 0)
    await configure(engine, 'retention.ms', String(2.5 * dayMs))
    await engine.retain()
    assert.equal(await logStart(engine), 2)
    await configure(engine, 'cleanup.policy', 'compact')
    await configure(engine, 'retention.ms', '1000')
    await engine.retain()
    assert.equal(await logStart(engine), 2, 'compacted topics keep the newest value of a key')
    await configure(engine, 'cleanup.policy', 'compact,delete')
    await engine.retain()
    assert.equal(await logStart(engine), 3)
    await close()
  })
})

describe('clocks that go wrong', () => {
  test('ten years ahead: nothing goes, health says why, and back it goes on', async () => {
    const { engine, clock, close } = await opened({ 'retention.ms': String(7 * dayMs) })
    await appendAt(engine, clock.wallMs() - 8 * dayMs)
    await appendAt(engine, clock.wallMs())
    clock.jumpWall(tenYearsMs)
    await engine.retain()
    assert.equal(await logStart(engine), 0)
    assert.equal(engine.health().state, 'ok')
    assert.match(engine.health().reason!, /pauses/)
    clock.jumpWall(-tenYearsMs)
    assert.equal(engine.health().reason, undefined)
    await engine.retain()
    assert.equal(await logStart(engine), 1)
    await close()
  })

  test('a jump ahead pauses until a restart, and never the limit by size', async () => {
    const config = { 'retention.ms': String(dayMs), 'retention.bytes': '0' }
    const { engine, disk, clock, close } = await opened(config)
    await configure(engine, 'retention.bytes', '-1')
    await appendAt(engine, clock.wallMs())
    clock.jumpWall(tenYearsMs)
    clock.advance(3 * dayMs)
    await engine.retain()
    assert.equal(await logStart(engine), 0)
    await appendAt(engine, clock.wallMs())
    await configure(engine, 'retention.bytes', '1')
    await engine.retain()
    assert.equal(await logStart(engine), 1)
    await close()
    const again = await openTestEngine({ disk, clock, journalSizes })
    assert.equal(again.engine.health().reason, undefined)
    await again.close()
  })

  test('ten years back: nothing goes early, and nothing stays for ever', async () => {
    const { engine, clock, close } = await opened({ 'retention.ms': String(dayMs) })
    for (let i = 0; i < 3; i++) await appendAt(engine, clock.wallMs())
    clock.jumpWall(-tenYearsMs)
    await engine.retain()
    clock.advance(dayMs - hourMs)
    await engine.retain()
    assert.equal(await logStart(engine), 0)
    clock.advance(2 * hourMs)
    await engine.retain()
    assert.equal(await logStart(engine), 3)
    await close()
  })

  test('records written while the clock was ahead go with the next that are old', async () => {
    const { engine, clock, close } = await opened({ 'retention.ms': String(dayMs) })
    clock.jumpWall(tenYearsMs)
    await appendAt(engine, clock.wallMs())
    clock.jumpWall(-tenYearsMs)
    await appendAt(engine, -1)
    await engine.retain()
    await appendAt(engine, clock.wallMs() - 2 * dayMs)
    await appendAt(engine, clock.wallMs())
    await engine.retain()
    assert.equal(await logStart(engine), 3)
    await close()
  })
})

describe('retention by size', () => {
  test('takes the oldest segments and leaves at least the limit', async () => {
    const { engine, clock, close } = await opened({ 'retention.ms': '-1' })
    const batchBytes = batchOf('x'.repeat(100), clock.wallMs()).length
    for (let i = 0; i < 6; i++) await appendAt(engine, clock.wallMs(), 'x'.repeat(100))
    for (const [limit, start] of [
      [6 * batchBytes, 0],
      [3 * batchBytes + 1, 2],
      [3 * batchBytes, 3],
      [1, 5],
      [0, 6],
    ] as const) {
      await configure(engine, 'retention.bytes', String(limit))
      await engine.retain()
      assert.equal(await logStart(engine), start, `limit ${limit}`)
      await engine.retain()
      assert.equal(await logStart(engine), start, 'what waits for its removal was counted again')
    }
    await close()
  })
})

describe('many partitions', () => {
  test('an append does not wait for the pass', async () => {
    const clock = new ManualClock()
    const { engine, close } = await openTestEngine({ clock })
    await engine.topics.create([{ name: 'many', partitions: 3000 }], call)
    await newTopic(engine)
    let isOver = false
    const passing = engine.retain().then(() => (isOver = true))
    await appendAt(engine, clock.wallMs())
    assert.equal(isOver, false)
    await passing
    await close()
  })
})

/** What a partition should keep, told in batches. */
class Model {
  readonly segments: { timestamp: number; bytes: number; count: number }[] = []
  start = 0
  end = 0

  append(timestamp: number, bytes: number, segmentBytes: number): void {
    const active = this.segments.at(-1)
    if (active === undefined || (active.bytes > 0 && active.bytes + bytes > segmentBytes)) {
      this.segments.push({ timestamp, bytes, count: 1 })
    } else {
      active.timestamp = Math.max(active.timestamp, timestamp)
      active.bytes += bytes
      active.count++
    }
    this.end++
  }

  retain(nowMs: number, retentionMs: number, retentionBytes: number): void {
    let byTime = 0
    for (const [i, { timestamp, count }] of this.segments.entries()) {
      if (count === 0 || (timestamp >= 0 && nowMs - timestamp <= retentionMs)) break
      if (timestamp >= 0) byTime = i + 1
    }
    let bySize = 0
    let left = this.segments.reduce((sum, { bytes }) => sum + bytes, 0)
    for (const { bytes } of this.segments) {
      left -= bytes
      if (bytes === 0 || left < retentionBytes) break
      bySize++
    }
    const gone = this.segments.splice(0, Math.max(byTime, retentionBytes < 0 ? 0 : bySize))
    for (const { count } of gone) this.start += count
  }
}

describe('retention against a model', () => {
  test('takes what the model says, whatever is appended, limited, checkpointed and restarted', async () => {
    const step = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({
          what: fc.constant('append' as const),
          ageHours: fc.integer({ min: -1, max: 60 }),
          size: fc.integer({ min: 0, max: 400 }),
        }),
      },
      {
        weight: 2,
        arbitrary: fc.record({
          what: fc.constant('retain' as const),
          hours: fc.constantFrom(24, 30, 50),
          bytes: fc.constantFrom(-1, 0, 300, 1000),
        }),
      },
      {
        weight: 1,
        arbitrary: fc.record({ what: fc.constantFrom('checkpoint' as const, 'restart' as const) }),
      },
    )
    const run = async (
      steps: readonly (typeof step extends fc.Arbitrary<infer T> ? T : never)[],
    ) => {
      const disk = new SimDisk()
      const clock = new ManualClock()
      let { engine } = await openTestEngine({ disk, clock, journalSizes })
      await newTopic(engine, { 'segment.bytes': '600' })
      clock.advance(retentionFirstPassMs)
      const model = new Model()
      let limits = { hours: 168, bytes: -1 }
      const retain = async (): Promise<void> => {
        await engine.retain()
        model.retain(clock.wallMs(), limits.hours * hourMs, limits.bytes)
      }
      for (const one of steps) {
        if (one.what === 'append') {
          // Minus one hour stands for no timestamp.
          const timestamp = one.ageHours < 0 ? -1 : clock.wallMs() - one.ageHours * hourMs
          const value = 'x'.repeat(one.size)
          assert.equal(await appendAt(engine, timestamp, value), model.end)
          model.append(timestamp, batchOf(value, timestamp).length, 600)
        } else if (one.what === 'retain') {
          await configure(engine, 'retention.ms', String(one.hours * hourMs))
          await configure(engine, 'retention.bytes', String(one.bytes))
          limits = one
          await retain()
        } else if (one.what === 'checkpoint') await engine.checkpoint()
        else {
          await engine.close()
          ;({ engine } = await openTestEngine({ disk, clock, journalSizes }))
          // The first pass that comes by itself, and one more.
          clock.advance(retentionFirstPassMs)
          model.retain(clock.wallMs(), limits.hours * hourMs, limits.bytes)
          await retain()
        }
        assert.equal(await logStart(engine), model.start)
      }
      assert.equal((await allValues(engine, model.start)).length, model.end - model.start)
      await coverAll(engine)
      await turnsUntil(() => (bases(disk)[1] ?? Infinity) > model.start)
      await engine.close()
    }
    await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), run), {
      numRuns: 60,
    })
  })
})

describe('a crash at any operation of a pass', () => {
  async function crashAt(at: number, how: 'crash' | 'kill'): Promise<boolean> {
    const { engine, disk, clock } = await opened({ 'retention.ms': String(dayMs) })
    for (let i = 0; i < 4; i++) await appendAt(engine, clock.wallMs() - 2 * dayMs, `old ${i}`)
    const from = disk.operations
    let isOver = false
    disk.onOperation = () => {
      if (disk.operations !== from + at) return
      isOver = true
      disk[how](seededRandom(at))
    }
    let isDone = false
    let added = 0
    const work = engine
      .retain()
      .then(() => (isDone = true))
      .then(() => appendAt(engine, clock.wallMs(), 'new'))
      .then(() => (added = 1))
      .then(() => coverAll(engine))
    let isWorking = true
    work.finally(() => (isWorking = false)).catch(() => undefined)
    await turnsUntil(() => isOver || !isWorking)
    disk.onOperation = undefined
    if (!isOver) return false
    const again = await openTestEngine({
      disk,
      clock: new ManualClock(clock.wallMs()),
      journalSizes,
    })
    const start = await logStart(again.engine)
    assert.ok(start === 4 || (start === 0 && !isDone), `log start ${start} after operation ${at}`)
    const [latest] = await again.engine.log.offsets([{ tp, at: 'latest' }], call)
    assert.ok(latest!.offset >= 4 + added)
    const found = await allValues(again.engine, start)
    assert.equal(found.length, latest!.offset - start)
    assert.equal(await appendAt(again.engine, clock.wallMs(), 'after'), latest!.offset)
    await again.close()
    return true
  }

  for (const how of ['crash', 'kill'] as const) {
    test(`(${how}) leaves the log start before or behind the old records, and uses no offset again`, async (t) => {
      let at = 1
      while (await crashAt(at, how)) at++
      assert.ok(at > 15, `only ${at} operations`)
      t.diagnostic(`${at - 1} operations`)
    })
  }
})
