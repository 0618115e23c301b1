import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { openTestHttp } from '../support/http.ts'
import { RawHttp } from '../support/raw-http.ts'

const http = await openTestHttp({
  bodyLimits: { bytesMax: 1000, inFlightMax: 10_000, lingerMs: 100 },
})
after(() => http.close())
await http.post('/v1/topics').send({ name: 'wire' }).expect(201)

const target = '/v1/topics/wire/records'
const host = 'Host: localhost'

async function open(): Promise<RawHttp> {
  const raw = await RawHttp.open(http.port)
  after(() => raw.destroy())
  return raw
}

async function lastStored(): Promise<string> {
  const { body } = await http.get(`${target}?from=last:1&format=binary`).expect(200)
  const [record] = (body as { records: { value: string }[] }).records
  return Buffer.from(record!.value, 'base64').toString()
}

const h2c = [
  'Connection: Upgrade, HTTP2-Settings',
  'Upgrade: h2c',
  'HTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA',
  'User-Agent: Java-http-client/17.0.15',
]

test("Java's POST with an h2c upgrade is an ordinary POST, again and again on one connection", async () => {
  const raw = await open()
  for (const body of ['{"java":1}', '{"java":2}', '{"java":3}']) {
    raw.clear()
    raw.head(`POST ${target} HTTP/1.1`, host, ...h2c, `Content-Length: ${body.length}`)
    // The body in a write of its own, as the client sends it.
    raw.write(body)
    const answer = await raw.until(/\]\}$/)
    assert.match(answer, /^HTTP\/1\.1 200 OK/)
    assert.equal(await lastStored(), body)
  }
})

test('a WebSocket opens on the port that has just ignored an h2c upgrade', async () => {
  const raw = await open()
  raw.head(`POST ${target} HTTP/1.1`, host, ...h2c, 'Content-Length: 2').write('{}')
  await raw.until(/\]\}$/)
  const socket = new WebSocket(`ws://127.0.0.1:${http.port}/v1/ws`, 'ebbgate.v1.json')
  const welcome = await new Promise<string>((resolve, reject) => {
    socket.addEventListener('message', ({ data }) => resolve(String(data)), { once: true })
    socket.addEventListener('error', () => reject(new Error('The socket did not open.')))
  })
  assert.match(welcome, /"welcome"/)
  socket.close()
})

test('an h2c upgrade with a chunked body is read to its last chunk', async () => {
  const raw = await open()
  raw.head(`POST ${target} HTTP/1.1`, host, ...h2c, 'Transfer-Encoding: chunked')
  for (const part of ['{"ch', 'unked":', '1}'])
    raw.write(`${part.length.toString(16)}\r\n${part}\r\n`)
  raw.write('0\r\n\r\n')
  assert.match(await raw.until(/\]\}$/), /^HTTP\/1\.1 200 OK/)
  assert.equal(await lastStored(), '{"chunked":1}')
})

test('a chunked body is the same however it is cut', async () => {
  const body = '{"a":"é","b":[1,2]}'
  const bytes = Buffer.from(body)
  for (let cut = 1; cut < bytes.length; cut += 3) {
    const raw = await open()
    raw.head(
      `POST ${target} HTTP/1.1`,
      host,
      'Content-Type: application/json',
      'Transfer-Encoding: chunked',
    )
    for (const part of [bytes.subarray(0, cut), bytes.subarray(cut)]) {
      raw
        .write(`${part.length.toString(16)}\r\n`)
        .write(part)
        .write('\r\n')
    }
    raw.write('0\r\n\r\n')
    await raw.until(/\]\}$/)
    assert.equal(await lastStored(), body)
    raw.destroy()
  }
})

test('HTTP/1.0 without a Host works, and the connection ends with the answer', async () => {
  const raw = await open()
  raw.head(`POST ${target} HTTP/1.0`, 'Content-Length: 5').write('1.0 !')
  const answer = await raw.end()
  assert.match(answer, /^HTTP\/1\.1 200 OK/)
  assert.match(answer, /ebbgate-records: 1/)
  assert.equal(await lastStored(), '1.0 !')
})

test('an HTTP/1.0 client that asks for keep-alive is told that it gets it', async () => {
  const raw = await open()
  raw.head(`POST ${target} HTTP/1.0`, 'Connection: keep-alive', 'Content-Length: 1').write('k')
  assert.match(await raw.until(/\]\}$/), /Connection: keep-alive/i)
  raw.clear().head(`GET ${target}?from=last:1 HTTP/1.0`, host)
  assert.match(await raw.end(), /"value":"k"/)
})

test('HTTP/1.1 without a Host is refused with a problem that has an id', async () => {
  const raw = await open()
  raw.head(`GET ${target} HTTP/1.1`)
  const answer = await raw.until(/"requestId":"[^"]+"\}$/)
  assert.match(answer, /^HTTP\/1\.1 400 /)
  assert.match(answer, /ebbgate-request-id: r-/)
})

test('an expectation that nobody knows is no reason to refuse', async () => {
  const raw = await open()
  raw.head(`POST ${target} HTTP/1.1`, host, 'Expect: the-best', 'Content-Length: 4').write('best')
  assert.match(await raw.until(/\]\}$/), /^HTTP\/1\.1 200 /)
})

test('a client that waits for 100 Continue gets it before it sends the body', async () => {
  const raw = await open()
  raw.head(`PUT ${target} HTTP/1.1`, host, 'Content-Length: 9', 'Expect: 100-continue')
  assert.equal(await raw.until(/\r\n\r\n/), 'HTTP/1.1 100 Continue\r\n\r\n')
  raw.clear().write('continued')
  assert.match(await raw.until(/\]\}$/), /^HTTP\/1\.1 200 OK/)
  assert.equal(await lastStored(), 'continued')
})

test('a body that will be refused is refused before it travels', async () => {
  const expect = 'Expect: 100-continue'
  const refusals: [line: string, status: number, ...headers: string[]][] = [
    [`PUT ${target} HTTP/1.1`, 413, host, 'Content-Length: 1001'],
    [`PUT ${target} HTTP/1.1`, 415, host, 'Content-Length: 5', 'Content-Encoding: snappy'],
    [`PUT ${target}?lin=1 HTTP/1.1`, 400, host, 'Content-Length: 5'],
    [`PUT ${target} HTTP/1.1`, 403, 'Host: evil.example', 'Content-Length: 5'],
    [`PUT ${target} HTTP/1.1`, 403, host, 'Origin: https://evil.example', 'Content-Length: 5'],
    [`PUT /v1/nothing HTTP/1.1`, 404, host, 'Content-Length: 5'],
  ]
  for (const [line, status, ...headers] of refusals) {
    const raw = await open()
    raw.head(line, ...headers, expect)
    const answer = await raw.end()
    assert.ok(answer.startsWith(`HTTP/1.1 ${status} `), `${line}: ${answer}`)
    assert.ok(!answer.includes('100 Continue'))
  }
  http.state = { ready: false, reason: 'it is recovering' }
  const raw = await open()
  raw.head(`PUT ${target} HTTP/1.1`, host, 'Content-Length: 5', expect)
  assert.match(await raw.end(), /^HTTP\/1\.1 503 /)
  http.state = { ready: true }
})

test('a chunked body that grows beyond the limit is 413', async () => {
  const raw = await open()
  raw.head(`POST ${target} HTTP/1.1`, host, 'Transfer-Encoding: chunked')
  raw.write(`7d0\r\n${'x'.repeat(2000)}\r\n`)
  assert.match(await raw.until(/requestId/), /^HTTP\/1\.1 413 /)
})

test('a refused body may be finished, but not for ever', async () => {
  const patient = await open()
  patient.head(`POST ${target} HTTP/1.1`, host, 'Content-Length: 1500').write('x'.repeat(500))
  await patient.until(/requestId/)
  patient.write('x'.repeat(1000))
  patient.clear().head(`POST ${target} HTTP/1.1`, host, 'Content-Length: 2').write('ok')
  assert.match(await patient.until(/\]\}$/), /^HTTP\/1\.1 200 OK/)

  const endless = await open()
  endless.head(`POST ${target} HTTP/1.1`, host, 'Transfer-Encoding: chunked')
  endless.write(`7d0\r\n${'x'.repeat(2000)}\r\n`)
  assert.match(await endless.end(), /^HTTP\/1\.1 413 /)
})

test('a client that leaves in the middle of a body stores nothing', async () => {
  const before = await http.get('/v1/topics/wire/offsets').expect(200)
  const raw = await open()
  raw.head(`POST ${target} HTTP/1.1`, host, 'Content-Length: 100').write('half')
  raw.destroy()
  await http.post(target).send('after').expect(200)
  const after = await http.get('/v1/topics/wire/offsets').expect(200)
  const end = (body: unknown): number => (body as { offsets: Record<string, number> }).offsets['0']!
  assert.equal(end(after.body), end(before.body) + 1)
})

test('bodies that are being read share one budget', async () => {
  const slow = await Promise.all(Array.from({ length: 11 }, () => open()))
  for (const raw of slow) {
    raw.head(`POST ${target} HTTP/1.1`, host, 'Transfer-Encoding: chunked')
    raw.write(`384\r\n${'x'.repeat(900)}\r\n`)
  }
  // 11 times 900 bytes are held; a body of 900 more does not fit into 10,000.
  await new Promise((resolve) => setTimeout(resolve, 50))
  const response = await http.post(target).type('text').send('y'.repeat(900)).expect(503)
  assert.equal((response.body as { code: string }).code, 'OVERLOADED')
  assert.equal(response.headers['retry-after'], '1')
  for (const raw of slow) raw.write('0\r\n\r\n')
  await Promise.all(slow.map((raw) => raw.until(/\]\}$/)))
  await http.post(target).type('text').send('y'.repeat(900)).expect(200)
})

test('a content type that is no content type still stores the bytes', async () => {
  for (const type of ['nonsense', 'a/b/c;;=', ';', '"']) {
    const raw = await open()
    raw
      .head(`POST ${target} HTTP/1.1`, host, `Content-Type: ${type}`, 'Content-Length: 2')
      .write('ok')
    assert.match(await raw.until(/\]\}$/), /^HTTP\/1\.1 200 OK/, type)
    raw.destroy()
  }
})

test('bytes that are no HTTP are answered with a problem, and the connection ends', async () => {
  const garbage = await open()
  garbage.write('\x16\x03\x01 hello\r\n\r\n')
  const answer = await garbage.end()
  assert.match(answer, /^HTTP\/1\.1 400 Bad Request\r\nContent-Type: application\/problem\+json/)
  assert.match(answer, /Ebbgate-Request-Id: r-/)
  const head = await open()
  head.head(`GET /v1 HTTP/1.1`, host, `X-Long: ${'x'.repeat(20_000)}`)
  assert.match(await head.end(), /^HTTP\/1\.1 431 /)
})

test('a path that cannot be decoded, and one that is too long, are problems as well', async () => {
  for (const path of ['/v1/topics/%ZZ', '/v1/topics/%C0%80', `/v1/topics/${'x'.repeat(5000)}`]) {
    const raw = await open()
    raw.head(`GET ${path} HTTP/1.1`, host, 'Connection: close')
    const answer = await raw.end()
    assert.match(answer, /^HTTP\/1\.1 4\d\d /)
    assert.match(answer, /application\/problem\+json/)
  }
})
