import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TimeIndex } from '../../../../src/engine/embedded/log/time-index.ts'
import { SimDisk } from '../../../support/sim-disk.ts'

const direct = (): SimDisk => new SimDisk({ schedule: (run) => run() })

test('the file holds timestamp and relative offset, big-endian, twelve bytes an entry', async () => {
  const disk = direct()
  const index = new TimeIndex('x.timeindex')
  index.add(1_763_683_200_000, 7)
  await index.sync(disk)
  assert.equal(disk.bytesOf('x.timeindex').toString('hex'), '0000019aa3b5ec0000000007')
})

test('timestamps strictly rise: an entry that is not later is left out', () => {
  const index = new TimeIndex('x.timeindex')
  index.add(100, 1)
  index.add(100, 2)
  index.add(99, 3)
  index.add(101, 4)
  assert.equal(index.entries, 2)
  assert.deepEqual(index.last(), { timestamp: 101, relativeOffset: 4 })
})

test('the entry below a time says up to where nothing is that late', () => {
  const index = new TimeIndex('x.timeindex')
  for (let i = 1; i <= 40; i++) index.add(i * 10, i * 100)
  assert.equal(index.below(10), undefined)
  assert.deepEqual(index.below(11), { timestamp: 10, relativeOffset: 100 })
  assert.deepEqual(index.below(200), { timestamp: 190, relativeOffset: 1900 })
  assert.deepEqual(index.below(1e12), { timestamp: 400, relativeOffset: 4000 })
})

test('a file whose timestamps do not rise, or are no numbers, is refused', async () => {
  for (const damage of [Buffer.from([0, 0, 0, 0, 0, 0, 0, 1]), Buffer.alloc(8, 255)]) {
    const disk = direct()
    const index = new TimeIndex('x.timeindex')
    index.add(1000, 1)
    index.add(2000, 2)
    await index.sync(disk)
    assert.equal(await new TimeIndex('x.timeindex').load(disk), true)
    disk.damage('x.timeindex', 12, damage)
    assert.equal(await new TimeIndex('x.timeindex').load(disk), false)
  }
})
