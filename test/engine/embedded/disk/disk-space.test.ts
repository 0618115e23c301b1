import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DiskSpace } from '../../../../src/engine/embedded/disk/disk-space.ts'
import { silentLogger } from '../../../../src/kit/logger.ts'
import { ManualClock } from '../../../support/manual-clock.ts'
import { SimDisk } from '../../../support/sim-disk.ts'

const MiB = 1024 * 1024

async function watched(freeMiB: number) {
  const disk = new SimDisk()
  disk.free = freeMiB * MiB
  const clock = new ManualClock()
  const seen = { low: 0, asked: 0, isHeldBack: false }
  const space = new DiskSpace({
    disk,
    clock,
    logger: silentLogger,
    isHeldBack: () => seen.isHeldBack,
    onLow: () => seen.low++,
    onAsked: () => seen.asked++,
  })
  await space.open()
  const second = async (free: number): Promise<string> => {
    disk.free = free * MiB
    const asked = seen.asked
    clock.advance(1000)
    while (seen.asked === asked) await new Promise((resolve) => setImmediate(resolve))
    return space.state
  }
  return { space, disk, clock, seen, second }
}

test('both marks are left with a quarter more room than they are met with', async () => {
  const { space, second } = await watched(2000)
  assert.equal(space.state, 'ok')
  const course: [number, string][] = [
    [1024, 'ok'],
    [1023, 'low'],
    [1279, 'low'],
    [1280, 'ok'],
    [255, 'full'],
    [319, 'full'],
    [320, 'low'],
    [257, 'low'],
    [0, 'full'],
    [5000, 'ok'],
  ]
  for (const [free, state] of course) assert.equal(await second(free), state, `${free} MiB`)
  await space.close()
})

test('little room asks for retention at once, and again every half minute while it lasts', async () => {
  const { space, seen, second } = await watched(1000)
  assert.equal(seen.low, 1)
  for (let i = 0; i < 29; i++) await second(900)
  assert.equal(seen.low, 1)
  await second(200)
  assert.equal(seen.low, 2)
  for (let i = 0; i < 100; i++) await second(2000)
  assert.equal(seen.low, 2)
  await space.close()
})

test('a write that met the end counts, whatever the disk says, until none is held back', async () => {
  const { space, seen, second } = await watched(2000)
  seen.isHeldBack = true
  space.noteFull()
  assert.equal(space.state, 'full')
  assert.equal(await second(2000), 'full')
  seen.isHeldBack = false
  assert.equal(await second(2000), 'ok')
  await space.close()
})

test('an answer that was under way when a write met the end does not call it off', async () => {
  const { space, disk } = await watched(2000)
  const asking = space.look()
  space.noteFull()
  await asking
  assert.equal(space.state, 'full')
  disk.free = 2000 * MiB
  await space.look()
  assert.equal(space.state, 'ok')
  await space.close()
})
