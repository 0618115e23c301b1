import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { compileFilter } from '../../src/consume/filter.ts'
import { checkJson, isFault } from '../../src/kit/json-slices.ts'
import { jsonLimits } from '../../src/format/json.ts'
import { GatewayError } from '../../src/model/errors.ts'
import type { StoredRecord } from '../../src/model/record.ts'

interface Given {
  readonly key?: string | Uint8Array
  readonly value?: string | Uint8Array | null
  readonly headers?: Readonly<Record<string, string>>
}

function record({ key, value, headers = {} }: Given): StoredRecord {
  const bytes = (text: string | Uint8Array): Buffer => Buffer.from(text as string)
  return {
    offset: 0,
    timestamp: 0,
    key: key === undefined ? null : bytes(key),
    value: value === undefined || value === null ? null : bytes(value),
    headers: Object.entries(headers).map(([name, text]) => ({ name, value: bytes(text) })),
  }
}

function passes(filter: string, given: Given): boolean {
  const bytes = Buffer.from(filter)
  const slice = checkJson(bytes, jsonLimits)
  assert.ok(!isFault(slice), filter)
  return compileFilter(bytes, slice)(record(given))
}

const on = (field: string, op: string, value?: string): string =>
  `{"field":"${field}","op":"${op}"${value === undefined ? '' : `,"value":${value}`}}`

const order = {
  key: 'u1',
  headers: { source: 'web', 'trace.id': 't' },
  value: '{"status":"open","total":49300.00,"paid":false,"note":null,"items":[{"sku":"a1"},[7]]}',
}

test('a test looks into key, headers and members of the value', () => {
  for (const filter of [
    on('key', 'eq', '"u1"'),
    on('key', 'prefix', '"u"'),
    on('headers.source', 'eq', '"web"'),
    on('headers.trace.id', 'ne', '"x"'),
    on('value.status', 'in', '["shut","open"]'),
    on('value.total', 'eq', '4.93e4'),
    on('value.total', 'gt', '49299.99'),
    on('value.status', 'ge', '"open"'),
    on('value.status', 'lt', '"opeo"'),
    on('value.paid', 'eq', 'false'),
    on('value.paid', 'ne', 'true'),
    on('value.note', 'eq', 'null'),
    on('value.note', 'exists'),
    on('value.items', 'exists'),
    on('value.items.0.sku', 'eq', '"a1"'),
    on('value.items.1.0', 'le', '7'),
    on('value.gone', 'exists', 'false'),
  ]) {
    assert.equal(passes(filter, order), true, filter)
  }
})

test('what is missing or of another type is false, but for exists', () => {
  for (const filter of [
    on('value.gone', 'ne', '1'),
    on('value.total', 'ne', '"49300.00"'),
    on('value.status', 'lt', '99'),
    on('value.paid', 'eq', 'null'),
    on('value.items', 'ne', '1'),
    on('value.items.2', 'exists'),
    on('value.items.x', 'exists'),
    on('value.status.length', 'exists'),
    on('value.constructor', 'exists'),
    on('value.__proto__', 'exists'),
    on('headers.Source', 'exists'),
    on('value', 'eq', '1'),
  ]) {
    assert.equal(passes(filter, order), false, filter)
  }
  assert.equal(passes(on('key', 'exists'), {}), false)
  assert.equal(passes(on('value', 'exists'), { value: null }), false)
})

test('a value that is no JSON is its text, and bytes that are no text compare with nothing', () => {
  assert.equal(passes(on('value', 'prefix', '"ERROR "'), { value: 'ERROR disk' }), true)
  assert.equal(passes(on('value', 'eq', '42'), { value: '42' }), true)
  const said = { value: '42', headers: { 'content-type': 'text/plain' } }
  assert.equal(passes(on('value', 'eq', '"42"'), said), true)
  assert.equal(passes(on('value', 'ne', '""'), { value: Uint8Array.of(0xff) }), false)
  assert.equal(passes(on('value', 'exists'), { value: Uint8Array.of(0xff) }), true)
})

test('long numbers match by their digits on both sides', () => {
  const given = { value: '{"id":9007199254740993}' }
  assert.equal(passes(on('value.id', 'eq', '9007199254740993'), given), true)
  assert.equal(passes(on('value.id', 'eq', '9007199254740992'), given), false)
  assert.equal(passes(on('value.id', 'in', '[1,9007199254740993]'), given), true)
})

test('all, any and not join tests', () => {
  const yes = on('key', 'exists')
  const no = on('value.gone', 'exists')
  assert.equal(passes(`{"all":[${yes},${yes}]}`, order), true)
  assert.equal(passes(`{"all":[${yes},${no}]}`, order), false)
  assert.equal(passes(`{"any":[${no},${yes}]}`, order), true)
  assert.equal(passes(`{"not":{"any":[${no},{"not":${yes}}]}}`, order), true)
})

test('a filter that means nothing is refused by the place of its mistake', () => {
  const nodes = (count: number): string =>
    `{"all":[${Array<string>(count - 1)
      .fill(on('key', 'exists'))
      .join()}]}`
  assert.equal(passes(nodes(32), order), true)
  const cases: readonly (readonly [filter: string, message: RegExp])[] = [
    ['[]', /'filter' is no object/],
    ['{}', /'filter' is no test/],
    ['{"all":[]}', /'filter.all' is empty/],
    ['{"all":{}}', /'filter.all' is no list/],
    [
      `{"all":[${on('key', 'exists')},{"not":{"and":1}}]}`,
      /'filter.all\[1\].not' has a member 'and'/,
    ],
    [on('key', 'like', '"a"'), /'filter.op' is one of/],
    [on('topic', 'exists'), /'filter.field' is key/],
    [on('value.', 'exists'), /'filter.field' is key/],
    [on('value.1.2.3.4.5.6.7.8.9', 'exists'), /more than 8 steps/],
    [on('key', 'eq'), /'filter.value' is missing/],
    [on('key', 'eq', '{}'), /'filter.value' is a string, a number/],
    [on('key', 'in', '"a"'), /'filter.value' is no list/],
    [on('key', 'in', `[${Array<string>(65).fill('1').join()}]`), /more than 64 items/],
    [on('key', 'lt', 'true'), /a string or a number/],
    [on('key', 'prefix', '1'), /prefix is a string/],
    [on('key', 'exists', '1'), /exists is true or false/],
    [`{"field":"key","field":"key","op":"exists"}`, /'field' twice/],
    [nodes(33), /at most 32 nodes/],
    [`${'{"not":'.repeat(40)}1${'}'.repeat(40)}`, /at most 32 nodes/],
  ]
  for (const [filter, message] of cases) {
    assert.throws(
      () => passes(filter, order),
      (error) =>
        error instanceof GatewayError &&
        error.code === 'INVALID_FILTER' &&
        message.test(error.message),
      filter,
    )
  }
})

test('any JSON is a filter or refused, and any bytes are judged', () => {
  const field = fc.constantFrom('key', 'value', 'value.a', 'value.a.0', 'headers.h')
  const op = fc.constantFrom('eq', 'ne', 'lt', 'in', 'prefix', 'exists', 'x')
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { depthSize: 'small' },
      fc.record({ field, op, value: fc.jsonValue() }),
      fc.record({ all: fc.array(tie('tree')) }),
      fc.record({ not: tie('tree') }),
      fc.jsonValue(),
    ),
  }))
  const value = fc.oneof(fc.json(), fc.uint8Array(), fc.constant('{"a":[1]}'))
  fc.assert(
    fc.property(tree, value, (filter, bytes) => {
      try {
        passes(JSON.stringify(filter), { value: bytes })
      } catch (error) {
        assert.ok(error instanceof GatewayError && error.code === 'INVALID_FILTER', String(error))
      }
    }),
    { numRuns: 1000 },
  )
})
