import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { PositionVector } from '../../src/client/vector.ts'
import { formatPosition, parsePosition } from '../../src/model/position.ts'

test('the client reads and writes the positions of the server', () => {
  const part = fc.record(
    {
      epoch: fc.stringMatching(/^[A-Za-z0-9_-]{22}$/),
      offsets: fc
        .uniqueArray(
          fc.tuple(fc.integer({ min: 0, max: 9_999 }), fc.integer({ min: 0, max: 2 ** 52 - 1 })),
          { maxLength: 60, selector: ([partition]) => partition },
        )
        .map((pairs) => new Map(pairs.sort(([left], [right]) => left - right))),
    },
    { noNullPrototype: true },
  )
  const position = fc.uniqueArray(part, { minLength: 1, maxLength: 3, selector: (p) => p.epoch })
  fc.assert(
    fc.property(position, (parts) => {
      const text = formatPosition(parts)
      const vector = new PositionVector()
      vector.merge(text)
      assert.equal(vector.format(), text)
      assert.deepEqual(parsePosition(vector.format()!), parts)
    }),
  )
})
