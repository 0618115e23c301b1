/** The quickstart of Confluent's v3 against the shipped program, unchanged but for the base URL. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { startGateway } from '../support/gateway-process.ts'
import { RawHttp } from '../support/raw-http.ts'

const data = await mkdtemp(join(tmpdir(), 'ebbgate-v3-'))
const gateway = await startGateway({ data })
after(async () => {
  await gateway.stop()
  await rm(data, { recursive: true, force: true })
})

const post = (path: string, body: string): Promise<Response> =>
  fetch(gateway.url + path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Accept: 'application/json' },
    body,
  })

interface Receipt {
  readonly error_code: number
  readonly cluster_id: string
  readonly topic_name: string
  readonly partition_id: number
  readonly offset: number
  readonly timestamp: string
  readonly value: { readonly type: string; readonly size: number }
}

/** Concatenated JSON; each receipt is a line of its own. */
function receiptsOf(text: string): Receipt[] {
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Receipt)
}

test('the v3 quickstart works as it is written', async (t) => {
  let cluster = ''

  await t.test('the cluster is listed with its id and relations', async () => {
    const answer = await fetch(`${gateway.url}/v3/clusters`)
    assert.equal(answer.status, 200)
    const body = (await answer.json()) as {
      data: { cluster_id: string; topics: { related: string } }[]
    }
    assert.equal(body.data.length, 1)
    const { cluster_id: id, topics } = body.data[0]!
    assert.equal(topics.related, `${gateway.url}/v3/clusters/${id}/topics`)
    cluster = id
  })

  const topics = `/v3/clusters/${cluster}/topics`
  const records = `${topics}/jsontest/records`

  await t.test('a topic is created', async () => {
    const answer = await post(topics, '{"topic_name":"jsontest"}')
    assert.equal(answer.status, 201)
    assert.equal(answer.headers.get('location'), `${gateway.url}${topics}/jsontest`)
  })

  await t.test('a JSON record has a receipt', async () => {
    const answer = await post(records, '{"value":{"type":"JSON","data":{"name":"testUser"}}}')
    assert.equal(answer.status, 200)
    const [receipt] = receiptsOf(await answer.text())
    const { timestamp, ...rest } = receipt!
    assert.match(timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/)
    assert.deepEqual(rest, {
      error_code: 200,
      cluster_id: cluster,
      topic_name: 'jsontest',
      partition_id: 0,
      offset: 0,
      value: { type: 'JSON', size: 19 },
    })
  })

  await t.test('two objects in one body have two receipts, in order', async () => {
    const one = '{"value":{"type":"JSON","data":"ONE"}}'
    const two = '{"value":{"type":"JSON","data":"TWO"}}'
    const receipts = receiptsOf(await (await post(records, `${one} ${two}`)).text())
    assert.deepEqual(
      receipts.map(({ offset, value }) => [offset, value.size]),
      [
        [1, 5],
        [2, 5],
      ],
    )
  })

  await t.test('a string is stored without its quotes', async () => {
    const answer = await post(records, '{"value":{"type":"STRING","data":"REST"}}')
    assert.equal(receiptsOf(await answer.text())[0]!.value.size, 4)
  })

  await t.test('a request that stays open has each receipt before the next record', async () => {
    const raw = await RawHttp.open(Number(new URL(gateway.url).port))
    raw.head(
      `POST ${records} HTTP/1.1`,
      'Host: localhost',
      'Content-Type: application/json',
      'Transfer-Encoding: chunked',
    )
    for (let offset = 4; offset < 8; offset++) {
      const text = `{"value":{"type":"JSON","data":{"n":${offset}}}}`
      raw.write(`${text.length.toString(16)}\r\n${text}\r\n`)
      await raw.until(new RegExp(`"error_code":200,[^\\n]*"offset":${offset},`))
    }
    raw.write('0\r\n\r\n')
    await raw.until(/\r\n0\r\n\r\n$/)
    raw.destroy()
  })

  await t.test('a batch with one bad entry is 207', async () => {
    const entries = [
      { id: 'good', value: { type: 'BINARY', data: 'Zm9v' } },
      { id: 'bad', value: { type: 'BINARY', data: 'fooba' } },
    ]
    const answer = await post(`${records}:batch`, JSON.stringify({ entries }))
    assert.equal(answer.status, 207)
    const { successes, failures } = (await answer.json()) as {
      successes: { id: string; offset: number }[]
      failures: { id: string; error_code: number }[]
    }
    assert.deepEqual(
      successes.map(({ id, offset }) => [id, offset]),
      [['good', 8]],
    )
    assert.deepEqual(
      failures.map(({ id, error_code: code }) => [id, code]),
      [['bad', 400]],
    )
  })
})
