import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import { AnswersInFlight } from '../../src/http/exchange/answers-in-flight.ts'
import { GatewayError } from '../../src/model/errors.ts'
import { openTestHttp } from '../support/http.ts'
import { until } from '../support/until.ts'

class Written {
  readonly #listeners: ((whole: boolean) => void)[] = []

  onWritten(listener: (whole: boolean) => void): void {
    this.#listeners.push(listener)
  }

  end(whole: boolean): void {
    for (const listener of this.#listeners) listener(whole)
  }
}

const isOverloaded = (error: unknown): boolean =>
  error instanceof GatewayError && error.code === 'OVERLOADED'

test('an answer counts until it was written, or its client has gone', () => {
  const answers = new AnswersInFlight(100)
  const [first, second] = [new Written(), new Written()]
  answers.admit(first, 60)
  answers.admit(second, 40)
  assert.throws(() => answers.admit(new Written(), 1), isOverloaded)
  assert.equal(answers.bytes, 100)
  first.end(true)
  second.end(false)
  assert.equal(answers.bytes, 0)
})

test('one answer alone may be larger than all together', () => {
  const answers = new AnswersInFlight(100)
  answers.admit(new Written(), 1000)
  assert.throws(() => answers.admit(new Written(), 1), isOverloaded)
})

test('readers that take nothing of what they asked for do not fill the memory', async () => {
  const http = await openTestHttp({ answerBytesMax: 20_000_000 })
  const stalled: Socket[] = []
  try {
    await http.post('/v1/topics').send({ name: 'large' }).expect(201)
    for (let i = 0; i < 16; i++) {
      await http
        .post('/v1/topics/large/records')
        .type('text')
        .send('x'.repeat(1_000_000))
        .expect(200)
    }
    const path = '/v1/topics/large/records?maxBytes=33554432'
    const socket = connect(http.port, '127.0.0.1')
    stalled.push(socket)
    socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
    await once(socket, 'readable')
    const refused = await http.get(path).expect(503)
    assert.equal((refused.body as { code: string }).code, 'OVERLOADED')
    await http.get('/v1/topics/large/offsets').expect(200)
    socket.destroy()
    await until(async () => (await http.get(path)).status === 200, 'the memory to be free again')
  } finally {
    for (const socket of stalled) socket.destroy()
    await http.close()
  }
})
