import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Watchers } from '../../../../src/engine/embedded/log/watchers.ts'
import { silentLogger } from '../../../../src/kit/logger.ts'
import { SimClock } from '../../../support/sim-clock.ts'

const tp = { topic: 't', partition: 0 }

function setUp() {
  const clock = new SimClock()
  const watchers = new Watchers(clock, silentLogger)
  const settle = (): void => {
    while (clock.step());
  }
  return { watchers, settle }
}

test('many wakes in one turn are one call, with the newest end', () => {
  const { watchers, settle } = setUp()
  const ends: number[] = []
  watchers.watch(tp, (end) => ends.push(end))
  settle()
  ends.length = 0
  for (const end of [1, 2, 3]) watchers.wake(tp, end)
  assert.deepEqual(ends, [])
  settle()
  assert.deepEqual(ends, [3])
})

test('a watcher that throws does not silence the others', () => {
  const { watchers, settle } = setUp()
  let calls = 0
  watchers.watch(tp, () => {
    throw new Error('faulty')
  })
  watchers.watch(tp, () => calls++)
  watchers.wake(tp, 1)
  settle()
  assert.equal(calls, 1)
})

test('a closed watcher is never called again, and nothing is kept for it', () => {
  const { watchers, settle } = setUp()
  let calls = 0
  const watch = watchers.watch(tp, () => calls++)
  watch.close()
  watch.close()
  settle()
  assert.equal(calls, 0)
  assert.equal(watchers.find('t', 0), undefined)
})

test('partitions do not hear of each other', () => {
  const { watchers, settle } = setUp()
  const heard: string[] = []
  watchers.watch(tp, () => heard.push('t-0'))
  watchers.watch({ topic: 't', partition: 1 }, () => heard.push('t-1'))
  settle()
  heard.length = 0
  watchers.wake({ topic: 't', partition: 1 }, 5)
  settle()
  assert.deepEqual(heard, ['t-1'])
})

test('a watcher that is replaced while it is called is called once in that turn', () => {
  const clock = new SimClock()
  const watchers = new Watchers(clock, silentLogger)
  let calls = 0
  const replace = (): void => {
    assert.ok(++calls < 50, 'the turn does not end')
    watch.close()
    watch = watchers.watch(tp, replace)
  }
  watchers.watch(tp, () => undefined)
  let watch = watchers.watch(tp, replace)
  watchers.wake(tp, 1)
  clock.step()
  assert.equal(calls, 1)
  clock.step()
  assert.equal(calls, 2)
})
