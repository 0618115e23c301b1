import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Closeable } from '../../../../src/engine/embedded/log/open-files.ts'
import { OpenFiles } from '../../../../src/engine/embedded/log/open-files.ts'

class File implements Closeable {
  isIdle = true
  isMerelyUnsynced = false
  isOpen = true
  indexBytes = 0
  syncBytes(): Promise<void> {
    this.isIdle = true
    this.isMerelyUnsynced = false
    return Promise.resolve()
  }
  closeFile(): Promise<boolean> {
    const wasOpen = this.isOpen
    this.isOpen = false
    return Promise.resolve(wasOpen)
  }
}

const onFailure = (cause: unknown): void => assert.fail(String(cause))

test('the files used least recently are closed, down to the ceiling', () => {
  const openFiles = new OpenFiles({ max: 2, onFailure })
  const files = Array.from({ length: 5 }, () => new File())
  for (const file of files) openFiles.touch(file)
  assert.deepEqual(
    files.map(({ isOpen }) => isOpen),
    [false, false, false, true, true],
  )
})

test('files in use stay open beyond the ceiling, and are closed together once they are not', () => {
  const openFiles = new OpenFiles({ max: 2, onFailure })
  const files = Array.from({ length: 6 }, () => new File())
  for (const file of files) file.isIdle = false
  for (const file of files) openFiles.touch(file)
  assert.ok(files.every(({ isOpen }) => isOpen))
  for (const file of files) file.isIdle = true
  openFiles.touch(files[5]!)
  assert.equal(files.filter(({ isOpen }) => isOpen).length, 2)
})

test('large indexes close files before the ceiling on their number does', () => {
  const openFiles = new OpenFiles({ max: 100, indexBytesMax: 1000, onFailure })
  const files = Array.from({ length: 5 }, () => new File())
  for (const file of files) {
    file.indexBytes = 400
    openFiles.touch(file)
    openFiles.touch(file)
  }
  assert.deepEqual(
    files.map(({ isOpen }) => isOpen),
    [false, false, false, true, true],
  )
  openFiles.forget(files[4]!)
  const last = new File()
  last.indexBytes = 600
  openFiles.touch(last)
  assert.equal(files[3]!.isOpen, true)
})
