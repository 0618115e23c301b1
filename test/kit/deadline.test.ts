import assert from 'node:assert/strict'
import { test } from 'node:test'
import { withDeadline } from '../../src/kit/deadline.ts'
import { ManualClock } from '../support/manual-clock.ts'

const never = (): Promise<string> => new Promise(() => undefined)
const late = (why: string): Error => new Error(`late: ${why}`)

test('a promise that is kept in time is passed on, its failure too', async () => {
  const clock = new ManualClock()
  const wait = { timeoutMs: 10 }
  assert.equal(await withDeadline(clock, Promise.resolve('x'), wait, late), 'x')
  const failure = Promise.reject(new Error('own'))
  await assert.rejects(withDeadline(clock, failure, wait, late), { message: 'own' })
})

test('a wait ends at its deadline', async () => {
  const clock = new ManualClock()
  const waiting = withDeadline(clock, never(), { timeoutMs: 10 }, late)
  clock.advance(10)
  await assert.rejects(waiting, { message: 'late: timeout' })
})

test('a wait ends when its caller gives up, before or meanwhile', async () => {
  const clock = new ManualClock()
  const caller = new AbortController()
  const wait = { timeoutMs: 10, signal: caller.signal }
  const waiting = withDeadline(clock, never(), wait, late)
  caller.abort()
  await assert.rejects(waiting, { message: 'late: aborted' })
  await assert.rejects(withDeadline(clock, never(), wait, late), { message: 'late: aborted' })
})

test('a promise that breaks after its deadline disturbs nobody', async () => {
  const clock = new ManualClock()
  let fail = (): void => undefined
  const slow = new Promise<void>((_, reject) => {
    fail = () => reject(new Error('too late to matter'))
  })
  const waiting = withDeadline(clock, slow, { timeoutMs: 10 }, late)
  clock.advance(10)
  await assert.rejects(waiting, { message: 'late: timeout' })
  fail()
  await new Promise((resolve) => setImmediate(resolve))
})
