/**
 * The crash table of the engine's design, one test per row: the machine goes down at every operation of
 * the disk that the row speaks of, three ways each (nothing unsynced is kept, everything, a part). What
 * was acknowledged is there, offsets are dense, appends go on, and a second start sees the same.
 * The row of the compaction's swap is in compaction/; EIO at any call is in dying-disk.test.ts.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { EmbeddedEngine } from '../../../src/engine/embedded/embedded-engine.ts'
import { readRecords } from '../../../src/model/batch-reader.ts'
import type { TestEngine } from '../../support/engine.ts'
import { openTestEngine } from '../../support/engine.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { append, call, fetch, newTopic, tp, turnsUntil } from '../../support/one-partition.ts'
import { seededRandom } from '../../support/seeded-random.ts'
import type { SimDisk } from '../../support/sim-disk.ts'

const journalSizes = { firstFileBytes: 32_768, fileBytes: 32_768 }
/** Of the operations that a row names, at most so many, spread over the run. */
const pointsPerRow = 12

type Matches = (what: string, path: string) => boolean

/** What was acknowledged before the machine went down. */
interface Ledger {
  readonly values: string[]
  logStart: number
  /** The topic was deleted and made again; records of before are gone for good. */
  generation: number
  isSure: boolean
}

/** A life with everything in it that the rows speak of. */
async function live({ engine, clock }: TestEngine<ManualClock>, ledger: Ledger): Promise<void> {
  const write = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      const value = `${ledger.generation}/${ledger.values.length} `.padEnd(900, '.')
      await append(engine, value)
      ledger.values.push(value)
    }
  }
  const make = async (): Promise<void> => {
    ledger.isSure = false
    const config = { 'segment.bytes': '3000', 'file.delete.delay.ms': '0' }
    await newTopic(engine, config)
    ledger.isSure = true
  }
  await make()
  await write(8)
  await engine.checkpoint()
  await write(6)
  const [trimmed] = await engine.log.deleteRecords([{ tp, before: 5 }], call)
  if (trimmed!.error !== undefined) throw trimmed!.error
  ledger.logStart = 5
  await engine.checkpoint()
  await engine.checkpoint()
  // The delay of removed files; a clock that nobody moves keeps a dead process from going on.
  clock.advance(1)
  await write(4)
  ledger.isSure = false
  const [deleted] = await engine.topics.delete(['t'], call)
  if (deleted!.error !== undefined) throw deleted!.error
  Object.assign(ledger, { generation: 1, logStart: 0 })
  ledger.values.length = 0
  await make()
  await write(6)
  await engine.checkpoint()
  await write(3)
}

const openLife = () => openTestEngine({ journalSizes, clock: new ManualClock(Date.now()) })

const newLedger = (): Ledger => ({ values: [], logStart: 0, generation: 0, isSure: false })

/** Resolves when the machine went down at the `nth` operation of the kind; false: there is none. */
async function crashAt(
  disk: SimDisk,
  matches: Matches,
  nth: number,
  keep: () => number,
  run: () => Promise<unknown>,
): Promise<boolean> {
  let seen = 0
  let isDown = false
  const down = new Promise<void>((resolve) => {
    disk.onOperation = (what, path) => {
      if (isDown || !matches(what, path) || ++seen !== nth) return
      isDown = true
      // Within the operation: it was begun, and nobody hears how it ended.
      queueMicrotask(() => {
        disk.onOperation = undefined
        disk.crash(keep)
        resolve()
      })
    }
  })
  const ended = run().then(
    () => undefined,
    () => undefined,
  )
  await Promise.race([down, ended])
  disk.onOperation = undefined
  return isDown
}

async function all(engine: EmbeddedEngine, from: number): Promise<string[]> {
  const found: string[] = []
  for (let at = from; ;) {
    const { batches, error, readableEnd, next } = await fetch(engine, at)
    if (error !== undefined) throw error
    for (const record of batches.flatMap((batch) => readRecords(batch))) {
      assert.equal(record.offset, from + found.length, 'offsets are dense')
      found.push(Buffer.from(record.value!).toString())
    }
    if (next >= readableEnd) return found
    at = next
  }
}

/** Opens what the crash left and compares it with what was acknowledged. */
async function check(disk: SimDisk, ledger: Ledger, told: string): Promise<void> {
  let seen: string[] | undefined
  for (let start = 0; start < 2; start++) {
    const { engine, close } = await openTestEngine({ disk, journalSizes, hotTailBytes: 0 })
    assert.equal(engine.health().state, 'ok', told)
    const known = engine.topics.known('t')
    if (known === undefined) assert.ok(!ledger.isSure, `${told}: the topic is gone`)
    else {
      const [earliest] = await engine.log.offsets([{ tp, at: 'earliest' }], call)
      const first = earliest!.offset
      const found = await all(engine, first)
      if (ledger.isSure) {
        const kept = ledger.values.slice(first)
        assert.deepEqual(found.slice(0, kept.length), kept, told)
        assert.ok(found.length <= kept.length + 1, `${told}: only the one in flight may be more`)
        assert.ok(first >= ledger.logStart, `${told}: the log start went back to ${first}`)
      }
      if (seen !== undefined) assert.deepEqual(found, seen, `${told}: a second start sees the same`)
      if (start === 1) await append(engine, 'goes on')
      seen = found
    }
    await close()
  }
}

const ways: readonly (readonly [string, (seed: number) => () => number])[] = [
  ['nothing unsynced kept', () => () => 0.99],
  ['everything kept', () => () => 0.01],
  ['a part kept', (seed) => seededRandom(seed)],
]

async function row(matches: Matches, then?: (disk: SimDisk) => void): Promise<number> {
  const probe = await openLife()
  let total = 0
  probe.disk.onOperation = (what, path) => void (total += matches(what, path) ? 1 : 0)
  await live(probe, newLedger())
  probe.disk.onOperation = undefined
  await probe.close()
  let points = 0
  const step = Math.max(1, Math.floor(total / pointsPerRow))
  for (let nth = 1; nth <= total; nth += step) {
    for (const [name, keep] of ways) {
      const life = await openLife()
      const { disk } = life
      const ledger = newLedger()
      if (!(await crashAt(disk, matches, nth, keep(nth), () => live(life, ledger)))) continue
      then?.(disk)
      await check(disk, ledger, `operation ${nth} of ${total}, ${name}`)
      points++
    }
  }
  return points
}

const isIn = (folder: string, ending: string) => (path: string) =>
  path.startsWith(folder) && path.endsWith(ending)

describe('a crash', () => {
  const rows: readonly (readonly [string, Matches, ((disk: SimDisk) => void)?])[] = [
    [
      'during the journal write of a frame',
      (what, path) => what === 'write' && isIn('journal/', '.jnl')(path),
    ],
    [
      'with the frame durable, segments not yet or partly written',
      (what, path) => what === 'write' && isIn('logs/', '.log')(path),
    ],
    [
      'with a segment rolled whose directory entry is not durable',
      (what, path) => (what === 'open' || what === 'sync') && isIn('logs/', '.log')(path),
    ],
    [
      'in a checkpoint, before its snapshot is durable',
      (what, path) =>
        (['sync', 'syncdir'].includes(what) && path.startsWith('logs')) ||
        path.includes('.snapshot.tmp'),
    ],
    [
      'with the snapshot durable and recycling half done',
      (what, path) =>
        (what === 'syncdir' && path === 'meta') || (what === 'remove' && path.startsWith('meta/')),
    ],
    [
      'at a file switch',
      (what, path) => path.startsWith('journal') && what !== 'write' && what !== 'read',
    ],
    [
      'after which the newest snapshot is damaged',
      (what, path) => what === 'write' && isIn('journal/', '.jnl')(path),
      (disk) => {
        const names = [...disk.files().keys()].filter(isIn('meta/', '.snapshot')).sort()
        if (names.length > 1) disk.damage(names.at(-1)!, 20, Buffer.from('damage'))
      },
    ],
    [
      'while a topic is created, or deleted and created again',
      (what, path) =>
        path.startsWith('logs') &&
        (what === 'mkdir' || what === 'rename' || what === 'rmdir' || path.includes('metadata')),
    ],
    [
      'with the log start moved and files not yet gone',
      (what, path) =>
        /\.(log|index|timeindex)(\.deleted)?$/.test(path) &&
        (what === 'rename' || what === 'remove'),
    ],
  ]
  for (const [title, matches, then] of rows) {
    test(title, async (t) => {
      const points = await row(matches, then)
      t.diagnostic(`${points} crashes`)
      assert.ok(points >= 3, `${points} crashes`)
    })
  }

  test('in the middle of recovery', async (t) => {
    const life = await openLife()
    const { engine, disk: living } = life
    const ledger = newLedger()
    await live(life, ledger)
    await turnsUntil(() => engine.log.pressure.inFlightBytes === 0)
    const left = living.clone()
    await engine.close()
    let points = 0
    for (let nth = 1; ; nth += 4) {
      const disk = left.clone()
      const [, keep] = ways[nth % 3]!
      const isDown = await crashAt(
        disk,
        () => true,
        nth,
        keep(nth),
        async () =>
          (
            await openTestEngine({ disk, journalSizes, clock: new ManualClock(Date.now()) })
          ).close(),
      )
      if (!isDown) break
      await check(disk, ledger, `operation ${nth}`)
      points++
    }
    t.diagnostic(`${points} crashes`)
    assert.ok(points > 10)
  })
})
