import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { Disk } from '../../../../src/engine/embedded/disk/disk.ts'
import { readWhole, replaceFile } from '../../../../src/engine/embedded/disk/disk.ts'
import { nodeDisk } from '../../../../src/engine/embedded/disk/node-disk.ts'

let directory: string
let disk: Disk

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'ebbgate-disk-'))
  disk = nodeDisk(directory)
})
after(() => rm(directory, { recursive: true }))

test('many buffers are written back to back at their position, beyond what one call takes', async () => {
  const file = await disk.open('many', { create: true, dsync: true })
  const buffers = Array.from({ length: 2500 }, (_, i) => Buffer.from([i & 255, i >> 8]))
  await file.write(buffers, 10)
  await file.sync()
  assert.equal(await file.size(), 5010)
  const read = Buffer.alloc(6000)
  assert.equal(await file.read(read, 0), 5010)
  assert.deepEqual(read.subarray(10, 5010), Buffer.concat(buffers))
  await file.close()
  await file.close()
})

test('a file is replaced as a whole, and nothing temporary stays', async () => {
  await replaceFile(disk, 'one', Buffer.from('a longer first text'))
  await replaceFile(disk, 'one', Buffer.from('second'))
  assert.equal((await readWhole(disk, 'one'))?.toString(), 'second')
  assert.equal(await disk.exists('one.tmp'), false)
  assert.equal(await readWhole(disk, 'none'), undefined)
})

test('folders are made with those above them, listed, renamed, synced and removed', async () => {
  await disk.makeDirectory('a/b/c')
  await disk.makeDirectory('a/b/c')
  const file = await disk.open('a/b/x', { create: true })
  await file.write([Buffer.from('x')], 0)
  await file.truncate(0)
  await file.close()
  assert.deepEqual(await disk.list('a/b'), ['c', 'x'])
  assert.deepEqual(await disk.list('nowhere'), [])
  await disk.rename('a/b', 'a/d')
  await disk.syncDirectory('a')
  await disk.remove('a/d/x')
  await disk.removeDirectory('a/d/c')
  assert.deepEqual(await disk.list('a/d'), [])
  assert.equal((await readFile(join(directory, 'many'))).length, 5010)
  assert.ok((await disk.freeBytes()) > 0)
})

test('what is not there is said with the code of the system', async () => {
  await assert.rejects(disk.open('nowhere/x'), { code: 'ENOENT' })
  await assert.rejects(disk.remove('nowhere'), { code: 'ENOENT' })
})

test('durability is fsync on Linux alone', () => {
  assert.equal(disk.durability, process.platform === 'linux' ? 'fsync' : 'fdatasync')
})
