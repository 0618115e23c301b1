/** A disk that fails once, at any write or sync: nothing acknowledged is lost, and nothing is retried. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { EmbeddedEngine } from '../../../src/engine/embedded/embedded-engine.ts'
import { readRecords } from '../../../src/model/batch-reader.ts'
import { openTestEngine } from '../../support/engine.ts'
import { append, call, fetch, newTopic } from '../../support/one-partition.ts'
import { SimDisk } from '../../support/sim-disk.ts'

const journalSizes = { firstFileBytes: 131_072, fileBytes: 131_072 }
/** A power cut that takes everything it may. */
const nothingKept = (): number => 0.99

/** Appends, with checkpoints and segments that roll in between; resolves to what was acknowledged. */
async function work(engine: EmbeddedEngine): Promise<string[]> {
  const acknowledged: string[] = []
  try {
    await newTopic(engine, { 'segment.bytes': '3000' })
    for (let i = 0; i < 12; i++) {
      const value = `record ${i} `.padEnd(700, '.')
      await append(engine, value)
      acknowledged.push(value)
      if (i % 4 === 3) await engine.checkpoint()
    }
  } catch {
    // What was refused is not counted.
  }
  return acknowledged
}

async function all(engine: EmbeddedEngine, told: string): Promise<string[]> {
  const found: string[] = []
  for (;;) {
    const { batches, error, readableEnd, next } = await fetch(engine, found.length)
    if (error?.code === 'UNKNOWN_TOPIC') return found
    assert.equal(error, undefined, `${told}: ${error?.message}`)
    for (const record of batches.flatMap((batch) => readRecords(batch))) {
      found.push(Buffer.from(record.value!).toString())
    }
    if (next >= readableEnd) return found
  }
}

for (const what of ['write', 'sync'] as const) {
  test(`EIO at any ${what}, a restart without a reboot, then a power cut: nothing acknowledged is lost`, async (t) => {
    let points = 0
    for (let nth = 1; ; nth++) {
      const disk = new SimDisk()
      let calls = 0
      let isDead = false
      const { engine } = await openTestEngine({
        disk,
        journalSizes,
        onFatal: () => (isDead = true),
      })
      disk.faults[what] = (path: string) => {
        // After the failure of this one the engine must leave its file alone.
        assert.ok(!isDead, `${path} was touched after the engine had stopped`)
        return ++calls === nth ? 'EIO' : undefined
      }
      const acknowledged = await work(engine)
      delete disk.faults[what]
      if (calls < nth) {
        await engine.close()
        break
      }
      points++
      const told = `${what} ${nth}`
      assert.equal(isDead, true, `${told}: the process is told to end`)
      assert.equal(engine.health().state, 'fenced', told)
      await assert.rejects(append(engine, 'later'))
      // The process ends and the next one sees the page cache; then the power goes.
      disk.kill(nothingKept)
      const restarted = await openTestEngine({ disk, journalSizes })
      const seen = await all(restarted.engine, told)
      assert.deepEqual(seen.slice(0, acknowledged.length), acknowledged, told)
      assert.ok(seen.length <= acknowledged.length + 1, told)
      disk.crash(nothingKept)
      const last = await openTestEngine({ disk, journalSizes, hotTailBytes: 0 })
      // What a start has shown, acknowledged or not, stays.
      assert.deepEqual(await all(last.engine, told), seen, told)
      await last.engine.topics.list('all', call)
      await last.close()
    }
    t.diagnostic(`${points} calls failed, one at a time`)
    assert.ok(points > 10)
  })
}
