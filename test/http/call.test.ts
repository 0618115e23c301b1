import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, test } from 'node:test'
import { TrustedProxies } from '../../src/access/trusted-proxies.ts'
import { BaseUrls } from '../../src/http/exchange/base-url.ts'
import { Call } from '../../src/http/exchange/call.ts'
import { WaitingCalls } from '../../src/http/exchange/waiting-calls.ts'
import { anonymous } from '../../src/model/principal.ts'
import { RawHttp } from '../support/raw-http.ts'

const bases = new BaseUrls(undefined, new TrustedProxies([]))
const server = createServer()
server.listen(0, '127.0.0.1')
await once(server, 'listening')
const { port } = server.address() as AddressInfo
after(() => server.close())

async function arrive(): Promise<{ client: RawHttp; call: Call; response: ServerResponse }> {
  const client = await RawHttp.open(port)
  client.head('GET / HTTP/1.1', 'Host: localhost')
  const [request, response] = (await once(server, 'request')) as [IncomingMessage, ServerResponse]
  return {
    client,
    call: new Call(request, response, 'r-1', anonymous, new WaitingCalls(), bases),
    response,
  }
}

test('whoever waits for an answer to be written hears that it was', async () => {
  const { client, call, response } = await arrive()
  const outcomes: boolean[] = []
  call.onWritten((whole) => outcomes.push(whole))
  const closed = once(response, 'close')
  response.end('all of it')
  await client.until(/all of it$/)
  await closed
  client.destroy()
  assert.deepEqual(outcomes, [true])
})

test('whoever waits for an answer to be written hears that its client left before', async () => {
  const { client, call, response } = await arrive()
  const outcomes: boolean[] = []
  call.onWritten((whole) => outcomes.push(whole))
  client.destroy()
  await once(response, 'close')
  assert.deepEqual(outcomes, [false])
})

test('a client that left while its answer was being made is heard of as well', async () => {
  const { client, call, response } = await arrive()
  client.destroy()
  await once(response, 'close')
  const outcomes: boolean[] = []
  call.onWritten((whole) => outcomes.push(whole))
  response.end('to nobody')
  assert.deepEqual(outcomes, [false])
})

test('a wait that begins when the client has gone is over at once', async () => {
  const { client, call, response } = await arrive()
  client.destroy()
  await once(response, 'close')
  assert.equal(call.signal.aborted, true)
})
