import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isText, saysText } from '../../src/format/text.ts'

const says = (name: string, value: string | null): boolean =>
  saysText([{ name, value: value === null ? null : Buffer.from(value) }])

test('text is whole UTF-8', () => {
  assert.ok(isText(Buffer.from('grüße 😀')))
  assert.ok(isText(new Uint8Array()))
  assert.ok(!isText(Uint8Array.of(0xc0, 0x80)))
  assert.ok(!isText(Uint8Array.of(0xed, 0xa0, 0x80)))
  assert.ok(!isText(Uint8Array.of(0xf0, 0x9f, 0x98)))
})

test('a record says that it is text by its content type', () => {
  assert.ok(says('content-type', 'text/plain'))
  assert.ok(says('Content-Type', 'Text/CSV; charset=utf-8'))
  assert.ok(!says('content-type', 'application/json'))
  assert.ok(!says('content-type', 'text'))
  assert.ok(!says('content-type', null))
  assert.ok(!says('x-content-type', 'text/plain'))
  assert.ok(!saysText([]))
})
