import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { openTestHttp } from '../support/http.ts'
import { RawHttp } from '../support/raw-http.ts'
import type { SenderRequest } from '../support/sender-requests.ts'
import { clientRequests, pageAndHookRequests, shipperRequests } from '../support/sender-requests.ts'

const http = await openTestHttp()
after(() => http.close())

interface Stored {
  readonly key: string | null
  readonly value: string
  readonly headers?: readonly { name: string; value: string }[]
}

let made = 0

for (const request of [...clientRequests, ...pageAndHookRequests, ...shipperRequests]) {
  test(`${request.sender}: the right records with the right bytes`, async () => {
    const topic = `sender-${made++}`
    await http.post('/v1/topics').send({ name: topic }).expect(201)
    const answer = await send(request, topic)
    const { status = 200, failed } = request
    const bytes = Buffer.from(request.body as string)
    const values = (request.values ?? [bytes]).map((value) => Buffer.from(value as string))
    assert.ok(answer.startsWith(`HTTP/1.1 ${status} `), answer)
    if (status < 300) assert.match(answer, new RegExp(`ebbgate-records: ${values.length}\\r\\n`))
    assert.equal(/ebbgate-failed: (\d+)/.exec(answer)?.[1], failed?.toString())

    const { body } = await http.get(`/v1/topics/${topic}/records?format=binary`).expect(200)
    const stored = (body as { records: Stored[] }).records
    assert.deepEqual(
      stored.map(({ value }) => Buffer.from(value, 'base64').toString('latin1')),
      values.map((value) => value.toString('latin1')),
    )
    const none = values.map(() => null)
    assert.deepEqual(
      stored.map(({ key }) => key),
      request.keys ?? none,
    )
    assert.deepEqual(
      stored.map(
        ({ headers }) => headers?.find(({ name }) => name === 'content-type')?.value ?? null,
      ),
      request.types ?? none,
    )
  })
}

/** Sends as the sender does and gives the final answer's head and what has come of its body. */
async function send(request: SenderRequest, topic: string): Promise<string> {
  const { method = 'POST', version = '1.1', query = '', head, chunks, waits } = request
  const body = Buffer.from(request.body as string)
  const raw = await RawHttp.open(http.port)
  const length =
    chunks === undefined ? `Content-Length: ${body.length}` : 'Transfer-Encoding: chunked'
  raw.head(
    `${method} /v1/topics/${topic}/records${query} HTTP/${version}`,
    'Host: localhost',
    ...head,
    length,
  )
  if (waits === true) {
    await raw.until(/100 Continue\r\n\r\n/)
    raw.clear()
  }
  if (chunks === undefined) raw.write(body)
  else {
    const size = Math.ceil(body.length / chunks)
    for (let at = 0; at < body.length; at += size) {
      const piece = body.subarray(at, at + size)
      raw
        .write(`${piece.length.toString(16)}\r\n`)
        .write(piece)
        .write('\r\n')
    }
    raw.write('0\r\n\r\n')
  }
  const answer = await raw.until(/^HTTP\/1.1 204[^]*\r\n\r\n|\r\n\r\n[^]*\}$/)
  raw.destroy()
  return answer
}

test("Vector's health check is a HEAD", async () => {
  await http.post('/v1/topics').send({ name: 'vector' }).expect(201)
  const raw = await RawHttp.open(http.port)
  raw.head('HEAD /v1/topics/vector/records HTTP/1.1', 'Host: localhost')
  assert.match(await raw.until(/\r\n\r\n/), /^HTTP\/1.1 200 /)
  raw.clear().head('HEAD /v1/topics/nothing/records HTTP/1.1', 'Host: localhost')
  assert.match(await raw.until(/\r\n\r\n/), /^HTTP\/1.1 404 /)
  raw.destroy()
})
