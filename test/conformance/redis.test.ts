import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import { Redis } from 'ioredis'
import { RedisSessionStore } from '../../src/consume/redis-session-store.ts'
import type { Session } from '../../src/consume/session.ts'
import type { LogFields } from '../../src/kit/logger.ts'
import { silentLogger } from '../../src/kit/logger.ts'
import type { RedisServer } from '../support/redis.ts'
import { redisSkip, startRedis } from '../support/redis.ts'
import { TcpCutter } from '../support/tcp-cutter.ts'
import { until } from '../support/until.ts'
import { sessionStoreSuite } from './session-store-suite.ts'

const skip = redisSkip()

const session: Session = {
  id: 's1',
  group: 'g',
  name: 'n',
  owner: 'anonymous',
  surface: 'v2',
  format: 'json',
  reset: 'latest',
  autoCommit: true,
  minBytes: 1,
  waitMs: 1_000,
  ttlMs: 60_000,
  subscription: null,
  subscriptionRevision: 0,
  positions: [],
  settled: false,
  isCut: false,
  turn: 0,
}

async function openStore(server: RedisServer, namespace = 'c1'): Promise<RedisSessionStore> {
  const store = new RedisSessionStore({ url: server.url, namespace, logger: silentLogger })
  await store.open()
  return store
}

function isServed(store: RedisSessionStore): Promise<boolean> {
  return store.create({ ...session, name: 'probe' }, 'node-1', 10_000, 10).then(
    () => true,
    () => false,
  )
}

if (skip === false) {
  sessionStoreSuite('redis', async () => {
    const server = await startRedis()
    const stores = [await openStore(server), await openStore(server)] as const
    return {
      stores,
      // Redis' clock is the system's: the only way to let it pass is to wait.
      pass: (ms) => sleep(ms),
      close: async () => {
        for (const store of stores) await store.close()
        await server.close()
      },
    }
  })

  test('every key in Redis has a time to live, and all lie in one slot of a cluster', async () => {
    const server = await startRedis()
    const store = await openStore(server)
    const redis = new Redis(server.url)
    try {
      const { lease } = await store.create(session, 'node-1', 10_000, 10)
      await store.beginRead(session, 'anonymous', 'r1', 1_000)
      await store.renew([{ key: session, id: session.id, owner: session.owner, lease }], 10_000)
      const keys = await redis.keys('*')
      assert.equal(keys.length, 4)
      for (const key of keys) {
        assert.match(key, /^\{ebbgate:1:c1\}:/)
        assert.ok((await redis.pttl(key)) > 0, `${key} would stay for ever`)
      }
    } finally {
      redis.disconnect()
      await store.close()
      await server.close()
    }
  })

  test('gateways that share a Redis do not see the sessions of each other', async () => {
    const server = await startRedis()
    const [one, other] = [await openStore(server, 'c1'), await openStore(server, 'c2')]
    try {
      await one.create(session, 'node-1', 0, 10)
      assert.equal(await other.find(session), undefined)
      assert.deepEqual(await other.lapsed(10), [])
    } finally {
      await one.close()
      await other.close()
      await server.close()
    }
  })

  test('a session that only Redis forgot leaves nothing behind in the index', async () => {
    const server = await startRedis()
    const store = await openStore(server)
    const redis = new Redis(server.url)
    try {
      await store.create(session, 'node-1', 0, 10)
      await redis.del('{ebbgate:1:c1}:s:g/n')
      assert.deepEqual(await store.lapsed(10), [{ group: 'g', name: 'n' }])
      assert.equal(await store.adopt(session, 'node-2', 1_000), undefined)
      assert.deepEqual(await store.lapsed(10), [])
    } finally {
      redis.disconnect()
      await store.close()
      await server.close()
    }
  })

  test('while Redis is away callers are told at once, and it is found again by itself', async () => {
    const server = await startRedis()
    const store = await openStore(server)
    try {
      await server.kill()
      const started = performance.now()
      for (let i = 0; i < 20; i++) {
        await assert.rejects(store.find(session), { code: 'UNAVAILABLE', applied: 'no' })
      }
      await assert.rejects(store.create(session, 'node-1', 10_000, 10), {
        code: 'UNAVAILABLE',
        applied: 'maybe',
      })
      assert.ok(
        performance.now() - started < 1_500,
        'nobody waits for a connection that is refused',
      )
      await server.start()
      const deadline = performance.now() + 5_000
      for (;;) {
        try {
          assert.equal(await store.find(session), undefined, 'scripts are sent again when unknown')
          break
        } catch (error) {
          if (performance.now() > deadline) throw error
          await sleep(25)
        }
      }
    } finally {
      await store.close()
      await server.close()
    }
  })

  test('a Redis that hangs is given up on after two seconds', async () => {
    const server = await startRedis()
    const store = await openStore(server)
    try {
      server.freeze()
      const started = performance.now()
      await assert.rejects(store.find(session), { code: 'UNAVAILABLE' })
      assert.ok(performance.now() - started < 3_000)
      server.resume()
      assert.equal(await store.find(session), undefined)
    } finally {
      await store.close()
      await server.close()
    }
  })

  test('a connection that went silent is replaced, as after the death of the machine of Redis', async () => {
    const server = await startRedis()
    const network = await TcpCutter.open(server.url)
    const url = `redis://127.0.0.1:${network.port}`
    const store = new RedisSessionStore({ url, namespace: 'c1', logger: silentLogger })
    await store.open()
    try {
      network.stall()
      await assert.rejects(store.find(session), { code: 'UNAVAILABLE' })
      await until(() => isServed(store), 'a connection that works')
    } finally {
      await store.close()
      network.close()
      await server.close()
    }
  })

  test('a Redis that became a replica is left for the one that its address means now', async () => {
    const server = await startRedis()
    const store = await openStore(server)
    const admin = new Redis(server.url)
    const connections = async (): Promise<string | undefined> =>
      /total_connections_received:(\d+)/.exec(await admin.info('stats'))?.[1]
    try {
      const before = await connections()
      await admin.replicaof('127.0.0.1', 1)
      await assert.rejects(store.create(session, 'node-1', 10_000, 10), { code: 'UNAVAILABLE' })
      await until(async () => (await connections()) !== before, 'another connection')
      await admin.replicaof('NO', 'ONE')
      await until(() => isServed(store), 'a Redis that takes writes')
    } finally {
      admin.disconnect()
      await store.close()
      await server.close()
    }
  })

  test('a Redis that refuses the password is told apart from one that is away, and the password stays secret', async () => {
    const server = await startRedis()
    const network = await TcpCutter.open(server.url)
    const admin = new Redis(server.url)
    await admin.config('SET', 'requirepass', 'right')
    const told: unknown[] = []
    const tell = (fields: LogFields, message: string): void => void told.push(fields, message)
    const logger = { debug: tell, info: tell, warn: tell, error: tell }
    const url = `redis://:sesame@127.0.0.1:${network.port}`
    const store = new RedisSessionStore({ url, namespace: 'c1', logger })
    try {
      await assert.rejects(store.open(), { code: 'UNAVAILABLE', message: /WRONGPASS/ })
      assert.match(inspect(told, { depth: null }), /WRONGPASS/)
      assert.doesNotMatch(inspect(told, { depth: null }), /sesame/)
    } finally {
      admin.disconnect()
      await store.close()
      network.close()
      await server.close()
    }
  })

  test('a gateway that cannot reach Redis at its start says so', async () => {
    const url = '/nowhere/redis.sock'
    const store = new RedisSessionStore({ url, namespace: 'c1', logger: silentLogger })
    await assert.rejects(store.open(), { code: 'UNAVAILABLE' })
    await store.close()
  })
} else {
  test('redis session store', { skip }, () => undefined)
}
