/** The commands against a running gateway, as a shell runs them: pipes, signals, exit codes. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { Readable } from 'node:stream'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { CliOptions, CliResult } from '../support/cli.ts'
import { CliProcess, runCli } from '../support/cli.ts'
import type { GatewayProcess } from '../support/gateway-process.ts'
import { startGateway } from '../support/gateway-process.ts'

let data: string
let gateway: GatewayProcess
let topics = 0

before(async () => {
  data = await mkdtemp(join(tmpdir(), 'ebbgate-cli-'))
  gateway = await startGateway({ data })
})

after(async () => {
  await gateway.stop()
  await rm(data, { recursive: true, force: true })
})

function run(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  return runCli(args, { ...options, env: { EBBGATE_URL: gateway.url, ...options.env } })
}

function start(args: readonly string[], options: CliOptions = {}): CliProcess {
  return new CliProcess(args, { ...options, env: { EBBGATE_URL: gateway.url, ...options.env } })
}

async function newTopic(partitions = 1): Promise<string> {
  topics += 1
  const name = `t${topics}`
  const { code, stderr } = await run(['topics', 'create', name, '--partitions', String(partitions)])
  assert.equal(code, 0, stderr)
  return name
}

const fromStart = (topic: string, max: number): string[] => [
  'consume',
  topic,
  '--from-beginning',
  '--max',
  String(max),
]

test('a topic is created, listed, described and deleted', async () => {
  const created = await run(['topics', 'create', 'orders', '--partitions', '2'])
  assert.equal(created.code, 0, created.stderr)
  assert.match(created.stdout.toString(), /^orders {2}2 partitions {2}replication 1 {2}id \S{22}/)

  const described = await run(['topics', 'describe', 'orders'])
  assert.equal(described.stdout.toString(), created.stdout.toString())
  assert.deepEqual(described.stdout.toString().split('\n').slice(1), [
    '  partition 0  leader 1  start 0  end 0',
    '  partition 1  leader 1  start 0  end 0',
    '',
  ])

  assert.match((await run(['topics', 'list'])).stdout.toString(), /^orders {2}2 partitions$/m)

  const again = await run(['topics', 'create', 'orders'])
  assert.equal(again.code, 1)
  assert.match(again.stderr, /^ebbgate: .*orders.*\n$/)
  assert.equal((await run(['topics', 'create', 'orders', '--if-not-exists'])).code, 0)

  assert.equal((await run(['topics', 'delete', 'orders'])).code, 0)
  assert.equal((await run(['topics', 'describe', 'orders'])).code, 1)
})

test('a topic is altered and grown, and describe shows what differs from the defaults', async () => {
  const topic = await newTopic()
  const changed = await run([
    ...['topics', 'alter', topic, '--config', 'retention.ms=60000', 'compression.type=zstd'],
  ])
  assert.equal(changed.code, 0, changed.stderr)
  assert.deepEqual(changed.stdout.toString().split('\n').slice(1), [
    '  config compression.type=zstd',
    '  config retention.ms=60000',
    '  partition 0  leader 1  start 0  end 0',
    '',
  ])
  const back = await run(['topics', 'alter', topic, '--delete-config', 'retention.ms'])
  assert.equal(back.code, 0, back.stderr)
  const grown = await run(['topics', 'grow', topic, '--partitions', '2'])
  assert.equal(grown.code, 0, grown.stderr)
  const described = await run(['topics', 'describe', topic])
  assert.equal(described.stdout.toString(), grown.stdout.toString())
  assert.deepEqual(described.stdout.toString().split('\n').slice(1), [
    '  config compression.type=zstd',
    '  partition 0  leader 1  start 0  end 0',
    '  partition 1  leader 1  start 0  end 0',
    '',
  ])
  const misspelt = await run(['topics', 'alter', topic, '--config', 'retenton.ms=1'])
  assert.equal(misspelt.code, 1)
  assert.match(misspelt.stderr, /Did you mean 'retention\.ms'\?/)
  const fewer = await run(['topics', 'grow', topic, '--partitions', '1'])
  assert.equal(fewer.code, 1)
  assert.match(fewer.stderr, /has 2 partitions already/)
})

test('two lines go in by a pipe, and come out the same each time', async () => {
  const topic = await newTopic()
  const input = 'This is my first event\nThis is my second event\n'
  const produced = await run(['produce', topic], { input })
  assert.deepEqual([produced.code, produced.stderr], [0, ''])
  for (let time = 0; time < 2; time += 1) {
    const consumed = await run(fromStart(topic, 2))
    assert.deepEqual([consumed.code, consumed.stdout.toString()], [0, input])
  }
})

test('every byte of a line is kept: text, JSON, empty lines, bytes that are no text', async () => {
  const topic = await newTopic()
  const lines = [
    '{"price":49300.00,"id":12345678901234567890}',
    'Grüße 🙂',
    '',
    '"',
    '\\',
    '\t\u0000',
  ]
  const input = Buffer.concat([
    Buffer.from(`${lines.join('\n')}\n`),
    Buffer.from([0xff, 0x00, 0xfe, 0x0a]),
    Buffer.from('without a line end'),
  ])
  assert.equal((await run(['produce', topic], { input })).code, 0)
  const consumed = await run(fromStart(topic, lines.length + 2))
  assert.deepEqual(consumed.stdout, Buffer.concat([input, Buffer.from('\n')]))
})

test('many lines keep their order', async () => {
  const topic = await newTopic()
  const input = Array.from({ length: 25_000 }, (_, i) => `line ${i}\n`).join('')
  assert.equal((await run(['produce', topic], { input })).code, 0)
  const consumed = await run(fromStart(topic, 25_000))
  assert.equal(consumed.stdout.toString(), input)
})

test('a consumer prints what is there, then what comes, until Ctrl-C ends it with 0', async () => {
  const topic = await newTopic()
  await run(['produce', topic], { input: 'before\n' })
  const consumer = start(['consume', topic, '--from-beginning'])
  await consumer.printed(/^before\n$/)
  await run(['produce', topic], { input: 'after\n' })
  await consumer.printed(/^before\nafter\n$/)
  consumer.child.kill('SIGINT')
  assert.equal((await consumer.ended()).code, 0)
})

test('without --from-beginning a consumer begins with what comes next', async () => {
  const topic = await newTopic()
  await run(['produce', topic], { input: 'old\n' })
  const consumer = start(['consume', topic])
  // It does not say when it has begun, so events come until it has.
  while (consumer.stdout === '') await run(['produce', topic], { input: 'new\n' })
  consumer.child.kill('SIGTERM')
  const { code, stdout } = await consumer.ended()
  assert.equal(code, 0)
  assert.match(stdout.toString(), /^(new\n)+$/)
})

test('a consumer of a topic that does not exist says so and ends with 1, in a group too', async () => {
  for (const group of [[], ['--group', 'g']]) {
    const { code, stderr } = await run(['consume', 'nope', ...group])
    assert.deepEqual([code, stderr], [1, "ebbgate: Topic 'nope' does not exist.\n"])
  }
})

test(
  'what cannot be printed is said in one line',
  { skip: process.platform !== 'linux' && 'there is no /dev/full' },
  async () => {
    const full = await open('/dev/full', 'w')
    await newTopic()
    const { code, stderr } = await run(['topics', 'list'], { output: full.fd })
    await full.close()
    assert.equal(code, 1)
    assert.match(stderr, /^ebbgate: What was asked for could not be printed: ENOSPC.*\n$/)
  },
)

test('a consumer whose topic is deleted says so and ends with 1', async () => {
  const topic = await newTopic()
  await run(['produce', topic], { input: 'x\n' })
  const consumer = start(['consume', topic, '--from-beginning'])
  await consumer.printed(/x\n/)
  await run(['topics', 'delete', topic])
  const { code, stderr } = await consumer.ended()
  assert.deepEqual([code, stderr], [1, `ebbgate: Topic '${topic}' was deleted.\n`])
})

test('a reader that has seen enough ends a consumer quietly', async () => {
  const topic = await newTopic()
  await run(['produce', topic], { input: 'x\n'.repeat(5000) })
  const consumer = start(['consume', topic, '--from-beginning'])
  await consumer.printed(/x\n/)
  consumer.child.stdout?.destroy()
  await run(['produce', topic], { input: 'y\n'.repeat(5000) })
  const { code, stderr } = await consumer.ended()
  assert.deepEqual([code, stderr], [0, ''])
})

test('Ctrl-C on a producer sends what it has read and ends with 0', async () => {
  const topic = await newTopic()
  const producer = start(['produce', topic])
  producer.child.stdin?.write('one\ntwo\nhalf a li')
  const seen = await run(fromStart(topic, 2))
  assert.equal(seen.stdout.toString(), 'one\ntwo\n')
  producer.child.kill('SIGINT')
  assert.equal((await producer.ended()).code, 0)
  assert.match((await run(['topics', 'describe', topic])).stdout.toString(), /end 2\n$/)
})

test('a producer whose answers are lost on the way stores every line once', async () => {
  const topic = await newTopic()
  // Passes requests on; the second and the third answer never arrive.
  let answers = 0
  const relay = createServer((incoming, outgoing) => {
    void (async () => {
      const body = new Uint8Array(await new Response(Readable.toWeb(incoming)).arrayBuffer())
      const answer = await fetch(`${gateway.url}${incoming.url}`, {
        method: 'POST',
        headers: Object.entries(incoming.headers)
          .filter(([name]) => /^(content-type|idempotency-key)$/.test(name))
          .map(([name, value]): [string, string] => [name, String(value)]),
        body,
      })
      const text = await answer.text()
      answers += 1
      if (answers === 2 || answers === 3) outgoing.destroy()
      else outgoing.writeHead(answer.status, { 'content-type': 'application/json' }).end(text)
    })()
  })
  await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve))
  try {
    const { port } = relay.address() as AddressInfo
    const env = { EBBGATE_URL: `http://127.0.0.1:${port}` }
    const producer = start(['produce', topic], { env })
    producer.child.stdin?.write('one\n')
    assert.equal((await run(fromStart(topic, 1))).stdout.toString(), 'one\n')
    producer.child.stdin?.end('two\nthree\n')
    const { code, stderr } = await producer.ended()
    assert.deepEqual([code, stderr], [0, ''])
    assert.match((await run(['topics', 'describe', topic])).stdout.toString(), /end 3\n$/)
    assert.ok(answers >= 4)
  } finally {
    relay.closeAllConnections()
    relay.close()
  }
})

test('a commit that meets a gateway on its way down is made when there is one again', async () => {
  // A gateway that stops between a poll and its commit, and is back for the next try.
  const seen: string[] = []
  const events = ['one', 'two']
  const standIn = createServer((incoming, outgoing) => {
    const path = String(incoming.url).replace(/^.*\/instances\/i/, '')
    seen.push(`${incoming.method} ${path}`)
    const commits = seen.filter((call) => call === 'POST /offsets').length
    const offset = 2 - events.length
    let answer: unknown = {}
    if (path === '/records') {
      const value = Buffer.from(events.shift() ?? '').toString('base64')
      answer = [{ topic: 't', key: null, value, partition: 0, offset }]
    } else if (path.startsWith('/consumers')) {
      const host = String(incoming.headers.host)
      answer = { instance_id: 'i', base_uri: `http://${host}/consumers/g/instances/i` }
    }
    const isDown = path === '/offsets' && commits === 1
    outgoing.writeHead(isDown ? 503 : 200, { 'content-type': 'application/json' })
    outgoing.end(JSON.stringify(isDown ? { error_code: 50302, message: 'Stopping.' } : answer))
  })
  await new Promise<void>((resolve) => standIn.listen(0, '127.0.0.1', resolve))
  try {
    const { port } = standIn.address() as AddressInfo
    const env = { EBBGATE_URL: `http://127.0.0.1:${port}` }
    const result = await run(['consume', 't', '--group', 'g', '--max', '2'], { env })
    assert.equal(result.stdout.toString(), 'one\ntwo\n')
    assert.equal(result.code, 0)
    assert.equal(result.stderr, 'ebbgate: Stopping. Trying again.\n')
    const calls = seen.filter((call) => /records|offsets/.test(call))
    assert.deepEqual(calls, [
      'GET /records',
      'POST /offsets',
      'POST /offsets',
      'GET /records',
      'POST /offsets',
    ])
  } finally {
    standIn.closeAllConnections()
    standIn.close()
  }
})

test('on a terminal there is a prompt, and each line is an event', async () => {
  const topic = await newTopic()
  const command = fileURLToPath(new URL('../../bin/ebbgate.js', import.meta.url))
  const terminal = spawn(
    'script',
    ['-qec', `'${process.execPath}' '${command}' produce ${topic}`, '/dev/null'],
    { env: { ...process.env, EBBGATE_URL: gateway.url }, stdio: ['pipe', 'pipe', 'inherit'] },
  )
  let screen = ''
  terminal.stdout.setEncoding('utf8').on('data', (text: string) => (screen += text))
  terminal.stdin.write('typed by hand\n')
  const seen = await run(fromStart(topic, 1))
  assert.equal(seen.stdout.toString(), 'typed by hand\n')
  // What a terminal sends for Ctrl-C.
  terminal.stdin.write('\u0003')
  const [code] = (await once(terminal, 'close')) as [number]
  assert.equal(code, 0, screen)
  assert.match(screen, /> /)
})

test('consumers of one group share the events, and the group goes on where it left off', async () => {
  const topic = await newTopic(2)
  const input = Array.from({ length: 200 }, (_, i) => `event ${i}\n`).join('')
  await run(['produce', topic], { input })
  const first = await run(['consume', topic, '--group', 'billing', '--max', '50'])
  assert.equal(first.code, 0, first.stderr)
  const rest = await run(['consume', topic, '--group', 'billing', '--max', '150'])
  const lines = [...linesOf(first), ...linesOf(rest)].sort()
  assert.deepEqual(lines, input.trimEnd().split('\n').sort())

  const another = await run(['consume', topic, '--group', 'audit', '--max', '200'])
  assert.equal(linesOf(another).length, 200)
})

test('two consumers that run at once get each event once', async () => {
  const topic = await newTopic(2)
  const pair = [0, 1].map(() => start(['consume', topic, '--group', 'pair']))
  await run(['produce', topic], { input: 'x\n'.repeat(10) })
  let sent = 10
  const got = (): number[] => pair.map(({ stdout }) => stdout.split('\n').length - 1)
  const deadline = performance.now() + 25_000
  // Keyless lines stay in one partition for a request, so both get some only after several requests.
  while (Math.min(...got()) === 0 && performance.now() < deadline) {
    await run(['produce', topic], { input: 'x\n'.repeat(10) })
    sent += 10
  }
  while (got().reduce((a, b) => a + b) < sent && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  for (const consumer of pair) consumer.child.kill('SIGINT')
  for (const consumer of pair) assert.equal((await consumer.ended()).code, 0)
  assert.ok(Math.min(...got()) > 0, `shares: ${got().join(' and ')} of ${sent}`)
  assert.equal(
    got().reduce((a, b) => a + b),
    sent,
  )
})

test('a topic that is not there is named, with what would make it', async () => {
  for (const args of [
    ['produce', 'nowhere'],
    ['consume', 'nowhere'],
  ]) {
    const { code, stdout, stderr } = await run(args, { input: 'x\n' })
    assert.equal(code, 1)
    assert.equal(stdout.length, 0)
    assert.match(stderr, /^ebbgate: .*nowhere/)
    assert.doesNotMatch(stderr, / {4}at /)
  }
  assert.match((await run(['produce', 'nowhere'], { input: 'x\n' })).stderr, /0 events were acknow/)
})

function linesOf({ stdout }: CliResult): string[] {
  return stdout.toString().trimEnd().split('\n')
}
