import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ByteSink } from '../../src/kit/byte-sink.ts'
import { naughtyStrings } from '../support/naughty-strings.ts'

test('what is written in pieces comes out in one', () => {
  const sink = new ByteSink(1)
  sink.text('{"value":').bytes(Buffer.from('49300.00')).byte(0x7d)
  assert.equal(sink.length, 18)
  assert.equal(sink.take().toString(), '{"value":49300.00}')
  assert.equal(sink.length, 0)
})

test('any mixture of text and bytes, long and short, is what concatenation gives', () => {
  const piece = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 200 }),
    fc.uint8Array({ maxLength: 200 }),
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
      const sink = new ByteSink(1)
      for (const each of pieces) {
        if (typeof each === 'string') sink.text(each)
        else sink.bytes(each)
      }
      const expected = Buffer.concat(pieces.map((each) => Buffer.from(each as Uint8Array)))
      assert.deepEqual(sink.take(), expected)
    }),
  )
})

test('a JSON string written from its bytes reads back as the same text', () => {
  const sink = new ByteSink()
  for (const text of naughtyStrings.filter((each) => each.isWellFormed())) {
    assert.equal(JSON.parse(sink.jsonText(Buffer.from(text)).take().toString()), text)
  }
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 100 }), (text) => {
      sink.jsonText(Buffer.from(text))
      assert.equal(JSON.parse(sink.take().toString()), text)
      sink.jsonText(text)
      assert.equal(JSON.parse(sink.take().toString()), text)
    }),
  )
})

test('every control character is escaped', () => {
  const all = Uint8Array.from({ length: 0x80 }, (_, byte) => byte)
  const written = new ByteSink().jsonText(all).take()
  assert.equal(written.toString(), JSON.stringify(Buffer.from(all).toString()))
})

test('bytes become a base64 string', () => {
  const written = new ByteSink().jsonBase64(Uint8Array.of(0xff, 0xfe, 0)).take()
  assert.equal(written.toString(), '"//4A"')
})

test('bytes that were taken stay as they are while the sink goes on', () => {
  const sink = new ByteSink()
  const first = sink.text('first').take()
  const second = sink.text('second').take()
  sink.text('x'.repeat(5000))
  assert.equal(`${first.toString()} ${second.toString()}`, 'first second')
})

test('a large buffer is not kept alive by the small answer behind it', () => {
  const sink = new ByteSink()
  sink.bytes(Buffer.alloc(1_000_000)).take()
  const small = sink.text('small').take()
  assert.ok(small.buffer.byteLength <= 64 * 1024)
})

test('a piece can be taken back', () => {
  const sink = new ByteSink().text('kept,')
  const before = sink.length
  sink.text('dropped').truncate(before)
  assert.equal(sink.take().toString(), 'kept,')
  assert.throws(() => sink.truncate(1), RangeError)
})
