/** Removals and back-ups take turns. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { FileHold } from '../../../../src/engine/embedded/log/file-hold.ts'

test('a hold waits for the removal that has begun, and the next removal waits for the hold', async () => {
  const files = new FileHold()
  const order: string[] = []
  const first = Promise.withResolvers<void>()
  const removing = files.whileFree(async () => {
    await first.promise
    order.push('first removal')
  })
  const holding = files.hold().then((release) => {
    order.push('hold')
    return release
  })
  const second = files.whileFree(async () => void order.push('second removal'))
  first.resolve()
  await removing
  const release = await holding
  assert.ok(files.isHeld)
  order.push('copied')
  release()
  await second
  assert.deepEqual(order, ['first removal', 'hold', 'copied', 'second removal'])
})

test('a hold that is let go twice counts once, and a failed removal lets the next one go on', async () => {
  const files = new FileHold()
  const [one, two] = [await files.hold(), await files.hold()]
  one()
  one()
  assert.ok(files.isHeld)
  two()
  assert.ok(!files.isHeld)
  await assert.rejects(
    files.whileFree(() => Promise.reject(new Error('no'))),
    /no/,
  )
  const release = await files.hold()
  release()
})
