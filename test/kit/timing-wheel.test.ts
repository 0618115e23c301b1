import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { TimingWheel } from '../../src/kit/timing-wheel.ts'
import { ManualClock } from '../support/manual-clock.ts'

const options = { tickMs: 10, slots: 8 }

test('every timer fires once, not early and at most one tick late', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 0, max: 500 }), fc.integer({ min: 0, max: 300 })), {
        maxLength: 40,
      }),
      (timers) => {
        const clock = new ManualClock()
        const wheel = new TimingWheel(clock, options)
        const fired = new Map<number, number>()
        const dueMs = timers.map(([startMs, delayMs]) => startMs + delayMs)
        const beganMs = clock.monotonicMs()
        for (let now = 0; now <= 1000; now++) {
          timers.forEach(([startMs, delayMs], i) => {
            if (startMs !== now) return
            wheel.after(delayMs, () => {
              assert.ok(!fired.has(i))
              fired.set(i, clock.monotonicMs() - beganMs)
            })
          })
          clock.advance(1)
        }
        timers.forEach((_, i) => {
          const lateMs = (fired.get(i) ?? Infinity) - dueMs[i]!
          assert.ok(lateMs >= 0 && lateMs <= options.tickMs + 1, `timer ${i} is ${lateMs} ms late`)
        })
      },
    ),
  )
})

test('a cancelled timer never fires', () => {
  const clock = new ManualClock()
  const wheel = new TimingWheel(clock, options)
  let fired = 0
  const timer = wheel.after(30, () => fired++)
  wheel.after(40, () => fired++)
  timer.cancel()
  timer.cancel()
  clock.advance(200)
  assert.equal(fired, 1)
})

test('a timer that starts itself again keeps its pace', () => {
  const clock = new ManualClock()
  const wheel = new TimingWheel(clock, options)
  let count = 0
  const again = (): void => {
    count++
    wheel.after(20, again)
  }
  wheel.after(20, again)
  for (let i = 0; i < 100; i++) clock.advance(10)
  assert.ok(count >= 33 && count <= 50, `${count} times in one second`)
})

test('a closed wheel forgets everything', () => {
  const clock = new ManualClock()
  const wheel = new TimingWheel(clock, options)
  wheel.after(10, () => assert.fail('fired after close'))
  wheel.close()
  wheel.after(10, () => assert.fail('fired after close'))
  clock.advance(100)
})
