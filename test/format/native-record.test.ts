import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ByteSink } from '../../src/kit/byte-sink.ts'
import type { OutFormat } from '../../src/format/format.ts'
import type { NativeRecordOptions } from '../../src/format/native-record.ts'
import { writeNativeRecord } from '../../src/format/native-record.ts'
import type { RecordHeader, StoredRecord } from '../../src/model/record.ts'
import { tortureCases } from '../support/json-torture.ts'
import { naughtyStrings } from '../support/naughty-strings.ts'

interface Shown {
  readonly value: unknown
  readonly format?: string
  readonly key: unknown
  readonly keyFormat?: string
  readonly headers?: unknown
}

const place = { topic: 'orders', partition: 3 }

function bytesOf(field: string | Uint8Array | null): Uint8Array | null {
  return typeof field === 'string' ? Buffer.from(field) : field
}

function written(
  value: string | Uint8Array | null,
  more: { key?: string | Uint8Array | null; headers?: readonly RecordHeader[] } = {},
  format: OutFormat = 'json',
  options: NativeRecordOptions = {},
): string {
  const record: StoredRecord = {
    offset: 1043,
    timestamp: 1_763_683_200_000,
    key: bytesOf(more.key ?? null),
    value: bytesOf(value),
    headers: more.headers ?? [],
  }
  const sink = new ByteSink()
  writeNativeRecord(sink, record, format, place, options)
  return sink.take().toString()
}

function shown(...args: Parameters<typeof written>): Shown {
  return JSON.parse(written(...args)) as Shown
}

test('a JSON value stands in the record as the bytes that were stored', () => {
  assert.equal(
    written('{"a" : 49300.00,"a":12345678901234567890}', { key: 'u1' }),
    '{"topic":"orders","partition":3,"offset":1043,"timestamp":1763683200000,"key":"u1",' +
      '"value":{"a" : 49300.00,"a":12345678901234567890}}',
  )
})

test('without a place the frame around the record says where it is', () => {
  const sink = new ByteSink()
  const record = { offset: 7, timestamp: 5, key: null, value: null, headers: [] }
  writeNativeRecord(sink, record, 'json')
  assert.equal(sink.take().toString(), '{"timestamp":5,"key":null,"value":null}')
})

test('a null value is a tombstone and the four bytes null are not', () => {
  assert.deepEqual(shown(null).value, null)
  assert.equal(shown(null).format, undefined)
  assert.deepEqual([shown('null').value, shown('null').format], ['null', 'text'])
})

test('falsy values are values', () => {
  for (const text of ['0', 'false', '""', '{}', '[]']) {
    assert.ok(written(text).endsWith(`"value":${text}}`), text)
  }
  assert.deepEqual([shown('').value, shown('').format], ['', 'text'])
})

test('text is a string and other bytes are base64, and both say so', () => {
  assert.deepEqual(
    [shown('plain "text"\n').value, shown('plain').format],
    ['plain "text"\n', 'text'],
  )
  const binary = shown(Uint8Array.of(0xff, 0))
  assert.deepEqual([binary.value, binary.format], ['/wA=', 'binary'])
})

test('what some decoder would choke on is shown as text, whole', () => {
  const hostile = ['['.repeat(65) + ']'.repeat(65), '1e999', '"\\ud800"', ' {"a":1}', '{"a":1}\n']
  for (const text of hostile) {
    assert.deepEqual([shown(text).value, shown(text).format], [text, 'text'])
  }
})

test('a text content type keeps digits from becoming a number', () => {
  const headers = [{ name: 'content-type', value: Buffer.from('text/plain') }]
  const record = shown('42', { headers })
  assert.deepEqual([record.value, record.format], ['42', 'text'])
  const json = [{ name: 'content-type', value: Buffer.from('application/cloudevents+json') }]
  assert.equal(shown('42', { headers: json }).value, 42)
})

test('the reader may ask for text or binary', () => {
  assert.deepEqual([shown('{"a":1}', {}, 'text').value], ['{"a":1}'])
  assert.equal(shown('{"a":1}', {}, 'text').format, 'text')
  assert.equal(shown(Uint8Array.of(0xff), {}, 'text').format, 'binary')
  const binary = shown('{"a":1}', {}, 'binary')
  assert.deepEqual([binary.value, binary.format], ['eyJhIjoxfQ==', 'binary'])
  assert.equal(shown(null, {}, 'binary').value, null)
})

test('where a line end ends the record, a value that holds one is shown as text', () => {
  const pretty = '{\n  "a": 1\n}'
  assert.ok(written(pretty).includes(pretty))
  const line = written(pretty, {}, 'json', { oneLine: true })
  assert.ok(!line.includes('\n'))
  assert.equal((JSON.parse(line) as Shown).value, pretty)
  assert.ok(written('{"a":"\\n"}', {}, 'json', { oneLine: true }).includes('{"a":"\\n"}'))
})

test('a key is text or base64', () => {
  assert.equal(shown('1', { key: 'a"b' }).key, 'a"b')
  assert.equal(shown('1', { key: '' }).key, '')
  const binary = shown('1', { key: Uint8Array.of(0xff) })
  assert.deepEqual([binary.key, binary.keyFormat], ['/w==', 'binary'])
})

test('headers keep their order, their twins, null and binary values', () => {
  const headers = [
    { name: 'a', value: Buffer.from('1') },
    { name: 'a', value: null },
    { name: 'b"', value: Uint8Array.of(0xff) },
  ]
  assert.deepEqual(shown('1', { headers }).headers, [
    { name: 'a', value: '1' },
    { name: 'a', value: null },
    { name: 'b"', value: '/w==', format: 'binary' },
  ])
})

/** What a reader makes of the record: the bytes that were stored. */
function restored(record: string, value: Uint8Array): void {
  const parsed = JSON.parse(record) as Shown
  if (parsed.format === 'binary') {
    assert.deepEqual(Buffer.from(parsed.value as string, 'base64'), Buffer.from(value))
  } else if (parsed.format === 'text') {
    assert.deepEqual(Buffer.from(parsed.value as string), Buffer.from(value))
  } else {
    assert.ok(record.endsWith(`"value":${Buffer.from(value).toString()}}`))
  }
}

test('no value, however hostile, makes the record unreadable or loses a byte', () => {
  for (const { bytes } of tortureCases) restored(written(bytes), bytes)
  for (const text of naughtyStrings) {
    restored(written(Buffer.from(text)), Buffer.from(text))
    assert.equal(shown('1', { key: text }).key, text.toWellFormed())
  }
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array(),
        fc.json().map((text) => Buffer.from(text)),
      ),
      (value) => {
        restored(written(value), value)
      },
    ),
  )
})
