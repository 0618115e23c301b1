import assert from 'node:assert/strict'
import { connect as connectTcp } from 'node:net'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import NodeWebSocketModule from 'ws'
import { Reader } from '../../src/consume/reader.ts'
import type { PartitionPlace, TopicScope } from '../../src/consume/scope.ts'
import { Tail } from '../../src/consume/tail.ts'
import { systemClock } from '../../src/kit/clock.ts'
import { silentLogger } from '../../src/kit/logger.ts'
import { silentPushMeter } from '../../src/push/push-meter.ts'
import type { PushFixture } from '../support/push-fixture.ts'
import { openPush } from '../support/push-fixture.ts'
import { PushClient } from '../support/push-client.ts'
import { until } from '../support/until.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { WatchedLog } from '../support/watched-log.ts'

let push: PushFixture
let topicCount = 0

before(async () => {
  push = await openPush()
})
after(() => push.close())

async function newTopic(partitions = 1): Promise<string> {
  const name = `topic-${++topicCount}`
  await push.createTopic(name, partitions)
  return name
}

/** The HTTP answer to an upgrade request, as text. */
async function upgrade(
  headers: Readonly<Record<string, string>>,
  path = '/v1/ws',
): Promise<string> {
  const lines = {
    Host: `127.0.0.1:${push.port}`,
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': 'AAAAAAAAAAAAAAAAAAAAAA==',
    ...headers,
  }
  const head = Object.entries(lines).map(([name, value]) => `${name}: ${value}\r\n`)
  const socket = connectTcp(push.port, '127.0.0.1')
  let answer = ''
  socket.setEncoding('latin1').on('data', (text: string) => (answer += text))
  socket.on('error', () => undefined)
  socket.write(`GET ${path} HTTP/1.1\r\n${head.join('')}\r\n`)
  await until(() => answer.includes('\r\n\r\n'), 'an HTTP answer')
  socket.destroy()
  return answer
}

test('the server speaks first, with its limits', async () => {
  const client = await push.connect()
  const welcome = client.messages[0]!
  assert.equal(welcome.type, 'welcome')
  assert.equal(welcome['heartbeatMs'], 15_000)
  assert.deepEqual(welcome['limits'], { frame: 1_048_576, subscriptions: 128 })
  assert.equal(client.ws.protocol, 'ebbgate.v1.json')
})

test('a client that offers no subprotocol is served, as wscat is', async () => {
  const client = new PushClient(push.url, [])
  await client.welcomed()
  assert.equal(client.ws.protocol, '')
  client.kill()
})

test('a bearer is never echoed', async () => {
  const client = new PushClient(push.url, ['ebbgate.bearer.c2VjcmV0', 'ebbgate.v1.json'])
  await client.welcomed()
  assert.equal(client.ws.protocol, 'ebbgate.v1.json')
  client.kill()
})

test('unknown subprotocols alone are refused before the upgrade', async () => {
  for (const offered of ['graphql-ws', 'ebbgate.bearer.c2VjcmV0']) {
    const answer = await upgrade({ 'Sec-WebSocket-Protocol': offered })
    assert.match(answer, /^HTTP\/1\.1 400 /)
    assert.ok(!answer.includes(offered))
  }
})

test('a page of another site gets no socket, our own and listed ones do', async () => {
  assert.match(await upgrade({ Origin: 'https://evil.example' }), /^HTTP\/1\.1 403 /)
  assert.match(await upgrade({ Origin: 'null' }), /^HTTP\/1\.1 403 /)
  assert.match(await upgrade({ Host: `evil.example:${push.port}` }), /^HTTP\/1\.1 403 /)
  assert.match(await upgrade({ Origin: `http://localhost:${push.port}` }), /^HTTP\/1\.1 101 /)
  assert.match(await upgrade({ Origin: 'https://ours.example' }), /^HTTP\/1\.1 101 /)
})

test('other routes and other upgrades stay plain HTTP', async () => {
  assert.match(await upgrade({}, '/plain'), /^HTTP\/1\.1 200 [^]*plain$/)
  assert.match(await upgrade({ Upgrade: 'h2c' }, '/plain'), /^HTTP\/1\.1 200 /)
  const posted = await fetch(`http://127.0.0.1:${push.port}/plain`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"a":1}',
  })
  assert.deepEqual(await posted.json(), { a: 1 })
  const asked = await fetch(`http://127.0.0.1:${push.port}/v1/ws`)
  assert.equal(asked.status, 400)
})

test('an upgrade that is refused, wherever that happens, leaves no socket behind', async () => {
  for (const [method, headers] of [
    ['POST', ''],
    ['GET', 'Origin: https://evil.example\r\n'],
  ] as const) {
    const socket = connectTcp(push.port, '127.0.0.1')
    let ended = false
    socket.on('end', () => (ended = true)).on('error', () => undefined)
    socket.resume()
    socket.write(
      `${method} /v1/ws HTTP/1.1\r\nHost: 127.0.0.1:${push.port}\r\n${headers}Content-Length: 0\r\n` +
        'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
        'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
    )
    await until(() => ended, `the end of a refused ${method}`, 3_000)
    socket.destroy()
  }
})

test('from earliest: what is there, then live, then what comes', async () => {
  const topic = await newTopic()
  await push.write(topic, 0, ['{"n":0}', '{"n":1}'])
  const client = await push.connect()
  const ok = await client.ask({ type: 'subscribe', sub: 's1', topics: [topic], from: 'earliest' })
  assert.equal(ok.type, 'ok')
  const live = await client.type('live')
  await push.write(topic, 0, ['{"n":2}'])
  const records = await client.count(3)
  assert.deepEqual(
    records.map(({ offset, value }) => [offset, value]),
    [
      [0, { n: 0 }],
      [1, { n: 1 }],
      [2, { n: 2 }],
    ],
  )
  const types = client.messages.map(({ type }) => type)
  assert.deepEqual(types, ['welcome', 'ok', 'records', 'live', 'records'])
  assert.match(String(ok['position']), /^1\.[^.]+\.0-0$/)
  assert.match(String(live['position']), /\.0-2$/)
  assert.match(String(client.messages.at(-1)!['position']), /\.0-3$/)
})

test('from latest, a time, the last and a position: each begins where its word says', async () => {
  const at = (timestamp: number) => ({ value: Buffer.from(`"${timestamp}"`), timestamp })
  const now = Date.now()
  const starts = {
    latest: 3,
    [`time:${now - 2500}`]: 1,
    [`time:${new Date(now - 1000).toISOString()}`]: 2,
    'last:2': 1,
    'offset:2': 2,
  }
  for (const [from, first] of Object.entries(starts)) {
    const topic = await newTopic()
    await push.write(topic, 0, [at(now - 3000), at(now - 2000), at(now - 1000)])
    const [client, again] = [await push.connect(), await push.connect()]
    const ok = await client.ask({ type: 'subscribe', sub: 's', topics: [topic], from })
    await client.type('live')
    await push.write(topic, 0, ['"new"'])
    await again.ask({ type: 'subscribe', sub: 's', topics: [topic], from: ok['position'] })
    for (const reader of [client, again]) {
      const offsets = (await reader.count(4 - first)).map(({ offset }) => offset)
      assert.deepEqual(offsets, [0, 1, 2, 3].slice(first), from)
    }
  }
})

test('two topics of several partitions come by one subscription', async () => {
  const [a, b] = [await newTopic(3), await newTopic(2)]
  await push.write(a, 0, ['1'])
  await push.write(b, 1, ['2'])
  const client = await push.connect()
  const ok = await client.ask({ type: 'subscribe', sub: 's1', topics: [a, b], from: 'earliest' })
  assert.deepEqual(Object.keys(ok['feeds'] as object), [a, b])
  const live = await client.type('live')
  assert.equal(String(live['position']).split('~').length, 2)
  await push.write(a, 2, ['3'])
  await push.write(b, 0, ['4'])
  const records = await client.count(4)
  assert.deepEqual(records.map(({ value }) => value).sort(), [1, 2, 3, 4])
  assert.equal(client.messages.filter(({ type }) => type === 'live').length, 1)
})

test('a connection cut in the middle resumes without loss or repeat', async () => {
  const topic = await newTopic(2)
  for (let i = 0; i < 50; i++) await push.write(topic, i % 2, [`${i}`, `${i + 1000}`])
  const first = await push.connect()
  await first.ask({ type: 'subscribe', sub: 's1', topics: [topic], from: 'earliest' })
  await first.count(20)
  first.kill()
  const seen = first.records()
  const position = first.messages.findLast((message) => message.type === 'records')!['position']
  for (let i = 50; i < 60; i++) await push.write(topic, i % 2, [`${i}`])
  const second = await push.connect()
  await second.ask({ type: 'subscribe', sub: 's1', topics: [topic], from: position })
  const records = [...seen, ...(await second.count(110 - seen.length))]
  const places = records.map(({ partition, offset }) => `${partition}/${offset}`)
  assert.equal(places.length, 110)
  assert.equal(new Set(places).size, 110)
})

test('values keep their bytes', async () => {
  const topic = await newTopic()
  const values = [
    '{"price": 49300.00, "price":1E+2}',
    '12345678901234567890',
    '[ 1 ,\n2 ]',
    '"\\u00e9é"',
    '-0',
  ]
  await push.write(topic, 0, values)
  const client = await push.connect()
  await client.ask({ type: 'subscribe', sub: 's1', topics: [topic], from: 'earliest' })
  await client.count(values.length)
  const payload = client.payloads[2]!.toString('utf8')
  for (const value of values) assert.ok(payload.includes(`"value":${value}`), value)
})

test('many subscribers get byte-identical frames', async () => {
  const topic = await newTopic(2)
  const clients = await Promise.all(Array.from({ length: 40 }, () => push.connect()))
  for (const client of clients) {
    await client.ask({ type: 'subscribe', sub: `s${Math.random()}`, topics: [topic] })
  }
  for (const client of clients) await client.type('live')
  for (let i = 0; i < 30; i++) await push.write(topic, i % 2, [`{"n":${i}}`])
  await Promise.all(clients.map((client) => client.count(30)))
  const [first, ...others] = clients.map((client) =>
    client.payloads.filter((_, i) => client.messages[i]!.type === 'records').map(String),
  )
  for (const other of others) assert.deepEqual(other, first)
  for (const client of clients) client.kill()
})

test('until ends the subscription exactly there', async () => {
  const topic = await newTopic()
  await push.write(topic, 0, ['0', '1', '2', '3'])
  const client = await push.connect()
  await client.ask({
    type: 'subscribe',
    sub: 's1',
    topics: [topic],
    from: 'earliest',
    until: 'offset:3',
  })
  const end = await client.type('end')
  assert.equal(end['why'], 'until')
  assert.match(String(end['position']), /\.0-3$/)
  assert.deepEqual(
    client.records().map(({ offset }) => offset),
    [0, 1, 2],
  )
  const ahead = { type: 'subscribe', sub: 's2', topics: [topic], from: 'latest', until: 'offset:6' }
  await client.ask(ahead)
  await push.write(topic, 0, ['4', '5', '6'])
  await client.find(
    (message) => message.type === 'end' && message['sub'] === 's2',
    'the second end',
  )
  assert.deepEqual(
    client.records().map(({ offset }) => offset),
    [0, 1, 2, 4, 5],
  )
})

test('deletion of a topic ends what reads it', async () => {
  const [a, b] = [await newTopic(), await newTopic()]
  const client = await push.connect()
  await client.ask({ type: 'subscribe', sub: 's1', topics: [a, b] })
  await client.type('live')
  await push.deleteTopic(a)
  const first = await client.type('end')
  assert.deepEqual([first['sub'], first['topic'], first['why']], ['s1', a, 'deleted'])
  await push.write(b, 0, ['1'])
  await client.count(1)
  await push.deleteTopic(b)
  const second = await client.find(
    (message) => message.type === 'end' && message['topic'] === undefined,
    'the end of the whole subscription',
  )
  assert.equal(second['why'], 'deleted')
})

test('deletion ends a reader, too, that is far behind', async () => {
  const topic = await newTopic()
  const client = await push.connect()
  client.ws.pause()
  client.send({ type: 'subscribe', id: 77, sub: 's1', topics: [topic], from: 'earliest' })
  const value = `"${'x'.repeat(100_000)}"`
  for (let i = 0; i < 12; i++) await push.write(topic, 0, Array<string>(10).fill(value))
  await until(() => push.bufferedBytes() > 0, 'the socket to be full')
  await push.deleteTopic(topic)
  client.ws.resume()
  const end = await client.type('end')
  assert.equal(end['why'], 'deleted')
  const { next } = client.messages.findLast(({ type }) => type === 'records') as unknown as {
    next: number
  }
  assert.ok(next < 120)
  assert.ok(String(end['position']).endsWith(`.0-${next}`), 'the position is what was sent')
})

test('partitions that a topic gets are announced and read from their start', async () => {
  const topic = await newTopic(1)
  const client = await push.connect()
  await client.ask({ type: 'subscribe', sub: 's1', topics: [topic] })
  await client.type('live')
  await push.engine.topics.grow([{ name: topic, partitions: 3 }], { timeoutMs: 5000 })
  await push.write(topic, 2, ['"born"'])
  const assign = await client.type('assign')
  assert.deepEqual(assign['assignment'], { [topic]: [1, 2] })
  const [record] = await client.count(1)
  assert.deepEqual([record!.partition, record!.offset, record!.value], [2, 0, 'born'])
})

test('partitions born while a subscription is being made are read from their start', async () => {
  const own = await openPush((engine) => {
    class GrowingReader extends Reader {
      override async ends(scope: TopicScope): Promise<PartitionPlace[]> {
        const ends = await super.ends(scope)
        await engine.topics.grow([{ name: scope.topic, partitions: 3 }], { timeoutMs: 5000 })
        return ends
      }
    }
    const { log, topics } = engine
    return { reader: new GrowingReader({ log, topics, clock: systemClock }) }
  })
  try {
    await own.createTopic('growing', 1)
    const client = await own.connect()
    await client.ask({ type: 'subscribe', sub: 's1', topics: ['growing'], from: 'earliest' })
    await own.write('growing', 2, ['"born"'])
    const [record] = await client.count(1)
    assert.deepEqual([record!.partition, record!.offset, record!.value], [2, 0, 'born'])
  } finally {
    await own.close()
  }
})

test('a subscription with an end reads nothing of partitions that were born after it', async () => {
  const topic = await newTopic(1)
  const client = await push.connect()
  const { id } = push.engine.topics.known(topic)!
  await client.ask({ type: 'subscribe', sub: 's1', topics: [topic], until: `1.${id}.0-2` })
  await push.engine.topics.grow([{ name: topic, partitions: 2 }], { timeoutMs: 5000 })
  await push.write(topic, 1, ['"born"'])
  await push.write(topic, 0, ['1'])
  await client.count(1)
  await push.write(topic, 0, ['2'])
  const end = await client.type('end')
  assert.equal(end['position'], `1.${id}.0-2`)
  assert.deepEqual(
    client.records().map(({ value }) => value),
    [1, 2],
  )
})

test('live is said, too, when one of the topics has reached its end before', async () => {
  const [a, b] = [await newTopic(), await newTopic()]
  await push.write(a, 0, ['1'])
  const client = await push.connect()
  const [idA, idB] = [a, b].map((topic) => push.engine.topics.known(topic)!.id)
  const untils = `1.${idA}.0-1~1.${idB}.0-1`
  const command = { type: 'subscribe', sub: 's1', topics: [a, b], from: 'earliest', until: untils }
  await client.ask(command)
  assert.equal((await client.type('live'))['position'], `1.${idA}.0-1~1.${idB}.0-0`)
  await push.write(b, 0, ['2'])
  assert.equal((await client.type('end'))['why'], 'until')
})

test('a position of a topic that was made again is told as a gap, or refused', async () => {
  const topic = await newTopic()
  await push.write(topic, 0, ['1', '2'])
  const client = await push.connect()
  const ok = await client.ask({ type: 'subscribe', sub: 'old', topics: [topic], from: 'latest' })
  await push.deleteTopic(topic)
  await push.createTopic(topic, 1)
  await push.write(topic, 0, ['"new"'])
  const from = ok['position']
  await client.ask({ type: 'subscribe', sub: 's1', topics: [topic], from })
  const gap = await client.type('gap')
  assert.deepEqual([gap['sub'], gap['why'], gap['to']], ['s1', 'recreated', 0])
  assert.equal((await client.count(1))[0]!.value, 'new')
  const refused = await client.ask({
    type: 'subscribe',
    sub: 's2',
    topics: [topic],
    from,
    onGap: 'fail',
  })
  assert.equal(refused['code'], 'EPOCH_MISMATCH')
})

test('records deleted by retention are told as a gap, or refused', async () => {
  const topic = await newTopic()
  await push.write(topic, 0, ['0', '1'])
  await push.write(topic, 0, ['2', '3'])
  const tp = { topic, partition: 0 }
  await push.engine.log.deleteRecords([{ tp, before: 2 }], { timeoutMs: 5000 })
  const client = await push.connect()
  const from = 'offset:1'
  await client.ask({ type: 'subscribe', sub: 's1', topics: [topic], from })
  const gap = await client.type('gap')
  assert.deepEqual([gap['from'], gap['to'], gap['why']], [1, 2, 'retention'])
  assert.deepEqual(
    (await client.count(2)).map(({ offset }) => offset),
    [2, 3],
  )
  const command = { type: 'subscribe', sub: 's2', topics: [topic], from, onGap: 'fail' }
  assert.equal((await client.ask(command))['code'], 'OFFSET_OUT_OF_RANGE')
})

test('mistakes are answered by name and the connection goes on', async () => {
  const topic = await newTopic()
  const client = await push.connect()
  const base = { type: 'subscribe', sub: 's1', topics: [topic] }
  const mistakes: [Record<string, unknown>, string, RegExp][] = [
    [{ ...base, form: 'earliest' }, 'BAD_REQUEST', /'from'/],
    [{ ...base, group: { name: 'g' } }, 'UNSUPPORTED', /'group'/],
    [{ type: 'produce', topic, records: [] }, 'UNSUPPORTED', /'produce'/],
    [{ ...base, topics: ['nobody-made-it'] }, 'UNKNOWN_TOPIC', /nobody-made-it/],
    [{ ...base, topics: ['__ebbgate_settings'] }, 'UNKNOWN_TOPIC', /__ebbgate_settings/],
    [{ ...base, topics: [topic, topic] }, 'BAD_REQUEST', /twice/],
    [{ ...base, partitions: [7] }, 'UNKNOWN_PARTITION', /7/],
    [{ ...base, from: 'yesterday' }, 'BAD_REQUEST', /yesterday/],
    [{ ...base, from: 1043 }, 'BAD_REQUEST', /offset:1043/],
    [{ ...base, from: '1.AAAAAAAAAAAAAAAAAAAAAA.9-1' }, 'ok', /./],
    [{ type: 'unsubscribe', sub: 'never' }, 'UNKNOWN_SUBSCRIPTION', /never/],
    [base, 'ALREADY_SUBSCRIBED', /s1/],
    [{ ...base, sub: 's2' }, 'ALREADY_SUBSCRIBED', /s1/],
  ]
  for (const [command, code, words] of mistakes) {
    const reply = await client.ask(command)
    assert.equal(reply['code'] ?? reply.type, code, JSON.stringify(reply))
    if (code !== 'ok') assert.match(String(reply['message']), words)
  }
  assert.equal((await client.ask({ type: 'ping' })).type, 'ok')
  const left = await client.ask({ type: 'unsubscribe', sub: 's1' })
  assert.match(String(left['position']), /\.0-0$/)
  assert.equal((await client.ask({ ...base, sub: 's2' })).type, 'ok')
})

test('three messages that cannot be read close the connection', async () => {
  const client = await push.connect()
  for (const nonsense of ['nonsense', '[1,2]', '{"id":1}']) client.send(nonsense)
  assert.deepEqual(await client.closedBy(), { code: 4400, reason: 'BAD_REQUEST' })
  const errors = client.messages.filter(({ type }) => type === 'error')
  assert.deepEqual(
    errors.map(({ code }) => code),
    Array(3).fill('BAD_REQUEST'),
  )
})

test('a message above 1 MiB closes with 1009', async () => {
  const client = await push.connect()
  client.send(JSON.stringify({ type: 'ping', id: 1, text: 'x'.repeat(1_048_576) }))
  assert.equal((await client.closedBy()).code, 1009)
})

test('a connection holds 128 subscriptions', async () => {
  const topic = await newTopic(129)
  const client = await push.connect()
  for (let partition = 0; partition < 128; partition++) {
    const command = {
      type: 'subscribe',
      sub: `p${partition}`,
      topics: [topic],
      partitions: [partition],
    }
    assert.equal((await client.ask(command)).type, 'ok')
  }
  const one = { type: 'subscribe', sub: 'more', topics: [topic], partitions: [128] }
  assert.equal((await client.ask(one))['code'], 'TOO_MANY_SUBSCRIPTIONS')
  await client.ask({ type: 'unsubscribe', sub: 'p7' })
  assert.equal((await client.ask(one)).type, 'ok')
})

test('a client that floods commands and reads no reply is not read on, and is served afterwards', async () => {
  const client = await push.connect()
  client.ws.pause()
  const count = 60_000
  for (let id = 1000; id < 1000 + count; id++) client.send({ type: 'ping', id })
  client.ws.resume()
  await until(() => client.messages.length === count + 1, `${count} replies`, 20_000)
})

test('who takes no replies gets no more of them made, however large they are', async () => {
  const own = await openPush()
  try {
    const client = await own.connect()
    client.ws.pause()
    let most = 0
    const count = 100_000
    for (let i = 0; i < count; i++) {
      // 12 characters that are answered by some 190.
      client.send('{"type":"x"}')
      if (i % 5000 !== 0) continue
      await sleep(5)
      most = Math.max(most, own.bufferedBytes())
    }
    assert.ok(most > 256 * 1024 && most < 320 * 1024, `${most} bytes wait for the peer`)
    client.ws.resume()
    await until(() => client.messages.length === count + 1, 'all replies', 20_000)
  } finally {
    await own.close()
  }
})

test('commands that wait are few bytes, and all are done in the end', async () => {
  let letGo = (): void => undefined
  const held = new Promise<void>((resolve) => (letGo = resolve))
  const own = await openPush(({ log, topics }) => {
    class HeldReader extends Reader {
      override async begin(...args: Parameters<Reader['begin']>): ReturnType<Reader['begin']> {
        await held
        return await super.begin(...args)
      }
    }
    return { reader: new HeldReader({ log, topics, clock: systemClock }) }
  })
  try {
    const client = await own.connect()
    client.send({ type: 'subscribe', id: 1, sub: 's1', topics: ['nobody'] })
    const text = 'x'.repeat(1_000_000)
    for (let id = 100; id < 130; id++) client.send({ type: 'ping', id, text })
    await sleep(300)
    assert.ok(client.ws.bufferedAmount > 10_000_000, `${client.ws.bufferedAmount} bytes are unread`)
    letGo()
    await client.find(({ id }) => id === 129, 'the last reply')
  } finally {
    letGo()
    await own.close()
  }
})

test("Node's own WebSocket is served as well", async () => {
  const topic = await newTopic()
  await push.write(topic, 0, ['"hello"'])
  const socket = new WebSocket(push.url, 'ebbgate.v1.json')
  const texts: string[] = []
  socket.onmessage = ({ data }) => void texts.push(String(data))
  await until(() => texts.length === 1, 'a welcome')
  socket.send(
    JSON.stringify({ type: 'subscribe', id: 1, sub: 's1', topics: [topic], from: 'earliest' }),
  )
  await until(() => texts.length === 4, 'ok, records and live')
  assert.match(texts[2]!, /"records":\[\{.*"value":"hello"\}\]/)
  socket.close()
})

test('a reader that stops loses nothing, costs no memory and does not hold up the others', async () => {
  let ringBytes = 0
  const meter = { ...silentPushMeter, ringBytes: (bytes: number) => (ringBytes = bytes) }
  const own = await openPush({ meter })
  try {
    await own.createTopic('busy', 2)
    const [slow, quick] = [await own.connect(), await own.connect()]
    for (const client of [slow, quick]) {
      await client.ask({ type: 'subscribe', sub: 's1', topics: ['busy'] })
      await client.type('live')
    }
    slow.ws.pause()
    const value = `"${'x'.repeat(20_000)}"`
    const [writes, perWrite] = [150, 10]
    const most = { ring: 0, sockets: 0 }
    for (let i = 0; i < writes; i++) {
      await own.write('busy', i % 2, Array<string>(perWrite).fill(value))
      await quick.count((i + 1) * perWrite)
      most.ring = Math.max(most.ring, ringBytes)
      most.sockets = Math.max(most.sockets, own.bufferedBytes())
    }
    assert.equal(slow.closed, undefined)
    assert.ok(most.ring > 1024 * 1024 && most.ring < 5 * 1024 * 1024, `${most.ring} bytes in rings`)
    assert.ok(most.sockets > 0 && most.sockets < 512 * 1024, `${most.sockets} bytes in sockets`)
    slow.ws.resume()
    await slow.count(writes * perWrite)
    const all = Array.from({ length: (writes * perWrite) / 2 }, (_, i) => i)
    for (const partition of [0, 1]) {
      const own = slow.records().filter((record) => record.partition === partition)
      assert.deepEqual(
        own.map(({ offset }) => offset),
        all,
      )
    }
    assert.ok(slow.messages.filter(({ type }) => type === 'live').length > 1, 'live is said again')
  } finally {
    await own.close()
  }
})

test('a slow reader of many topics costs about one read of each, not one for every try', async () => {
  let reads = 0
  const own = await openPush(({ log, topics }) => {
    class CountingReader extends Reader {
      override run(...args: Parameters<Reader['run']>): ReturnType<Reader['run']> {
        reads++
        return super.run(...args)
      }
    }
    return { reader: new CountingReader({ log, topics, clock: systemClock }) }
  })
  try {
    const names = Array.from({ length: 60 }, (_, i) => `many-${i}`)
    const value = `"${'x'.repeat(25_000)}"`
    for (const name of names) {
      await own.createTopic(name, 1)
      await own.write(name, 0, Array<string>(10).fill(value))
      await own.write(name, 0, Array<string>(10).fill(value))
    }
    const slow = await own.connect()
    slow.ws.pause()
    slow.send({ type: 'subscribe', id: 1, sub: 's1', topics: names, from: 'earliest' })
    await until(() => own.bufferedBytes() > 0, 'the socket to be full')
    // It takes a little and rests: every rest is room for all cursors to read what cannot be sent.
    while (slow.recordCount < names.length * 20) {
      slow.ws.resume()
      await sleep(1)
      slow.ws.pause()
      await sleep(10)
    }
    assert.ok(reads <= names.length * 5, `${reads} reads`)
  } finally {
    await own.close()
  }
})

test('all rings together keep within their limit, and who falls off loses nothing', async () => {
  let ringBytes = 0
  let most = 0
  const meter = {
    ...silentPushMeter,
    ringBytes: (bytes: number) => void (most = Math.max(most, (ringBytes = bytes))),
  }
  const own = await openPush({ meter, ringsBytesMax: 1_000_000 })
  try {
    const names = ['ring-a', 'ring-b', 'ring-c', 'ring-d']
    for (const name of names) await own.createTopic(name, 1)
    const clients = await Promise.all(names.map(() => own.connect()))
    for (const client of clients) {
      await client.ask({ type: 'subscribe', sub: 's1', topics: names })
      await client.type('live')
    }
    clients[0]!.ws.pause()
    const value = `"${'x'.repeat(50_000)}"`
    for (let i = 0; i < 60; i++) {
      for (const name of names) await own.write(name, 0, [value])
    }
    await clients[1]!.count(240)
    await until(() => ringBytes <= 1_000_000, 'the rings to shrink', 3_000)
    // A chunk of each feed may come before the sweep does.
    assert.ok(most > 800_000 && most < 1_600_000, `${most} bytes in rings`)
    clients[0]!.ws.resume()
    for (const client of clients) {
      const records = await client.count(240)
      for (const name of names) {
        const offsets = records.filter(({ topic }) => topic === name).map(({ offset }) => offset)
        assert.deepEqual(
          offsets,
          Array.from({ length: 60 }, (_, i) => i),
        )
      }
    }
  } finally {
    await own.close()
  }
})

test('a socket that takes nothing for two minutes is left, one that takes a little is not', async () => {
  const clock = new ManualClock()
  const own = await openPush({ clock })
  try {
    await own.createTopic('large', 1)
    const value = `"${'x'.repeat(100_000)}"`
    for (let i = 0; i < 30; i++) await own.write('large', 0, Array<string>(10).fill(value))
    const [stuck, slow] = [await own.connect(), await own.connect()]
    for (const client of [stuck, slow]) {
      client.ws.pause()
      client.send({ type: 'subscribe', id: 1, sub: 's1', topics: ['large'], from: 'earliest' })
    }
    const pass = (ms: number): void => {
      for (let passedMs = 0; passedMs < ms; passedMs += 500) clock.advance(500)
    }
    await until(() => own.bufferedBytes() > 0, 'the sockets to be full')
    await sleep(200)
    pass(100_000)
    // More than what the two kernels hold, so that the gateway sees some of it go.
    slow.ws.on('message', () => {
      if (slow.recordCount === 150) slow.ws.pause()
    })
    slow.ws.resume()
    await until(() => slow.recordCount >= 150, 'a part to be taken')
    await sleep(200)
    pass(40_000)
    // The Close frame is behind the data, so it shows once that is taken.
    stuck.ws.resume()
    assert.deepEqual(await stuck.closedBy(), { code: 4504, reason: 'PEER_TIMEOUT' })
    assert.equal(slow.closed, undefined)
    slow.ws.resume()
    await slow.count(300)
  } finally {
    await own.close()
  }
})

test('topics of more than 32 partitions come whole, with their positions outside of frames', async () => {
  const topic = await newTopic(40)
  for (let partition = 0; partition < 40; partition++) {
    await push.write(topic, partition, [`${partition}`])
  }
  const client = await push.connect()
  const command = { type: 'subscribe', sub: 's1', topics: [topic], from: 'earliest' }
  await client.ask(command)
  const live = await client.type('live')
  assert.match(String(live['position']), /^2\./)
  await push.write(topic, 39, ['"live"'])
  await client.count(41)
  for (const message of client.messages) {
    if (message.type === 'records') assert.equal(message['position'], undefined)
  }
  const again = await push.connect()
  await again.ask({ ...command, from: live['position'] })
  assert.deepEqual(
    (await again.count(1)).map(({ partition, offset }) => [partition, offset]),
    [[39, 1]],
  )
  const left = await again.ask({ type: 'unsubscribe', sub: 's1' })
  await again.ask({ ...command, from: left['position'] })
  await push.write(topic, 0, ['"new"'])
  assert.deepEqual(
    (await again.count(2)).map(({ partition, offset }) => [partition, offset]),
    [
      [39, 1],
      [0, 1],
    ],
  )
})

test('a damaged batch is told as a gap to those behind and those at the end, or refused', async () => {
  const own = await openPush(({ log, topics }) => {
    const damaged = new WatchedLog(log, (_, base) => base === 2 || base === 6)
    const parts = { log: damaged, topics, clock: systemClock }
    return { reader: new Reader(parts), tail: new Tail({ ...parts, logger: silentLogger }) }
  })
  try {
    await own.createTopic('t', 1)
    for (let i = 0; i < 3; i++) await own.write('t', 0, [`${i}`, `${i}`])
    const [behind, live, strict] = [await own.connect(), await own.connect(), await own.connect()]
    await live.ask({ type: 'subscribe', sub: 's1', topics: ['t'] })
    await behind.ask({ type: 'subscribe', sub: 's1', topics: ['t'], from: 'earliest' })
    await strict.ask({ type: 'subscribe', sub: 's1', topics: ['t'], onGap: 'fail' })
    for (const client of [live, behind, strict]) await client.type('live')
    await own.write('t', 0, ['3', '3'])
    await own.write('t', 0, ['4', '4'])
    const gaps = ({ messages }: PushClient) =>
      messages.filter(({ type }) => type === 'gap').map(({ from, to, why }) => [from, to, why])
    await live.count(2)
    assert.deepEqual(gaps(live), [[6, 8, 'corrupt']])
    const seen = (await behind.count(6)).map(({ offset }) => offset)
    assert.deepEqual(seen, [0, 1, 4, 5, 8, 9])
    assert.deepEqual(gaps(behind), [
      [2, 4, 'corrupt'],
      [6, 8, 'corrupt'],
    ])
    const error = await strict.type('error')
    assert.deepEqual([error['sub'], error['code']], ['s1', 'CORRUPT_BATCH'])
    assert.match(String(error['position']), /\.0-6$/)
  } finally {
    await own.close()
  }
})

test('heartbeats come when nothing else does, and a peer that says nothing is left', async () => {
  const own = await openPush({ heartbeatMs: 300 })
  try {
    await own.createTopic('quiet', 1)
    const alive = await own.connect()
    await alive.ask({ type: 'subscribe', sub: 's1', topics: ['quiet'] })
    const named = await own.connect()
    await named.ask({ type: 'subscribe', sub: '__proto__', topics: ['quiet'] })
    const dead = new PushClient(own.url)
    await dead.welcomed()
    // A half-open peer: its answers to pings never leave.
    dead.ws.on('ping', () => undefined)
    ;(dead.ws as unknown as { _autoPong: boolean })._autoPong = false
    const heartbeat = await alive.type('heartbeat')
    assert.match((heartbeat['position'] as Record<string, string>)['s1']!, /\.0-0$/)
    assert.deepEqual(heartbeat['lag'], { s1: 0 })
    assert.deepEqual(Object.keys((await named.type('heartbeat'))['lag'] as object), ['__proto__'])
    assert.deepEqual(await dead.closedBy(), { code: 4504, reason: 'PEER_TIMEOUT' })
    assert.equal(alive.closed, undefined)
    await until(() => alive.messages.filter(({ type }) => type === 'heartbeat').length > 4, 'more')
    assert.equal(alive.closed, undefined)
  } finally {
    await own.close()
  }
})

test('when the gateway stops, each client is told where it stands and when to come back', async () => {
  const own = await openPush({ connectionsMax: 5 })
  try {
    await own.createTopic('t', 1)
    await own.write('t', 0, ['1'])
    const clients = await Promise.all(Array.from({ length: 5 }, () => own.connect()))
    await assert.rejects(
      new Promise((_, reject) => new NodeWebSocketModule(own.url).on('error', reject)),
      /503/,
    )
    for (const client of clients) {
      await client.ask({ type: 'subscribe', sub: 's1', topics: ['t'], from: 'earliest' })
      await client.type('live')
    }
    clients[4]!.ws.pause()
    const began = performance.now()
    await own.door.drain()
    assert.ok(performance.now() - began < 1500)
    const retries = new Set<number>()
    for (const client of clients.slice(0, 4)) {
      const { code, reason } = await client.closedBy()
      assert.equal(code, 4503)
      const retryMs = Number(/^DRAINING retry=(\d+)$/.exec(reason)?.[1])
      assert.ok(retryMs >= 500 && retryMs <= 10_000)
      retries.add(retryMs)
      const end = await client.type('end')
      assert.equal(end['why'], 'moved')
      assert.match(String(end['position']), /\.0-1$/)
    }
    assert.ok(retries.size > 1)
  } finally {
    await own.close()
  }
})
