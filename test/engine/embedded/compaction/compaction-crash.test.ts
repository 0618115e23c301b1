/** A compacted topic against an in-memory map, with the machine going down at every disk operation. */
import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import type { EmbeddedEngine } from '../../../../src/engine/embedded/embedded-engine.ts'
import { lastOffsetOf } from '../../../../src/model/record-batch.ts'
import type { Written } from '../../../support/compacted-topic.ts'
import { compactedConfig, newest, put, readAll, settle } from '../../../support/compacted-topic.ts'
import { openTestEngine } from '../../../support/engine.ts'
import { ManualClock } from '../../../support/manual-clock.ts'
import { call, newTopic, tp, turnsUntil } from '../../../support/one-partition.ts'
import { batchesIn } from '../../../support/segment-batches.ts'
import { seededRandom } from '../../../support/seeded-random.ts'
import { SimDisk } from '../../../support/sim-disk.ts'

const journalSizes = { firstFileBytes: 65_536, fileBytes: 65_536 }

function open(disk: SimDisk, clock = new ManualClock()) {
  return openTestEngine({
    disk,
    clock,
    journalSizes,
    hotTailBytes: 0,
    compactionBytesPerSecond: Infinity,
  })
}

/** What readers were shown must be there, but for records that compaction may take. */
function checkAgainst(found: readonly Written[], all: readonly Written[], what: string): void {
  const byOffset = new Map(all.map((record) => [record.offset, record]))
  for (const record of found) assert.deepEqual(record, byOffset.get(record.offset), what)
  assert.deepEqual(newest(found), newest(all), what)
}

/** Nothing is left of an unfinished swap, no segment stands in another's range, each has its indexes. */
function checkFolder(disk: SimDisk, what: string): void {
  const names = [...disk.files().keys()].filter((path) => path.startsWith('logs/t-0/'))
  const stray = names.filter((name) => /\.(cleaned|swap)$/.test(name))
  assert.deepEqual(stray, [], what)
  let end = 0
  for (const log of names.filter((name) => name.endsWith('.log')).sort()) {
    assert.equal(Number(/(\d+)\.log$/.exec(log)![1]), end, `${what}: ${log} is in the wrong place`)
    end = batchesIn(disk.bytesOf(log)).reduce((_, batch) => lastOffsetOf(batch) + 1, end)
    for (const ending of ['.index', '.timeindex']) {
      assert.ok(names.includes(log.replace('.log', ending)), `${what}: ${log} has no ${ending}`)
    }
  }
}

async function readableEnd(engine: EmbeddedEngine): Promise<number> {
  const [answer] = await engine.log.offsets([{ tp, at: 'latest' }], call)
  return answer!.offset
}

describe('a crash while a compacted segment takes the place of old ones', () => {
  const base = new SimDisk()
  const all: Written[] = []

  before(async () => {
    const clock = new ManualClock()
    const { engine, close } = await open(base, clock)
    await newTopic(engine, { ...compactedConfig, 'file.delete.delay.ms': '0' })
    for (let i = 0; i < 20; i++) {
      const value = i % 4 === 3 ? null : `value ${i}`.padEnd(70, '.')
      all.push(...(await put(engine, [[`k${i % 3}`, value]], clock.wallMs())))
    }
    await settle(engine)
    await close()
  })

  /** What the machine went down at; undefined when the compaction was over before operation `at`. */
  async function crashAt(
    at: number,
    how: 'crash' | 'kill',
    fallsBack: boolean,
    seed = 0,
  ): Promise<string | undefined> {
    const what = `${how} at operation ${at}, chance ${seed}`
    const chance = seededRandom(at + 1000 * seed)
    const disk = base.clone()
    const first = await open(disk)
    const from = disk.operations
    let over: string | undefined
    disk.onOperation = (operation) => {
      if (over !== undefined || disk.operations < from + at) return
      over = operation
      disk[how](chance)
    }
    let isDone = false
    void first.engine.compact().then(() => (isDone = true))
    await turnsUntil(() => isDone || over !== undefined)
    disk.onOperation = undefined
    if (isDone) {
      await first.close()
      return undefined
    }
    if (fallsBack) {
      const snapshots = [...disk.files().keys()].filter((path) => path.endsWith('.snapshot'))
      if (snapshots.length > 1) disk.damage(snapshots.sort().at(-1)!, 50, Buffer.from('damage'))
    }

    const again = await open(disk)
    assert.equal(again.engine.health().state, 'ok', what)
    checkFolder(disk, what)
    checkAgainst(await readAll(again.engine), all, what)
    assert.equal(await readableEnd(again.engine), all.length, what)
    const more = await put(again.engine, [['k1', 'after the crash']], again.clock.wallMs())
    assert.equal(more[0]!.offset, all.length, what)
    await settle(again.engine)
    await again.engine.compact()
    const after = await readAll(again.engine)
    checkAgainst(after, [...all, ...more], what)
    assert.ok(after.length < all.length - 4, `${what}: ${after.length} records are left`)
    await again.close()

    const last = await open(disk)
    assert.deepEqual(await readAll(last.engine), after, what)
    checkFolder(disk, what)
    await last.close()
    return over
  }

  for (const how of ['crash', 'kill'] as const) {
    for (const fallsBack of [false, true]) {
      const after = fallsBack ? ', and then the newest snapshot is damaged' : ''
      test(`takes no key's newest value, wherever it comes (${how}${after})`, async (t) => {
        // Every operation, and every third one in each of the rarer ways.
        const stride = how === 'crash' && !fallsBack ? 1 : 3
        let at = 1
        for (let over; (over = await crashAt(at, how, fallsBack)) !== undefined; at += stride) {
          // Before a folder is synced chance decides which of its renames survive.
          for (let seed = 1; stride === 1 && over === 'syncdir' && seed < 20; seed++) {
            await crashAt(at, how, fallsBack, seed)
          }
        }
        assert.ok(at > 40, `only ${at} operations`)
        t.diagnostic(`${at - 1} operations`)
      })
    }
  }
})
