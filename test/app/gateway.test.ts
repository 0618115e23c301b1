/** The composed whole: what it is while it opens, serves and closes. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { TestContext } from 'node:test'
import type { ConfigInput } from '../../src/app/config.ts'
import type { Gateway, GatewayParts } from '../../src/app/gateway.ts'
import { createGateway } from '../../src/app/gateway.ts'
import type { Engine } from '../../src/engine/engine.ts'
import { GatewayError } from '../../src/model/errors.ts'
import { openTestEngine } from '../support/engine.ts'

let folder: string
let folders = 0

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ebbgate-gateway-'))
})

after(() => rm(folder, { recursive: true, force: true }))

function newFolder(): string {
  folders += 1
  return join(folder, String(folders))
}

function create(t: TestContext, input: ConfigInput = {}, parts: GatewayParts = {}): Gateway {
  const gateway = createGateway({ port: 0, data: newFolder(), ...input }, parts)
  t.after(() => gateway.close())
  return gateway
}

async function opened(t: TestContext, input: ConfigInput = {}): Promise<Gateway> {
  const gateway = create(t, input)
  await gateway.open()
  return gateway
}

const post = (url: string, body: string): Promise<Response> => fetch(url, { method: 'POST', body })

async function createTopic(gateway: Gateway, name: string): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const body = JSON.stringify({ name })
  const { status } = await fetch(`${gateway.url}/v1/topics`, { method: 'POST', headers, body })
  assert.equal(status, 201)
}

test('an open gateway tells what it is, that it is well, and how it goes', async (t) => {
  const gateway = await opened(t)
  assert.match(gateway.url, /^http:\/\/127\.0\.0\.1:\d+$/)
  assert.equal(gateway.engine, 'embedded')
  for (const path of ['/healthz', '/readyz', '/v1']) {
    assert.equal((await fetch(gateway.url + path)).status, 200, path)
  }
  await createTopic(gateway, 'orders')
  await post(`${gateway.url}/v1/topics/orders/records`, 'an event')
  await fetch(`${gateway.url}/v1/topics/orders/records`)
  const answer = await fetch(`${gateway.url}/metrics`)
  assert.match(answer.headers.get('content-type') ?? '', /^text\/plain/)
  const text = await answer.text()
  assert.match(text, /^ebbgate_ready 1$/m)
  assert.match(text, /^ebbgate_info\{version="[^"]+",engine="embedded",node="[^"]+"\} 1$/m)
  assert.match(text, /^ebbgate_produce_records_total\{topic="orders"\} 1$/m)
  assert.match(text, /^ebbgate_fetch_records_total 1$/m)
  assert.match(text, /^ebbgate_journal_write_seconds_count [1-9]/m)
  assert.match(
    text,
    /^ebbgate_http_requests_total\{surface="native",method="POST",route="\/v1\/topics\/\{topic\}\/records",status="2xx"\} 1$/m,
  )
})

test('while it recovers, probes are answered and everything else is told to come back', async (t) => {
  const gate = Promise.withResolvers<void>()
  const { engine } = await openTestEngine()
  const gateway = create(t, {}, { engine: slow(engine, gate.promise) })
  const opening = gateway.open()
  while (gateway.url === '') await new Promise((resolve) => setImmediate(resolve))
  assert.equal((await fetch(`${gateway.url}/healthz`)).status, 200)
  const ready = await fetch(`${gateway.url}/readyz`)
  assert.equal(ready.status, 503)
  const { recovery } = (await ready.json()) as { recovery?: unknown }
  assert.deepEqual(recovery, { done: 1, total: 2 })
  const refused = await fetch(`${gateway.url}/v1/topics`)
  assert.equal(refused.status, 503)
  assert.ok(Number(refused.headers.get('retry-after')) >= 1)
  assert.equal(((await refused.json()) as { code: string }).code, 'UNAVAILABLE')
  assert.equal((await fetch(`${gateway.url}/topics`)).status, 503)
  gate.resolve()
  await opening
})

test('one folder has one gateway; the second is refused and the first is not disturbed', async (t) => {
  const data = newFolder()
  const first = await opened(t, { data })
  const second = create(t, { data })
  await assert.rejects(second.open(), (error) => {
    assert.ok(error instanceof GatewayError)
    assert.equal(error.code, 'LOCKED')
    assert.ok(error.message.includes(data))
    return true
  })
  await second.close()
  assert.equal((await fetch(`${first.url}/readyz`)).status, 200)
  await createTopic(first, 'still-works')
})

test('a port that is taken is said by its system code', async (t) => {
  const first = await opened(t)
  const second = create(t, { port: Number(new URL(first.url).port) })
  await assert.rejects(second.open(), { code: 'EADDRINUSE' })
})

test('after a close the folder opens again with everything that was acknowledged', async (t) => {
  const data = newFolder()
  const first = await opened(t, { data })
  await createTopic(first, 'kept')
  await post(`${first.url}/v1/topics/kept/records`, 'one')
  await first.close()
  await first.close()
  await assert.rejects(fetch(`${first.url}/healthz`))

  const second = await opened(t, { data })
  const answer = await fetch(`${second.url}/v1/topics/kept/records`)
  const { records } = (await answer.json()) as { records: { value: unknown; offset: number }[] }
  assert.deepEqual(
    records.map(({ value, offset }) => [value, offset]),
    [['one', 0]],
  )
})

test('closing ends a waiting poll at once with an answer, and cuts a client that never finishes', async (t) => {
  const gateway = await opened(t, { shutdown: { graceMs: 300 } })
  await createTopic(gateway, 'quiet')
  const poll = fetch(`${gateway.url}/v1/topics/quiet/records?from=latest&waitMs=30000`)
  const { port } = new URL(gateway.url)
  const stuck = connect(Number(port), '127.0.0.1')
  stuck.on('error', () => undefined)
  const cut = new Promise((resolve) => stuck.once('close', resolve))
  stuck.write(
    'POST /v1/topics/quiet/records HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\nhal',
  )
  await waiting(gateway)

  const startedAt = performance.now()
  await gateway.close()
  assert.ok(performance.now() - startedAt < 3000)
  const answer = await poll
  assert.equal(answer.status, 200)
  assert.deepEqual(((await answer.json()) as { records: unknown[] }).records, [])
  await cut
})

test('two gateways in one process know nothing of each other', async (t) => {
  const [one, other] = [await opened(t), await opened(t)]
  await createTopic(one, 'mine')
  await post(`${one.url}/v1/topics/mine/records`, 'x')
  assert.equal((await fetch(`${other.url}/v1/topics/mine`)).status, 404)
  assert.doesNotMatch(await (await fetch(`${other.url}/metrics`)).text(), /topic="mine"/)
})

test('a gateway that was never opened, or failed to open, closes all the same', async () => {
  const never = createGateway({ port: 0, data: newFolder() })
  await never.close()
  await never[Symbol.asyncDispose]()
})

test('a close that comes while the gateway opens leaves nothing open', async (t) => {
  const data = newFolder()
  const gateway = create(t, { data })
  const opening = gateway.open()
  await gateway.close()
  await opening
  await assert.rejects(fetch(`${gateway.url}/healthz`))
  const next = await opened(t, { data })
  assert.equal((await fetch(`${next.url}/readyz`)).status, 200)
})

test('a foreign page and a foreign host name get nothing', async (t) => {
  const gateway = await opened(t)
  const foreign = { origin: 'https://evil.example' }
  assert.equal((await fetch(`${gateway.url}/v1/topics`, { headers: foreign })).status, 403)
  assert.equal((await fetch(`${gateway.url}/metrics`, { headers: foreign })).status, 403)
})

/** An engine whose recovery takes until `recovered`. */
function slow(engine: Engine, recovered: Promise<void>): Engine {
  return {
    kind: engine.kind,
    capabilities: engine.capabilities,
    log: engine.log,
    transactions: engine.transactions,
    groups: engine.groups,
    topics: engine.topics,
    open: () => recovered,
    health: () => ({ state: 'recovering', recovery: { done: 1, total: 2 } }),
    close: () => engine.close(),
  }
}

/** Resolves when the long poll has arrived at the reader. */
async function waiting(gateway: Gateway): Promise<void> {
  for (;;) {
    const text = await (await fetch(`${gateway.url}/metrics`)).text()
    if (/^ebbgate_polls_waiting 1$/m.test(text)) return
  }
}

test('a second listener is one line, speaks its dialect, and shares everything else', async (t) => {
  const port = await freePort()
  const http = { listeners: [`strimzi=${port}`] }
  const gateway = await opened(t, { http })
  const second = `http://127.0.0.1:${port}`
  await createTopic(gateway, 'shared')
  assert.deepEqual(await (await fetch(`${second}/topics`)).json(), ['shared'])
  const codes = await Promise.all(
    [gateway.url, second].map(async (url) => {
      const missing = await fetch(`${url}/topics/none`)
      return ((await missing.json()) as { error_code: number }).error_code
    }),
  )
  assert.deepEqual(codes, [40403, 404])
  const socket = await fetch(`${second}/v1/ws`)
  assert.equal(socket.status, 404)
  await gateway.close()
  await assert.rejects(fetch(`${second}/topics`))
})

test('a listener that others can reach has to be meant, and a dialect has to exist', () => {
  const invalid = (message: RegExp) => (error: unknown) =>
    error instanceof GatewayError && error.code === 'INVALID_CONFIG' && message.test(error.message)
  const make = (listener: string) => () => createGateway({ http: { listeners: [listener] } })
  assert.throws(make('karapace=0.0.0.0:8083'), invalid(/^http\.listeners: listening on 0\.0\.0\.0/))
  assert.throws(make('pulsar=8083'), invalid(/^http\.listeners: .*is not a list of listeners/))
  assert.throws(make('karapace=gateway'), invalid(/is not a list of listeners/))
})

async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
