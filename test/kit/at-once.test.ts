import assert from 'node:assert/strict'
import test from 'node:test'
import { forEachOf } from '../../src/kit/at-once.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('every item is worked on once, in order, and never more than so many at a time', async () => {
  const begun: number[] = []
  let busy = 0
  let most = 0
  await forEachOf([0, 1, 2, 3, 4, 5, 6], 3, async (item) => {
    begun.push(item)
    most = Math.max(most, ++busy)
    await turn()
    busy--
  })
  assert.deepEqual(begun, [0, 1, 2, 3, 4, 5, 6])
  assert.equal(most, 3)
})

test('the first failure stops the rest, and is told when all have come to rest', async () => {
  const begun: number[] = []
  let busy = 0
  const work = forEachOf([0, 1, 2, 3, 4], 2, async (item) => {
    begun.push(item)
    busy++
    await turn()
    if (item === 1) {
      busy--
      throw new Error('one is bad')
    }
    await turn()
    busy--
  })
  await assert.rejects(work, /one is bad/)
  assert.deepEqual([begun, busy], [[0, 1], 0])
})

test('nothing to do is done at once', async () => {
  await forEachOf([], 2, () => Promise.reject(new Error('never called')))
})
