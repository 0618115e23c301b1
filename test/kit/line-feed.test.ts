import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { LineFeed } from '../../src/kit/line-feed.ts'

function fed(pieces: readonly string[], bytesMax = 1000): string[] {
  const feed = new LineFeed(bytesMax)
  const lines = pieces.flatMap((piece) => feed.push(Buffer.from(piece)))
  const last = feed.end()
  if (last !== undefined) lines.push(last)
  return lines.map((line) => line.toString('latin1'))
}

test('lines are the same however the text is cut', () => {
  const text = fc.array(fc.constantFrom('\n', '\r\n', '\r', 'a', 'bc'), { maxLength: 30 })
  fc.assert(
    fc.property(text, fc.array(fc.nat(40)), (parts, cuts) => {
      const whole = parts.join('')
      const places = [0, ...cuts.filter((at) => at <= whole.length).sort((a, b) => a - b)]
      const pieces = places.map((at, i) => whole.slice(at, places[i + 1] ?? whole.length))
      const expected = whole.split('\n')
      // A text that ends in a line end has no line behind it.
      if (whole === '' || whole.endsWith('\n')) expected.pop()
      assert.deepEqual(fed(pieces), expected)
    }),
    { numRuns: 1000 },
  )
})

test('a line is there with its end, and not before', () => {
  const feed = new LineFeed(10)
  assert.deepEqual(feed.push(Buffer.from('ab')), [])
  assert.equal(feed.heldBytes, 2)
  assert.deepEqual(feed.push(Buffer.from('c\nd')).map(String), ['abc'])
  assert.equal(feed.heldBytes, 1)
})

test('a line that is too large ends the feed, behind those before it', () => {
  const feed = new LineFeed(3)
  assert.deepEqual(feed.push(Buffer.from('abc\nabc')).map(String), ['abc'])
  assert.equal(feed.tooLarge, false)
  assert.deepEqual(feed.push(Buffer.from('d\nx\n')).map(String), [])
  assert.equal(feed.tooLarge, true)
  assert.deepEqual(feed.push(Buffer.from('x\n')), [])
  assert.equal(feed.end(), undefined)
})
