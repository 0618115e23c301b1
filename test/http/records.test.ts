import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import type request from 'supertest'
import { openTestHttp } from '../support/http.ts'
import { platformTakes, tortureCases } from '../support/json-torture.ts'

const http = await openTestHttp({
  bodyLimits: { bytesMax: 200_000, inFlightMax: 1_000_000, lingerMs: 1000 },
})
after(() => http.close())

interface Read {
  readonly records: readonly {
    partition: number
    offset: number
    timestamp: number
    key: string | null
    value: unknown
    format?: string
    headers?: { name: string; value: string }[]
  }[]
  readonly position: string
  readonly live: boolean
}

interface Produced {
  readonly results: readonly {
    partition: number
    offset: number
    error?: { code: string; retriable: boolean; applied: string }
  }[]
  readonly failed?: number
}

let made = 0

async function newTopic(partitions = 1): Promise<string> {
  const name = `records-${made++}`
  await http.post('/v1/topics').send({ name, partitions }).expect(201)
  return name
}

function produce(topic: string, query = ''): request.Test {
  return http.post(`/v1/topics/${topic}/records${query}`)
}

async function read(topic: string, query = ''): Promise<Read> {
  const { body } = await http.get(`/v1/topics/${topic}/records${query}`).expect(200)
  return body as Read
}

/** The stored bytes, whatever they are. */
async function storedBytes(topic: string): Promise<Buffer[]> {
  const { records } = await read(topic, '?format=binary')
  return records.map(({ value }) => Buffer.from(value as string, 'base64'))
}

async function storedTexts(topic: string): Promise<string[]> {
  return (await storedBytes(topic)).map((bytes) => bytes.toString())
}

function problemOf(response: request.Response): { code: string; detail: string } {
  return response.body as { code: string; detail: string }
}

test("curl -d 'any text' is stored as it is, and its answer says where", async () => {
  const topic = await newTopic()
  const form = 'application/x-www-form-urlencoded'
  const first = await produce(topic).type(form).send('This is my first event').expect(200)
  const [result] = (first.body as Produced).results
  assert.deepEqual([result?.partition, result?.offset], [0, 0])
  assert.equal(first.headers['ebbgate-records'], '1')
  assert.equal(first.headers['ebbgate-failed'], undefined)
  await produce(topic).type(form).send('This is my second event').expect(200)
  assert.deepEqual(await storedTexts(topic), ['This is my first event', 'This is my second event'])
})

test('numbers keep every digit and objects keep duplicate keys', async () => {
  const topic = await newTopic()
  const body = '{"price":49300.00,"id":12345678901234567890,"a":1,"a":2,"__proto__":{"x":1e999}}'
  await produce(topic).type('json').send(body).expect(200)
  assert.deepEqual(await storedTexts(topic), [body])
  const good = '{"price":49300.00,"id":12345678901234567890, "a":1,"a":2}'
  await produce(topic).type('json').send(good).expect(200)
  const answer = await http.get(`/v1/topics/${topic}/records?from=offset:1&partition=0`).expect(200)
  assert.ok(answer.text.includes(`"value":${good}`))
})

test('an array is one record per element, values in a row are one each', async () => {
  const topic = await newTopic()
  const array = await produce(topic).type('json').send('[1, {"a" : 2},"x"]').expect(200)
  assert.equal(array.headers['ebbgate-records'], '3')
  await produce(topic).type('json').send('{"b":1}{"b":2}\n{"b":3}').expect(200)
  await produce(topic, '?batch=none').type('json').send('[1,2]').expect(200)
  assert.deepEqual(await storedTexts(topic), [
    '1',
    '{"a" : 2}',
    '"x"',
    '{"b":1}',
    '{"b":2}',
    '{"b":3}',
    '[1,2]',
  ])
})

test('an empty array stores nothing and says so', async () => {
  const topic = await newTopic()
  const response = await produce(topic).type('json').send('[]').expect(200)
  assert.equal(response.headers['ebbgate-records'], '0')
  assert.deepEqual((response.body as Produced).results, [])
})

test('lines are one record each, and a broken one fails alone', async () => {
  const topic = await newTopic()
  const body = '{"n":1}\r\n\n{"n":2\n{"n":3}'
  const response = await produce(topic).type('application/x-ndjson').send(body).expect(200)
  assert.equal(response.headers['ebbgate-records'], '2')
  assert.equal(response.headers['ebbgate-failed'], '1')
  const { results, failed } = response.body as Produced
  assert.equal(failed, 1)
  assert.deepEqual(
    results.map(({ error }) => error?.code),
    [undefined, 'INVALID_RECORD', undefined],
  )
  assert.deepEqual(await storedTexts(topic), ['{"n":1}', '{"n":3}'])
  const minimal = await produce(topic)
    .type('application/x-ndjson')
    .set('Prefer', 'return=minimal')
    .send(body)
    .expect(200)
  assert.equal(minimal.headers['ebbgate-failed'], '1')
})

test('with atomic one broken line refuses all', async () => {
  const topic = await newTopic()
  const body = '{"n":1}\n{"n":2\n{"n":3}'
  const refused = await produce(topic, '?atomic=true').type('application/x-ndjson').send(body)
  assert.equal(refused.status, 422)
  assert.equal(problemOf(refused).code, 'INVALID_RECORD')
  assert.deepEqual(await storedTexts(topic), [])
  await produce(topic, '?atomic=true').type('application/x-ndjson').send('1\n2').expect(200)
  assert.deepEqual(await storedTexts(topic), ['1', '2'])
})

test('when no record of a batch can be stored the answer is an error', async () => {
  const topic = await newTopic()
  const response = await produce(topic).type('application/x-ndjson').send('{\n}').expect(422)
  assert.equal(problemOf(response).code, 'INVALID_RECORD')
  assert.match(problemOf(response).detail, /None of the 2 records/)
})

test('return=minimal is 204 with the count in its header', async () => {
  const topic = await newTopic()
  const response = await produce(topic).set('Prefer', 'return=minimal').send('x').expect(204)
  assert.equal(response.headers['ebbgate-records'], '1')
  assert.equal(response.text, '')
})

test('PUT is as good as POST, and a body without a type is one record of raw bytes', async () => {
  const topic = await newTopic()
  const bytes = Buffer.from([0, 255, 10, 13, 0x7b])
  const path = `/v1/topics/${topic}/records`
  await http
    .put(path)
    .unset('Content-Type')
    .send(bytes as never)
    .expect(200)
  assert.deepEqual(await storedBytes(topic), [bytes])
  const { records } = await read(topic)
  assert.equal(records[0]?.format, 'binary')
})

test('key, headers, partition and timestamp come without an envelope', async () => {
  const topic = await newTopic(4)
  await produce(topic, '?partition=2&timestamp=1763683200000')
    .type('json')
    .set('Ebbgate-Key', 'u42')
    .set('Ebbgate-Header-Source', 'shop')
    .send('{"n":1}')
    .expect(200)
  const [record] = (await read(topic)).records
  assert.equal(record?.key, 'u42')
  assert.equal(record.partition, 2)
  assert.equal(record.timestamp, 1763683200000)
  assert.deepEqual(record.headers, [{ name: 'source', value: 'shop' }])
  await produce(topic, '?keyFrom=/user/id').type('json').send('[{"user":{"id":"a"}},{"user":{}}]')
  const keys = (await read(topic)).records.map(({ key }) => key)
  assert.deepEqual(keys.sort(), ['a', 'u42', null].sort())
})

test('the envelope carries everything, and a record as read stores the same bytes', async () => {
  const topic = await newTopic()
  const envelope =
    '{"records":[{"key":"k","value":{"price":1.00},"headers":[{"name":"h","value":"v"}],"timestamp":5},{"key":"k","value":null}]}'
  const type = 'application/vnd.ebbgate.records+json'
  await produce(topic).type(type).send(envelope).expect(200)
  const { text } = await http.get(`/v1/topics/${topic}/records`).expect(200)
  const records = text.slice(0, text.lastIndexOf('],"position"') + 1)
  const copy = await newTopic()
  await produce(copy, '?replay=true').type(type).send(`${records}}`).expect(200)
  const again = await http.get(`/v1/topics/${copy}/records`).expect(200)
  const plain = (answer: string): string =>
    answer.replaceAll(/"topic":"[^"]+"|"position":"[^"]+"/g, '')
  assert.equal(plain(again.text), plain(text))
  assert.ok(text.includes('"value":{"price":1.00}'))
})

test('a tombstone is a key with an empty body', async () => {
  const topic = await newTopic()
  await produce(topic, '?tombstone=true&key=gone').expect(200)
  const [record] = (await read(topic)).records
  assert.deepEqual([record?.key, record?.value], ['gone', null])
  await produce(topic).expect(422)
})

test('packed bodies are stored unpacked', async () => {
  const topic = await newTopic()
  const text = '{"price":49300.00}'
  for (const [coding, pack] of Object.entries({
    gzip: gzipSync,
    deflate: deflateSync,
    br: brotliCompressSync,
    zstd: zstdCompressSync,
  })) {
    await produce(topic)
      .type('json')
      .set('Content-Encoding', coding)
      .serialize((body) => body as never)
      .send(pack(text) as never)
      .expect(200)
  }
  assert.deepEqual(await storedTexts(topic), [text, text, text, text])
})

test('an unknown coding is 415 and says which are taken', async () => {
  const topic = await newTopic()
  const response = await produce(topic).set('Content-Encoding', 'snappy').send('x').expect(415)
  assert.equal(response.headers['accept-encoding'], 'gzip, deflate, br, zstd')
})

test('a bomb is 413, and so is a body above the limit', async () => {
  const topic = await newTopic()
  const bomb = gzipSync(Buffer.alloc(50_000_000))
  const response = await produce(topic)
    .set('Content-Encoding', 'gzip')
    .serialize((body) => body as never)
    .send(bomb as never)
    .expect(413)
  assert.match(problemOf(response).detail, /200000 bytes/)
  const plain = await produce(topic).type('text').send('x'.repeat(200_001)).expect(413)
  assert.equal(problemOf(plain).code, 'BODY_TOO_LARGE')
  assert.deepEqual(await storedTexts(topic), [])
})

test("a record above the topic's limit is 413 alone, and an item among others", async () => {
  const name = 'small-records'
  const configs = { 'max.message.bytes': '1000' }
  await http.post('/v1/topics').send({ name, configs }).expect(201)
  const large = JSON.stringify('x'.repeat(2000))
  const alone = await produce(name).type('json').send(large).expect(413)
  assert.equal(problemOf(alone).code, 'RECORD_TOO_LARGE')
  const among = await produce(name).type('json').send(`[1,${large},2]`).expect(200)
  assert.equal((among.body as Produced).results[1]?.error?.code, 'RECORD_TOO_LARGE')
  assert.deepEqual(await storedTexts(name), ['1', '2'])
})

test('what claims to be JSON and is not is refused', async () => {
  const topic = await newTopic()
  for (const body of ['{"a":1', '{a:1}', 'nope', '{"a":1}}', Buffer.from([0x22, 0xff, 0x22])]) {
    const response = await produce(topic)
      .type('json')
      .serialize((sent) => sent as never)
      .send(body as never)
    assert.equal(response.status, 400, String(body))
    assert.equal(problemOf(response).code, 'BAD_REQUEST')
  }
  const deep = await produce(topic)
    .type('json')
    .send(`${'{"a":'.repeat(1001)}1${'}'.repeat(1001)}`)
  assert.equal(deep.status, 422)
  assert.deepEqual(await storedTexts(topic), [])
})

test('every case of the torture set is stored byte for byte, or refused cleanly', async () => {
  const topic = await newTopic()
  const kept: Buffer[] = []
  for (const { name, bytes } of tortureCases) {
    const response = await produce(topic, '?batch=none')
      .type('json')
      .serialize((sent) => sent as never)
      .send(bytes as never)
    assert.ok(response.status < 500, `${name}: ${response.status}`)
    if (response.status === 200) kept.push(trimmed(bytes))
    else if (platformTakes(bytes))
      assert.fail(`${name} is JSON, but was answered ${response.status}`)
  }
  assert.ok(kept.length > 50)
  const { text } = await http.get(`/v1/topics/${topic}/records?maxRecords=10000`).expect(200)
  assert.ok(platformTakes(Buffer.from(text)))
  assert.deepEqual(await storedBytes(topic), kept)
})

function trimmed(bytes: Buffer): Buffer {
  const bom = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0
  const isSpace = (byte: number | undefined): boolean =>
    byte !== undefined && ' \n\r\t'.includes(String.fromCharCode(byte))
  let [start, end] = [bom, bytes.length]
  while (start < end && isSpace(bytes[start])) start++
  while (end > start && isSpace(bytes[end - 1])) end--
  return bytes.subarray(start, end)
}

test('a topic that does not exist is 404 with the command that makes it', async () => {
  const response = await produce('nowhere').send('x').expect(404)
  const { code, detail } = problemOf(response)
  assert.equal(code, 'UNKNOWN_TOPIC')
  assert.ok(detail.includes(`curl "${http.url}/v1/topics" -d '{"name":"nowhere"}'`), detail)
  await http.get('/v1/topics/nowhere/records').expect(404)
  await http.head('/v1/topics/nowhere/records').expect(404)
})

test('no command is made of a name that cannot be a topic', async () => {
  const refused = await http.post('/v1/topics/__settings/records').send('x').expect(404)
  assert.doesNotMatch(problemOf(refused).detail, /curl|create/i)
})

test('HEAD of an export says what a GET would be, without reading it all', async () => {
  const topic = await newTopic()
  await produce(topic).send('one').expect(200)
  const path = `/v1/topics/${topic}/partitions/0/records`
  const { headers } = await http.head(path).set('Accept', 'application/x-ndjson').expect(200)
  assert.equal(headers['content-type'], 'application/x-ndjson')
})

test('HEAD on the records route tells shippers that the topic is there', async () => {
  const topic = await newTopic()
  await http.head(`/v1/topics/${topic}/records`).expect(200)
})

test('a query that cannot be decoded is refused, not stored as it was typed', async () => {
  const topic = await newTopic()
  for (const query of ['key=caf%E9', 'key=100%', '%zz=1']) {
    const response = await http.post(`/v1/topics/${topic}/records?${query}`).send('x').expect(400)
    assert.match(problemOf(response).detail, /percent-encoded/)
  }
  await http.post(`/v1/topics/${topic}/records?key=caf%C3%A9`).send('x').expect(200)
  assert.deepEqual(await storedTexts(topic), ['x'])
})

test('misspelt switches and unknown partitions are named', async () => {
  const topic = await newTopic()
  const misspelt = await produce(topic, '?line=true').send('x').expect(400)
  assert.match(problemOf(misspelt).detail, /Did you mean 'lines'/)
  await produce(topic, '?partition=9').send('x').expect(404)
  await produce(topic, '?timeoutMs=0').send('x').expect(400)
  const bare = await http.get(`/v1/topics/${topic}/records?from=1043`).expect(400)
  assert.match(problemOf(bare).detail, /'offset:1043' or 'time:1043'/)
  const limit = await http.get(`/v1/topics/${topic}/records?lmit=1`).expect(400)
  assert.match(problemOf(limit).detail, /'lmit' is not known\. Known here: .*maxRecords/)
  const rows = await http.get(`/v1/topics/${topic}/records?maxrecords=1`).expect(400)
  assert.match(problemOf(rows).detail, /Did you mean 'maxRecords'/)
  await http.get(`/v1/topics/${topic}/records?until=last:1`).expect(400)
  await http.get(`/v1/topics/${topic}/records?waitMs=60001`).expect(400)
})

test('a read starts where it is told to, and twice the same read is the same', async () => {
  const topic = await newTopic()
  await produce(topic).type('json').send('[0,1,2,3,4]').expect(200)
  const first = await read(topic, '?maxRecords=2')
  assert.deepEqual(
    first.records.map(({ value }) => value),
    [0, 1],
  )
  assert.equal(first.live, false)
  const rest = await read(topic, `?from=${first.position}`)
  assert.deepEqual(
    rest.records.map(({ value }) => value),
    [2, 3, 4],
  )
  assert.equal(rest.live, true)
  assert.deepEqual(await read(topic, '?maxRecords=2'), first)
  const last = await read(topic, '?from=last:1')
  assert.deepEqual(
    last.records.map(({ value }) => value),
    [4],
  )
  const middle = await read(topic, '?from=offset:1&until=offset:3&partition=0')
  assert.deepEqual(
    middle.records.map(({ value }) => value),
    [1, 2],
  )
  const none = await read(topic, '?from=latest')
  assert.deepEqual(none.records, [])
  const { headers } = await http.get(`/v1/topics/${topic}/records`).expect(200)
  assert.equal(headers['ebbgate-position'], rest.position)
  assert.equal(headers['cache-control'], 'no-store')
})

test('a position that is too long for a header stands in the body alone', async () => {
  const topic = await newTopic(1_000)
  const { headers, body } = await http.get(`/v1/topics/${topic}/records`).expect(200)
  const { position } = body as Read
  assert.ok(position.length > 2_000)
  assert.equal(headers['ebbgate-position'], undefined)
})

test('keys pick records', async () => {
  const topic = await newTopic(3)
  for (const key of ['a', 'b', 'a']) await produce(topic, `?key=${key}`).send(key).expect(200)
  const { records } = await read(topic, '?keys=a')
  assert.deepEqual(
    records.map(({ key }) => key),
    ['a', 'a'],
  )
  assert.equal((await read(topic, '?keys=a&keys=b')).records.length, 3)
})

test('one record has a link of its own', async () => {
  const topic = await newTopic()
  await produce(topic).type('json').send('[{"n":1.0},{"n":2.0}]').expect(200)
  const one = await http.get(`/v1/topics/${topic}/partitions/0/records/1`).expect(200)
  assert.ok(one.text.includes('"value":{"n":2.0}'))
  const shown = await http
    .get(`/v1/topics/${topic}/partitions/0/records/1?format=binary`)
    .expect(200)
  assert.equal((shown.body as { format: string }).format, 'binary')
  const beyond = await http.get(`/v1/topics/${topic}/partitions/0/records/2`).expect(404)
  assert.equal(problemOf(beyond).code, 'NOT_FOUND')
  await http.get(`/v1/topics/${topic}/partitions/7/records/0`).expect(404)
  const all = await http.get(`/v1/topics/${topic}/partitions/0/records?from=offset:1`).expect(200)
  assert.equal((all.body as Read).records.length, 1)
})

test('several topics are read at once', async () => {
  const [left, right] = [await newTopic(), await newTopic()]
  await produce(left).send('l').expect(200)
  await produce(right).send('r').expect(200)
  const { body } = await http.get(`/v1/records?topic=${left}&topic=${right}`).expect(200)
  assert.deepEqual((body as Read).records.map(({ value }) => value).sort(), ['l', 'r'])
  const missing = await http.get('/v1/records').expect(400)
  assert.match(problemOf(missing).detail, /'topic' is missing/)
})

test('a long poll answers as soon as there is something', async () => {
  const topic = await newTopic()
  const poll = read(topic, '?from=latest&waitMs=20000')
  const startedMs = performance.now()
  await new Promise((resolve) => setTimeout(resolve, 50))
  await produce(topic).send('now').expect(200)
  const { records } = await poll
  assert.deepEqual(
    records.map(({ value }) => value),
    ['now'],
  )
  assert.ok(performance.now() - startedMs < 5000)
})

test('a long poll that nothing comes for is an empty answer', async () => {
  const topic = await newTopic()
  const { records, live } = await read(topic, '?from=latest&waitMs=30')
  assert.deepEqual([records.length, live], [0, true])
})

test('an export is a line per record and ends with its position', async () => {
  const topic = await newTopic()
  const values = Array.from({ length: 3000 }, (_, n) => ({ n, pad: 'x'.repeat(20) }))
  await produce(topic).type('json').send(JSON.stringify(values)).expect(200)
  await produce(topic).type('json').send('{"a":\n1}').expect(200)
  const response = await http
    .get(`/v1/topics/${topic}/records?maxBytes=10000`)
    .set('Accept', 'application/x-ndjson')
    .buffer(true)
    .parse(asText)
    .expect(200)
  assert.equal(response.headers['content-type'], 'application/x-ndjson')
  const lines = (response.body as string).trimEnd().split('\n')
  assert.equal(lines.length, 3002)
  const parsed = lines.map(
    (line) => JSON.parse(line) as { value: { n: number }; position?: string },
  )
  assert.deepEqual(
    parsed.slice(0, 3000).map(({ value }) => value.n),
    values.map(({ n }) => n),
  )
  const { position } = parsed.at(-1)!
  assert.equal((await read(topic, `?from=${position}`)).records.length, 0)
})

test('an export of a topic that does not exist is a problem, not a stream', async () => {
  await http.get('/v1/topics/nowhere/records').set('Accept', 'application/x-ndjson').expect(404)
})

function asText(
  response: request.Response,
  done: (error: Error | null, body: unknown) => void,
): void {
  const stream = response as unknown as NodeJS.ReadableStream
  let text = ''
  stream.setEncoding('utf8')
  stream.on('data', (chunk: string) => (text += chunk))
  stream.on('end', () => done(null, text))
}
