import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isJson, isPortableJson } from '../../src/format/json.ts'

test('a value may be spliced when it is one JSON value and nothing else', () => {
  const values = ['{"a":1}', '[]', '"x"', '0', '-1.50', 'true', 'null', '1e999', '"\\ud800"']
  for (const text of [...values, ' {}', '\t{}\r\n']) assert.ok(isJson(Buffer.from(text)), text)
  for (const text of ['', ' ', 'text', '{"a":1', '1 2', 'nul', '\ufeff{}']) {
    assert.ok(!isJson(Buffer.from(text)), text)
  }
  assert.ok(!isJson(Uint8Array.of(0x22, 0xff, 0x22)))
})

test('what only some decoders take, or has white space around it, is not portable', () => {
  assert.ok(isPortableJson(Buffer.from('{"a":12345678901234567890}')))
  for (const text of [
    '1e999',
    '"\\ud800"',
    '['.repeat(65) + ']'.repeat(65),
    '{} ',
    ' {}',
    'text',
    '',
  ]) {
    assert.ok(!isPortableJson(Buffer.from(text)), text)
  }
})
