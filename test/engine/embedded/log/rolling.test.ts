import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { openTestEngine } from '../../../support/engine.ts'
import { ManualClock } from '../../../support/manual-clock.ts'
import { call, newTopic } from '../../../support/one-partition.ts'
import {
  appendAt,
  bases,
  coverAll,
  journalSizes,
  segmentFiles,
} from '../../../support/segment-files.ts'

async function opened(config: Record<string, string>) {
  const clock = new ManualClock()
  const { engine, disk, close } = await openTestEngine({ clock, journalSizes })
  await newTopic(engine, config)
  return { engine, disk, clock, close }
}

describe('a segment is followed by a new one', () => {
  test('when its records span more than segment.ms, counted from the first that has a time', async () => {
    const { engine, disk, clock, close } = await opened({ 'segment.ms': '1000' })
    const now = clock.wallMs()
    for (const time of [-1, now, now + 1000, -1, now + 1001, now + 2001]) {
      await appendAt(engine, time)
    }
    await coverAll(engine)
    assert.deepEqual(bases(disk), [0, 4])
    await close()
  })

  test('earlier by segment.jitter.ms, each partition by its own share', async () => {
    const clock = new ManualClock()
    const { engine, disk, close } = await openTestEngine({ clock })
    const config = { 'segment.ms': '10000', 'segment.jitter.ms': '10000' }
    await engine.topics.create([{ name: 't', partitions: 40, config }], call)
    const rolledAt: number[] = []
    for (let ms = 0; ms <= 10_000; ms += 1000) {
      for (let partition = 0; partition < 40; partition++) {
        await appendAt(engine, clock.wallMs() + ms, '', partition)
      }
    }
    await coverAll(engine)
    for (let partition = 0; partition < 40; partition++) {
      rolledAt.push(bases(disk, '.log', partition)[1] ?? Infinity)
    }
    assert.ok(new Set(rolledAt).size >= 6, `all roll together: ${rolledAt.join()}`)
    assert.ok(rolledAt.filter((at) => at <= 5).length >= 10, rolledAt.join())
    await close()
  })

  test('when an index file is as large as segment.index.bytes', async () => {
    const config = { 'segment.index.bytes': '80', 'index.interval.bytes': '1' }
    const { engine, disk, clock, close } = await opened(config)
    for (let i = 0; i < 40; i++) await appendAt(engine, clock.wallMs() + i)
    await coverAll(engine)
    assert.ok(bases(disk).length > 3)
    for (const [path, bytes] of disk.files()) {
      if (/index$/.test(path)) assert.ok(bytes <= 80, `${path} has ${bytes} bytes`)
    }
    await close()
  })
})

test('index.interval.bytes says how densely a segment is indexed, also after a change', async () => {
  const { engine, disk, clock, close } = await opened({ 'index.interval.bytes': '0' })
  const entries = () =>
    disk.files().get(`logs/t-0/${segmentFiles(disk).find((n) => n.endsWith('.index'))}`)! / 8
  for (let i = 0; i < 20; i++) await appendAt(engine, clock.wallMs())
  await coverAll(engine)
  assert.equal(entries(), 19)
  const change = { op: 'set', name: 'index.interval.bytes', value: '4096' } as const
  await engine.topics.alterConfigs({ type: 'topic', name: 't' }, [change], call)
  for (let i = 0; i < 20; i++) await appendAt(engine, clock.wallMs())
  await coverAll(engine)
  assert.equal(entries(), 19)
  await close()
})
