/** Uploads that are answered line by line, over raw sockets, so that every byte's time is known. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { openTestHttp } from '../support/http.ts'
import { RawHttp } from '../support/raw-http.ts'

const http = await openTestHttp({
  bodyLimits: { bytesMax: 1_000_000, inFlightMax: 4_000_000, lingerMs: 200 },
})
after(() => http.close())

let made = 0

async function newTopic(partitions = 1): Promise<string> {
  const name = `stream-${made++}`
  await http.post('/v1/topics').send({ name, partitions }).expect(201)
  return name
}

const chunked = 'Transfer-Encoding: chunked'
const end = '0\r\n\r\n'
const chunk = (text: string | Buffer): Buffer =>
  Buffer.concat([
    Buffer.from(`${Buffer.byteLength(text).toString(16)}\r\n`),
    Buffer.from(text as string),
    Buffer.from('\r\n'),
  ])

async function openStream(topic: string, query = '', ...head: string[]): Promise<RawHttp> {
  const raw = await RawHttp.open(http.port)
  after(() => raw.destroy())
  const type = head.some((line) => line.startsWith('Content-Type'))
    ? []
    : ['Content-Type: application/x-ndjson']
  return raw.head(
    `POST /v1/topics/${topic}/records${query} HTTP/1.1`,
    'Host: localhost',
    'Accept: application/x-ndjson',
    ...type,
    ...head,
  )
}

/** Everything that came behind the head, without the frames of its chunks. */
function linesOf(seen: string): string[] {
  const body = seen.slice(seen.indexOf('\r\n\r\n') + 4)
  const text = /\r\ntransfer-encoding: chunked/i.test(seen)
    ? body.replaceAll(/(^|\r\n)[0-9a-f]+\r\n/g, '')
    : body
  return text.trim().split('\n')
}

async function stored(topic: string): Promise<string[]> {
  const response = await http.get(`/v1/topics/${topic}/records?format=text`).expect(200)
  return (response.body as { records: { value: string }[] }).records.map(({ value }) => value)
}

test('each receipt comes before the next record is sent', async () => {
  const topic = await newTopic()
  const raw = await openStream(topic, '', chunked)
  for (let n = 0; n < 20; n++) {
    raw.write(chunk(`{"n":${n}.0}\n`))
    await raw.until(new RegExp(`"offset":${n},`))
  }
  assert.match(raw.seen, /^HTTP\/1\.1 200 OK\r\n/)
  assert.match(raw.seen, /content-type: application\/x-ndjson/)
  raw.write(end)
  await raw.until(/\r\n0\r\n\r\n$/)
  assert.equal(linesOf(raw.seen).at(-1), '{"records":20,"failed":0}')
  assert.equal((await stored(topic))[7], '{"n":7.0}')
  // The connection serves the next request.
  raw.clear().head(`HEAD /v1/topics/${topic}/records HTTP/1.1`, 'Host: localhost')
  assert.match(await raw.until(/\r\n\r\n/), /^HTTP\/1\.1 200/)
})

test('lines may be cut anywhere, and a broken one fails alone with its place', async () => {
  const topic = await newTopic()
  const raw = await openStream(topic, '?keyFrom=/k', chunked)
  const text = '\ufeff{"k":"é"}\r\n\n \n{"k":\n{"k":[]}\n{"k":2}'
  for (const byte of Buffer.from(text)) raw.write(chunk(Buffer.of(byte)))
  raw.write(end)
  await raw.until(/\r\n0\r\n\r\n$/)
  const lines = linesOf(raw.seen)
  assert.equal(lines.length, 5)
  assert.match(lines[0]!, /"offset":0,/)
  assert.match(lines[1]!, /INVALID_RECORD.*Line 4 .*byte 23 of the body/)
  assert.match(lines[2]!, /INVALID_RECORD.*finds an array/)
  assert.match(lines[3]!, /"offset":1,/)
  assert.equal(lines[4], '{"records":2,"failed":2}')
  const { body } = await http.get(`/v1/topics/${topic}/records`).expect(200)
  const keys = (body as { records: { key: string }[] }).records.map(({ key }) => key)
  assert.deepEqual(keys, ['é', '2'])
})

test('envelope lines carry their keys and partitions', async () => {
  const topic = await newTopic(3)
  const type = 'Content-Type: application/vnd.ebbgate.records+ndjson'
  const raw = await openStream(topic, '', type, chunked)
  raw.write(chunk('{"key":"a","value":1.50,"partition":2}\n{"value":{}, "x":1}\n'))
  raw.write(end)
  await raw.until(/\r\n0\r\n\r\n$/)
  const lines = linesOf(raw.seen)
  assert.match(lines[0]!, /"partition":2,"offset":0/)
  assert.match(lines[1]!, /Unknown member 'x'/)
  assert.equal(lines[2], '{"records":1,"failed":1}')
})

test('a packed upload is answered line by line as well', async () => {
  const topic = await newTopic()
  const packed = gzipSync('{"a":1}\n{"a":2}\n')
  const raw = await openStream(
    topic,
    '',
    'Content-Encoding: gzip',
    `Content-Length: ${packed.length}`,
  )
  raw.write(packed)
  await raw.until(/\r\n0\r\n\r\n$/)
  assert.equal(linesOf(raw.seen).at(-1), '{"records":2,"failed":0}')
})

test('an upload larger than any body is taken, because it is never held whole', async () => {
  const topic = await newTopic()
  const raw = await openStream(topic, '', chunked)
  const line = `{"pad":"${'x'.repeat(1000)}"}\n`
  for (let n = 0; n < 40; n++) raw.write(chunk(line.repeat(100)))
  raw.write(end)
  await raw.until(/\r\n0\r\n\r\n$/)
  assert.equal(linesOf(raw.seen).at(-1), '{"records":4000,"failed":0}')
})

test('a client that takes no receipts is not read any further', async () => {
  const topic = await newTopic()
  const socket = connect(http.port, '127.0.0.1')
  await once(socket, 'connect')
  socket.pause()
  socket.write(
    `POST /v1/topics/${topic}/records HTTP/1.1\r\nHost: localhost\r\nAccept: application/x-ndjson\r\n` +
      `Content-Type: application/x-ndjson\r\n${chunked}\r\n\r\n`,
  )
  // Small records have receipts larger than themselves, so the way back fills first.
  const piece = chunk('1\n'.repeat(10_000))
  let isFull = false
  for (let n = 0; n < 3000 && !isFull; n++) {
    if (socket.write(piece)) continue
    const drained = once(socket, 'drain').then(() => false)
    const waited = new Promise<boolean>((resolve) => setTimeout(() => resolve(true), 500).unref())
    isFull = await Promise.race([drained, waited])
  }
  assert.ok(isFull, 'Sixty million bytes were taken without a receipt.')
  socket.destroy()
})

test('what refuses the whole request is a problem, before any line', async () => {
  const gone = await openStream('not-there', '', chunked)
  assert.match(await gone.until(/requestId/), /^HTTP\/1\.1 404 [^]*Create it: curl/)
  const topic = await newTopic()
  const keyed = await openStream(topic, '', 'Idempotency-Key: a', chunked)
  keyed.write(chunk('1\n')).write(end)
  assert.match(await keyed.until(/requestId/), /^HTTP\/1\.1 422 /)
  const coded = await openStream(topic, '', 'Content-Encoding: snappy', chunked)
  assert.match(await coded.until(/requestId/), /^HTTP\/1\.1 415 /)
  const twice = await openStream(topic, '?key=a&keyFrom=/a', chunked)
  assert.match(await twice.until(/requestId/), /^HTTP\/1\.1 422 /)
})

test('a line without an end is refused in the last line, behind the receipts before it', async () => {
  const topic = await newTopic()
  const raw = await openStream(topic, '', chunked)
  raw.write(chunk('{"a":1}\n'))
  for (let n = 0; n < 11; n++) raw.write(chunk('x'.repeat(100_000)))
  await raw.until(/"failed":0\}/)
  assert.match(
    linesOf(raw.seen).at(-1)!,
    /^\{"error":\{"code":"BODY_TOO_LARGE".*"records":1,"failed":0\}/,
  )
  assert.deepEqual(await stored(topic), ['{"a":1}'])
})

test('a client that leaves keeps what was acknowledged, and half a record is not stored', async () => {
  const topic = await newTopic()
  const raw = await openStream(topic, '', chunked)
  raw.write(chunk('{"a":1}\n12'))
  await raw.until(/"offset":0,/)
  raw.destroy()
  await new Promise((resolve) => setTimeout(resolve, 100))
  await http.post(`/v1/topics/${topic}/records`).type('json').send('{"a":3}').expect(200)
  assert.deepEqual(await stored(topic), ['{"a":1}', '{"a":3}'])
})

test('other bodies are read whole and have their receipts in lines, too', async () => {
  const topic = await newTopic()
  const send = (query: string, type: string, body: string): Promise<string[]> =>
    http
      .post(`/v1/topics/${topic}/records${query}`)
      .type(type)
      .accept('application/x-ndjson')
      .buffer(true)
      .send(body)
      .expect(200)
      .then(({ text }) => text.trimEnd().split('\n'))
  const array = await send('', 'application/json', '[1,2]')
  assert.equal(array.length, 3)
  assert.equal(array[2], '{"records":2,"failed":0}')
  const text = await send('?lines=true', 'text/plain', 'a\nb\n')
  assert.equal(text[2], '{"records":2,"failed":0}')
  const whole = await send('?atomic=true', 'application/x-ndjson', '1\n2\n')
  assert.equal(whole[2], '{"records":2,"failed":0}')
})
