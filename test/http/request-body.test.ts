import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, beforeEach, test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { gzipSync } from 'node:zlib'
import { RequestBodies } from '../../src/http/request-body.ts'
import { systemClock } from '../../src/kit/clock.ts'
import { GatewayError } from '../../src/model/errors.ts'
import { RawHttp } from '../support/raw-http.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { until } from '../support/until.ts'

const MiB = 1024 * 1024
const limits = { bytesMax: 8 * MiB, inFlightMax: 24 * MiB, lingerMs: 100 }
let bodies = new RequestBodies(limits, systemClock)
/** A body goes on being held while this is set, as one does that is being stored. */
let isHolding = false
const held: (() => void)[] = []
let last: Buffer | undefined

const server = createServer((request, response) => {
  bodies.read(request, response).then(
    (bytes) => {
      last = bytes
      const done = (): void => {
        bodies.release(bytes.length)
        response.end(`${bytes.length} bytes`)
      }
      if (isHolding) held.push(done)
      else done()
    },
    (error: unknown) => {
      if (!request.complete) bodies.abandon(request)
      response.end(error instanceof GatewayError ? error.code : String(error))
    },
  )
})
server.listen(0, '127.0.0.1')
await once(server, 'listening')
const { port } = server.address() as AddressInfo
after(() => server.close())

beforeEach(() => {
  bodies = new RequestBodies(limits, systemClock)
  isHolding = false
})

async function send(bytes: Buffer, ...headers: string[]): Promise<RawHttp> {
  const raw = await RawHttp.open(port)
  after(() => raw.destroy())
  raw.head('POST / HTTP/1.1', 'Host: localhost', `Content-Length: ${bytes.length}`, ...headers)
  return raw.write(bytes)
}

const gzip = 'Content-Encoding: gzip'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

function memory(): number {
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

test('whatever becomes of a body, nothing of it is counted afterwards', async () => {
  const cases: readonly [RegExp, Buffer, ...string[]][] = [
    [/5 bytes$/, Buffer.from('plain')],
    [/3000000 bytes$/, Buffer.alloc(3_000_000, 'x')],
    [/2000000 bytes$/, gzipSync(Buffer.alloc(2_000_000)), gzip],
    [/BODY_TOO_LARGE$/, gzipSync(Buffer.alloc(9 * MiB)), gzip],
    [/BAD_REQUEST$/, gzipSync(Buffer.from('cut off here')).subarray(0, 20), gzip],
    [/BAD_REQUEST$/, Buffer.from('no gzip'), gzip],
    [/UNSUPPORTED_MEDIA_TYPE$/, Buffer.from('abc'), 'Content-Encoding: snappy'],
  ]
  for (const [outcome, bytes, ...headers] of cases) {
    const raw = await send(bytes, ...headers)
    await raw.until(outcome)
    raw.destroy()
    assert.equal(bodies.inFlightBytes, 0, String(outcome))
  }
  const cut = await RawHttp.open(port)
  cut.head('POST / HTTP/1.1', 'Host: localhost', 'Content-Length: 10').write('half')
  await until(() => bodies.inFlightBytes === 4, 'the first half')
  cut.destroy()
  await until(() => bodies.inFlightBytes === 0, 'nothing to be held')
})

test('bombs share the budget while they are being inflated, not only afterwards', async () => {
  const bombBytes = 8 * MiB
  const bomb = gzipSync(Buffer.alloc(bombBytes))
  isHolding = true
  collectGarbage()
  const before = process.memoryUsage().arrayBuffers
  const sent = await Promise.all(Array.from({ length: 40 }, () => send(bomb, gzip)))
  const refused = (): number => sent.filter(({ seen }) => seen.endsWith('OVERLOADED')).length
  let most = 0
  await until(() => {
    most = Math.max(most, process.memoryUsage().arrayBuffers - before)
    return refused() + held.length === sent.length
  }, 'every bomb to be judged')
  // No more are taken than the budget holds; inflated whole before the count, more would fit in turns.
  assert.ok(held.length <= limits.inFlightMax / bombBytes, `${held.length} bombs are held`)
  for (const done of held.splice(0)) done()
  await until(() => bodies.inFlightBytes === 0, 'nothing to be held')
  // All of them inflated take 320 MiB; garbage that a busy machine has not collected yet counts, too.
  assert.ok(most < 240 * MiB, `40 bombs of 8 MiB took ${most} bytes at one time`)
})

test('a body in chunks of one byte takes the memory of its bytes', async () => {
  const count = 300_000
  isHolding = true
  collectGarbage()
  const before = memory()
  const raw = await RawHttp.open(port)
  after(() => raw.destroy())
  raw.head('POST / HTTP/1.1', 'Host: localhost', 'Transfer-Encoding: chunked')
  raw.write('1\r\nx\r\n'.repeat(count))
  await until(() => bodies.inFlightBytes === count, 'all chunks')
  collectGarbage()
  const taken = memory() - before
  raw.write('0\r\n\r\n')
  await until(() => held.length === 1, 'the whole body')
  held.pop()!()
  await raw.until(/300000 bytes$/)
  assert.ok(taken < 10 * MiB, `${taken} bytes of memory for ${count} bytes of body`)
})

test('a body in pieces of any size is the bytes that were sent', async () => {
  const raw = await RawHttp.open(port)
  after(() => raw.destroy())
  raw.head('POST / HTTP/1.1', 'Host: localhost', 'Transfer-Encoding: chunked')
  let sent = ''
  for (const size of [1, 2, 70_000, 3, 300_000, 1, 1_000_000]) {
    const piece = String.fromCharCode(97 + (size % 26)).repeat(size)
    raw.write(`${size.toString(16)}\r\n${piece}\r\n`)
    sent += piece
  }
  raw.write('0\r\n\r\n')
  await raw.until(new RegExp(`${sent.length} bytes$`))
  assert.ok(last?.equals(Buffer.from(sent)))
})

test('a sender of a byte now and then is told to come back, one that sends enough goes on', async () => {
  const clock = new ManualClock()
  bodies = new RequestBodies({ ...limits, pace: { windowMs: 1000, bytesMin: 10 } }, clock)
  const [slow, steady, silent] = await Promise.all([1, 2, 3].map(() => RawHttp.open(port)))
  for (const raw of [slow!, steady!, silent!]) {
    after(() => raw.destroy())
    raw.head('POST / HTTP/1.1', 'Host: localhost', 'Content-Length: 1000')
  }
  let sent = 0
  for (let look = 0; look < 4; look++) {
    slow!.write('x')
    steady!.write('0123456789')
    sent += 10 + (look < 2 ? 1 : 0)
    await until(() => bodies.inFlightBytes >= (look < 2 ? sent : 10 * (look + 1)), 'the bytes')
    clock.advance(1000)
  }
  await slow!.until(/UNAVAILABLE$/)
  await silent!.until(/UNAVAILABLE$/)
  assert.equal(steady!.seen, '')
  assert.equal(bodies.inFlightBytes, 40)
  steady!.write('x'.repeat(960))
  await steady!.until(/1000 bytes$/)
})
