import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { BatchEntry } from '../../../../src/engine/embedded/log/batch-entry.ts'
import { HotTail } from '../../../../src/engine/embedded/log/hot-tail.ts'

test('over its budget the hot tail lets go of what was written first, and of no more than needed', () => {
  const evicted: number[] = []
  const tail = new HotTail(3.5 * 300)
  const batch = (number: number): BatchEntry => {
    const owner = { evict: () => evicted.push(number), reveal: () => undefined }
    return { owner, memoryBytes: 300 } as unknown as BatchEntry
  }
  for (let number = 0; number < 10_000; number++) {
    tail.noteWritten(batch(number))
    assert.equal(evicted.length, Math.max(0, number - 2))
  }
  assert.deepEqual(
    evicted,
    Array.from({ length: 9997 }, (_, i) => i),
  )
})
