/** A back-up while the log goes on, and what a start makes of it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import type { BackupPlace } from '../../../../src/engine/embedded/disk/backup-place.ts'
import type { EmbeddedEngine } from '../../../../src/engine/embedded/embedded-engine.ts'
import { readRecords } from '../../../../src/model/batch-reader.ts'
import { writeBatch } from '../../../../src/model/batch-writer.ts'
import { GatewayError } from '../../../../src/model/errors.ts'
import { noHeaders } from '../../../../src/model/record.ts'
import { openTestEngine } from '../../../support/engine.ts'
import { ManualClock } from '../../../support/manual-clock.ts'
import { SimDisk } from '../../../support/sim-disk.ts'

const call = { timeoutMs: 10_000 }
const config = { 'segment.bytes': '16384', 'file.delete.delay.ms': '0' }
const padding = '.'.repeat(1500)

/** Places on simulated disks, with what became of them. */
class Places {
  readonly made: { disk: SimDisk; fate: 'open' | 'finished' | 'discarded' }[] = []

  readonly placeFor = async (): Promise<BackupPlace> => {
    const place: (typeof this.made)[number] = { disk: new SimDisk(), fate: 'open' }
    this.made.push(place)
    return {
      disk: place.disk,
      finish: async () => void (place.fate = 'finished'),
      discard: async () => void (place.fate = 'discarded'),
    }
  }
}

async function append(engine: EmbeddedEngine, topic: string, text: string): Promise<number> {
  const record = { key: null, value: Buffer.from(text), headers: noHeaders, timestamp: 1 }
  const batch = writeBatch([record], 1)
  const [result] = await engine.log.append([{ tp: { topic, partition: 0 }, batch }], call)
  if (result?.offsets === undefined) throw result?.error ?? new Error('No answer.')
  return result.offsets.base
}

/** The values of a partition by offset, from its start to its end. */
async function valuesOf(engine: EmbeddedEngine, topic: string): Promise<Map<number, string>> {
  const tp = { topic, partition: 0 }
  const [start] = await engine.log.offsets([{ tp, at: 'earliest' }], call)
  const [end] = await engine.log.offsets([{ tp, at: 'latest' }], call)
  const values = new Map<number, string>()
  for (let from = start!.offset; from < end!.offset;) {
    const [slice] = await engine.log.fetch([{ tp, from, bytesMax: 1_000_000 }], {
      ...call,
      bytesMax: 1_000_000,
    })
    if (slice?.error !== undefined) throw slice.error
    for (const { offset, value } of slice!.batches.flatMap((batch) => readRecords(batch))) {
      values.set(offset, Buffer.from(value!).toString())
    }
    from = slice!.next
  }
  return values
}

test('a back-up under load holds what was acknowledged before it began, and starts like a clean folder', async () => {
  const places = new Places()
  const { engine, disk, close } = await openTestEngine({ backupPlace: places.placeFor })
  const topics = ['a', 'b', 'c']
  await engine.topics.create(
    topics.map((name) => ({ name, partitions: 1, config })),
    call,
  )
  const acked = new Map(topics.map((topic) => [topic, new Map<number, string>()]))
  let isOver = false
  const load = topics.map(async (topic) => {
    for (let i = 0; !isOver; i++) {
      const text = `${topic}${i}${padding}`
      acked.get(topic)!.set(await append(engine, topic, text), text)
      // A load without pauses would drown what is looked at here.
      await setTimeout(1)
    }
  })
  const churn = (async () => {
    for (let i = 0; !isOver; i++) {
      await engine.topics.create([{ name: 'churn', partitions: 1, config }], call)
      await append(engine, 'churn', `life ${i}`)
      if (i % 2 === 0) await engine.checkpoint()
      await engine.topics.delete(['churn'], call)
      await setTimeout(1)
    }
  })()
  const trimmed = (async () => {
    for (let before = 5; !isOver; before += 5) {
      const known = Math.max(-1, ...acked.get('c')!.keys())
      if (before < known - 20) {
        await engine.log.deleteRecords([{ tp: { topic: 'c', partition: 0 }, before }], call)
      } else await setTimeout(1)
    }
  })()
  try {
    for (let round = 0; round < 4; round++) {
      const target = Math.max(...acked.get('a')!.keys(), 0) + 30
      while (!acked.get('a')!.has(target)) await setTimeout(1)
      const before = new Map(topics.map((topic) => [topic, new Map(acked.get(topic))]))
      const report = await engine.backups!.make('/anywhere', call)
      assert.ok(report.topics >= 3 && report.linkedBytes > 0, JSON.stringify(report))
      const { disk: copy, fate } = places.made[round]!
      assert.equal(fate, 'finished')
      assert.ok(![...copy.files().keys()].some((path) => path.includes('LOCK')))
      // What is not durable must not be needed.
      copy.crash(() => 0.9)
      await checkCopy(copy, topics, before, acked)
    }
  } finally {
    isOver = true
    await Promise.all([...load, churn, trimmed])
  }
  for (const topic of topics) {
    for (const [offset, text] of await valuesOf(engine, topic)) {
      assert.equal(acked.get(topic)!.get(offset), text)
    }
  }
  await close()
  assert.ok(disk.files().size > 0)
})

async function checkCopy(
  copy: SimDisk,
  topics: readonly string[],
  before: ReadonlyMap<string, ReadonlyMap<number, string>>,
  acked: ReadonlyMap<string, ReadonlyMap<number, string>>,
): Promise<void> {
  const frames: number[] = []
  const restored = await openTestEngine({
    disk: copy.clone(),
    meter: {
      journalWrite: () => undefined,
      checkpoint: () => undefined,
      recovered: (count) => void frames.push(count),
      damagedBatch: () => assert.fail('the copy is damaged'),
    },
  })
  assert.deepEqual(frames, [0])
  assert.equal(restored.engine.health().state, 'ok')
  for (const topic of topics) {
    const found = await valuesOf(restored.engine, topic)
    const start = Math.min(...found.keys())
    for (const [offset, text] of before.get(topic)!) {
      if (topic === 'c' && offset < start) continue
      assert.equal(found.get(offset), text, `${topic}, offset ${offset}`)
    }
    for (const [offset, text] of found) {
      const known = acked.get(topic)!.get(offset)
      assert.ok(known === undefined || known === text, `${topic}, offset ${offset}`)
    }
    const next = await append(restored.engine, topic, 'afterwards')
    assert.equal(next, Math.max(...found.keys()) + 1)
  }
  await restored.close()
}

test('a topic that is deleted while it is copied is in the copy whole', async () => {
  const places = new Places()
  const { engine, disk, close } = await openTestEngine({ backupPlace: places.placeFor })
  await engine.topics.create([{ name: 'gone', partitions: 1, config }], call)
  for (let i = 0; i < 40; i++) await append(engine, 'gone', `${i}${padding}`)
  let deleting: Promise<unknown> | undefined
  disk.onOperation = (what) => {
    // At the first link the delete begins, and a namesake takes its place.
    if (what !== 'link' || deleting !== undefined) return
    deleting = engine.topics
      .delete(['gone'], call)
      .then(() => engine.topics.create([{ name: 'gone', partitions: 1, config }], call))
      .then(() => append(engine, 'gone', 'namesake'))
  }
  await engine.backups!.make('/anywhere', call)
  await deleting
  await close()
  const restored = await openTestEngine({ disk: places.made[0]!.disk })
  const values = await valuesOf(restored.engine, 'gone')
  assert.equal(values.size, 40)
  assert.ok(values.get(39)?.startsWith('39'))
  await restored.close()
})

test('without links everything is copied, and the report says so', async () => {
  const places = new Places()
  const { engine, disk, close } = await openTestEngine({ backupPlace: places.placeFor })
  await engine.topics.create([{ name: 'a', partitions: 1, config }], call)
  for (let i = 0; i < 40; i++) await append(engine, 'a', `${i}${padding}`)
  disk.links = false
  const { linkedBytes, bytes } = await engine.backups!.make('/anywhere', call)
  assert.equal(linkedBytes, 0)
  assert.ok(bytes > 40 * 1500)
  await close()
  const restored = await openTestEngine({ disk: places.made[0]!.disk })
  assert.equal((await valuesOf(restored.engine, 'a')).size, 40)
  await restored.close()
})

test('what a start of the copy cuts or writes never reaches the original', async () => {
  const places = new Places()
  const { engine, disk, close } = await openTestEngine({ backupPlace: places.placeFor })
  await engine.topics.create([{ name: 'a', partitions: 1, config }], call)
  for (let i = 0; i < 40; i++) await append(engine, 'a', `${i}${padding}`)
  await engine.backups!.make('/anywhere', call)
  for (let i = 40; i < 60; i++) await append(engine, 'a', `${i}${padding}`)
  await engine.checkpoint()
  const logs = [...disk.files().keys()].filter((path) => path.endsWith('.log'))
  const original = new Map(logs.map((path) => [path, disk.bytesOf(path)]))
  const restored = await openTestEngine({ disk: places.made[0]!.disk })
  for (let i = 0; i < 30; i++) await append(restored.engine, 'a', `other ${i}${padding}`)
  await restored.close()
  for (const [path, bytes] of original) assert.deepEqual(disk.bytesOf(path), bytes, path)
  await close()
})

test('a back-up that meets a full disk, or that is too slow, is taken back whole', async () => {
  const places = new Places()
  const clock = new ManualClock()
  const { engine, close } = await openTestEngine({ clock, backupPlace: places.placeFor })
  await engine.topics.create([{ name: 'a', partitions: 1, config }], call)
  await append(engine, 'a', padding)
  const code = (wanted: string) => (error: unknown) =>
    error instanceof GatewayError && error.code === wanted
  const full = engine.backups!.make('/anywhere', call)
  places.made[0]!.disk.free = 1000
  await assert.rejects(full, code('DISK_FULL'))
  const slow = engine.backups!.make('/anywhere', call)
  await assert.rejects(engine.backups!.make('/elsewhere', call), code('ILLEGAL_STATE'))
  clock.advance(call.timeoutMs)
  await assert.rejects(slow, code('TIMEOUT'))
  assert.deepEqual(
    places.made.map(({ fate }) => fate),
    ['discarded', 'discarded'],
  )
  await engine.backups!.make('/anywhere', call)
  const last = engine.backups!.make('/anywhere', call)
  await Promise.all([assert.rejects(last, code('UNAVAILABLE')), close()])
})
