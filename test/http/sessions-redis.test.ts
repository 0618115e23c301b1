import { test } from 'node:test'
import { RedisSessionStore } from '../../src/consume/redis-session-store.ts'
import { silentLogger } from '../../src/kit/logger.ts'
import { redisSkip, startRedis } from '../support/redis.ts'
import { sessionHttpSuite } from '../support/session-http-suite.ts'

const skip = redisSkip()
if (skip !== false) test('sessions in Redis', { skip })
else
  sessionHttpSuite('sessions in Redis', async () => {
    const server = await startRedis()
    const store = new RedisSessionStore({ url: server.url, namespace: 'c1', logger: silentLogger })
    return { store, close: () => server.close() }
  })
