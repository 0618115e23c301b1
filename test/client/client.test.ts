import assert from 'node:assert/strict'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { after, before, test } from 'node:test'
import { WebSocketServer } from 'ws'
import type { WebSocket } from 'ws'
import type { Client, ClientRecord, ClientState, ConnectOptions } from '../../src/client/index.ts'
import { connect, EbbgateError } from '../../src/client/index.ts'
import type { PushFixture } from '../support/push-fixture.ts'
import { openPush } from '../support/push-fixture.ts'
import { TcpCutter } from '../support/tcp-cutter.ts'
import { until } from '../support/until.ts'

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

/** A client that is closed when its test is over, however that ends. */
function open(t: TestContext, options: ConnectOptions): Client {
  const client = connect(options)
  t.after(() => client.close())
  return client
}

const url = (): string => `http://127.0.0.1:${push.port}`

test('an iterator gives records as they come, from the beginning on', async (t) => {
  const topic = await newTopic(2)
  await push.write(topic, 0, [{ key: Buffer.from('k'), value: Buffer.from('{"n":1}') }])
  const client = open(t, { url: url() })
  const seen: ClientRecord[] = []
  for await (const record of client.subscribe({ topics: [topic], from: 'earliest' })) {
    seen.push(record)
    if (seen.length === 1) await push.write(topic, 1, ['"two"'])
    if (seen.length === 2) break
  }
  assert.deepEqual(
    seen.map(({ partition, offset, key, value }) => [partition, offset, key, value]),
    [
      [0, 0, 'k', { n: 1 }],
      [1, 0, null, 'two'],
    ],
  )
  await client.close()
  assert.equal(client.state, 'closed')
})

test('the position is that of the records taken, so another read goes on exactly there', async (t) => {
  const topic = await newTopic()
  await push.write(topic, 0, ['0', '1', '2', '3'])
  const client = open(t, { url: url() })
  const subscription = client.subscribe({ topics: [topic], from: 'earliest' })
  const iterator = subscription[Symbol.asyncIterator]()
  await iterator.next()
  await iterator.next()
  await iterator.next()
  // The third one is in hand and not done with.
  assert.match(subscription.position!, /\.0-2$/)
  const [first] = await takeAll(
    client.subscribe({
      topics: [topic],
      from: subscription.position!,
      until: 'latest',
      format: 'text',
    }),
  )
  assert.equal(first!.offset, 2)
})

async function takeAll(records: AsyncIterable<ClientRecord>): Promise<ClientRecord[]> {
  const all: ClientRecord[] = []
  for await (const record of records) all.push(record)
  return all
}

test('until ends the iteration', async (t) => {
  const topic = await newTopic(2)
  await push.write(topic, 0, ['0', '1'])
  await push.write(topic, 1, ['2'])
  const client = open(t, { url: url() })
  const all = await takeAll(
    client.subscribe({ topics: [topic], from: 'earliest', until: 'latest' }),
  )
  assert.equal(all.length, 3)
})

test('what the gateway refuses is thrown by the iterator, with its code', async (t) => {
  const client = open(t, { url: url() })
  const refused = (code: string) => (error: unknown) =>
    error instanceof EbbgateError && error.code === code
  await assert.rejects(takeAll(client.subscribe({ topics: ['nobody'] })), refused('UNKNOWN_TOPIC'))
  const topic = await newTopic()
  const wrong = { topics: [topic], from: 'yesterday' }
  await assert.rejects(takeAll(client.subscribe(wrong)), refused('BAD_REQUEST'))
  await client.close()
  await assert.rejects(takeAll(client.subscribe({ topics: [topic] })), refused('CLOSED'))
})

test('closing the client ends what iterates', async (t) => {
  const topic = await newTopic()
  const client = open(t, { url: url() })
  let live = false
  const iterating = takeAll(client.subscribe({ topics: [topic], onLive: () => (live = true) }))
  await until(() => live, 'live')
  await client.close()
  assert.deepEqual(await iterating, [])
})

test('a reader that takes its time gives the socket up and loses nothing', async (t) => {
  const topic = await newTopic()
  for (let i = 0; i < 40; i++) await push.write(topic, 0, Array<string>(1000).fill(`${i}`))
  const states: ClientState[] = []
  const client = open(t, { url: url(), onState: (state) => void states.push(state) })
  let next = 0
  for await (const { offset } of client.subscribe({ topics: [topic], from: 'earliest' })) {
    assert.equal(offset, next++)
    if (next === 1) await until(() => client.state === 'holding', 'the client to hold')
    if (next === 40_000) break
  }
  assert.ok(states.includes('holding'), states.join())
})

test('a cut connection is made again and goes on where it stood', async (t) => {
  const topic = await newTopic()
  const cutter = await TcpCutter.open(push.port)
  t.after(() => cutter.close())
  const client = open(t, { url: `ws://127.0.0.1:${cutter.port}/v1/ws` })
  const seen: number[] = []
  client.subscribe({
    topics: [topic],
    from: 'earliest',
    onRecord: ({ offset }) => void seen.push(offset),
  })
  for (let i = 0; i < 4; i++) {
    await push.write(topic, 0, ['a', 'b'])
    await until(() => seen.length === 2 * (i + 1), 'the records')
    cutter.cut()
  }
  assert.deepEqual(seen, [0, 1, 2, 3, 4, 5, 6, 7])
})

/** A server that does as the test says. */
async function openScripted(
  t: TestContext,
  script: (socket: WebSocket, connection: number) => void,
) {
  const server = new WebSocketServer({
    port: 0,
    host: '127.0.0.1',
    handleProtocols: () => 'ebbgate.v1.json',
  })
  const asked: { connection: number; message: Record<string, unknown>; atMs: number }[] = []
  let connections = 0
  server.on('connection', (socket) => {
    const connection = ++connections
    socket.on('message', (data: Buffer) => {
      const message = JSON.parse(data.toString()) as Record<string, unknown>
      asked.push({ connection, message, atMs: performance.now() })
    })
    script(socket, connection)
  })
  await new Promise((resolve) => server.on('listening', resolve))
  const { port } = server.address() as AddressInfo
  const close = (): void => {
    for (const socket of server.clients) socket.terminate()
    server.close()
  }
  t.after(close)
  return { url: `ws://127.0.0.1:${port}`, asked, connections: () => connections }
}

const say = (socket: WebSocket, message: object): void => socket.send(JSON.stringify(message))
const welcome = { type: 'welcome', connection: 'c', node: 'n', heartbeatMs: 15_000, limits: {} }
const frame = (from: number, values: readonly number[]) => ({
  type: 'records',
  feed: 'f1',
  topic: 't',
  epoch: 'e1',
  partition: 0,
  from,
  next: from + values.length,
  end: 99,
  records: values.map((value) => ({ timestamp: 0, key: null, value })),
})

/** Welcomes, and answers a subscribe with the position it asks for and these frames. */
function answering(frames: (from: string) => readonly object[]) {
  return (socket: WebSocket): void => {
    say(socket, welcome)
    socket.on('message', (data: Buffer) => {
      const { type, id, sub, from } = JSON.parse(data.toString()) as Record<string, string>
      if (type !== 'subscribe') return
      const position = from!.startsWith('1.') ? from! : '1.e1.0-0'
      say(socket, { type: 'ok', id, sub, feeds: { t: 'f1' }, position })
      for (const message of frames(from!)) say(socket, message)
    })
  }
}

test('repeats are dropped and a frame that overlaps is cut', async (t) => {
  const server = await openScripted(
    t,
    answering(() => [frame(0, [0, 1]), frame(0, [0, 1]), frame(1, [1, 2, 3]), frame(4, [4])]),
  )
  const client = open(t, { url: server.url })
  const seen: unknown[] = []
  client.subscribe({
    topics: ['t'],
    from: 'earliest',
    onRecord: ({ value }) => void seen.push(value),
  })
  await until(() => seen.length >= 5, 'five records')
  assert.deepEqual(seen, [0, 1, 2, 3, 4])
})

test('a hole makes the client start over from what it has', async (t) => {
  const server = await openScripted(
    t,
    answering((from) =>
      from === 'earliest' ? [frame(0, [0]), frame(2, [2])] : [frame(1, [1, 2])],
    ),
  )
  const client = open(t, { url: server.url })
  const seen: unknown[] = []
  client.subscribe({
    topics: ['t'],
    from: 'earliest',
    onRecord: ({ value }) => void seen.push(value),
  })
  await until(() => seen.length >= 3, 'three records')
  assert.deepEqual(seen, [0, 1, 2])
  assert.equal(server.asked.find(({ connection }) => connection === 2)!.message['from'], '1.e1.0-1')
})

test('a server that leaves the same hole again and again is given up', async (t) => {
  const server = await openScripted(
    t,
    answering(() => [frame(7, [7])]),
  )
  const client = open(t, { url: server.url })
  const reading = takeAll(client.subscribe({ topics: ['t'], from: '1.e1.0-0' }))
  await assert.rejects(reading, /Starting over did not help/)
})

test('the moment that the server names is kept', async (t) => {
  const closedMs: number[] = []
  const server = await openScripted(t, (socket, connection) => {
    say(socket, welcome)
    if (connection > 1) return
    closedMs.push(performance.now())
    socket.close(4503, 'DRAINING retry=400')
  })
  open(t, { url: server.url })
  await until(() => server.connections() === 2, 'the second connection')
  assert.ok(performance.now() - closedMs[0]! >= 390)
})

test('a close that forbids to come back ends everything', async (t) => {
  const server = await openScripted(t, (socket) => {
    say(socket, welcome)
    socket.close(4403, 'FORBIDDEN')
  })
  const client = open(t, { url: server.url })
  await assert.rejects(takeAll(client.subscribe({ topics: ['t'] })), /4403 FORBIDDEN/)
  assert.equal(client.state, 'closed')
  assert.equal(server.connections(), 1)
})

test('a server that falls silent is asked once and then left', async (t) => {
  const server = await openScripted(t, (socket) => say(socket, { ...welcome, heartbeatMs: 100 }))
  open(t, { url: server.url })
  await until(() => server.connections() >= 2, 'the second connection')
  assert.ok(
    server.asked.some(({ connection, message }) => connection === 1 && message['type'] === 'ping'),
  )
})

test('a refusal that may heal is not asked for twice when the connection changes meanwhile', async (t) => {
  const server = await openScripted(t, (socket, connection) => {
    say(socket, welcome)
    let asked = 0
    socket.on('message', (data: Buffer) => {
      const { id, sub } = JSON.parse(data.toString()) as Record<string, string>
      if (connection === 1) {
        const late = { code: 'IO_ERROR', message: 'Disk.', retriable: true, applied: 'maybe' }
        say(socket, { type: 'error', id, ...late, retryAfterMs: 150 })
        socket.close(4503, 'DRAINING retry=20')
      } else if (++asked === 1) {
        say(socket, { type: 'ok', id, sub, feeds: { t: 'f1' }, position: '1.e1.0-0' })
        setTimeout(() => say(socket, frame(0, [7])), 300)
      } else {
        const twice = { code: 'ALREADY_SUBSCRIBED', message: '.', retriable: false, applied: 'no' }
        say(socket, { type: 'error', id, ...twice })
      }
    })
  })
  const client = open(t, { url: server.url })
  for await (const { value } of client.subscribe({ topics: ['t'] })) {
    assert.equal(value, 7)
    break
  }
})

test('an end in words is the same offset after a break, however much was written since', async (t) => {
  const topic = await newTopic()
  await push.write(topic, 0, Array<string>(3).fill('"before"'))
  const { id } = push.engine.topics.known(topic)!
  const real = await push.connect()
  const command = { type: 'subscribe', sub: 's1', topics: [topic], from: 'earliest' }
  assert.equal((await real.ask({ ...command, until: 'latest' }))['until'], `1.${id}.0-3`)
  const endless = await real.ask({ ...command, sub: 's2', format: 'text' })
  assert.deepEqual([endless.type, endless['until']], ['ok', undefined])

  const server = await openScripted(t, (socket, connection) => {
    answering(() => [frame(connection - 1, [connection])])(socket)
    socket.prependListener('message', (data: Buffer) => {
      const { id: command, sub } = JSON.parse(data.toString()) as Record<string, string>
      if (connection > 1) return
      const [feeds, position, end] = [{ t: 'f1' }, '1.e1.0-0', '1.e1.0-2']
      say(socket, { type: 'ok', id: command, sub, feeds, position, until: end })
      setTimeout(() => socket.terminate(), 20)
    })
  })
  const client = open(t, { url: server.url })
  client.subscribe({ topics: ['t'], from: 'earliest', until: 'latest' })
  const again = (): Record<string, unknown> | undefined =>
    server.asked.find(({ connection }) => connection === 2)?.message
  await until(() => again() !== undefined, 'the second subscribe')
  assert.deepEqual([again()!['from'], again()!['until']], ['1.e1.0-1', '1.e1.0-2'])
})

test('a listener that throws loses none of the records behind', async (t) => {
  const sockets: WebSocketOfTest[] = []
  class WebSocketOfTest {
    readyState = 1
    onmessage: ((event: { data: string }) => void) | undefined
    constructor() {
      sockets.push(this)
    }
    send(): void {}
    close(): void {
      this.readyState = 3
    }
  }
  const Fake = WebSocketOfTest as unknown as NonNullable<ConnectOptions['WebSocket']>
  const client = open(t, { url: 'http://127.0.0.1:1', WebSocket: Fake })
  const seen: unknown[] = []
  client.subscribe({
    topics: ['t'],
    onRecord: ({ value }) => {
      seen.push(value)
      if (value === 1) throw new Error('the application failed')
    },
  })
  const hear = (message: object): void => sockets[0]!.onmessage!({ data: JSON.stringify(message) })
  hear(welcome)
  hear({ type: 'ok', id: 1, sub: 's1', feeds: { t: 'f1' }, position: '1.e1.0-0' })
  assert.throws(() => hear(frame(0, [0, 1, 2, 3])), /the application failed/)
  assert.deepEqual(seen, [0, 1, 2, 3])
})
