import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { GatewayError } from '../../src/model/errors.ts'
import { formatPosition, parsePosition } from '../../src/model/position.ts'

const anyTopic = fc.record({
  epoch: fc.string({
    unit: fc.constantFrom(...'abcXYZ019_-'),
    minLength: 1,
    maxLength: 22,
  }),
  offsets: fc.uniqueArray(fc.tuple(fc.nat(100_000), fc.nat(2 ** 31 - 1)), {
    selector: ([partition]) => partition,
    maxLength: 60,
  }),
})

test('a small position is readable', () => {
  const text = formatPosition([
    {
      epoch: 'k9',
      offsets: new Map([
        [1, 998],
        [0, 1043],
      ]),
    },
  ])
  assert.equal(text, '1.k9.0-1043.1-998')
})

test('a position of 1,000 partitions stays short enough for a header', () => {
  const offsets = new Map(Array.from({ length: 1000 }, (_, i) => [i, 1_000_000 + i] as const))
  assert.ok(formatPosition([{ epoch: 'k9', offsets }]).length < 6000)
})

test('every position comes back, and its text is safe in URLs, headers and event ids', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(anyTopic, { selector: (topic) => topic.epoch, minLength: 1, maxLength: 3 }),
      (topics) => {
        const position = topics.map(({ epoch, offsets }) => ({ epoch, offsets: new Map(offsets) }))
        const text = formatPosition(position)
        assert.match(text, /^[A-Za-z0-9._~-]*$/)
        const back = parsePosition(text)
        assert.equal(back.length, position.length)
        for (const [i, topic] of position.entries()) {
          assert.equal(back[i]!.epoch, topic.epoch)
          assert.deepEqual(
            [...back[i]!.offsets].sort(([a], [b]) => a - b),
            [...topic.offsets].sort(([a], [b]) => a - b),
          )
        }
      },
    ),
  )
})

test('text that is no position is BAD_REQUEST, whatever it is', () => {
  const wrong = [
    '',
    '1',
    '1.',
    '3.k9.0-1',
    '1.k9.0',
    '1.k9.0-1.0-2',
    '1.k9.0-99999999999999999',
    '1.k9.-1-5',
    '1.k9.0-1~1.k9.1-1',
    '2.k9.gA',
    '2.k9',
  ]
  for (const text of wrong) {
    assert.throws(
      () => parsePosition(text),
      (error) => error instanceof GatewayError && error.code === 'BAD_REQUEST',
      text,
    )
  }
  fc.assert(
    fc.property(fc.string(), (text) => {
      try {
        parsePosition(text)
      } catch (error) {
        assert.ok(error instanceof GatewayError)
      }
    }),
  )
})
