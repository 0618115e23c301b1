/** Consumer instances over the death of their gateway: with Redis they go on, in memory they do not. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { TestContext } from 'node:test'
import { CliProcess, runCli } from '../support/cli.ts'
import type { GatewayProcess } from '../support/gateway-process.ts'
import { startGateway } from '../support/gateway-process.ts'
import { redisSkip, startRedis } from '../support/redis.ts'
import { until } from '../support/until.ts'
import { V2Consumer } from '../support/v2-consumer.ts'

let data: string

before(async () => {
  data = await mkdtemp(join(tmpdir(), 'ebbgate-sessions-'))
})

after(() => rm(data, { recursive: true, force: true }))

async function post(url: string, path: string, body: unknown): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const answer = await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) })
  assert.ok(answer.ok, `${path}: ${answer.status}`)
}

/** One event in each of the two partitions. */
async function produce(gateway: GatewayProcess, topic: string, value: string): Promise<void> {
  for (const partition of [0, 1]) {
    await post(gateway.url, `/v1/topics/${topic}/records?partition=${partition}`, value)
  }
}

/** Polls until an event came, and gives partition and value of all that did. */
async function next(consumer: V2Consumer): Promise<string[]> {
  for (let tries = 0; tries < 20; tries += 1) {
    const records = await consumer.poll()
    if (records.length > 0) {
      return records.map(({ partition, value }) => `${partition} ${value.toString()}`)
    }
  }
  assert.fail('nothing came')
}

test(
  'with sessions in Redis, consumers go on after a kill -9: no 404, no rebalance, no repetition',
  {
    skip: redisSkip(),
  },
  async (t: TestContext) => {
    const redis = await startRedis()
    t.after(() => redis.close())
    const folder = join(data, 'redis')
    const env = { EBBGATE_SESSIONS: redis.url }
    let gateway = await startGateway({ data: folder, env })
    t.after(() => gateway.stop())
    await post(gateway.url, '/v1/topics', { name: 'orders', partitions: 2 })
    const [one, two] = [
      await V2Consumer.join(gateway.url, 'billing', 'one', ['orders']),
      await V2Consumer.join(gateway.url, 'billing', 'two', ['orders']),
    ]
    // The first member had both partitions; it gives one away as soon as it polls again.
    await Promise.all([one.poll(1500), two.poll(1500)])
    await produce(gateway, 'orders', 'before')
    const before = [await next(one), await next(two)]
    assert.deepEqual(before.flat().sort(), ['0 "before"', '1 "before"'])
    await Promise.all([one.commit(), two.commit()])

    const port = Number(new URL(gateway.url).port)
    await gateway.kill()
    gateway = await startGateway({ data: folder, port, env })
    await produce(gateway, 'orders', 'after')
    const behind = [await next(one), await next(two)]
    assert.deepEqual(
      behind,
      before.map((records) => records.map((record) => record.replace('before', 'after'))),
    )
    await Promise.all([one.leave(), two.leave()])
  },
)

test('in memory a restart forgets the instances, and the group still knows what was committed', async (t) => {
  const folder = join(data, 'memory')
  let gateway = await startGateway({ data: folder })
  t.after(() => gateway.stop())
  await post(gateway.url, '/v1/topics', { name: 'orders', partitions: 2 })
  const old = await V2Consumer.join(gateway.url, 'billing', 'one', ['orders'])
  await produce(gateway, 'orders', 'before')
  const seen = new Set<string>()
  while (seen.size < 2) for (const record of await next(old)) seen.add(record)
  await old.commit()
  const port = Number(new URL(gateway.url).port)
  await gateway.kill()
  gateway = await startGateway({ data: folder, port })
  await assert.rejects(old.poll(), /^Error: 404 /)
  const fresh = await V2Consumer.join(gateway.url, 'billing', 'one', ['orders'])
  await produce(gateway, 'orders', 'after')
  assert.ok((await next(fresh)).every((record) => record.endsWith('"after"')))
})

test('a group consumer on the command line outlives a restart of the gateway', async (t) => {
  const folder = join(data, 'cli')
  let gateway = await startGateway({ data: folder })
  t.after(() => gateway.stop())
  await post(gateway.url, '/v1/topics', { name: 'orders', partitions: 2 })
  const consumer = new CliProcess(['consume', 'orders', '--group', 'g', '--url', gateway.url])
  await produce(gateway, 'orders', 'before')
  await consumer.printed(/^("before"\n){2}$/)
  const port = Number(new URL(gateway.url).port)
  await gateway.kill()
  gateway = await startGateway({ data: folder, port })
  await produce(gateway, 'orders', 'after')
  await consumer.printed(/"after"\n[^]*"after"\n/)
  consumer.child.kill('SIGINT')
  const { code, stdout } = await consumer.ended()
  assert.equal(code, 0)
  const lines = stdout.toString().trimEnd().split('\n')
  assert.equal(lines.filter((line) => line === '"after"').length, 2)
  // What was printed and not yet committed when the gateway died comes again.
  const repeated = lines.filter((line) => line === '"before"').length - 2
  assert.ok(repeated >= 0 && repeated <= 2)
})

test('a tail on the command line outlives a restart of the gateway and repeats nothing', async (t) => {
  const folder = join(data, 'tail')
  let gateway = await startGateway({ data: folder })
  t.after(() => gateway.stop())
  await post(gateway.url, '/v1/topics', { name: 'orders', partitions: 2 })
  await produce(gateway, 'orders', 'before')
  const tail = new CliProcess(['consume', 'orders', '--from-beginning', '--url', gateway.url])
  await tail.printed(/^("before"\n){2}$/)
  const port = Number(new URL(gateway.url).port)
  await gateway.kill()
  gateway = await startGateway({ data: folder, port })
  await produce(gateway, 'orders', 'after')
  await tail.printed(/^("before"\n){2}("after"\n){2}$/)
  tail.child.kill('SIGINT')
  const { code, stderr } = await tail.ended()
  assert.equal(code, 0)
  assert.match(stderr, /^ebbgate: The gateway at \S+ is away\. Trying again\.\n$/)
})

test(
  'a Redis that goes away is told by /readyz, and producing and reading go on',
  { skip: redisSkip() },
  async (t: TestContext) => {
    const redis = await startRedis()
    t.after(() => redis.close())
    const gateway = await startGateway({
      data: join(data, 'gone'),
      env: { EBBGATE_SESSIONS: redis.url },
    })
    t.after(() => gateway.stop())
    const readiness = async (): Promise<unknown> => {
      const answer = await fetch(`${gateway.url}/readyz`)
      return [answer.status, await answer.json()]
    }
    const ready = JSON.stringify([200, { status: 'ready' }])
    assert.equal(JSON.stringify(await readiness()), ready)
    await redis.kill()
    const reason = 'the session store cannot be reached'
    const degraded = JSON.stringify([200, { status: 'degraded', reason }])
    await until(async () => JSON.stringify(await readiness()) === degraded, 'readyz says it')
    await post(gateway.url, '/v1/topics', { name: 'alone', partitions: 2 })
    await produce(gateway, 'alone', 'x')
    await redis.start()
    await until(async () => JSON.stringify(await readiness()) === ready, 'readyz is well again')
  },
)

test('a Redis that is not there keeps the gateway from starting, in one line without the password', async () => {
  const { code, stderr } = await runCli(['serve', '--port', '0', '--data', join(data, 'none')], {
    env: {
      EBBGATE_SESSIONS: 'redis://user:secret@127.0.0.1:1',
      EBBGATE_LOG_LEVEL: 'silent',
    },
  })
  assert.equal(code, 1)
  assert.match(stderr, /^ebbgate: .*(Redis|session store)/i)
  assert.equal(stderr.trimEnd().split('\n').length, 1, stderr)
  assert.doesNotMatch(stderr, /secret/)
})
