import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import { ByteSink } from '../../../src/kit/byte-sink.ts'
import { writeNativeRecord } from '../../../src/format/native-record.ts'
import type { ProduceSwitches } from '../../../src/http/native/body-records.ts'
import { toRecords } from '../../../src/http/native/body-records.ts'
import type { ErrorCode } from '../../../src/model/errors.ts'
import { GatewayError } from '../../../src/model/errors.ts'
import type { NewRecord, RecordHeader } from '../../../src/model/record.ts'
import { platformTakes, tortureCases } from '../../support/json-torture.ts'
import { naughtyStrings } from '../../support/naughty-strings.ts'

type Headers = Record<string, string>
type Item = NewRecord | GatewayError

const form = 'application/x-www-form-urlencoded'
const json = 'application/json'
const ndjson = 'application/x-ndjson'
const envelope = 'application/vnd.ebbgate.records+json'
const envelopeLines = 'application/vnd.ebbgate.records+ndjson'
const event = 'application/cloudevents+json'
const events = 'application/cloudevents-batch+json'

function items(
  body: string | Uint8Array,
  contentType?: string,
  switches: ProduceSwitches = {},
  headers: Headers = {},
): Item[] {
  return toRecords(Buffer.from(body as string), { contentType, switches, headers })
}

function records(...args: Parameters<typeof items>): NewRecord[] {
  return items(...args).map((item) => {
    if (item instanceof GatewayError) throw item
    return item
  })
}

function text(bytes: Uint8Array | null): string | null {
  return bytes === null ? null : Buffer.from(bytes).toString()
}

function values(...args: Parameters<typeof items>): (string | null)[] {
  return records(...args).map(({ value }) => text(value))
}

function keys(...args: Parameters<typeof items>): (string | null)[] {
  return records(...args).map(({ key }) => text(key))
}

/** Values and errors side by side: what a client sees of a batch. */
function outcomes(...args: Parameters<typeof items>): (string | null)[] {
  return items(...args).map((item) => (item instanceof GatewayError ? item.code : text(item.value)))
}

function contentTypes(...args: Parameters<typeof items>): (string | null)[] {
  return records(...args).map(({ headers }) =>
    text(headers.find(({ name }) => name === 'content-type')?.value ?? null),
  )
}

function refused(code: ErrorCode, ...args: Parameters<typeof items>): GatewayError {
  let met: unknown
  assert.throws(
    () => items(...args),
    (error) => {
      met = error
      return error instanceof GatewayError && error.code === code
    },
    `${code} expected`,
  )
  return met as GatewayError
}

// The table, row by row.

test('a JSON value is one record with its bytes, without the white space around it', () => {
  const value = '{ "price" : 49300.00, "n":12345678901234567890,"n":1 }'
  assert.deepEqual(values(`\r\n ${value} \n`, json), [value])
  assert.deepEqual(values(value, 'Application/JSON; charset=UTF-8'), [value])
  assert.deepEqual(values(`\ufeff${value}`, json), [value])
  assert.deepEqual(values('null', json), ['null'])
  assert.deepEqual(contentTypes(value, json), [null])
})

test('a single array is one record an element, several values are one record each', () => {
  assert.deepEqual(values('[{"a":1}, 2 ,"x",[3]]', json), ['{"a":1}', '2', '"x"', '[3]'])
  assert.deepEqual(values('{"a":1}{"a":2}\n[3]', json), ['{"a":1}', '{"a":2}', '[3]'])
  assert.deepEqual(values('[1,2][3]', json), ['[1,2]', '[3]'])
  assert.deepEqual(values('[]', json), [])
  assert.deepEqual(values('[1,2]', 'application/geo+json'), ['1', '2'])
  refused('BAD_REQUEST', '1"a"', json)
})

test('with batch=none an array is one record and a second value is refused', () => {
  assert.deepEqual(values('[1, 2]', json, { batch: 'none' }), ['[1, 2]'])
  assert.deepEqual(values('[]', json, { batch: 'none' }), ['[]'])
  refused('BAD_REQUEST', '{}{}', json, { batch: 'none' })
  refused('BAD_REQUEST', '1\n2', ndjson, { batch: 'none' })
  refused('BAD_REQUEST', 'a\nb', 'text/plain', { batch: 'none', lines: true })
  assert.deepEqual(values('1\n', ndjson, { batch: 'none' }), ['1'])
})

test('one NDJSON line is one record, and a broken line fails alone', () => {
  for (const type of [ndjson, 'application/ndjson', 'application/jsonl; charset=utf-8']) {
    assert.deepEqual(values('\ufeff{"a":1}\r\n\n [2] \n   \n3', type), ['{"a":1}', '[2]', '3'])
  }
  assert.deepEqual(outcomes('1\n{"a"\n3\n', ndjson), ['1', 'INVALID_RECORD', '3'])
  const [, broken] = items('1\n\n{"a"\n3\n', ndjson)
  assert.match((broken as GatewayError).message, /^Line 3 /)
  assert.deepEqual(outcomes('1 2\n', ndjson), ['INVALID_RECORD'])
  const deep = '['.repeat(1001) + ']'.repeat(1001)
  assert.deepEqual(outcomes(`1\n${deep}\n`, ndjson), ['1', 'INVALID_RECORD'])
})

test('text is one record with its content type, or one a line', () => {
  const body = 'first line\r\nsecond\n'
  assert.deepEqual(values(body, 'text/plain;charset=UTF-8'), [body])
  assert.deepEqual(contentTypes(body, 'text/plain;charset=UTF-8'), ['text/plain;charset=UTF-8'])
  assert.deepEqual(values(body, 'text/plain', { lines: true }), ['first line', 'second'])
  assert.deepEqual(contentTypes(body, 'text/csv', { lines: true }), ['text/csv', 'text/csv'])
  assert.deepEqual(values('{"a":1}', 'text/plain'), ['{"a":1}'])
})

test("curl's -d is JSON when it is JSON and text when it is not", () => {
  assert.deepEqual(values('{"a":1}', form), ['{"a":1}'])
  assert.deepEqual(contentTypes('{"a":1}', form), [null])
  assert.deepEqual(values('[1,2]', form), ['1', '2'])
  assert.deepEqual(values('[1,2]', form, { batch: 'none' }), ['[1,2]'])
  assert.deepEqual(values(' "x"\n', form), ['"x"'])
  for (const body of ['This is my first event', '42', 'null', 'a=1&b=2', '{"a":1', '{a}', '[1][']) {
    assert.deepEqual(values(body, form), [body])
    assert.deepEqual(contentTypes(body, form), ['text/plain'])
  }
  assert.deepEqual(values('a\nb', form, { lines: true }), ['a', 'b'])
  const broken = Buffer.from([0x22, 0xff, 0x22])
  assert.deepEqual(records(broken, form)[0]!.value, broken)
})

test('a body without a type, or with one that nobody knows, is one record as it is', () => {
  const bytes = Uint8Array.of(0xff, 0x00, 0x0a, 0x0d)
  assert.deepEqual(records(bytes)[0]!.value, Buffer.from(bytes))
  assert.deepEqual(contentTypes(bytes), [null])
  assert.deepEqual(values('[1,2]'), ['[1,2]'])
  for (const type of [
    'application/octet-stream',
    'image/png',
    'multipart/form-data; boundary=x',
    '?',
  ]) {
    assert.deepEqual(contentTypes('[1,2]', type), [type])
    assert.deepEqual(values('[1,2]', type), ['[1,2]'])
  }
  assert.deepEqual(values('a\nb', undefined, { lines: true }), ['a', 'b'])
})

test('an empty body stores nothing and says so, an empty array is fine', () => {
  for (const type of [undefined, json, form, ndjson, 'text/plain', envelope]) {
    refused('INVALID_REQUEST', '', type)
  }
  refused('INVALID_REQUEST', ' \n', json)
  refused('INVALID_REQUEST', '\n\n', ndjson)
  refused('INVALID_REQUEST', '\n', 'text/plain', { lines: true })
  assert.deepEqual(items('[ ]', json), [])
  assert.deepEqual(items('{"records":[]}', envelope), [])
})

test('a tombstone needs a key and an empty body', () => {
  const [record] = records('', undefined, { tombstone: true, key: 'u1' })
  assert.deepEqual([text(record!.key), record!.value], ['u1', null])
  assert.equal(records('', undefined, { tombstone: true }, { 'ebbgate-key': 'u' })[0]!.value, null)
  refused('INVALID_REQUEST', '', undefined, { tombstone: true })
  refused('INVALID_REQUEST', 'x', undefined, { tombstone: true, key: 'u1' })
})

// What is broken.

test('broken JSON is refused whole with its place, broken UTF-8 in a batch fails alone', () => {
  assert.match(refused('BAD_REQUEST', '{"a":}', json).message, /byte 5/)
  refused('BAD_REQUEST', '[1,{]', json)
  refused('BAD_REQUEST', '{"a":1', json)
  refused('BAD_REQUEST', '{} x', json)
  const broken = Buffer.from([0x22, 0xc3, 0x28, 0x22])
  refused('BAD_REQUEST', broken, json)
  const batch = Buffer.concat([Buffer.from('[1,'), broken, Buffer.from(',3]')])
  assert.deepEqual(outcomes(batch, json), ['1', 'INVALID_RECORD', '3'])
  const row = Buffer.concat([Buffer.from('1 '), broken, Buffer.from('3')])
  assert.deepEqual(outcomes(row, json), ['1', 'INVALID_RECORD', '3'])
  const lines = Buffer.concat([Buffer.from('1\n'), broken, Buffer.from('\n3')])
  assert.deepEqual(outcomes(lines, ndjson), ['1', 'INVALID_RECORD', '3'])
})

test('a body nested too deep does not hurt', () => {
  refused('INVALID_REQUEST', '['.repeat(100_000), json)
  refused('INVALID_REQUEST', '{"a":'.repeat(100_000), json)
  refused('INVALID_REQUEST', '{"records":'.repeat(1) + '['.repeat(100_000), envelope)
  // An array that is split does not count as a level of its elements.
  const value = '['.repeat(1000) + ']'.repeat(1000)
  assert.deepEqual(values(`[${value}]`, json), [value])
  assert.deepEqual(values(`[${value}]`, form), [value])
  const object = '{"a":'.repeat(1001) + '1' + '}'.repeat(1001)
  assert.deepEqual(contentTypes(object, form), ['text/plain'])
})

test('more records than a request may have are refused by number', () => {
  const many = 100_001
  for (const [body, type] of [
    [`[${'1,'.repeat(many - 1)}1]`, json],
    ['1 '.repeat(many), json],
    ['{}'.repeat(many), form],
    ['1\n'.repeat(many), ndjson],
    [`{"records":[${'{"value":1},'.repeat(many - 1)}{"value":1}]}`, envelope],
  ] as const) {
    assert.match(refused('BODY_TOO_LARGE', body, type).message, /100000/)
  }
  refused('BODY_TOO_LARGE', 'a\n'.repeat(many), 'text/plain', { lines: true })
  assert.equal(items('1\n'.repeat(100_000), ndjson).length, 100_000)
  // Lines of white space do not count, in neither direction: nothing is cut off behind the limit.
  assert.equal(items(` \n\t\n${'1\n'.repeat(100_000)}`, ndjson).length, 100_000)
  refused('BODY_TOO_LARGE', ` \n${'1\n'.repeat(many)}`, ndjson)
})

// Keys, headers, partition and timestamp without an envelope.

test('the key comes from one place', () => {
  assert.deepEqual(keys('1', json, { key: 'grün' }), ['grün'])
  // Node hands header bytes on as Latin-1; the key has the bytes that were sent.
  const sent = Buffer.from('grün').toString('latin1')
  assert.deepEqual(keys('1', json, {}, { 'ebbgate-key': sent }), ['grün'])
  assert.deepEqual(keys('[1,2]', json, { key: 'a' }), ['a', 'a'])
  assert.deepEqual(keys('1', json, { key: '' }), [null])
  refused('INVALID_REQUEST', '1', json, { key: 'a' }, { 'ebbgate-key': 'b' })
  refused('INVALID_REQUEST', '1', json, { key: 'a', keyFrom: '/a' })
})

test('the key may come out of each record', () => {
  const body =
    '[{"id":"a\\u0062"},{"id":49300.00},{"id":true},{"id":null},{},5,{"id":"x","id":"y"}]'
  const found = ['ab', '49300.00', 'true', null, null, null, 'y']
  assert.deepEqual(keys(body, json, { keyFrom: '/id' }), found)
  assert.deepEqual(keys('{"a":{"b/c":[0,"k"]}}', json, { keyFrom: '/a/b~1c/1' }), ['k'])
  assert.deepEqual(keys('{"id":"k"}', undefined, { keyFrom: '/id' }), ['k'])
  assert.deepEqual(keys('{"id":"k"}\n{"id":"l"}', ndjson, { keyFrom: '/id' }), ['k', 'l'])
  assert.deepEqual(keys('"k"', json, { keyFrom: '' }), ['k'])
  const refusals = '[{"id":{}},{"id":[1]},{"id":"\\ud800"}]'
  assert.deepEqual(outcomes(refusals, json, { keyFrom: '/id' }), Array(3).fill('INVALID_RECORD'))
  assert.deepEqual(outcomes('text', 'text/plain', { keyFrom: '/id' }), ['INVALID_RECORD'])
  refused('BAD_REQUEST', '{}', json, { keyFrom: 'id' })
})

test('a key taken from a record leaves its bytes alone', () => {
  const body = '{"id" : "a\\u0062", "x":1e999}'
  assert.deepEqual(values(body, json, { keyFrom: '/id' }), [body])
})

test('record headers, partition and timestamp go to every record of the request', () => {
  const headers = { 'ebbgate-header-trace': 'Ã¼', 'ebbgate-header-a': '', host: 'x' }
  const switches = { partition: 2, timestamp: 1_763_683_200_000 }
  for (const record of records('[1,2]', json, switches, headers)) {
    assert.deepEqual(
      record.headers.map(({ name, value }) => [name, text(value)]),
      [
        ['trace', 'ü'],
        ['a', ''],
      ],
    )
    assert.deepEqual([record.partition, record.timestamp], [2, 1_763_683_200_000])
  }
  const [plain] = records('1', json)
  assert.deepEqual(Object.keys(plain!).sort(), ['headers', 'key', 'value'])
  refused('BAD_REQUEST', '1', json, {}, { 'ebbgate-header-': 'x' })
})

// The envelope.

test('the envelope carries key, headers, partition and timestamp of each record', () => {
  const body = `{"records":[
    {"key":"u1","value":{ "a" : 49300.00 },"headers":[{"name":"h","value":"x"},{"name":"n","value":null},
      {"value":"/w==","format":"binary","name":"b"}],"partition":1,"timestamp":5},
    {"value":"/wA=","format":"binary","key":"AP8=","keyFormat":"binary"},
    {"value":"a\\n\\u00fc","format":"text","key":null},
    {"key":"gone","value":null}, {"value":"quoted"} ]}`
  const [first, binary, plain, tombstone, string] = records(body, envelope)
  assert.deepEqual([text(first!.key), text(first!.value)], ['u1', '{ "a" : 49300.00 }'])
  assert.deepEqual([first!.partition, first!.timestamp], [1, 5])
  assert.deepEqual(
    first!.headers.map(({ name, value }) => [name, value && [...value]]),
    [
      ['h', [0x78]],
      ['n', null],
      ['b', [0xff]],
    ],
  )
  assert.deepEqual([...binary!.value!, ...binary!.key!], [0xff, 0, 0, 0xff])
  assert.deepEqual([text(plain!.value), plain!.key], ['a\nü', null])
  assert.deepEqual([text(tombstone!.key), tombstone!.value], ['gone', null])
  assert.equal(text(string!.value), '"quoted"')
})

test('what the request says holds for envelope records that say nothing', () => {
  const body = '{"records":[{"value":1},{"key":null,"value":2,"partition":0,"timestamp":7}]}'
  const switches = { key: 'k', partition: 3, timestamp: 9 }
  const headers = { 'ebbgate-header-a': 'b' }
  const seen = records(body, envelope, switches, headers).map(
    ({ key, partition, timestamp, headers: kept }) => [
      text(key),
      partition,
      timestamp,
      kept.length,
    ],
  )
  assert.deepEqual(seen, [
    ['k', 3, 9, 1],
    [null, 0, 7, 1],
  ])
  const keyed = '{"records":[{"value":{"id":5}},{"key":null,"value":{"id":5}}]}'
  assert.deepEqual(keys(keyed, envelope, { keyFrom: '/id' }), ['5', null])
})

test('a wrong record of the envelope fails alone and says why', () => {
  const wrong: Readonly<Record<string, RegExp>> = {
    '{}': /'value' is missing/,
    '5': /is an object/,
    '{"value":1,"vaule":2}': /Unknown member 'vaule'/,
    '{"value":1,"value":2}': /twice/,
    '{"value":"a","format":"binary"}': /'value' is not base64/,
    '{"value":5,"format":"text"}': /'value' is not a string/,
    '{"value":"\\ud800","format":"text"}': /lone surrogate/,
    '{"value":1,"format":"avro"}': /'format' is one of/,
    '{"value":1,"key":5}': /'key' is not a string/,
    '{"value":1,"key":"a","keyFormat":"json"}': /'keyFormat' is text or binary/,
    '{"value":1,"partition":-1}': /'partition' is not a whole number/,
    '{"value":1,"partition":"0"}': /'partition' is not a whole number/,
    '{"value":1,"timestamp":1.5}': /'timestamp' is not a whole number/,
    '{"value":1,"timestamp":9007199254740993}': /'timestamp' is not a whole number/,
    '{"value":1,"headers":{}}': /'headers' is a list/,
    '{"value":1,"headers":[{"name":"a"}]}': /A header is/,
    '{"value":1,"headers":[{"name":"a","value":"b","x":1}]}': /A header is/,
    '{"value":1,"headers":[{"name":"a","value":"b","name":"c"}]}': /A header is/,
    '{"value":1,"headers":[5]}': /A header is/,
    '{"value":1,"topic":"orders"}': /replay=true/,
    '{"value":1,"offset":5}': /replay=true/,
  }
  const body = Object.keys(wrong).join(',{"value":"good"},')
  const all = items(`{"records":[${body}]}`, envelope)
  Object.entries(wrong).forEach(([record, why], i) => {
    const item = all[i * 2]
    assert.ok(item instanceof GatewayError, record)
    assert.equal(item.code, 'INVALID_RECORD')
    assert.match(item.message, why)
    const [line] = items(record, envelopeLines)
    assert.equal((line as GatewayError).message, item.message)
  })
  assert.ok(all.every((item, i) => i % 2 === 0 || !(item instanceof GatewayError)))
})

test('what is not the envelope is refused, and plain JSON is never taken for it', () => {
  for (const body of [
    '[]',
    '{}',
    '5',
    '{"records":{}}',
    '{"records":[],"topic":"t"}',
    '{"records":[],"records":[]}',
    '{"records":[{"value":1}]',
    '{"records":[{"value":1]}',
    '{"records":[]} x',
    '{"records":[{"value":1},]}',
  ]) {
    refused('BAD_REQUEST', body, envelope)
  }
  const event = '{"records":[{"value":1}]}'
  assert.deepEqual(values(event, json), [event])
})

test('broken UTF-8 in an envelope record fails alone', () => {
  const hit = (before: string, after: string): Buffer =>
    Buffer.concat([Buffer.from(before), Buffer.of(0xff), Buffer.from(after)])
  const good = ',{"value":2}]}'
  for (const body of [
    hit('{"records":[{"value":"', `"}${good}`),
    hit('{"records":[{"value":1,"key":"', `"}${good}`),
    hit('{"records":[{"value":1,"', `":1}${good}`),
    hit('{"records":[{"value":{"', `":1}}${good}`),
    hit('{"records":[{"value":1,"headers":[{"name":"', `","value":""}]}${good}`),
    hit('{"records":[{"value":1,"headers":[{"', `":"","value":""}]}${good}`),
  ]) {
    assert.deepEqual(outcomes(body, envelope), ['INVALID_RECORD', '2'], body.toString('latin1'))
  }
})

test('envelope lines are taken and refused one by one', () => {
  const body = '{"key":"a","value":1}\n{"value":\n\n{"value":2} x\n{"value":3}\r\n'
  assert.deepEqual(outcomes(body, envelopeLines), ['1', 'INVALID_RECORD', 'INVALID_RECORD', '3'])
})

test('a record as read stores the same bytes again', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.json().map((each) => Buffer.from(each)),
    fc.constantFrom(...naughtyStrings.map((each) => Buffer.from(each))),
  )
  const field = fc.option(bytes)
  const header: fc.Arbitrary<RecordHeader> = fc.record({
    name: fc.string({ maxLength: 5 }),
    value: field,
  })
  const record = fc.record({
    offset: fc.nat(),
    timestamp: fc.nat(),
    key: field,
    value: field,
    headers: fc.array(header, { maxLength: 3 }),
  })
  const format = fc.constantFrom('json', 'text', 'binary')
  fc.assert(
    fc.property(fc.array(record, { maxLength: 5 }), format, (stored, shownAs) => {
      const sink = new ByteSink().text('{"records":[')
      stored.forEach((each, i) => {
        if (i > 0) sink.byte(0x2c)
        writeNativeRecord(sink, each, shownAs, { topic: 'orders', partition: 7 })
      })
      const again = toRecords(sink.text(']}').take(), {
        contentType: envelope,
        switches: { replay: true },
        headers: {},
      })
      const plain = (fields: NewRecord): unknown => ({
        key: fields.key && Buffer.from(fields.key).toString('hex'),
        value: fields.value && Buffer.from(fields.value).toString('hex'),
        headers: fields.headers.map(({ name, value }) => [
          name,
          value && Buffer.from(value).toString('hex'),
        ]),
        timestamp: fields.timestamp,
        partition: fields.partition,
      })
      assert.deepEqual(
        again.map((item) => {
          if (item instanceof GatewayError) throw item
          return plain(item)
        }),
        stored.map(({ offset: _, ...fields }) => plain(fields)),
      )
    }),
    { numRuns: 300 },
  )
})

// Real and hostile data.

test('every case of JSONTestSuite is stored with its bytes or refused cleanly', () => {
  for (const { name, bytes } of tortureCases) {
    if (bytes.length > 0) assert.deepEqual(records(bytes)[0]!.value, bytes)
    for (const type of [json, envelope, envelopeLines, ndjson, form]) {
      try {
        items(bytes, type)
      } catch (error) {
        assert.ok(error instanceof GatewayError, `${name} as ${type}: ${String(error)}`)
        assert.ok(['BAD_REQUEST', 'INVALID_REQUEST'].includes(error.code), name)
      }
    }
    const marked = bytes.subarray(0, 3).equals(Buffer.from('\ufeff'))
    const body = marked ? bytes.subarray(3) : bytes
    if (platformTakes(body)) {
      const [record] = records(bytes, json, { batch: 'none' })
      assert.equal(text(record!.value), body.toString().trim(), name)
    } else {
      assert.throws(() => items(bytes, json, { batch: 'none' }), GatewayError, name)
    }
  }
})

test('naughty strings are stored as they are, as text, JSON, key and header', () => {
  for (const naughty of naughtyStrings) {
    if (naughty === '') continue
    const encoded = JSON.stringify(naughty)
    assert.deepEqual(values(naughty, 'text/plain'), [naughty.toWellFormed()])
    assert.deepEqual(values(encoded, json), [encoded])
    assert.deepEqual(keys('1', json, { key: naughty }), [naughty.toWellFormed()])
    const found = keys(`{"id":${encoded}}`, json, { keyFrom: '/id' })
    assert.deepEqual(found, [naughty])
    const header = Buffer.from(naughty).toString('latin1')
    const [record] = records('1', json, {}, { 'ebbgate-header-n': header })
    assert.equal(text(record!.headers[0]!.value), naughty.toWellFormed())
  }
})

test('real events come out byte for byte in every way of sending them', () => {
  for (const name of ['vehicle-trace/trace', 'market-trades/trades-usd', 'github-events/events']) {
    const file = new URL(`../../fixtures/${name}.jsonl`, import.meta.url)
    const body = readFileSync(file, 'utf8')
    const lines = body.trimEnd().split('\n')
    assert.deepEqual(values(body, ndjson), lines)
    assert.deepEqual(values(body, json), lines)
    assert.deepEqual(values(body, form), lines)
    assert.deepEqual(values(`[${lines.join(', ')}]`, json), lines)
    assert.deepEqual(values(body, 'text/plain', { lines: true }), lines)
    const wrapped = lines.map((line) => `{"value":${line}}`)
    assert.deepEqual(values(`{"records":[${wrapped.join(',')}]}`, envelope), lines)
    assert.deepEqual(values(wrapped.join('\n'), envelopeLines), lines)
  }
})

test('values are slices of the body, not copies', () => {
  const body = Buffer.from('[{"a":1},{"b":2}]')
  const request = { contentType: json, switches: {}, headers: {} }
  for (const item of toRecords(body, request)) {
    assert.equal((item as NewRecord).value!.buffer, body.buffer)
  }
})

test("a multipart body is one record a part, with the part's own type", () => {
  const mixed = 'multipart/mixed; boundary="x y"'
  const body =
    '--x y\r\nContent-Type: application/json\r\n\r\n[1,2]\r\n' +
    '--x y\r\nContent-Disposition: form-data; name="f"\r\n\r\na\r\nb\r\n--x y--\r\n'
  assert.deepEqual(values(body, mixed), ['[1,2]', 'a\r\nb'])
  assert.deepEqual(contentTypes(body, mixed), ['application/json', null])
  assert.deepEqual(values('--x y--', mixed), [])
  refused('BAD_REQUEST', body.slice(0, -9), mixed)
  refused('BAD_REQUEST', body, mixed, { batch: 'none' })
  assert.deepEqual(outcomes(body, mixed, { keyFrom: '/0' }), ['[1,2]', 'INVALID_RECORD'])
  assert.deepEqual(values('no parts', 'multipart/form-data'), ['no parts'])
})

const attributes = '"specversion":"1.0","id":"1","source":"/s","type":"t"'
const ce = { 'ce-specversion': '1.0', 'ce-id': '1', 'ce-source': '/s', 'ce-type': 't' }

function headersOf(...args: Parameters<typeof items>): (readonly [string, string | null])[] {
  return records(...args)[0]!.headers.map(({ name, value }) => [name, text(value)] as const)
}

test('a binary CloudEvent is its data, with the attributes as headers of the Kafka binding', () => {
  const sent = { ...ce, 'ce-partitionkey': 'k%C3%A9', 'ce-quoted': '"a \\"b"', 'ce-odd': '100%' }
  const [record] = records('[1,2]', 'application/json', {}, sent)
  assert.equal(text(record!.value), '[1,2]')
  assert.equal(text(record!.key), 'ké')
  assert.deepEqual(headersOf('[1,2]', 'application/json', {}, sent), [
    ['ce_specversion', '1.0'],
    ['ce_id', '1'],
    ['ce_source', '/s'],
    ['ce_type', 't'],
    ['ce_partitionkey', 'ké'],
    ['ce_quoted', 'a "b'],
    ['ce_odd', '100%'],
    ['content-type', 'application/json'],
  ])
  assert.deepEqual(values('', undefined, {}, ce), [''])
  assert.deepEqual(keys('{"u":1}', json, { keyFrom: '/u' }, ce), ['1'])
  assert.deepEqual(keys('{"u":1}', json, { keyFrom: '/u' }, sent), ['ké'])
})

test('attributes that make no event are refused, and so is another version', () => {
  for (const name of Object.keys(ce)) {
    if (name === 'ce-specversion') continue
    refused('BAD_REQUEST', 'x', 'text/plain', {}, { ...ce, [name]: '' })
  }
  refused('BAD_REQUEST', 'x', 'text/plain', {}, { ...ce, 'ce-specversion': '0.3' })
})

test('a structured CloudEvent keeps its bytes, and its partitionkey is the key', () => {
  const value = `{ ${attributes}, "partitionkey":"k\\u00e9", "data":[1.0] }`
  const type = `${event}; charset=utf-8`
  assert.deepEqual(values(` ${value}\n`, type), [value])
  assert.deepEqual(keys(value, type, { key: 'other' }), ['ké'])
  assert.deepEqual(keys(`{${attributes}}`, type, { key: 'other' }), ['other'])
  assert.deepEqual(contentTypes(value, type), [type])
  refused('BAD_REQUEST', '{', type)
  for (const wrong of [
    '[]',
    '{"id":"1"}',
    `{${attributes},"partitionkey":1}`,
    `{${attributes},"source":""}`,
    `{${attributes.replace('1.0', '0.3')}}`,
  ]) {
    assert.deepEqual(outcomes(wrong, type), ['INVALID_RECORD'], wrong)
  }
})

test('a batch of CloudEvents is one record each, and a wrong one fails alone', () => {
  const good = `{${attributes}}`
  assert.deepEqual(outcomes(`[${good} , {}, 1,${good}]`, events), [
    good,
    'INVALID_RECORD',
    'INVALID_RECORD',
    good,
  ])
  assert.deepEqual(contentTypes(`[${good}]`, events), [event])
  assert.deepEqual(values('[]', events), [])
  refused('BAD_REQUEST', good, events)
  refused('BAD_REQUEST', `[${good},${good}]`, events, { batch: 'none' })
})

test('any bytes under any type become records or a clean refusal', () => {
  const type = fc.constantFrom(
    ...[json, ndjson, form, envelope, envelopeLines, 'text/plain', undefined],
    ...['multipart/mixed; boundary=B', event, events],
  )
  const frame = fc.constantFrom(
    ...['', '{"records":[', '{"records":[{"value":', '[', '{"a":1}', '--B\r\n', '--B\r\n\r\n'],
    '[{"specversion":"1.0","id":"1","source":"s","type":"t"},',
  )
  fc.assert(
    fc.property(
      type,
      frame,
      fc.uint8Array({ maxLength: 30 }),
      fc.boolean(),
      (as, start, rest, lines) => {
        const body = Buffer.concat([Buffer.from(start), rest])
        try {
          items(body, as, { lines })
        } catch (error) {
          assert.ok(error instanceof GatewayError)
          assert.ok(['BAD_REQUEST', 'INVALID_REQUEST'].includes(error.code), String(error))
        }
      },
    ),
    { numRuns: 2000 },
  )
})
