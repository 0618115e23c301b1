/** The oracle of the torture is itself held to planted faults: what never failed proves nothing. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Fault, ReadBack } from './ledger.ts'
import { Ledger, faults } from './ledger.ts'

const topic = 'orders'
const record = (offset: number, value: string): ReadBack => ({
  partition: 0,
  offset,
  value: Buffer.from(value),
})

/** Two acknowledged events, a reader that saw the second, and one without an answer. */
function ledger(): Ledger {
  const made = new Ledger()
  const values = ['first', 'second'].map((value) => Buffer.from(value))
  made.sending(
    topic,
    values,
  )([
    { partition: 0, offset: 0 },
    { partition: 0, offset: 1 },
  ])
  made.sending(topic, [Buffer.from('unanswered')])
  made.saw(topic, record(1, 'second'))
  return made
}

test('a log that kept its promise has no fault, with the unanswered event and without it', () => {
  const kept = [record(0, 'first'), record(1, 'second')]
  assert.deepEqual(ledger().problems(topic, kept), [])
  assert.deepEqual(ledger().problems(topic, [...kept, record(2, 'unanswered')]), [])
})

test('each fault that is planted is named, and none that is not', () => {
  const planted: readonly (readonly [content: ReadBack[], named: Fault[]])[] = [
    [[record(0, 'first')], ['lost', 'seen and gone']],
    [
      [record(0, 'second'), record(1, 'second')],
      ['moved', 'doubled'],
    ],
    [[record(0, 'first'), record(1, 'second'), record(2, 'first')], ['doubled']],
    [
      [record(0, 'first'), record(1, 'second'), record(1, 'second')],
      ['doubled', 'hole'],
    ],
    [[record(0, 'first'), record(1, 'second'), record(2, 'nobody')], ['alien']],
    [[record(0, 'first'), record(1, 'second'), record(3, 'unanswered')], ['hole']],
    [
      [2, 3]
        .map((offset) => record(offset, 'unanswered'))
        .concat(record(0, 'first'), record(1, 'second')),
      ['doubled'],
    ],
  ]
  for (const [content, named] of planted) {
    const oracle = ledger()
    const problems = oracle.problems(topic, content)
    assert.ok(problems.length > 0)
    assert.deepEqual(
      faults.filter((fault) => oracle.count(fault) > 0).sort(),
      [...named].sort(),
      problems.join('\n'),
    )
  }
})

test('a request that is all or nothing is torn when a part of it is there', () => {
  const oracle = new Ledger()
  const values = ['left', 'right'].map((value) => Buffer.from(value))
  oracle.sending(topic, values, true)
  assert.deepEqual(oracle.problems(topic, [record(0, 'left'), record(1, 'right')]), [])
  assert.deepEqual(oracle.problems(topic, []), [])
  assert.equal(oracle.count('torn'), 0)
  assert.match(oracle.problems(topic, [record(0, 'right')]).join(), /1 of 2 are there/)
  assert.equal(oracle.count('torn'), 1)
})

test('a repeated request that is answered otherwise is named', () => {
  const oracle = new Ledger()
  const acknowledge = oracle.sending(topic, [Buffer.from('once')])
  acknowledge([{ partition: 0, offset: 0 }])
  acknowledge([{ partition: 0, offset: 0 }])
  assert.deepEqual(oracle.problems(topic, [record(0, 'once')]), [])
  acknowledge([{ partition: 0, offset: 1 }])
  oracle.problems(topic, [record(0, 'once'), record(1, 'once')])
  assert.equal(oracle.count('answered otherwise'), 1)
  assert.ok(oracle.count('doubled') > 0)
})
