import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type request from 'supertest'
import { openTestHttp } from '../support/http.ts'
import { RawHttp } from '../support/raw-http.ts'

const json = 'application/vnd.kafka.json.v2+json'
const binary = 'application/vnd.kafka.binary.v2+json'
const control = 'application/vnd.kafka.v2+json'

const http = await openTestHttp()
after(() => http.close())

interface Item {
  readonly partition: number | null
  readonly offset: number | null
  readonly error_code: number | null
  readonly error: string | null
}

interface V2Error {
  readonly error_code: number
  readonly message: string
}

let named = 0
const fresh = (what: string): string => `${what}-${named++}`

function produce(topic: string, body: string | object, type = json): request.Test {
  return http.post(`/topics/${topic}`).type(type).send(body)
}

function itemsOf(response: request.Response): readonly Item[] {
  return (response.body as { offsets: readonly Item[] }).offsets
}

function errorOf(response: request.Response): V2Error {
  return response.body as V2Error
}

/** Makes an instance and subscribes it; returns the path of its `base_uri`. */
async function subscribed(topics: readonly string[], options: object = {}): Promise<string> {
  const instance = await newInstance({
    'auto.offset.reset': 'earliest',
    format: 'json',
    ...options,
  })
  await http.post(`${instance}/subscription`).type(control).send({ topics }).expect(204)
  return instance
}

async function newInstance(options: object, group = fresh('group')): Promise<string> {
  const made = await http.post(`/consumers/${group}`).type(control).send(options).expect(200)
  const { base_uri: base } = made.body as { base_uri: string }
  assert.ok(base.startsWith(http.url), base)
  return base.slice(http.url.length)
}

async function consume(instance: string, query = '', accept = json): Promise<unknown[]> {
  const { body } = await http.get(`${instance}/records${query}`).set('Accept', accept).expect(200)
  return body as unknown[]
}

test('the quickstart of the REST proxy works unchanged', async () => {
  const listed = await http.get('/topics').expect(200)
  assert.ok(Array.isArray(listed.body))
  const produced = await produce('jsontest', '{"records":[{"value":{"name":"testUser"}}]}').expect(
    200,
  )
  assert.deepEqual(produced.body, {
    offsets: [{ partition: 0, offset: 0, error_code: null, error: null }],
    key_schema_id: null,
    value_schema_id: null,
  })
  const topic = (await http.get('/topics/jsontest').expect(200)).body as {
    name: string
    configs: object
    partitions: { partition: number; leader: number; replicas: { broker: number }[] }[]
  }
  assert.equal(topic.name, 'jsontest')
  assert.equal(topic.partitions[0]?.replicas[0]?.broker, topic.partitions[0]?.leader)
  const made = await http
    .post('/consumers/my_json_consumer')
    .type(control)
    .send({ name: 'my_consumer_instance', format: 'json', 'auto.offset.reset': 'earliest' })
    .expect(200)
  const { instance_id: id, base_uri: base } = made.body as { instance_id: string; base_uri: string }
  assert.equal(id, 'my_consumer_instance')
  assert.equal(base, `${http.url}/consumers/my_json_consumer/instances/my_consumer_instance`)
  const path = base.slice(http.url.length)
  await http.post(`${path}/subscription`).type(control).send('{"topics":["jsontest"]}').expect(204)
  const startedMs = performance.now()
  assert.deepEqual(await consume(path), [
    { topic: 'jsontest', key: null, value: { name: 'testUser' }, partition: 0, offset: 0 },
  ])
  assert.ok(performance.now() - startedMs < 900)
  await http.delete(path).expect(204)
  assert.equal(errorOf(await http.delete(path).expect(404)).error_code, 40403)
})

test('the base_uri is the public address where there is one', async () => {
  const behind = await openTestHttp({
    origins: { publicUrl: 'https://events.example/gate/', allowedHosts: [], corsOrigins: [] },
  })
  try {
    const { body } = await behind.post('/consumers/a%20b').type(control).send({ name: 'x/y' })
    assert.equal(
      (body as { base_uri: string }).base_uri,
      'https://events.example/gate/consumers/a%20b/instances/x%2Fy',
    )
    await behind.delete('/consumers/a%20b/instances/x%2Fy').expect(204)
  } finally {
    await behind.close()
  }
})

test('JSON values keep their bytes, keys lose their white space alone', async () => {
  const topic = fresh('bytes')
  const value = '{"price": 49300.00, "id":12345678901234567890,"a":1,"a":2}'
  const body = `{"records":[{"key":{"b": 1, "c":"x y"},"value":${value}},{"value":"é"},{"value":0},{"value":false},{"value":""}]}`
  await produce(topic, body).expect(200)
  const native = await http.get(`/v1/topics/${topic}/records`).expect(200)
  assert.ok(native.text.includes(`"value":${value}`))
  assert.ok(native.text.includes(String.raw`"key":"{\"b\":1,\"c\":\"x y\"}"`))
  const instance = await subscribed([topic])
  const { text } = await http.get(`${instance}/records`).set('Accept', json).expect(200)
  assert.ok(text.includes(`"key":{"b":1,"c":"x y"},"value":${value},"partition"`))
  assert.deepEqual(
    (JSON.parse(text) as { value: unknown }[]).slice(1).map((one) => one.value),
    ['é', 0, false, ''],
  )
})

test('names of members may be escaped, and the last one counts', async () => {
  const topic = fresh('members')
  await produce(
    topic,
    String.raw`{"records":[{"value":1}],"records":[{"val\u0075e":2,"value":3}]}`,
  ).expect(200)
  const { body } = await http.get(`/v1/topics/${topic}/records`).expect(200)
  assert.deepEqual(
    (body as { records: { value: unknown }[] }).records.map((one) => one.value),
    [3],
  )
})

test('null is no key and a tombstone', async () => {
  const topic = fresh('nulls')
  await produce(topic, { records: [{ key: null, value: null }, { key: 'k' }] }).expect(200)
  const instance = await subscribed([topic])
  const records = (await consume(instance)) as { key: unknown; value: unknown }[]
  assert.deepEqual(
    records.map(({ key, value }) => [key, value]),
    [
      [null, null],
      ['k', null],
    ],
  )
})

test('binary records go in and out as base64', async () => {
  const topic = fresh('binary')
  const value = Buffer.from([0, 1, 255]).toString('base64')
  await produce(topic, { records: [{ key: 'a2V5', value }] }, binary).expect(200)
  const instance = await subscribed([topic], { format: 'binary' })
  const [record] = (await consume(instance, '', binary)) as { key: string; value: string }[]
  assert.deepEqual([record?.key, record?.value], ['a2V5', value])
})

test('a value that is not base64 stores nothing, wherever it stands', async () => {
  const topic = fresh('base64')
  for (const bad of ['no base64!', 'YQ', 5, { a: 1 }]) {
    const records = [{ value: 'YQ==' }, { value: bad }]
    const response = await produce(topic, { records }, binary).expect(400)
    assert.deepEqual(errorOf(response), {
      error_code: 400,
      message: 'Bad Request: data=<records[1].value> is not a base64 string.',
    })
  }
  await http.get(`/topics/${topic}`).expect(404)
})

test('numbers and booleans may be strings in bodies, never inside values', async () => {
  const topic = fresh('loose')
  await http.post('/v1/topics').send({ name: topic, partitions: 3 }).expect(201)
  const response = await produce(topic, { records: [{ value: '1', partition: '2' }] }).expect(200)
  assert.equal(itemsOf(response)[0]?.partition, 2)
  const options = { 'auto.commit.enable': 'false', 'fetch.min.bytes': '1' }
  const instance = await subscribed([topic], options)
  const [record] = (await consume(instance)) as { value: unknown }[]
  assert.equal(record?.value, '1')
  await http
    .post(`${instance}/offsets`)
    .type(control)
    .send({ offsets: [{ topic, partition: '2', offset: '0' }] })
    .expect(200)
})

test('one partition takes records, and knows its ends', async () => {
  const topic = fresh('parts')
  await http.post('/v1/topics').send({ name: topic, partitions: 2 }).expect(201)
  const path = `/topics/${topic}/partitions/1`
  const sent = await http
    .post(path)
    .type(json)
    .send({ records: [{ value: 1 }, { value: 2 }] })
  assert.deepEqual(
    itemsOf(sent).map(({ partition, offset }) => [partition, offset]),
    [
      [1, 0],
      [1, 1],
    ],
  )
  const placed = await http
    .post(path)
    .type(json)
    .send({ records: [{ value: 1, partition: 0 }] })
  assert.deepEqual([placed.status, errorOf(placed).message], [422, 'Unrecognized field: partition'])
  const ends = await http.get(`${path}/offsets`).expect(200)
  assert.deepEqual(ends.body, { beginning_offset: 0, end_offset: 2 })
  const all = (await http.get(`/topics/${topic}/partitions`).expect(200)).body as unknown[]
  assert.equal(all.length, 2)
  assert.deepEqual((await http.get(path).expect(200)).body, all[1])
  assert.equal(
    errorOf(await http.get(`/topics/${topic}/partitions/7`).expect(404)).error_code,
    40402,
  )
  const missing = await http
    .post(`/topics/${topic}/partitions/7`)
    .type(json)
    .send({ records: [{ value: 1 }] })
  assert.deepEqual([missing.status, errorOf(missing).error_code], [404, 40402])
})

test('a record too large is told in its item', async () => {
  const topic = fresh('large')
  const configs = { 'max.message.bytes': '1000' }
  await http.post('/v1/topics').send({ name: topic, configs }).expect(201)
  const records = [{ value: 1 }, { value: 'x'.repeat(2000) }]
  const response = await produce(topic, { records }).expect(200)
  const [stored, failed] = itemsOf(response)
  assert.equal(stored?.offset, 0)
  assert.deepEqual([failed?.offset, failed?.error_code], [null, 50002])
})

test('a missing topic is 40401 to a producer who may not make it, and 40403 to a reader', async () => {
  const strict = await openTestHttp({ autoCreate: 'none' })
  try {
    const refused = await strict
      .post('/topics/nowhere')
      .type(json)
      .send({ records: [{ value: 1 }] })
    assert.equal(refused.status, 404)
    assert.deepEqual(errorOf(refused), { error_code: 40401, message: 'Topic not found.' })
  } finally {
    await strict.close()
  }
  const read = await http.get('/topics/nowhere').expect(404)
  assert.equal(errorOf(read).error_code, 40403)
})

test('bodies are refused with the words clients know', async () => {
  const topic = fresh('refused')
  const cases: [body: string, status: number, code: number, message: RegExp][] = [
    ['{"records":[]}', 422, 422, /records/],
    ['{"records":[{"value":1}],"recods":1}', 422, 422, /^Unrecognized field: recods$/],
    ['{"records":[{"valu":1}]}', 422, 422, /^Unrecognized field: valu$/],
    ['{"records":[{"value":1,"partition":-1}]}', 422, 422, /partition/],
    ['{"records":{}}', 422, 422, /array/],
    ['', 422, 422, /body/],
    ['null', 422, 422, /object/],
    ['{"records":[', 400, 400, /not valid JSON/],
  ]
  for (const [body, status, code, message] of cases) {
    const response = await produce(topic, body)
    assert.equal(response.status, status, body)
    assert.equal(errorOf(response).error_code, code, body)
    assert.match(errorOf(response).message, message)
    assert.equal(response.headers['content-type'], control)
  }
  await http.get(`/topics/${topic}`).expect(404)
})

test('a byte order mark before the body does no harm', async () => {
  const topic = fresh('marked')
  const [stored] = itemsOf(
    await produce(topic, '\ufeff{"records":[{"value":49300.00}]}').expect(200),
  )
  assert.equal(stored?.offset, 0)
})

test('a partition that does not exist fails its own record', async () => {
  const topic = fresh('placed')
  const records = [{ value: 1, partition: 9 }, { value: 2 }]
  const items = itemsOf(await produce(topic, { records }).expect(200))
  assert.deepEqual(
    items.map(({ error_code: code, offset }) => [code, offset]),
    [
      [50002, null],
      [null, 0],
    ],
  )
})

test('the content type must name an embedded format', async () => {
  for (const type of [
    'application/json',
    control,
    'text/plain',
    'application/x-www-form-urlencoded',
  ]) {
    const response = await produce('typed', '{"records":[{"value":1}]}', type).expect(415)
    assert.deepEqual(errorOf(response), {
      error_code: 415,
      message: 'HTTP 415 Unsupported Media Type',
    })
  }
  const raw = await RawHttp.open(http.port)
  raw.head(
    'POST /topics/typed HTTP/1.1',
    'Host: localhost',
    'Content-Length: 25',
    'Connection: close',
  )
  assert.match(await raw.write('{"records":[{"value":1}]}').end(), /^HTTP\/1\.1 415 /)
})

test('parameters and case of media types do not matter', async () => {
  const type = 'Application/VND.kafka.json.v2+JSON; charset=utf-8'
  await produce(fresh('typed'), '{"records":[{"value":1}]}', type).expect(200)
})

test('an Accept that nothing fits is 406; browsers and old Java are not refused', async () => {
  const refused = await http.get('/topics').set('Accept', 'text/html').expect(406)
  assert.deepEqual(errorOf(refused), { error_code: 406, message: 'HTTP 406 Not Acceptable' })
  const java = 'text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2'
  for (const accept of [java, 'application/*', 'application/json', `${control}, text/html`, json]) {
    await http.get('/topics').set('Accept', accept).expect(200)
  }
})

test('the root is answered whatever Accept says', async () => {
  assert.deepEqual((await http.get('/').set('Accept', 'text/html').expect(200)).body, {})
})

test('the format that Accept names must be that of the instance', async () => {
  const topic = fresh('accept')
  await produce(topic, { records: [{ value: 1 }] }).expect(200)
  const instance = await subscribed([topic])
  for (const accept of [binary, control, 'application/json']) {
    const response = await http.get(`${instance}/records`).set('Accept', accept).expect(406)
    assert.equal(errorOf(response).error_code, 40601)
  }
  const any = await http.get(`${instance}/records`).set('Accept', '*/*').expect(200)
  assert.equal(any.headers['content-type'], json)
  assert.equal((any.body as unknown[]).length, 1)
  const plain = await subscribed([topic], { format: 'BINARY' })
  const asked = await http.get(`${plain}/records`).set('Accept', 'application/json').expect(200)
  assert.equal(asked.headers['content-type'], 'application/json')
  assert.equal((asked.body as { value: string }[])[0]?.value, 'MQ==')
})

test('instances are refused with the codes of the contract', async () => {
  const group = fresh('group')
  const cases: [options: object, status: number, code: number, message: RegExp][] = [
    [{ format: 'xml' }, 422, 422, /^Invalid format type\.$/],
    [{ format: 'avro' }, 400, 40002, /schema registry/],
    [{ 'auto.offset.reset': 'first' }, 422, 42204, /^Invalid consumer configuration: /],
    [{ 'fetch.min.bytes': 10_000_001 }, 422, 40001, /abide by the constraints/],
    [{ 'fetch.min.bytes': -2 }, 422, 40001, /abide by the constraints/],
    [{ 'auto.commit.enable': 'maybe' }, 422, 422, /auto\.commit\.enable/],
    [{ unknown: 1 }, 422, 422, /^Unrecognized field: unknown$/],
  ]
  for (const [options, status, code, message] of cases) {
    const response = await http.post(`/consumers/${group}`).type(control).send(options)
    assert.deepEqual(
      [response.status, errorOf(response).error_code],
      [status, code],
      JSON.stringify(options),
    )
    assert.match(errorOf(response).message, message)
  }
})

test('a name is taken once, and one that is not given is made', async () => {
  const group = fresh('group')
  await newInstance({ name: 'one' }, group)
  const again = await http
    .post(`/consumers/${group}`)
    .type(control)
    .send({ name: 'one' })
    .expect(409)
  assert.equal(errorOf(again).error_code, 40902)
  const made = await http.post(`/consumers/${group}`).expect(200)
  assert.match((made.body as { instance_id: string }).instance_id, /^rest-consumer-/)
  const plain = await http.post(`/consumers/${group}`).type('application/json').send('{"id":"two"}')
  assert.equal((plain.body as { instance_id: string }).instance_id, 'two')
})

test('an instance that does not exist is 40403 on all its routes', async () => {
  const path = '/consumers/none/instances/nobody'
  const tries = [
    http.get(`${path}/records`),
    http.get(`${path}/subscription`),
    http
      .post(`${path}/subscription`)
      .type(control)
      .send({ topics: ['a'] }),
    http.delete(`${path}/subscription`),
    http.post(`${path}/offsets`),
    http.delete(path),
  ]
  for (const each of tries) {
    const response = await each.expect(404)
    assert.deepEqual(errorOf(response), {
      error_code: 40403,
      message: 'Consumer instance not found.',
    })
  }
})

test('a second subscription replaces the first, and it can be given up', async () => {
  const [left, right] = [fresh('left'), fresh('right')]
  await produce(left, { records: [{ value: 'l' }] }).expect(200)
  await produce(right, { records: [{ value: 'r' }] }).expect(200)
  const instance = await subscribed([left])
  await http
    .post(`${instance}/subscription`)
    .type(control)
    .send({ topics: [right] })
    .expect(204)
  const { body } = await http.get(`${instance}/subscription`).expect(200)
  assert.deepEqual(body, { topics: [right] })
  const records = (await consume(instance)) as { value: string }[]
  assert.deepEqual(
    records.map(({ value }) => value),
    ['r'],
  )
  await http.delete(`${instance}/subscription`).expect(204)
  assert.deepEqual((await http.get(`${instance}/subscription`).expect(200)).body, { topics: [] })
  const neither = await http.post(`${instance}/subscription`).type(control).send({}).expect(422)
  assert.equal(errorOf(neither).error_code, 422)
})

test('a pattern subscribes to the topics it matches whole, and must be RE2', async () => {
  const topic = fresh('pattern')
  await produce(topic, { records: [{ value: 1 }] }).expect(200)
  await produce(`${topic}-more`, { records: [{ value: 2 }] }).expect(200)
  const instance = await newInstance({ format: 'json', 'auto.offset.reset': 'earliest' })
  const subscribe = (pattern: string): request.Test =>
    http.post(`${instance}/subscription`).type(control).send({ topic_pattern: pattern })
  await subscribe(topic.replace('pattern', 'pat+ern')).expect(204)
  const { body } = await http.get(`${instance}/subscription`).expect(200)
  assert.deepEqual(body, { topics: [topic] })
  for (const pattern of ['(?=a)b', '(a)\\1', '[']) {
    const response = await subscribe(pattern).expect(422)
    assert.equal(errorOf(response).error_code, 42204)
  }
})

test('committed offsets are those behind the last record that was processed', async () => {
  const topic = fresh('commits')
  await produce(topic, { records: [{ value: 0 }, { value: 1 }, { value: 2 }] }).expect(200)
  const instance = await subscribed([topic], { 'auto.commit.enable': false })
  assert.equal((await consume(instance)).length, 3)
  const partitions = [{ topic, partition: 0 }]
  const committed = async (): Promise<unknown> => {
    const { body } = await http
      .get(`${instance}/offsets`)
      .type(control)
      .send({ partitions })
      .expect(200)
    return (body as { offsets: { offset: number }[] }).offsets.map(({ offset }) => offset)
  }
  const commit = (body: object): request.Test =>
    http.post(`${instance}/offsets`).type(control).send(body)
  assert.deepEqual(
    (await commit({ offsets: [{ topic, partition: 0, offset: 0 }] }).expect(200)).body,
    [],
  )
  assert.deepEqual(await committed(), [1])
  assert.deepEqual((await http.post(`${instance}/offsets?async=true`).expect(200)).body, [])
  assert.deepEqual(await committed(), [3])
  const bodyless = await http.get(`${instance}/offsets`).expect(404)
  assert.equal(errorOf(bodyless).error_code, 40402)
})

test('records are delivered once, in parts if the client asks for little', async () => {
  const topic = fresh('parts')
  const values = Array.from({ length: 20 }, (_, n) => ({ value: { n, pad: 'x'.repeat(100) } }))
  await produce(topic, { records: values }).expect(200)
  const instance = await subscribed([topic])
  const seen: number[] = []
  while (seen.length < 20) {
    const records = (await consume(instance, '?max_bytes=500')) as { value: { n: number } }[]
    assert.ok(records.length > 0 && records.length < 10)
    seen.push(...records.map(({ value }) => value.n))
  }
  assert.deepEqual(
    seen,
    values.map(({ value }) => value.n),
  )
  assert.deepEqual(await consume(instance, '?timeout=20'), [])
})

test('HEAD takes no records away', async () => {
  const topic = fresh('head')
  await produce(topic, { records: [{ value: 1 }] }).expect(200)
  const instance = await subscribed([topic])
  await http.head(`${instance}/records`).expect(405)
  assert.equal((await consume(instance)).length, 1)
})

test('a record larger than max_bytes is delivered alone', async () => {
  const topic = fresh('big')
  await produce(topic, { records: [{ value: 'x'.repeat(5000) }, { value: 'y' }] }).expect(200)
  const instance = await subscribed([topic])
  assert.equal((await consume(instance, '?max_bytes=10')).length, 1)
  assert.equal((await consume(instance, '?max_bytes=10')).length, 1)
})

test('headers and timestamps are shown to those who ask', async () => {
  const topic = fresh('include')
  const headers = [
    { key: 'h', value: 'dg==' },
    { key: 'n', value: null },
  ]
  await produce(topic, { records: [{ value: 1, timestamp: 1763683200000, headers }] }).expect(200)
  const plain = await subscribed([topic])
  assert.deepEqual(Object.keys((await consume(plain))[0] as object).sort(), [
    'key',
    'offset',
    'partition',
    'topic',
    'value',
  ])
  const curious = await subscribed([topic])
  const [record] = (await consume(curious, '?include=headers,timestamp')) as object[]
  assert.deepEqual(record, {
    topic,
    key: null,
    value: 1,
    partition: 0,
    offset: 0,
    timestamp: 1763683200000,
    headers,
  })
})

test('a value that is not JSON never breaks an answer: it is named, with the way past it', async () => {
  const topic = fresh('poison')
  await produce(topic, { records: [{ value: 1 }] }).expect(200)
  await http.post(`/v1/topics/${topic}/records`).type('text/plain').send('{ no json').expect(200)
  await produce(topic, { records: [{ value: 3 }] }).expect(200)
  const instance = await subscribed([topic])
  const first = (await consume(instance)) as { value: number }[]
  assert.deepEqual(
    first.map(({ value }) => value),
    [1],
  )
  for (let again = 0; again < 2; again++) {
    const response = await http.get(`${instance}/records`).set('Accept', json).expect(408)
    assert.equal(errorOf(response).error_code, 40801)
    assert.match(
      errorOf(response).message,
      new RegExp(`offset 1 of partition 0 of topic '${topic}'`),
    )
    assert.equal(response.headers['ebbgate-skip-to'], `${topic}/0/2`)
  }
})

test('an answer that was cut is sent again', async () => {
  const topic = fresh('cut')
  // More than a socket takes without being read.
  const records = Array.from({ length: 15 }, (_, n) => ({ value: `${n}`.padEnd(1_000_000, 'x') }))
  for (const record of records) await produce(topic, { records: [record] }).expect(200)
  const instance = await subscribed([topic])
  const raw = await RawHttp.open(http.port)
  raw.head(
    `GET ${instance}/records?max_bytes=30000000 HTTP/1.1`,
    'Host: localhost',
    `Accept: ${json}`,
  )
  await raw.until(/^HTTP\/1\.1 200 OK/)
  raw.destroy()
  const seen: string[] = []
  while (seen.length < records.length) {
    const part = (await consume(instance, '?max_bytes=4000000')) as { value: string }[]
    seen.push(...part.map(({ value }) => value))
  }
  assert.deepEqual(
    seen,
    records.map(({ value }) => value),
  )
})

test('a waiting poll is answered when a record comes', async () => {
  const topic = fresh('wait')
  await http.post('/v1/topics').send({ name: topic }).expect(201)
  const instance = await subscribed([topic], { 'consumer.request.timeout.ms': 20_000 })
  const startedMs = performance.now()
  const poll = consume(instance)
  await new Promise((resolve) => setTimeout(resolve, 50))
  await produce(topic, { records: [{ value: 'now' }] }).expect(200)
  assert.equal((await poll).length, 1)
  assert.ok(performance.now() - startedMs < 5000)
})

test('the proxy shows itself to those who look for it', async () => {
  assert.deepEqual((await http.get('/').expect(200)).body, {})
  assert.deepEqual((await http.post('/').expect(200)).body, {})
  assert.deepEqual((await http.get('/brokers').expect(200)).body, { brokers: [1] })
})
