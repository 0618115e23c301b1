/** Streaming produce of v3 over one open request: raw sockets, so that every byte's time is known. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, describe, test } from 'node:test'
import { streamAgeMsMax } from '../../src/model/limits.ts'
import { openTestHttp } from '../support/http.ts'
import { RawHttp } from '../support/raw-http.ts'

const http = await openTestHttp({
  bodyLimits: { bytesMax: 1_000_000, inFlightMax: 4_000_000, lingerMs: 200 },
})
after(() => http.close())

const root = '/v3/clusters/any'
let made = 0
const newPath = (): string => `${root}/topics/stream-${made++}/records`

async function openStream(path = newPath(), port = http.port): Promise<RawHttp> {
  const raw = await RawHttp.open(port)
  return raw.head(
    `POST ${path} HTTP/1.1`,
    'Host: localhost',
    'Content-Type: application/json',
    'Transfer-Encoding: chunked',
  )
}

const chunk = (text: string): string => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`
const record = (n: number): string => `{"value":{"type":"JSON","data":${n}}}`
const end = '0\r\n\r\n'

describe('an open request', () => {
  test('has the receipt of each record before the next one is sent', async () => {
    const raw = await openStream()
    for (let n = 0; n < 20; n++) {
      raw.write(chunk(record(n)))
      await raw.until(new RegExp(`"error_code":200,[^\\n]*"offset":${n},`))
    }
    assert.match(raw.seen, /^HTTP\/1\.1 200 OK/)
    raw.write(end)
    assert.match(await raw.until(/\r\n0\r\n\r\n$/), /"offset":19,/)
    raw.destroy()
  })

  test('may cut records anywhere', async () => {
    const raw = await openStream()
    const text = [0, 1, 2].map((n) => record(n)).join(' ')
    for (const character of text) raw.write(chunk(character))
    await raw.until(/"offset":2,/)
    raw.write(end)
    await raw.until(/\r\n0\r\n\r\n$/)
    assert.equal(raw.seen.match(/"error_code":200/g)?.length, 3)
    raw.destroy()
  })

  test('goes on behind a record that is refused', async () => {
    const raw = await openStream()
    raw.write(chunk('{"x":1}'))
    await raw.until(/"error_code":400/)
    raw.write(chunk(record(1)))
    await raw.until(/"error_code":200/)
    raw.write(end)
    await raw.until(/\r\n0\r\n\r\n$/)
    raw.destroy()
  })

  test('ends behind what is no JSON, although the client would go on', async () => {
    const raw = await openStream()
    raw.write(chunk(`${record(1)}{"a":}${record(2)}`))
    const seen = await raw.until(/\r\n0\r\n\r\n$/)
    assert.deepEqual(seen.match(/"error_code":\d+/g), ['"error_code":200', '"error_code":400'])
    raw.write(chunk(record(3)))
    await raw.end()
  })

  test('leaves its connection to the next request', async () => {
    const path = newPath()
    const raw = await openStream(path)
    raw.write(chunk(record(1)) + end)
    await raw.until(/\r\n0\r\n\r\n$/)
    raw.clear()
    raw.head('GET /v3/clusters HTTP/1.1', 'Host: localhost')
    await raw.until(/KafkaClusterList/)
    raw.destroy()
  })

  test('that is cut leaves what was acknowledged, and the gateway as it was', async () => {
    const path = newPath()
    const raw = await openStream(path)
    raw.write(chunk(record(1)))
    await raw.until(/"offset":0,/)
    raw.write(chunk('{"value":'))
    raw.destroy()
    const [, topic = ''] = /topics\/([^/]+)/.exec(path)!
    const { body } = await http.get(`/v1/topics/${topic}/records`).expect(200)
    assert.equal((body as { records: unknown[] }).records.length, 1)
  })

  test('with Expect: 100-continue is asked to go on', async () => {
    const raw = await RawHttp.open(http.port)
    raw.head(
      `POST ${newPath()} HTTP/1.1`,
      'Host: localhost',
      'Content-Type: application/json',
      'Transfer-Encoding: chunked',
      'Expect: 100-continue',
    )
    await raw.until(/100 Continue/)
    raw.write(chunk(record(1)))
    await raw.until(/"offset":0,/)
    raw.destroy()
  })
})

test('a client that takes no receipts is not read from, and gets all of them once it reads', async () => {
  const socket = connect(http.port, '127.0.0.1')
  await once(socket, 'connect')
  socket.pause()
  const head = ['Host: localhost', 'Content-Type: application/json', 'Transfer-Encoding: chunked']
  socket.write(`POST ${newPath()} HTTP/1.1\r\n${head.join('\r\n')}\r\n\r\n`)
  // About as large as their receipts: both ways fill up at the same pace.
  const each = `{"value":{"type":"STRING","data":"${'x'.repeat(150)}"}}`
  const piece = chunk(each.repeat(200))
  // Some 40 MB: several times what kernels buffer.
  const piecesMax = 1_000
  let pieces = 0
  // The kernel's own buffers take some; a gateway that keeps reading takes everything.
  while (pieces < piecesMax) {
    pieces++
    if (socket.write(piece)) continue
    const drained = await Promise.race([
      once(socket, 'drain').then(() => true),
      new Promise<false>((resolve) => setTimeout(() => resolve(false), 1_000)),
    ])
    if (!drained) break
  }
  assert.ok(pieces < piecesMax, 'the gateway read on without limit')
  socket.write(end)
  let receipts = 0
  let rest = ''
  socket.on('data', (bytes: Buffer) => {
    const text = rest + bytes.toString('latin1')
    receipts += text.split('"error_code":200').length - 1
    rest = text.slice(-15)
  })
  socket.resume()
  while (!rest.endsWith('0\r\n\r\n')) await once(socket, 'data')
  assert.equal(receipts, pieces * 200)
  socket.destroy()
})

test('clients that go in the middle of a record give their share of memory back', async () => {
  // Four halves of a record fill the budget of all bodies; a fifth is refused while they are there.
  const half = `{"value":{"type":"STRING","data":"${'x'.repeat(900_000)}`
  const holders: RawHttp[] = []
  for (let n = 0; n < 4; n++) {
    const raw = await openStream()
    raw.write(chunk(half))
    holders.push(raw)
  }
  const fifth = await openStream()
  fifth.write(chunk(half))
  await fifth.until(/"error_code":50301/)
  for (const raw of [...holders, fifth]) raw.destroy()
  for (;;) {
    const raw = await openStream()
    raw.write(`${chunk(half)}${chunk('"}}')}${end}`)
    const seen = await raw.until(/error_code":\d+/)
    raw.destroy()
    if (/"error_code":200/.test(seen)) break
  }
})

test('a stream ends when the gateway drains, behind the receipts of what it has read', async () => {
  const other = await openTestHttp()
  const raw = await openStream(newPath(), other.port)
  raw.write(chunk(record(1)))
  await raw.until(/"offset":0,/)
  const closing = other.close()
  await raw.until(/\r\n0\r\n\r\n$/)
  raw.destroy()
  await closing
})

test('a stream of more than 24 hours is told so with each record, and then closed', async () => {
  let lateMs = 0
  const other = await openTestHttp({ lateMs: () => lateMs })
  const raw = await openStream(newPath(), other.port)
  raw.write(chunk(record(1)))
  await raw.until(/"offset":0,/)
  lateMs = streamAgeMsMax
  for (let n = 1; n <= 2; n++) {
    raw.write(chunk(record(n)))
    await raw.until(new RegExp(`("error_code":408[^]*){${n}}`))
  }
  assert.match(raw.seen, /Streaming connection open for longer than allowed/)
  await raw.until(/\r\n0\r\n\r\n$/)
  assert.equal(raw.seen.match(/"error_code":200/g)?.length, 1)
  raw.destroy()
  await other.close()
})
