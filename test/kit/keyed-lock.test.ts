import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { KeyedLock } from '../../src/kit/keyed-lock.ts'

test('one holds a key at a time, the others follow in their order', async () => {
  const lock = new KeyedLock()
  const order: number[] = []
  const first = await lock.acquire('k')
  const others = [1, 2, 3].map(async (n) => {
    const release = await lock.acquire('k')
    order.push(n)
    await nextTurn()
    release?.()
  })
  await nextTurn()
  assert.deepEqual(order, [])
  first?.()
  first?.()
  await Promise.all(others)
  assert.deepEqual(order, [1, 2, 3])
})

test('keys do not wait for each other', async () => {
  const lock = new KeyedLock()
  await lock.acquire('a')
  assert.notEqual(await lock.acquire('b'), undefined)
})

test('who gives up waiting lets nobody pass before their turn', async () => {
  const lock = new KeyedLock()
  const first = await lock.acquire('k')
  const caller = new AbortController()
  const second = lock.acquire('k', caller.signal)
  let isThird = false
  const third = lock.acquire('k').then((release) => {
    isThird = true
    return release
  })
  caller.abort()
  assert.equal(await second, undefined)
  assert.equal(await lock.acquire('k', caller.signal), undefined)
  await nextTurn()
  assert.equal(isThird, false)
  first?.()
  ;(await third)?.()
  assert.notEqual(await lock.acquire('k'), undefined)
})
