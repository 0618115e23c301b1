/** Hundreds of partitions with few descriptors; the same with thousands is printed by a command. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openTestEngine } from '../../support/engine.ts'
import { batchOf, turnsUntil } from '../../support/one-partition.ts'
import { SimDisk } from '../../support/sim-disk.ts'

const call = { timeoutMs: 60_000 }
const topics = 3
const partitions = 100
const openSegments = 20

test('many partitions are written, read and found again with few open segment files', async () => {
  const disk = new SimDisk()
  let open = 0
  disk.onOperation = (what, path) => {
    if (!path.endsWith('.log')) return
    if (what === 'open') open++
    if (what === 'close') open--
  }
  const { engine, close } = await openTestEngine({ disk, openSegments, hotTailBytes: 0 })
  const names = Array.from({ length: topics }, (_, i) => `t${i}`)
  const wishes = names.map((name) => ({ name, partitions }))
  for (const { error } of await engine.topics.create(wishes, call)) assert.equal(error, undefined)
  const all = names.flatMap((topic) =>
    Array.from({ length: partitions }, (_, partition) => ({ topic, partition })),
  )
  const entries = all.map((tp) => ({ tp, batch: batchOf(`${tp.topic}-${tp.partition}`) }))
  for (const { error } of await engine.log.append(entries, call)) assert.equal(error, undefined)
  await turnsUntil(() => engine.log.pressure.inFlightBytes === 0)
  await engine.checkpoint()
  // Unsynced files had to stay open. They are synced now, and each use closes what is too many.
  for (const tp of all) {
    const request = { tp, from: 0, bytesMax: 1000 }
    const [slice] = await engine.log.fetch([request], { ...call, bytesMax: 1000 })
    assert.equal(slice!.batches.length, 1)
    slice!.release()
  }
  assert.ok(open <= openSegments, `${open} segment files are open`)
  const killed = disk.clone()
  await close()
  assert.equal(open, 0, 'a stop closes them all')

  const again = await openTestEngine({ disk: killed, openSegments, hotTailBytes: 0 })
  const ends = await again.engine.log.offsets(
    all.map((tp) => ({ tp, at: 'latest' })),
    call,
  )
  assert.ok(ends.every(({ offset }) => offset === 1))
  await again.close()
})
