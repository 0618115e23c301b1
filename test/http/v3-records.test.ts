/** Writing records by the v3 contract: one object, several, a batch. */
import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import type request from 'supertest'
import { openTestHttp } from '../support/http.ts'

const http = await openTestHttp({
  bodyLimits: { bytesMax: 2_000_000, inFlightMax: 4_000_000, lingerMs: 100 },
})
after(() => http.close())

const { body: clusters } = await http.get('/v3/clusters').expect(200)
const cluster = (clusters as { data: { cluster_id: string }[] }).data[0]!.cluster_id
const root = `/v3/clusters/${cluster}`

interface Receipt {
  readonly error_code: number
  readonly message?: string
  readonly partition_id: number
  readonly offset: number
  readonly timestamp: string
  readonly key?: { readonly type: string; readonly size: number }
  readonly value?: { readonly type: string; readonly size: number }
}

let made = 0

async function newTopic(partitions_count = 1): Promise<string> {
  const topic_name = `v3r-${made++}`
  await http.post(`${root}/topics`).send({ topic_name, partitions_count }).expect(201)
  return topic_name
}

/** Not the witnessing agent: the answer is several documents, which its check would not take. */
async function send(
  topic: string,
  body: string | Buffer,
  headers: Record<string, string> = {},
): Promise<{ status: number; headers: Headers; receipts: Receipt[] }> {
  const sent = { 'Content-Type': 'application/json', ...headers }
  const answer = await fetch(`${http.url}${root}/topics/${topic}/records`, {
    method: 'POST',
    headers: sent,
    body: new Uint8Array(Buffer.from(body)),
  })
  const text = await answer.text()
  const receipts = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Receipt)
  return { status: answer.status, headers: answer.headers, receipts }
}

async function one(topic: string, body: string): Promise<Receipt> {
  const { status, receipts } = await send(topic, body)
  assert.equal(status, 200)
  assert.equal(receipts.length, 1)
  return receipts[0]!
}

interface Stored {
  readonly key: string | null
  readonly value: string | null
  readonly headers?: readonly { name: string; value: string | null }[]
  readonly timestamp: number
}

async function stored(topic: string): Promise<Stored[]> {
  const { body } = await http.get(`/v1/topics/${topic}/records?format=binary`).expect(200)
  const text = (base64: string | null): string | null =>
    base64 === null ? null : Buffer.from(base64, 'base64').toString()
  const { records } = body as { records: (Stored & { keyFormat?: string })[] }
  return records.map((record) => ({
    ...record,
    key: record.keyFormat === 'binary' ? text(record.key) : record.key,
    value: text(record.value),
  }))
}

describe('a record', () => {
  test('of each type has its bytes stored and a receipt with their sizes', async () => {
    const topic = await newTopic(2)
    const receipt = await one(
      topic,
      `{"partition_id":1,"headers":[{"name":"h1","value":"djE="},{"name":"h1","value":null}],
        "key":{"type":"BINARY","data":"Zm9v"},"value":{"type":"JSON","data":{"n": 1.50}},
        "timestamp":"2026-02-05T19:14:42Z"}`,
    )
    assert.deepEqual(receipt, {
      error_code: 200,
      cluster_id: cluster,
      topic_name: topic,
      partition_id: 1,
      offset: 0,
      timestamp: '2026-02-05T19:14:42.000Z',
      key: { type: 'BINARY', size: 3 },
      value: { type: 'JSON', size: 11 },
    })
    const string = await one(
      topic,
      '{"partition_id":1,"value":{"type":"STRING","data":"gr\\u00fcn"}}',
    )
    assert.deepEqual([string.offset, string.value], [1, { type: 'STRING', size: 5 }])
    assert.equal(string.key, undefined)
    const [first, second] = await stored(topic)
    assert.deepEqual([first!.key, first!.value], ['foo', '{"n": 1.50}'])
    assert.equal(first!.timestamp, Date.parse('2026-02-05T19:14:42Z'))
    assert.deepEqual(
      first!.headers?.map(({ name, value }) => [name, value]),
      [
        ['h1', 'v1'],
        ['h1', null],
      ],
    )
    assert.equal(second!.value, 'grün')
  })

  test('may be empty, and null is null in every way to write it', async () => {
    const topic = await newTopic()
    const bodies = [
      '{}',
      '{"key":null,"value":null}',
      '{"value":{"type":"JSON","data":null}}',
      '{"key":{"type":"BINARY"},"value":{}}',
    ]
    for (const body of bodies) {
      const receipt = await one(topic, body)
      assert.deepEqual(
        [receipt.error_code, receipt.key, receipt.value],
        [200, undefined, undefined],
      )
    }
    for (const { key, value } of await stored(topic)) assert.deepEqual([key, value], [null, null])
  })

  test('with falsy values, long numbers and twins keeps its bytes', async () => {
    const topic = await newTopic()
    const values = [
      '0',
      'false',
      '""',
      '{}',
      '[ ]',
      '12345678901234567890',
      '{"a":1,"a":2}',
      '1e400',
    ]
    const body = values.map((value) => `{"value":{"type":"JSON","data":${value}}}`).join('')
    const { receipts } = await send(topic, body)
    assert.deepEqual(
      receipts.map(({ error_code: code, value }) => [code, value?.size]),
      values.map((value) => [200, value.length]),
    )
    assert.deepEqual(
      (await stored(topic)).map(({ value }) => value),
      values,
    )
  })

  test('with a JSON key has the same partition however the key is spaced', async () => {
    const topic = await newTopic(10)
    const place = async (key: string): Promise<number> =>
      (await one(topic, `{"key":{"type":"JSON","data":${key}}}`)).partition_id
    assert.equal(await place('{"a": 1, "b": [2]}'), await place('{"a":1,"b":[2]}'))
  })

  test('that cannot be written says why, beside those that can', async () => {
    const topic = await newTopic()
    await http
      .put(`${root}/topics/${topic}/configs/max.message.bytes`)
      .send({ value: '300' })
      .expect(204)
    const registry =
      'Error: 42206 : Payload error. Schema Registry must be configured when using schemas.'
    const cases: [body: string, code: number, message: RegExp | string][] = [
      [
        '{"value":{"type":"BINARY","data":"fooba"}}',
        400,
        /^Bad Request: data=.* is not a valid base64/,
      ],
      ['{"value":{"type":"BINARY","data":7}}', 400, /not a string/],
      ['{"value":{"type":"STRING","data":{}}}', 400, /not a string/],
      ['{"value":{"type":"AVRO","data":"x"}}', 422, registry],
      ['{"value":{"data":"x"}}', 422, registry],
      ['{"value":{"schema_id":1,"data":"x"}}', 422, registry],
      ['{"value":{"type":"JSON","schema_id":1,"data":"x"}}', 400, /schema/],
      ['{"value":{"type":"XML","data":"x"}}', 400, /BINARY, JSON, STRING/],
      ['{"valeu":{"type":"JSON","data":1}}', 400, 'Unrecognized field: valeu'],
      ['{"value":{"type":"JSON","data":1,"x":1}}', 400, 'Unrecognized field: x'],
      ['{"value":5}', 400, /'value' is not an object/],
      ['[1]', 400, /not an object/],
      ['7 ', 400, /not an object/],
      ['{"partition_id":"0"}', 400, /partition_id/],
      ['{"partition_id":-1}', 40402, 'Partition not found.'],
      ['{"partition_id":1}', 40402, 'Partition not found.'],
      ['{"timestamp":"yesterday"}', 400, /ISO 8601/],
      ['{"timestamp":"2999-01-01T00:00:00Z"}', 400, /ahead/],
      ['{"headers":{}}', 400, /list/],
      ['{"headers":[{"value":"djE="}]}', 400, /name/],
      ['{"headers":[{"name":"a","value":"?"}]}', 400, /base64/],
      ['{"key":{"type":"STRING","data":"\\ud800"}}', 400, /UTF-8/],
      [`{"value":{"type":"STRING","data":"${'x'.repeat(500)}"}}`, 413, /max\.message\.bytes/],
    ]
    const good = '{"value":{"type":"JSON","data":1}}'
    const body = good + cases.map(([text]) => `${text}${good}`).join('')
    const { status, receipts } = await send(topic, body)
    assert.equal(status, 200)
    assert.equal(receipts.length, 2 * cases.length + 1)
    for (const [i, receipt] of receipts.entries()) {
      const wanted = i % 2 === 0 ? undefined : cases[(i - 1) / 2]!
      if (wanted === undefined) {
        assert.deepEqual([receipt.error_code, receipt.offset], [200, i / 2], `record ${i}`)
        continue
      }
      const [text, code, message] = wanted
      assert.equal(receipt.error_code, code, text)
      if (typeof message === 'string') assert.equal(receipt.message, message)
      else assert.match(receipt.message ?? '', message)
    }
  })

  test('that is broken has a receipt, and nothing behind it is read', async () => {
    const topic = await newTopic()
    const good = '{"value":{"type":"JSON","data":1}}'
    for (const broken of ['{"a":}', '{"a":1]', 'nonsense', '{"a":"\n"}', '{"a":1', ',']) {
      const { receipts } = await send(topic, `${good} ${broken} ${good}`)
      assert.deepEqual(
        receipts.map(({ error_code: code }) => code),
        [200, 400],
        broken,
      )
    }
    const latin = Buffer.from(`{"value":{"type":"STRING","data":"gr\u00fcn"}}${good}`, 'latin1')
    assert.deepEqual(
      (await send(topic, latin)).receipts.map(({ error_code: code }) => code),
      [400, 200],
    )
    const named = { 'Content-Type': 'application/json; charset=ISO-8859-1' }
    assert.deepEqual(
      (await send(topic, latin, named)).receipts.map(({ error_code: code }) => code),
      [200, 200],
    )
    assert.equal((await stored(topic)).at(-2)!.value, 'grün')
  })

  test('above the limit of a body has one receipt and ends the answer', async () => {
    const topic = await newTopic()
    const huge = `{"value":{"type":"STRING","data":"${'x'.repeat(2_100_000)}"}}`
    const { receipts } = await send(topic, `{}${huge}{}`)
    assert.deepEqual(
      receipts.map(({ error_code: code }) => code),
      [200, 413],
    )
  })
})

describe('a request', () => {
  const refused = async (sent: request.Test): Promise<[number, number, string]> => {
    const { status, body } = await sent
    const { error_code: code, message } = body as { error_code: number; message: string }
    return [status, code, message]
  }

  test('without anything in it is 422, and makes no topic', async () => {
    for (const body of ['', ' \n ']) {
      const sent = http.post(`${root}/topics/never/records`).type('json').send(body)
      const [status, code, message] = await refused(sent)
      assert.deepEqual([status, code], [422, 422])
      assert.match(message, /^Error: 42206 : Payload error\. Request body is empty/)
    }
    await http.get(`${root}/topics/never`).expect(404)
  })

  test('of another type or charset is refused', async () => {
    const path = `${root}/topics/${await newTopic()}/records`
    const form = http.post(path).type('form').send('{}')
    assert.deepEqual(await refused(form), [415, 415, 'HTTP 415 Unsupported Media Type'])
    const utf16 = http.post(path).set('Content-Type', 'application/json; charset=utf-16').send('{}')
    assert.deepEqual((await refused(utf16)).slice(0, 2), [400, 400])
  })

  test('makes a missing topic, whatever cluster the path names', async () => {
    const path = '/v3/clusters/any/topics/made-by-v3/records'
    const { body } = await http
      .post(path)
      .send({ value: { type: 'JSON', data: 1 } })
      .expect(200)
    assert.deepEqual([(body as Receipt).error_code, (body as Receipt).offset], [200, 0])
    const bad = http.post('/v3/clusters/any/topics/a%20b/records').send({})
    assert.deepEqual((await refused(bad)).slice(0, 2), [422, 422])
  })

  test('may be compressed', async () => {
    const topic = await newTopic()
    const packed = gzipSync('{"value":{"type":"JSON","data":1}}{"value":{"type":"JSON","data":2}}')
    const { receipts } = await send(topic, packed, { 'Content-Encoding': 'gzip' })
    assert.deepEqual(
      receipts.map(({ offset }) => offset),
      [0, 1],
    )
  })

  test('of many records answers each of them in order', async () => {
    const topic = await newTopic(3)
    const count = 5_000
    const body = Array.from(
      { length: count },
      (_, i) => `{"key":{"type":"STRING","data":"k${i % 50}"},"value":{"type":"JSON","data":${i}}}`,
    ).join('')
    const { receipts } = await send(topic, body)
    assert.equal(receipts.length, count)
    const next = [0, 0, 0]
    for (const [
      i,
      { error_code: code, partition_id: partition, offset, value },
    ] of receipts.entries()) {
      assert.deepEqual([code, value?.size], [200, String(i).length])
      assert.equal(offset, next[partition]!++)
    }
  })
})

describe('a batch', () => {
  const batch = (topic: string, entries: unknown, colon = ':') =>
    http.post(`${root}/topics/${topic}/records${colon}batch`).send(entries as object)
  const json = (data: unknown) => ({ type: 'JSON', data })

  interface Answer {
    readonly successes: readonly (Receipt & { readonly id: string })[]
    readonly failures: readonly { id: string; error_code: number; message: string }[]
  }

  test('answers 207 with what was stored and what was not', async () => {
    const topic = await newTopic()
    const entries = [
      { id: 'a1', value: json({ n: 1 }) },
      { id: 'a2', value: { type: 'BINARY', data: 'fooba' } },
      { id: 'a3', partition_id: 9, value: json(1) },
      { id: 'a4', key: { type: 'STRING', data: 'k' }, value: json('x') },
      { id: 'a5', value: { type: 'AVRO', data: 'x' } },
    ]
    for (const colon of [':', '%3A']) {
      const { body } = await batch(topic, { entries }, colon).expect(207)
      const { successes, failures } = body as Answer
      assert.deepEqual(
        successes.map(({ id, key, value }) => [id, key?.size, value?.size]),
        [
          ['a1', undefined, 7],
          ['a4', 1, 3],
        ],
      )
      assert.equal('error_code' in successes[0]!, false)
      assert.deepEqual(
        failures.map(({ id, error_code: code }) => [id, code]),
        [
          ['a2', 400],
          ['a3', 40402],
          ['a5', 422],
        ],
      )
    }
    assert.equal((await stored(topic)).length, 4)
  })

  test('that breaks a rule is refused as a whole, by the rules in their order', async () => {
    const topic = await newTopic()
    const batchError = 'Error: 42208 : '
    const cases: [body: unknown, message: string][] = [
      [{ entries: [] }, `${batchError}Empty batch.`],
      [{}, `${batchError}Empty batch.`],
      [{ entries: [{ id: 'a' }, { id: 'a' }] }, `${batchError}Batch entry IDs are not distinct.`],
      [{ entries: [{ id: 7 }] }, `${batchError}Batch entry identifier is not a valid string.`],
      [{ entries: [{}] }, `${batchError}Batch entry identifier is not a valid string.`],
      [{ entries: [{ id: 'a b' }] }, `${batchError}Batch entry identifier is not a valid string.`],
      [
        { entries: [{ id: 'x'.repeat(81) }] },
        `${batchError}Batch entry identifier is not a valid string.`,
      ],
      [
        { entries: Array.from({ length: 10_001 }, (_, i) => ({ id: `a${i}` })) },
        `${batchError}Too many entries in batch.`,
      ],
      [{ entries: [{ id: 'a', vaule: json(1) }] }, 'Unrecognized field: vaule'],
      [{ entries: [{ id: 'a' }], more: 1 }, 'Unrecognized field: more'],
    ]
    for (const [body, message] of cases) {
      const answer = await batch(topic, body).expect(422)
      assert.deepEqual(answer.body, { error_code: 422, message })
    }
    const path = `${root}/topics/${topic}/records:batch`
    for (const empty of ['', 'null']) {
      const answer = await http.post(path).type('json').send(empty).expect(422)
      const message = `${batchError}Request body is empty. Data is required.`
      assert.deepEqual(answer.body, { error_code: 422, message })
    }
    await http.post(path).type('json').send('{"entries":').expect(400)
    assert.deepEqual(await stored(topic), [])
  })
})

describe('an Idempotency-Key', () => {
  test('makes a retry a success with the first receipts', async () => {
    const topic = await newTopic()
    const body = '{"value":{"type":"JSON","data":1}} {"value":{"type":"BINARY","data":"?"}} {}'
    const key = { 'Idempotency-Key': 'k1' }
    const first = await send(topic, body, key)
    assert.deepEqual(
      first.receipts.map(({ error_code: code }) => code),
      [200, 400, 200],
    )
    const again = await send(topic, body, key)
    assert.deepEqual(again.receipts, first.receipts)
    assert.equal(again.headers.get('ebbgate-deduplicated'), 'true')
    assert.equal((await stored(topic)).length, 2)
    assert.equal((await send(topic, '{}', key)).status, 422)
  })

  test('holds for a batch', async () => {
    const topic = await newTopic()
    const post = () =>
      http
        .post(`${root}/topics/${topic}/records:batch`)
        .set('Idempotency-Key', 'k1')
        .send({ entries: [{ id: 'a', value: { type: 'JSON', data: 1 } }] })
        .expect(207)
    const first = await post()
    const again = await post()
    assert.deepEqual(again.body, first.body)
    assert.equal(again.headers['ebbgate-deduplicated'], 'true')
    assert.equal((await stored(topic)).length, 1)
  })

  test('is refused beside a body that is streamed', async () => {
    const topic = await newTopic()
    const post = http
      .post(`${root}/topics/${topic}/records`)
      .type('json')
      .set('Idempotency-Key', 'k1')
      .set('Transfer-Encoding', 'chunked')
    post.write('{}')
    const { body } = await post.expect(422)
    assert.match((body as { message: string }).message, /streamed/)
    assert.deepEqual(await stored(topic), [])
  })
})
