/** Requests that happen once, and requests that happen only if nobody else was faster: both surfaces. */
import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import type request from 'supertest'
import { openTestHttp } from '../support/http.ts'

const http = await openTestHttp()
after(() => http.close())

const envelope = 'application/vnd.ebbgate.records+json'
const v2Json = 'application/vnd.kafka.json.v2+json'

interface Produced {
  readonly results: readonly { partition: number; offset: number; error?: { code: string } }[]
  readonly failed?: number
  readonly deduplicated?: boolean
}

let made = 0

async function newTopic(partitions = 1): Promise<string> {
  const name = `once-${made++}`
  await http.post('/v1/topics').send({ name, partitions }).expect(201)
  return name
}

function produce(topic: string, key: string, query = ''): request.Test {
  return http.post(`/v1/topics/${topic}/records${query}`).set('Idempotency-Key', key)
}

async function storedTexts(topic: string): Promise<string[]> {
  const { body } = await http.get(`/v1/topics/${topic}/records?format=binary`).expect(200)
  const { records } = body as { records: { value: string }[] }
  return records.map(({ value }) => Buffer.from(value, 'base64').toString())
}

const problemOf = (response: request.Response) =>
  response.body as { code: string; detail: string; applied: string }

describe('an Idempotency-Key', () => {
  test('makes a retry a success with the first answer', async () => {
    const topic = await newTopic(3)
    const first = await produce(topic, 'a1').send('one').expect(200)
    assert.equal(first.headers['ebbgate-deduplicated'], undefined)
    for (let i = 0; i < 3; i++) {
      const again = await produce(topic, 'a1').send('one').expect(200)
      assert.deepEqual(again.body, { ...(first.body as Produced), deduplicated: true })
      assert.equal(again.headers['ebbgate-deduplicated'], 'true')
      assert.equal(again.headers['ebbgate-records'], '1')
    }
    await produce(topic, 'a2').send('one').expect(200)
    assert.deepEqual(await storedTexts(topic), ['one', 'one'])
  })

  test('is one request for all that come at the same moment', async () => {
    const topic = await newTopic()
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => produce(topic, 'k').send('x').expect(200)),
    )
    const bodies = answers.map(({ body }) => body as Produced)
    assert.equal(bodies.filter(({ deduplicated }) => deduplicated === undefined).length, 1)
    for (const { results } of bodies) assert.deepEqual(results, bodies[0]!.results)
    assert.deepEqual(await storedTexts(topic), ['x'])
  })

  test('answers record by record as before, refused ones included', async () => {
    const topic = await newTopic(2)
    const body = JSON.stringify({
      records: [
        { key: 'u1', value: 1 },
        { value: 2, partition: 9 },
        { key: 'u2', value: 3, timestamp: 1_763_683_200_000 },
        { value: 4, timestamp: -1 },
        { key: 'u3', value: 5 },
      ],
    })
    const send = () => produce(topic, 'k').type(envelope).send(body).expect(200)
    const first = await send()
    assert.equal((first.body as Produced).failed, 2)
    const again = await send()
    assert.deepEqual(again.body, { ...(first.body as Produced), deduplicated: true })
    assert.equal(again.headers['ebbgate-failed'], '2')
    assert.equal((await storedTexts(topic)).length, 3)
  })

  test('outlives its topic, which is not made again for it', async () => {
    const topic = await newTopic()
    const first = await produce(topic, 'k').send('x').expect(200)
    await http.delete(`/v1/topics/${topic}`).expect(204)
    const again = await produce(topic, 'k').send('x').expect(200)
    assert.deepEqual((again.body as Produced).results, (first.body as Produced).results)
    await http.get(`/v1/topics/${topic}`).expect(404)
    await produce(topic, 'k2').send('x').expect(404)
  })

  test('belongs to its route and topic', async () => {
    const [topic, other] = [await newTopic(), await newTopic()]
    await produce(topic, 'k').send('x').expect(200)
    for (const path of [
      `/v1/topics/${other}/records`,
      `/v1/topics/${topic}/partitions/0/records`,
    ]) {
      const answer = await http.post(path).set('Idempotency-Key', 'k').send('x').expect(200)
      assert.equal((answer.body as Produced).deduplicated, undefined, path)
    }
    const put = http.put(`/v1/topics/${topic}/records`).set('Idempotency-Key', 'k')
    assert.equal(((await put.send('x').expect(200)).body as Produced).deduplicated, true)
    assert.deepEqual(await storedTexts(topic), ['x', 'x'])
  })

  test('under another request is a mistake, and stores nothing', async () => {
    const topic = await newTopic()
    const send = (body: string, query = '', headers: Record<string, string> = {}) =>
      produce(topic, 'k', query).set(headers).type('json').send(body)
    await send('{"a":1}').expect(200)
    for (const other of [
      send('{"a":2}'),
      send('{"a":1}', '?key=u1'),
      send('{"a":1}', '', { 'Ebbgate-Header-source': 'x' }),
      send('{"a":1}', '', { 'Ebbgate-Key': 'u1' }),
      produce(topic, 'k').type('text').send('{"a":1}'),
    ]) {
      const problem = problemOf(await other.expect(422))
      assert.deepEqual([problem.code, problem.applied], ['IDEMPOTENCY_MISMATCH', 'no'])
    }
    assert.deepEqual(await storedTexts(topic), ['{"a":1}'])
  })

  test('does not mind how the same request is carried', async () => {
    const topic = await newTopic()
    const key = 'k'
    await produce(topic, key).type('json').send('{"a":1}').expect(200)
    const packed = produce(topic, key, '?timeoutMs=4000')
      .type('json')
      .set('Content-Encoding', 'gzip')
    packed.write(gzipSync('{"a":1}'))
    assert.equal(((await packed.expect(200)).body as Produced).deduplicated, true)
    const quoted = await produce(topic, '"k"').type('json').send('{"a":1}').expect(200)
    assert.equal((quoted.body as Produced).deduplicated, true)
    const minimal = produce(topic, key).set('Prefer', 'return=minimal').type('json')
    const { headers } = await minimal.send('{"a":1}').expect(204)
    assert.equal(headers['ebbgate-deduplicated'], 'true')
  })

  test('that is no key is refused before anything is stored', async () => {
    const topic = await newTopic()
    for (const key of ['"open', '""', '"a"b"', '"a\\b"', 'caf\u00e9', 'x'.repeat(513)]) {
      assert.equal(problemOf(await produce(topic, key).send('x').expect(400)).code, 'BAD_REQUEST')
    }
    await produce(topic, 'x'.repeat(512)).send('x').expect(200)
    await produce(topic, '"a \\" quote"').send('x').expect(200)
    assert.deepEqual(await storedTexts(topic), ['x', 'x'])
  })

  test('and an answer line by line do not go together', async () => {
    const topic = await newTopic()
    const streamed = produce(topic, 'k').set('Accept', 'application/x-ndjson').send('x')
    assert.equal(problemOf(await streamed.expect(422)).code, 'INVALID_REQUEST')
    assert.deepEqual(await storedTexts(topic), [])
  })

  test('of a request that stored nothing is free again', async () => {
    const topic = await newTopic()
    await produce(topic, 'k', '?partition=7').send('x').expect(404)
    await produce(topic, 'k').type('json').send('{"broken"').expect(400)
    await produce(`${topic}-missing`, 'k').send('x').expect(404)
    const answer = await produce(topic, 'k').send('x').expect(200)
    assert.equal((answer.body as Produced).deduplicated, undefined)
  })

  test('limits its request to one transaction', async () => {
    const topic = await newTopic()
    const lines = `"${'x'.repeat(900_000)}"\n`.repeat(20)
    const send = (key: string | undefined) => {
      const sent = http.post(`/v1/topics/${topic}/records`).type('application/x-ndjson')
      return key === undefined ? sent.send(lines) : sent.set('Idempotency-Key', key).send(lines)
    }
    assert.equal(problemOf(await send('k').expect(413)).code, 'BODY_TOO_LARGE')
    assert.deepEqual(await storedTexts(topic), [])
    await send(undefined).expect(200)
  })

  test('is kept where no door shows it', async () => {
    await produce(await newTopic(), 'k')
      .send('x')
      .expect(200)
    const hidden = '__ebbgate_idempotency'
    assert.ok(!(await http.get('/v1/topics?limit=1000').expect(200)).text.includes(hidden))
    assert.ok(!(await http.get('/topics').expect(200)).text.includes(hidden))
    await http.get(`/v1/topics/${hidden}`).expect(404)
    await http.get(`/topics/${hidden}`).expect(404)
    await http.get(`/v1/topics/${hidden}/records`).expect(404)
    await http.post(`/v1/topics/${hidden}/records`).send('x').expect(404)
    assert.ok((await http.delete(`/v1/topics/${hidden}`)).status >= 400)
  })
})

describe('an Idempotency-Key on the v2 surface', () => {
  const send = (topic: string, key: string, body: object, partition?: number) =>
    http
      .post(`/topics/${topic}${partition === undefined ? '' : `/partitions/${partition}`}`)
      .type(v2Json)
      .set('Idempotency-Key', key)
      .send(body)

  test('makes a retry a success with the first items, said by a header alone', async () => {
    const topic = await newTopic(2)
    const body = { records: [{ key: 'u', value: 1 }, { value: 2, partition: 9 }, { value: 3 }] }
    const first = await send(topic, 'k', body).expect(200)
    assert.equal(first.headers['ebbgate-deduplicated'], undefined)
    const again = await send(topic, 'k', body).expect(200)
    assert.deepEqual(again.body, first.body)
    assert.equal(again.headers['ebbgate-deduplicated'], 'true')
    assert.equal((await storedTexts(topic)).length, 2)
    const other = await send(topic, 'k', { records: [{ value: 4 }] }).expect(422)
    assert.equal((other.body as { error_code: number }).error_code, 422)
    await send(topic, 'k', { records: [{ value: 4 }] }, 1).expect(200)
    assert.equal((await storedTexts(topic)).length, 3)
  })

  test('of a topic that is made for it works from the first try on', async () => {
    const topic = `once-${made++}`
    const body = { records: [{ value: 1 }] }
    const answers = await Promise.all([1, 2, 3].map(() => send(topic, 'k', body).expect(200)))
    for (const answer of answers) assert.deepEqual(answer.body, answers[0]!.body)
    assert.deepEqual(await storedTexts(topic), ['1'])
  })

  test('that is no key is refused', async () => {
    const topic = await newTopic()
    const answer = await send(topic, '"open', { records: [{ value: 1 }] })
    assert.equal(answer.status, 400)
    assert.deepEqual(await storedTexts(topic), [])
  })
})

describe('a conditional append', () => {
  const at = (topic: string, query: string, partition = 0) =>
    http.post(`/v1/topics/${topic}/partitions/${partition}/records${query}`)

  test('stores where the partition ends as expected, else it is 412', async () => {
    const topic = await newTopic(2)
    const first = await at(topic, '?expectedEnd=0', 1).type('json').send('[1,2]').expect(200)
    assert.deepEqual(
      (first.body as Produced).results.map(({ partition, offset }) => [partition, offset]),
      [
        [1, 0],
        [1, 1],
      ],
    )
    for (const end of [0, 1, 3]) {
      const refused = await at(topic, `?expectedEnd=${end}`, 1).type('json').send('[3]').expect(412)
      assert.deepEqual(
        [problemOf(refused).code, problemOf(refused).applied],
        ['PRECONDITION', 'no'],
      )
    }
    await at(topic, '?expectedEnd=2', 1).send('x').expect(200)
    await at(topic, '', 1).send('y').expect(200)
    assert.equal((await storedTexts(topic)).length, 4)
    await at(topic, '?expectedEnd=0', 7).send('x').expect(404)
    await at(topic, '?expectedEnd=-1').send('x').expect(400)
  })

  test('lets one of many win', async () => {
    const topic = await newTopic()
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, i) => at(topic, '?expectedEnd=0').send(`${i}`)),
    )
    const statuses = answers.map(({ status }) => status).sort()
    assert.deepEqual(statuses, [200, ...Array<number>(7).fill(412)])
    assert.equal((await storedTexts(topic)).length, 1)
  })

  test('is all or nothing, also over more than one batch', async () => {
    const topic = await newTopic()
    const bad = JSON.stringify({ records: [{ value: 1 }, { value: 2, timestamp: -1 }] })
    await at(topic, '?expectedEnd=0').type(envelope).send(bad).expect(422)
    const many = `"${'x'.repeat(900_000)}"\n`.repeat(3)
    const lines = 'application/x-ndjson'
    await at(topic, '?expectedEnd=1').type(lines).send(many).expect(412)
    assert.deepEqual(await storedTexts(topic), [])
    await at(topic, '?expectedEnd=0').type(lines).send(many).expect(200)
    await at(topic, '?expectedEnd=3').send('x').expect(200)
  })

  test('with a key is the same success again, not a failed precondition', async () => {
    const topic = await newTopic()
    const send = () => at(topic, '?expectedEnd=0').set('Idempotency-Key', 'k').send('x')
    const first = await send().expect(200)
    const again = await send().expect(200)
    assert.deepEqual(again.body, { ...(first.body as Produced), deduplicated: true })
  })

  test('takes no envelope that names another partition', async () => {
    const topic = await newTopic(2)
    const body = JSON.stringify({ records: [{ value: 1, partition: 1 }] })
    const refused = await at(topic, '').type(envelope).send(body).expect(422)
    assert.equal(problemOf(refused).code, 'INVALID_REQUEST')
    await at(topic, '', 1).type(envelope).send(body).expect(200)
  })
})
