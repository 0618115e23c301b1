import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { JsonFeed } from '../../src/kit/json-feed.ts'
import { checkJson, isFault, sliceValues } from '../../src/kit/json-slices.ts'

const limits = { depthMax: 100, depthPortable: 64 }
const MiB = 1024 * 1024

/** The bytes in pieces that end at the given places. */
function pieces(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b)
  return [0, ...places].map((from, i) => bytes.subarray(from, places[i] ?? bytes.length))
}

function fed(bytes: Buffer, cuts: readonly number[]): string[] {
  const feed = new JsonFeed(MiB)
  const values = pieces(bytes, cuts).flatMap((piece) => feed.push(piece))
  const rest = feed.end()
  return [...values, ...(rest === undefined ? [] : [rest])].map((value) => value.toString('latin1'))
}

const cuts = fc.array(fc.nat(), { maxLength: 40 })
const space = fc.constantFrom('', ' ', '\n', '\r\n\t')

test('values come out as the slices of the whole text, however it is cut', () => {
  const text = fc
    .array(fc.tuple(fc.json(), space), { maxLength: 8 })
    .map((parts) => parts.map(([value, after]) => value + after).join(''))
  fc.assert(
    fc.property(text, cuts, (whole, where) => {
      const bytes = Buffer.from(whole)
      const slices = sliceValues(bytes, limits, 1_000)
      const values = fed(bytes, where)
      const areGood = values.every(
        (value) => !isFault(checkJson(Buffer.from(value, 'latin1'), limits)),
      )
      assert.equal(areGood, !isFault(slices))
      if (isFault(slices)) return
      assert.deepEqual(
        values,
        slices.map(({ start, end }) => bytes.toString('latin1', start, end)),
      )
    }),
    { numRuns: 1_000 },
  )
})

test('bytes that are no JSON have a fault in what is cut of them, and none is lost or made up', () => {
  const bytesOf = fc
    .array(fc.constantFrom('{', '}', '[', ']', '"', '\\', ':', ',', '1', 'a', ' ', '\u00e9'), {
      maxLength: 60,
    })
    .map((parts) => Buffer.from(parts.join('')))
  fc.assert(
    fc.property(bytesOf, cuts, (bytes, where) => {
      const values = fed(bytes, where)
      const faulty = values.some((value) =>
        isFault(checkJson(Buffer.from(value, 'latin1'), limits)),
      )
      assert.equal(faulty, isFault(sliceValues(bytes, limits, 1_000)))
      const kept = values.join('').replaceAll(' ', '')
      assert.equal(kept, bytes.toString('latin1').replaceAll(' ', ''))
    }),
    { numRuns: 2_000 },
  )
})

test('a value is there with its last byte, and not before', () => {
  const feed = new JsonFeed(MiB)
  for (const byte of '{"a":"}\\"') assert.deepEqual(feed.push(Buffer.from(byte)), [])
  assert.equal(feed.heldBytes, 9)
  assert.deepEqual(feed.push(Buffer.from('"} {"b')).map(String), ['{"a":"}\\""}'])
  assert.deepEqual(feed.push(Buffer.from('":1}7')).map(String), ['{"b":1}'])
  assert.equal(String(feed.end()), '7')
})

test('a value that is too large ends the feed, behind those before it', () => {
  for (const size of [1, 3, 100]) {
    const feed = new JsonFeed(10)
    const bytes = Buffer.from('{"a":1} {"b":"123456"} {"c":1}')
    const values: string[] = []
    for (let at = 0; at < bytes.length; at += size) {
      values.push(...feed.push(bytes.subarray(at, at + size)).map(String))
    }
    assert.deepEqual([values, feed.tooLarge, feed.end()], [['{"a":1}'], true, undefined])
  }
})
