/** The end of an engine: nothing is left waiting, nothing goes on behind it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openTestEngine } from '../../support/engine.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { append, batchOf, call, newTopic, tp, turnsUntil } from '../../support/one-partition.ts'
import { HeldDisk } from '../../support/held-disk.ts'

const turns = async (count: number): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve))
}

test('topics that are being made and deleted are finished before the folder is let go', async () => {
  const disk = new HeldDisk()
  const { engine } = await openTestEngine({ disk })
  await newTopic(engine)
  disk.isHeld = (what, path) => what === 'write' && path.endsWith('.jnl')
  const changes = [
    engine.topics.create([{ name: 'new', partitions: 3 }], call),
    engine.topics.delete(['t'], call),
  ]
  await turnsUntil(() => disk.held.length === 1)
  const closing = engine.close()
  await turns(5)
  disk.letGo()
  await closing
  const { operations } = disk
  await turns(100)
  assert.equal(disk.operations, operations, 'the disk was used behind the end')
  for (const outcomes of await Promise.all(changes)) assert.deepEqual(outcomes[0]!.error, undefined)
  assert.deepEqual(
    [...disk.files().keys()].filter((name) => name.startsWith('logs/')),
    ['logs/new-0', 'logs/new-1', 'logs/new-2'].map((folder) => `${folder}/partition.metadata`),
  )
})

test('a disk that stands still holds up neither the end nor those who wait for it', async () => {
  const clock = new ManualClock(Date.now())
  const disk = new HeldDisk()
  const { engine } = await openTestEngine({ disk, clock })
  await newTopic(engine)
  disk.isHeld = (what, path) => what === 'write' && path.endsWith('.jnl')
  const batches = ['a', 'b'].map((value) => [{ tp, batch: batchOf(value) }])
  const patient = { timeoutMs: 3_600_000 }
  const waiting = batches.map((entries) => engine.log.append(entries, patient))
  const deleting = engine.topics.delete(['t'], patient)
  await turnsUntil(() => disk.held.length === 1)
  const closing = engine.close()
  for (let second = 0; second < 12; second++) {
    await turns(5)
    clock.advance(1000)
  }
  await closing
  for (const [result] of await Promise.all(waiting)) assert.equal(result!.error?.applied, 'maybe')
  assert.equal((await deleting)[0]!.error?.applied, 'maybe')
})

test('a fetch that the end overtakes is refused, not told of damage', async () => {
  const disk = new HeldDisk()
  let damaged = 0
  const meter = {
    damagedBatch: () => damaged++,
    removed: () => undefined,
  }
  const { engine } = await openTestEngine({ disk, meter, hotTailBytes: 0, openSegments: 1 })
  await engine.topics.create(
    [{ name: 't', partitions: 2, config: { 'segment.bytes': '300' } }],
    call,
  )
  for (let i = 0; i < 9; i++) await append(engine, 'x'.repeat(150))
  await engine.checkpoint()
  const requests = Array.from({ length: 8 }, (_, from) => ({
    tp: { topic: 't', partition: 0 },
    from,
    bytesMax: 1,
  }))
  const fetching = engine.log.fetch(requests, { ...call, bytesMax: 1_000_000 })
  const looking = engine.log.offsets([{ tp: { topic: 't', partition: 0 }, at: { time: 1 } }], call)
  await Promise.all([engine.close(), fetching, looking])
  const codes = (await fetching).map(({ error }) => error?.code)
  assert.ok(!codes.includes('CORRUPT_BATCH'), codes.join())
  assert.equal(damaged, 0)
  const [found] = await looking
  assert.ok(found!.error?.code === 'UNAVAILABLE' || found!.offset === 0)
})
