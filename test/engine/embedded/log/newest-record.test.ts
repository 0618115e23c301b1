/** The offset of the record with the largest timestamp (`max_timestamp`). */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { EmbeddedEngine } from '../../../../src/engine/embedded/embedded-engine.ts'
import { compactedConfig, put, settle } from '../../../support/compacted-topic.ts'
import { writeBatch } from '../../../../src/model/batch-writer.ts'
import { openTestEngine } from '../../../support/engine.ts'
import { HeldDisk } from '../../../support/held-disk.ts'
import { call, newTopic, tp, turnsUntil } from '../../../support/one-partition.ts'
import { appendAt } from '../../../support/segment-files.ts'

async function newest(engine: EmbeddedEngine) {
  const [answer] = await engine.log.offsets([{ tp, at: 'max_timestamp' }], call)
  if (answer!.error !== undefined) throw answer!.error
  return { offset: answer!.offset, timestamp: answer!.timestamp }
}

describe('the newest record', () => {
  test('is one that is still there, when the log start moved past a newer one in its segment', async () => {
    const { engine, close } = await openTestEngine()
    await newTopic(engine)
    for (const timestamp of [100, 900, 300, 500, 400]) await appendAt(engine, timestamp)
    assert.deepEqual(await newest(engine), { offset: 1, timestamp: 900 })
    const [outcome] = await engine.log.deleteRecords([{ tp, before: 2 }], call)
    assert.equal(outcome!.error, undefined)
    assert.deepEqual(await newest(engine), { offset: 3, timestamp: 500 })
    await close()
  })

  test('is found while compaction swaps the segments that hold it', async () => {
    const disk = new HeldDisk()
    const open = () => openTestEngine({ disk, hotTailBytes: 0, compactionBytesPerSecond: Infinity })
    const first = await open()
    await newTopic(first.engine, compactedConfig)
    // The first segment stays as it is; of the others the latest record is an old value of its key.
    for (let i = 0; i < 24; i++) {
      const key = i < 4 ? `unique${i}` : `k${i % 3}`
      await put(first.engine, [[key, `${i}`.padEnd(60)]], i === 15 ? 5000 : 1000 + i)
    }
    await settle(first.engine)
    await first.close()
    const { engine, close } = await open()
    await settle(engine)
    // The look-up stands in the first segment while the others are replaced.
    disk.isHeld = (what, path) => what === 'read' && path.endsWith('0000.log')
    const finding = newest(engine)
    await turnsUntil(() => disk.held.length > 0)
    const held = disk.held.splice(0)
    disk.isHeld = () => false
    await Promise.race([
      engine.compact(),
      turnsUntil(() => disk.files().has('logs/t-0/00000000000000000004.log.deleted')),
    ])
    for (const run of held) run()
    assert.deepEqual(await finding, { offset: 23, timestamp: 1023 })
    await close()
  })

  test('in the rest of a batch that the log start cuts through is found', async () => {
    const { engine, close } = await openTestEngine()
    await newTopic(engine)
    const records = [100, 900, 300, 500, 400].map((timestamp) => ({
      key: null,
      value: Buffer.from(`${timestamp}`),
      headers: [],
      timestamp,
    }))
    await engine.log.append([{ tp, batch: writeBatch(records, 0) }], call)
    const [outcome] = await engine.log.deleteRecords([{ tp, before: 2 }], call)
    assert.equal(outcome!.error, undefined)
    assert.deepEqual(await newest(engine), { offset: 3, timestamp: 500 })
    await close()
  })
})
