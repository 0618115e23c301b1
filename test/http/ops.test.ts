import assert from 'node:assert/strict'
import { after, afterEach, test } from 'node:test'
import type { LogFields } from '../../src/kit/logger.ts'
import { silentLogger } from '../../src/kit/logger.ts'
import { errorCodes } from '../../src/model/errors.ts'
import { openTestHttp } from '../support/http.ts'

const logged: LogFields[] = []
const answered: string[] = []
const http = await openTestHttp({
  logger: { ...silentLogger, error: (fields) => void logged.push(fields) },
  meter: {
    answered: (surface, method, route, status) =>
      void answered.push(`${surface} ${method} ${route} ${status}`),
  },
})
after(() => http.close())
afterEach(() => {
  http.state = { ready: true }
})

test('the gateway says that it lives and that it is ready', async () => {
  const alive = await http.get('/healthz').expect(200)
  assert.deepEqual(alive.body, { status: 'alive' })
  const ready = await http.get('/readyz').expect(200)
  assert.deepEqual(ready.body, { status: 'ready' })
})

test('until it is ready everything else is 503 with Retry-After, in the words of its surface', async () => {
  http.state = { ready: false, reason: 'it is recovering', recovery: { done: 3, total: 10 } }
  const ready = await http.get('/readyz').expect(503)
  assert.deepEqual(ready.body, {
    status: 'not ready',
    reason: 'it is recovering',
    recovery: { done: 3, total: 10 },
  })
  await http.get('/healthz').expect(200)
  await http.get('/metrics').expect(200)
  const native = await http.get('/v1/topics').expect(503)
  assert.equal((native.body as { code: string }).code, 'UNAVAILABLE')
  assert.equal((native.body as { applied: string }).applied, 'no')
  assert.ok(Number(native.headers['retry-after']) >= 1)
  const v2 = await http.get('/topics').expect(503)
  assert.equal((v2.body as { error_code: number }).error_code, 50302)
  assert.ok(Number(v2.headers['retry-after']) >= 1)
})

test('a part that is missing without stopping everything is told as degraded', async () => {
  http.state = { ready: true, degraded: 'the session store cannot be reached' }
  const { body } = await http.get('/readyz').expect(200)
  assert.deepEqual(body, { status: 'degraded', reason: 'the session store cannot be reached' })
  await http.get('/v1/topics').expect(200)
})

test('the contracts, the errors and the metrics are served as text', async () => {
  const native = await http.get('/openapi/native.yaml').buffer(true).expect(200)
  assert.match(native.headers['content-type']!, /^application\/yaml/)
  assert.match(String(native.text ?? native.body), /operationId: postRecords/)
  const v2 = await http.get('/openapi/v2.yaml').buffer(true).expect(200)
  assert.match(String(v2.text ?? v2.body), /operationId: createConsumer/)
  const errors = await http.get('/docs/errors').expect(200)
  for (const code of Object.keys(errorCodes)) assert.ok(errors.text.includes(code), code)
  const metrics = await http.get('/metrics').expect(200)
  assert.match(metrics.text, /ebbgate_up 1/)
})

test('GET /v1 says what this gateway is and how much it takes', async () => {
  const { body } = await http.get('/v1').expect(200)
  const { engine, capabilities, limits, subject, rights } = body as {
    engine: string
    capabilities: { durability: string }
    limits: Record<string, number>
    subject: string
    rights: { admin: boolean }
  }
  assert.equal(engine, 'embedded')
  assert.ok(['fsync', 'fdatasync'].includes(capabilities.durability))
  assert.equal(limits['waitMs'], 60_000)
  assert.equal(limits['bodyBytes'], 32 * 1024 * 1024)
  assert.equal(subject, 'anonymous')
  assert.equal(rights.admin, true)
})

test('every answer has an id of its own, and a problem repeats it', async () => {
  const first = await http.get('/v1/topics/missing').expect(404)
  const second = await http.get('/v1/topics/missing').expect(404)
  const id = first.headers['ebbgate-request-id']
  assert.equal((first.body as { requestId: string }).requestId, id)
  assert.notEqual(second.headers['ebbgate-request-id'], id)
  for (const path of ['/healthz', '/docs/errors', '/nothing', '/v1/nothing', '/topics']) {
    assert.ok((await http.get(path)).headers['ebbgate-request-id'], path)
  }
})

test('a path that is nothing is 404, and a wrong method is 405 with those that are right', async () => {
  const nowhere = await http.get('/v1/nothing').expect(404)
  assert.equal((nowhere.body as { code: string }).code, 'NOT_FOUND')
  assert.equal(nowhere.headers['content-type'], 'application/problem+json')
  const method = await http.delete('/v1/topics').expect(405)
  assert.deepEqual(method.headers['allow']!.split(', ').sort(), ['GET', 'HEAD', 'POST'])
  const v2 = await http.get('/nothing').expect(404)
  assert.deepEqual(v2.body, { error_code: 404, message: 'HTTP 404 Not Found' })
  const v2Method = await http.put('/topics/x').expect(405)
  assert.equal((v2Method.body as { error_code: number }).error_code, 405)
})

test('a slash at the end of a path changes nothing', async () => {
  await http.get('/v1/topics/').expect(200)
  await http.get('/topics/').expect(200)
})

test('HEAD answers as GET does, without the body', async () => {
  const get = await http.get('/v1/topics').expect(200)
  const head = await http.head('/v1/topics').expect(200)
  assert.equal(head.headers['content-length'], get.headers['content-length'])
})

test('answers are never HTML, whatever a browser says it accepts', async () => {
  for (const path of ['/', '/v1', '/v1/nothing', '/docs/errors']) {
    const { headers } = await http.get(path).set('Accept', 'text/html,*/*;q=0.8')
    assert.doesNotMatch(headers['content-type']!, /html/, path)
  }
})

test('a gateway that closes answers its waiting polls at once', async () => {
  const closing = await openTestHttp()
  await closing.post('/v1/topics').send({ name: 'waited' }).expect(201)
  const poll = closing.get('/v1/topics/waited/records?from=latest&waitMs=30000').expect(200)
  const answer = poll.then(({ body }) => body as { records: unknown[] })
  // The poll is on its way once another request behind it has been answered.
  await closing.get('/v1/topics/waited').expect(200)
  const startedMs = performance.now()
  const closed = closing.close()
  assert.deepEqual((await answer).records, [])
  await closed
  assert.ok(performance.now() - startedMs < 5000)
})

test('requests are counted by the path of their contract, so that names do not become labels', async () => {
  answered.length = 0
  await http.get('/v1/topics/some-name').expect(404)
  await http.get('/v1/some-path').expect(404)
  assert.deepEqual(answered, ['native GET /v1/topics/{topic} 404', 'native GET none 404'])
})
