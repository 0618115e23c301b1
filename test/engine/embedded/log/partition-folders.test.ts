import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openTestEngine } from '../../../support/engine.ts'
import type { SimDisk } from '../../../support/sim-disk.ts'
import { writeBatch } from '../../../../src/model/batch-writer.ts'

const call = { timeoutMs: 5000 }
const tp = { topic: 't', partition: 0 }

const batch = (): Uint8Array =>
  writeBatch([{ key: null, value: Buffer.from('x'), headers: [] }], Date.now())

async function withTopic(): Promise<{ disk: SimDisk; id: string }> {
  const { engine, disk, close } = await openTestEngine()
  await engine.topics.create([{ name: 't', partitions: 1 }], call)
  await engine.log.append([{ tp, batch: batch() }], call)
  await close()
  return { disk, id: engine.topics.known('t')!.id }
}

async function write(disk: SimDisk, path: string, text: string): Promise<void> {
  await disk.makeDirectory(path.slice(0, path.lastIndexOf('/')))
  const file = await disk.open(path, { create: true })
  await file.truncate(0)
  await file.write([Buffer.from(text)], 0)
}

test('a folder under the id of a topic that does not exist is removed', async () => {
  const { disk } = await withTopic()
  await write(disk, 'logs/old-3/partition.metadata', `version: 0\ntopic_id: ${'A'.repeat(22)}\n`)
  await write(disk, 'logs/old-3/00000000000000000000.log', 'bytes')
  const { close } = await openTestEngine({ disk })
  await close()
  assert.deepEqual(await disk.list('logs'), ['t-0'])
})

test('a known partition whose metadata cannot be read gets it written again', async () => {
  const { disk, id } = await withTopic()
  await write(disk, 'logs/t-0/partition.metadata', 'garbage')
  const { engine, close } = await openTestEngine({ disk })
  assert.equal(
    disk.bytesOf('logs/t-0/partition.metadata').toString(),
    `version: 0\ntopic_id: ${id}\n`,
  )
  const [slice] = await engine.log.fetch([{ tp, from: 0, bytesMax: 100 }], {
    ...call,
    bytesMax: 100,
  })
  assert.equal(slice!.batches.length, 1)
  await close()
})

test('a folder that nothing explains is left alone, and set aside when its name is needed', async () => {
  const { disk } = await withTopic()
  await write(disk, 'logs/mine-0/00000000000000000000.log', 'precious')
  const { engine, close } = await openTestEngine({ disk })
  assert.equal(disk.bytesOf('logs/mine-0/00000000000000000000.log').toString(), 'precious')
  await engine.topics.create([{ name: 'mine', partitions: 1 }], call)
  await close()
  const kept = [...disk.files().keys()].filter((name) => name.startsWith('quarantine/'))
  assert.equal(kept.length, 1)
  assert.equal(disk.bytesOf(kept[0]!).toString(), 'precious')
})

test('deleting a topic removes its folders, and a namesake starts empty', async () => {
  const { disk } = await withTopic()
  const { engine, close } = await openTestEngine({ disk })
  await Promise.all([
    engine.topics.delete(['t'], call),
    engine.topics.create([{ name: 't', partitions: 1 }], call),
  ])
  const [result] = await engine.log.append([{ tp, batch: batch() }], call)
  assert.equal(result!.offsets!.base, 0)
  await close()
  assert.deepEqual(await disk.list('logs'), ['t-0'])
})
