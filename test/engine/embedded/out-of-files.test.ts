/** More partitions are written than the process may have files open. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { EmbeddedEngine } from '../../../src/engine/embedded/embedded-engine.ts'
import { readRecords } from '../../../src/model/batch-reader.ts'
import { openTestEngine } from '../../support/engine.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { batchOf, turnsUntil } from '../../support/one-partition.ts'
import { seededRandom } from '../../support/seeded-random.ts'
import { SimDisk } from '../../support/sim-disk.ts'

const call = { timeoutMs: 60_000 }
const MiB = 1024 * 1024
const journalSizes = { firstFileBytes: MiB, fileBytes: MiB }
const partitions = 60
/** Of them the journal takes some, and each change of a file that is no segment one for a moment. */
const descriptorsMax = 16
const all = Array.from({ length: partitions }, (_, partition) => ({ topic: 't', partition }))

async function opened(disk = new SimDisk()) {
  disk.descriptorsMax = descriptorsMax
  const failures: unknown[] = []
  const { engine, close } = await openTestEngine({
    disk,
    clock: new ManualClock(Date.now()),
    journalSizes,
    hotTailBytes: 0,
    onFatal: (cause) => void failures.push(cause),
  })
  return { engine, close, disk, failures }
}

async function withPartitions() {
  const made = await opened()
  const [outcome] = await made.engine.topics.create([{ name: 't', partitions }], call)
  assert.equal(outcome!.error, undefined)
  return made
}

async function appendToAll(engine: EmbeddedEngine, value: string): Promise<void> {
  const entries = all.map((tp) => ({ tp, batch: batchOf(value), trusted: true }))
  for (const { error } of await engine.log.append(entries, call)) assert.equal(error, undefined)
}

async function valuesOf(engine: EmbeddedEngine, tp: (typeof all)[number]): Promise<string[]> {
  const request = { tp, from: 0, bytesMax: MiB }
  const [slice] = await engine.log.fetch([request], { ...call, bytesMax: MiB })
  assert.equal(slice!.error, undefined)
  return slice!.batches
    .flatMap((batch) => readRecords(batch))
    .map(({ value }) => Buffer.from(value!).toString())
}

describe('with fewer descriptors than partitions', () => {
  test('everything is written, covered by checkpoints, read, and there after a power cut', async () => {
    const { engine, disk, failures } = await withPartitions()
    for (const value of ['one', 'two', 'three']) {
      await appendToAll(engine, value)
      await turnsUntil(() => engine.log.pressure.inFlightBytes === 0)
      if (value !== 'two') await engine.checkpoint()
    }
    for (const tp of all) assert.deepEqual(await valuesOf(engine, tp), ['one', 'two', 'three'])
    await appendToAll(engine, 'four')
    await turnsUntil(() => engine.log.pressure.inFlightBytes === 0)
    assert.deepEqual(failures, [])
    assert.ok(disk.descriptors <= descriptorsMax)

    disk.crash(seededRandom(1))
    const again = await opened(disk)
    for (const tp of all) {
      assert.deepEqual(await valuesOf(again.engine, tp), ['one', 'two', 'three', 'four'])
    }
    await again.close()
    assert.equal(disk.descriptors, 0)
  })

  test('a killed process starts again, however many tails must be cut', async () => {
    const { engine, disk } = await withPartitions()
    await appendToAll(engine, 'covered')
    await turnsUntil(() => engine.log.pressure.inFlightBytes === 0)
    await engine.checkpoint()
    await appendToAll(engine, 'behind the checkpoint')
    await turnsUntil(() => engine.log.pressure.inFlightBytes === 0)
    disk.kill(seededRandom(2))
    const again = await opened(disk)
    for (const tp of all) {
      assert.deepEqual(await valuesOf(again.engine, tp), ['covered', 'behind the checkpoint'])
    }
    await again.close()
  })

  test('a sync that fails to free a descriptor ends the engine like any other', async () => {
    const { engine, disk, failures } = await withPartitions()
    disk.faults.sync = (path) => (path.endsWith('.log') ? 'EIO' : undefined)
    await appendToAll(engine, 'one')
    await turnsUntil(() => failures.length > 0)
    assert.equal(engine.health().state, 'fenced')
    await engine.close()
    disk.faults.sync = () => undefined
    disk.crash(seededRandom(3))
    const again = await opened(disk)
    for (const tp of all) assert.deepEqual(await valuesOf(again.engine, tp), ['one'])
    await again.close()
  })
})
