import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { OffsetIndex } from '../../../../src/engine/embedded/log/offset-index.ts'
import { SimDisk } from '../../../support/sim-disk.ts'

const direct = (): SimDisk => new SimDisk({ schedule: (run) => run() })

test('the file holds relative offset and position, big-endian, eight bytes an entry', async () => {
  const disk = direct()
  const index = new OffsetIndex('x.index')
  index.add(5, 4200)
  index.add(0x01020304, 0x05060708)
  await index.sync(disk)
  assert.equal(disk.bytesOf('x.index').toString('hex'), '00000005000010680102030405060708')
})

test('an empty index has an empty file, because tools want to open it', async () => {
  const disk = direct()
  const index = new OffsetIndex('x.index')
  assert.equal(index.isSynced, false)
  assert.equal(await index.sync(disk), true)
  assert.equal(disk.files().get('x.index'), 0)
  assert.equal(index.isSynced, true)
})

test('the floor is the last entry at or before an offset, and what was synced is loaded again', async () => {
  const steps = fc.array(
    fc.record({
      offset: fc.integer({ min: 1, max: 50 }),
      bytes: fc.integer({ min: 1, max: 9000 }),
    }),
    { maxLength: 60 },
  )
  await fc.assert(
    fc.asyncProperty(steps, fc.integer({ min: 0, max: 60 }), async (gaps, syncedAt) => {
      const disk = direct()
      const index = new OffsetIndex('x.index')
      const entries: { relativeOffset: number; position: number }[] = []
      let last = { relativeOffset: -1, position: 0 }
      for (const [i, { offset, bytes }] of gaps.entries()) {
        last = { relativeOffset: last.relativeOffset + offset, position: last.position + bytes }
        entries.push(last)
        index.add(last.relativeOffset, last.position)
        if (i === syncedAt) await index.sync(disk)
      }
      await index.sync(disk)
      const loaded = new OffsetIndex('x.index')
      assert.equal(await loaded.load(disk), true)
      for (let offset = 0; offset <= last.relativeOffset + 1; offset += 7) {
        const expected = entries.findLast((entry) => entry.relativeOffset <= offset)
        assert.deepEqual(index.floor(offset), expected)
        assert.deepEqual(loaded.floor(offset), expected)
      }
      const middle = last.position / 2
      assert.deepEqual(
        [...loaded.positionsBehind(middle)],
        entries.map(({ position }) => position).filter((position) => position > middle),
      )
    }),
    { numRuns: 50 },
  )
})

test('entries beyond the recorded count are cut off, a shorter file is refused', async () => {
  const disk = direct()
  const index = new OffsetIndex('x.index')
  for (const i of [1, 2, 3]) index.add(i, i * 5000)
  await index.sync(disk)
  const loaded = new OffsetIndex('x.index')
  assert.equal(await loaded.load(disk, 2), true)
  assert.deepEqual(loaded.floor(9), { relativeOffset: 2, position: 10_000 })
  assert.equal(loaded.isSynced, false)
  await loaded.sync(disk)
  assert.equal(disk.files().get('x.index'), 16)
  assert.equal(await new OffsetIndex('x.index').load(disk, 3), false)
  assert.equal(await new OffsetIndex('missing.index').load(disk, 1), false)
})

test('entries out of order are refused', async () => {
  const disk = direct()
  const index = new OffsetIndex('x.index')
  index.add(5, 5000)
  index.add(9, 9000)
  await index.sync(disk)
  disk.damage('x.index', 8, Buffer.from([0, 0, 0, 4]))
  assert.equal(await new OffsetIndex('x.index').load(disk), false)
})
