import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { openTestEngine } from '../../../support/engine.ts'
import { ManualClock } from '../../../support/manual-clock.ts'
import { newTopic } from '../../../support/one-partition.ts'
import { compactedConfig, newest, put, readAll, settle } from '../../../support/compacted-topic.ts'

const day = 86_400_000

async function opened(config: Record<string, string> = {}) {
  const clock = new ManualClock()
  const parts = await openTestEngine({
    clock,
    hotTailBytes: 0,
    compactionBytesPerSecond: Infinity,
  })
  await newTopic(parts.engine, { ...compactedConfig, ...config })
  return parts
}

describe('log compaction', () => {
  test('of each key the newest record stays, at its offset', async () => {
    const { engine, clock, close } = await opened()
    for (let i = 0; i < 40; i++)
      await put(engine, [[`k${i % 4}`, `${i}`.padEnd(60)]], clock.wallMs())
    await settle(engine)
    const before = await readAll(engine)
    await engine.compact()
    const after = await readAll(engine)
    assert.deepEqual(newest(after), newest(before))
    assert.ok(after.length < 12, `${after.length} records`)
    for (const record of after) assert.deepEqual(record, before[record.offset])
    await close()
  })
})
void day
