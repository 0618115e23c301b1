import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Lifecycle } from '../../src/kit/lifecycle.ts'

test('parts are closed in reverse order, once, and an error stops none of them', async () => {
  const closed: string[] = []
  const lifecycle = new Lifecycle()
  const part = (name: string, fails = false) => ({
    close(): Promise<void> {
      closed.push(name)
      return fails ? Promise.reject(new Error(name)) : Promise.resolve()
    },
  })
  lifecycle.add('disk', part('disk'))
  lifecycle.add('engine', part('engine', true))
  lifecycle.add('door', part('door'))
  await assert.rejects(lifecycle.close(), AggregateError)
  await assert.rejects(lifecycle.close(), AggregateError)
  assert.deepEqual(closed, ['door', 'engine', 'disk'])
})
