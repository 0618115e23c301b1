import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type request from 'supertest'
import { openTestHttp } from '../support/http.ts'
import { RawHttp } from '../support/raw-http.ts'

const listed = 'https://app.example'
const http = await openTestHttp({
  origins: { allowedHosts: ['gateway.local'], corsOrigins: [listed] },
})
after(() => http.close())
await http.post('/v1/topics').send({ name: 'guarded' }).expect(201)
await http.post('/v1/topics/guarded/records').send('first').expect(200)

const own = `http://localhost:${http.port}`

async function stored(): Promise<number> {
  const { body } = await http.get('/v1/topics/guarded/offsets').expect(200)
  return (body as { offsets: Record<string, number> }).offsets['0']!
}

const attempts: Readonly<Record<string, () => request.Test>> = {
  'a read': () => http.get('/v1/topics/guarded/records'),
  'a produce': () => http.post('/v1/topics/guarded/records').type('text').send('x'),
  'a v2 read': () => http.get('/topics/guarded'),
  'a v2 produce': () =>
    http
      .post('/topics/guarded')
      .type('application/vnd.kafka.json.v2+json')
      .send('{"records":[{"value":1}]}'),
  'the metrics': () => http.get('/metrics'),
  'a path that is nothing': () => http.get('/v1/nothing'),
}

for (const [what, attempt] of Object.entries(attempts)) {
  test(`a page of another site gets nothing from ${what}`, async () => {
    const before = await stored()
    for (const origin of ['https://evil.example', 'null', 'http://localhost:1']) {
      const { status, headers } = await attempt().set('Origin', origin)
      assert.equal(status, 403, origin)
      assert.equal(headers['access-control-allow-origin'], undefined)
    }
    await attempt().set('Sec-Fetch-Site', 'cross-site').expect(403)
    assert.equal(await stored(), before)
  })

  test(`a rebound host name gets nothing from ${what}`, async () => {
    const before = await stored()
    const { status, text } = await attempt().set('Host', `evil.example:${http.port}`)
    assert.equal(status, 403)
    assert.match(text, /http\.allowedHosts/)
    assert.equal(await stored(), before)
  })
}

test('a socket of another site, or to a rebound name, is refused before the 101', async () => {
  const upgrade = async (...headers: string[]): Promise<string> => {
    const raw = await RawHttp.open(http.port)
    raw.head(
      'GET /v1/ws HTTP/1.1',
      ...headers,
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
      'Sec-WebSocket-Protocol: ebbgate.v1.json',
    )
    const answer = await raw.until(/\r\n\r\n/)
    raw.destroy()
    return answer
  }
  assert.match(await upgrade('Host: localhost'), /^HTTP\/1\.1 101 /)
  assert.match(await upgrade('Host: localhost', `Origin: ${own}`), /^HTTP\/1\.1 101 /)
  assert.match(await upgrade('Host: localhost', 'Origin: https://evil.example'), /^HTTP\/1\.1 403 /)
  assert.match(await upgrade('Host: localhost', 'Origin: null'), /^HTTP\/1\.1 403 /)
  assert.match(await upgrade('Host: evil.example'), /^HTTP\/1\.1 403 /)
})

test('own pages, programs and listed hosts are let in', async () => {
  const read = (): request.Test => http.get('/v1/topics/guarded/records')
  await read().set('Origin', own).set('Sec-Fetch-Site', 'same-origin').expect(200)
  await read().set('Sec-Fetch-Site', 'none').expect(200)
  await read().set('Host', 'gateway.local:80').expect(200)
  await read().set('Host', `localhost:${http.port}`).expect(200)
})

test('the refusal is in the words of its surface', async () => {
  const native = await http.get('/v1').set('Origin', 'https://evil.example').expect(403)
  assert.equal(native.headers['content-type'], 'application/problem+json')
  assert.equal((native.body as { code: string }).code, 'FORBIDDEN')
  const v2 = await http.get('/topics').set('Origin', 'https://evil.example').expect(403)
  assert.equal((v2.body as { error_code: number }).error_code, 40301)
})

test('a page of a listed origin may ask, call and read the headers of the answer', async () => {
  const preflight = await http
    .options('/v1/topics/guarded/records')
    .set('Origin', listed)
    .set('Access-Control-Request-Method', 'POST')
    .set('Access-Control-Request-Headers', 'content-type, ebbgate-header-page, x-evil')
    .expect(204)
  assert.equal(preflight.headers['access-control-allow-origin'], listed)
  assert.equal(preflight.headers['access-control-allow-credentials'], undefined)
  const allowed = preflight.headers['access-control-allow-headers']!.split(', ')
  assert.ok(allowed.includes('content-type') && allowed.includes('ebbgate-header-page'))
  assert.ok(!allowed.includes('x-evil'))
  assert.equal(preflight.headers['vary'], 'Origin')
  const call = await http
    .post('/v1/topics/guarded/records')
    .set('Origin', listed)
    .set('Sec-Fetch-Site', 'cross-site')
    .send('from the page')
    .expect(200)
  assert.equal(call.headers['access-control-allow-origin'], listed)
  assert.match(call.headers['access-control-expose-headers']!, /Ebbgate-Position/)
})

test('a preflight of another origin is refused', async () => {
  await http
    .options('/v1/topics/guarded/records')
    .set('Origin', 'https://evil.example')
    .set('Access-Control-Request-Method', 'POST')
    .expect(403)
})

test('errors are readable for listed pages too', async () => {
  const response = await http.get('/v1/topics/missing').set('Origin', listed).expect(404)
  assert.equal(response.headers['access-control-allow-origin'], listed)
})

test('OPTIONS without an Origin says what is possible, and nothing where there is nothing', async () => {
  const response = await http.options('/v1/topics/any/records').expect(204)
  const allowed = (response.headers['allow'] ?? '').split(', ').sort()
  assert.deepEqual(allowed, ['DELETE', 'GET', 'HEAD', 'POST', 'PUT'])
  await http.options('/v1/nothing').expect(404)
})
