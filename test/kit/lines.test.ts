import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { afterByteOrderMark, splitLines } from '../../src/kit/lines.ts'

function linesOf(text: string, from = 0): string[] {
  const bytes = Buffer.from(text)
  return splitLines(bytes, 1000, from).map(({ start, end }) => bytes.toString('utf8', start, end))
}

test('lines end at LF or CRLF, and the last end may be missing', () => {
  assert.deepEqual(linesOf('a\nb\r\nc'), ['a', 'b', 'c'])
  assert.deepEqual(linesOf('a\nb\n'), ['a', 'b'])
})

test('a carriage return alone is no line end', () => {
  assert.deepEqual(linesOf('a\rb\r\r\nc\r'), ['a\rb\r', 'c\r'])
})

test('empty lines are left out, but counted', () => {
  const lines = splitLines(Buffer.from('\n\r\na\n\nb'), 10)
  assert.deepEqual(
    lines.map(({ number }) => number),
    [3, 5],
  )
  assert.deepEqual(linesOf(''), [])
  assert.deepEqual(linesOf('\n\n\r\n'), [])
})

test('a byte order mark is where the text does not begin yet', () => {
  const marked = Buffer.from('\ufeffa\nb')
  assert.equal(afterByteOrderMark(marked), 3)
  assert.equal(afterByteOrderMark(Buffer.from('a')), 0)
  assert.deepEqual(linesOf('\ufeffa\nb', 3), ['a', 'b'])
})

test('more lines than allowed are seen without cutting them all', () => {
  assert.equal(splitLines(Buffer.from('a\n'.repeat(100)), 3).length, 4)
})

test('lines that nobody wants do not count, so more than allowed are still seen', () => {
  const bytes = Buffer.from(' \na\n \nb\nc\n')
  const isFilled = (start: number): boolean => bytes[start] !== 0x20
  const numbers = splitLines(bytes, 2, 0, isFilled).map(({ number }) => number)
  assert.deepEqual(numbers, [2, 4, 5])
})

test('lines are what a split by regular expression gives', () => {
  const text = fc.string({ unit: fc.constantFrom('a', '\n', '\r', '\r\n', 'é'), maxLength: 50 })
  fc.assert(
    fc.property(text, (whole) => {
      const expected = whole.split(/\r?\n/).filter((line) => line !== '')
      assert.deepEqual(linesOf(whole), expected)
    }),
  )
})
