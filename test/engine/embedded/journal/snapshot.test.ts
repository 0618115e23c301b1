import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  decodeSnapshot,
  encodeSnapshot,
  SnapshotStore,
  snapshotFolder,
} from '../../../../src/engine/embedded/journal/snapshot.ts'
import { SimDisk } from '../../../support/sim-disk.ts'

const snapshot = {
  generation: 3,
  logTimeMs: 1_763_683_200_000,
  position: { fileSeq: 9, offset: 8192, nextFrameSeq: 77 },
  sections: new Map([
    [1, Uint8Array.of(1, 2, 3)],
    [2, new Uint8Array(0)],
    [3, Buffer.from('offsets')],
  ]),
}

test('a snapshot comes back as it was written', () => {
  const decoded = decodeSnapshot(encodeSnapshot(snapshot))!
  assert.deepEqual(
    { ...decoded, sections: [...decoded.sections].map(([kind, bytes]) => [kind, [...bytes]]) },
    { ...snapshot, sections: [...snapshot.sections].map(([kind, bytes]) => [kind, [...bytes]]) },
  )
})

test('the bytes of an empty snapshot are what the format says', () => {
  const bytes = Buffer.from(encodeSnapshot({ ...snapshot, sections: new Map() }))
  assert.equal(
    bytes.toString('hex'),
    '454242530000000100000003000000000000019aa3b5ec000000000900002000000000000000004d02408d05',
  )
})

test('every flipped bit and every cut of a snapshot is noticed', () => {
  const bytes = encodeSnapshot(snapshot)
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    bytes[bit >> 3]! ^= 1 << (bit & 7)
    assert.equal(decodeSnapshot(bytes), undefined, `bit ${bit}`)
    bytes[bit >> 3]! ^= 1 << (bit & 7)
  }
  for (let end = 0; end < bytes.length; end++) {
    assert.equal(decodeSnapshot(bytes.subarray(0, end)), undefined)
  }
})

test('the newest two snapshots are kept, and damaged ones are not counted', async () => {
  const disk = new SimDisk()
  await disk.makeDirectory(snapshotFolder)
  const store = new SnapshotStore(disk)
  for (let fileSeq = 1; fileSeq <= 3; fileSeq++) {
    await store.save({ ...snapshot, position: { ...snapshot.position, fileSeq } })
    await store.prune()
  }
  assert.deepEqual(await disk.list(snapshotFolder), ['0000000002.snapshot', '0000000003.snapshot'])
  assert.equal(store.neededFrom?.fileSeq, 2)
  disk.damage(`${snapshotFolder}/0000000003.snapshot`, 5, Uint8Array.of(255))
  const next = new SnapshotStore(disk)
  const { snapshots, files } = await next.load()
  assert.deepEqual([snapshots.map(({ number }) => number), files], [[2], 2])
  next.keep(snapshots)
  await next.save(snapshot)
  await next.prune()
  assert.deepEqual(await disk.list(snapshotFolder), ['0000000002.snapshot', '0000000004.snapshot'])
})

test('a full disk is not filled further by snapshots that had no room', async () => {
  const disk = new SimDisk()
  await disk.makeDirectory(snapshotFolder)
  const store = new SnapshotStore(disk)
  disk.faults.write = () => 'ENOSPC'
  for (let tries = 0; tries < 5; tries++) await assert.rejects(store.save(snapshot))
  assert.ok((await disk.list(snapshotFolder)).length <= 1)
  disk.faults.write = () => undefined
  await store.save(snapshot)
  assert.deepEqual(await disk.list(snapshotFolder), ['0000000001.snapshot'])
})
