import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OpenFiles } from '../../../../src/engine/embedded/log/open-files.ts'
import { Segment } from '../../../../src/engine/embedded/log/segment.ts'
import { HeldDisk } from '../../../support/held-disk.ts'
import { batchOf, turnsUntil } from '../../../support/one-partition.ts'

async function written(disk: HeldDisk) {
  await disk.makeDirectory('logs')
  const openFiles = new OpenFiles({ max: 10, onFailure: () => undefined })
  const segment = new Segment('logs', 0, { disk, openFiles }, true)
  const batch = batchOf('value')
  segment.plan(0, batch.length, 0)
  await segment.write([batch], 0, batch.length)
  return segment
}

test('a sync under way counts as unsynced, and a second one waits for it', async () => {
  const disk = new HeldDisk()
  const segment = await written(disk)
  disk.isHeld = (what, path) => what === 'sync' && path.endsWith('.log')
  const first = segment.syncBytes()
  await turnsUntil(() => disk.held.length === 1)
  assert.equal(segment.needsSync, true)
  let isDone = false
  const second = segment.sync().then(() => (isDone = true))
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve))
  assert.equal(isDone, false)
  disk.letGo()
  await Promise.all([first, second])
  assert.equal(segment.needsSync, false)
  await segment.abandon()
})

test('after a failed sync none succeeds', async () => {
  const disk = new HeldDisk()
  const segment = await written(disk)
  disk.faults.sync = () => 'EIO'
  await assert.rejects(segment.syncBytes(), /EIO/)
  disk.faults.sync = () => undefined
  assert.equal(segment.needsSync, true)
  await assert.rejects(segment.sync(), /EIO/)
  await segment.abandon()
})
