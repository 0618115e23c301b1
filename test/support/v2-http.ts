/** The v2 surface as its clients use it, over the real engine. */
import assert from 'node:assert/strict'
import type request from 'supertest'
import type { TestHttp, TestHttpOptions } from './http.ts'
import { openTestHttp } from './http.ts'

export const json = 'application/vnd.kafka.json.v2+json'
export const binary = 'application/vnd.kafka.binary.v2+json'
export const control = 'application/vnd.kafka.v2+json'

export interface Consumed {
  readonly topic: string
  readonly key: unknown
  readonly value: unknown
  readonly partition: number
  readonly offset: number
}

export interface V2Failure {
  readonly error_code: number
  readonly message: string
}

export interface TestV2 {
  readonly http: TestHttp
  /** A name that no other test has. */
  fresh(what: string): string
  topic(partitions?: number): Promise<string>
  /** As JSON records, one request. */
  produce(topic: string, values: readonly unknown[], partition?: number): Promise<void>
  /** Returns the path of the `base_uri`. */
  instance(options?: object, group?: string): Promise<string>
  subscribed(topics: readonly string[], options?: object, group?: string): Promise<string>
  send(path: string, body?: object): request.Test
  consume(instance: string, query?: string): Promise<Consumed[]>
  values(instance: string, query?: string): Promise<unknown[]>
  committed(instance: string, topic: string, partition?: number): Promise<number | undefined>
  close(): Promise<void>
}

export async function openTestV2(options: TestHttpOptions = {}): Promise<TestV2> {
  const http = await openTestHttp(options)
  let named = 0
  const v2: TestV2 = {
    http,
    fresh: (what) => `${what}-${named++}`,
    async topic(partitions = 1) {
      const name = v2.fresh('topic')
      await http.post('/v1/topics').send({ name, partitions }).expect(201)
      return name
    },
    async produce(topic, values, partition) {
      const path = partition === undefined ? '' : `/partitions/${partition}`
      const records = values.map((value) => ({ value }))
      const sent = http.post(`/topics/${topic}${path}`).type(json).send({ records })
      await sent.expect(200)
    },
    async instance(settings = {}, group = v2.fresh('group')) {
      const all = { format: 'json', 'auto.offset.reset': 'earliest', ...settings }
      const made = await http.post(`/consumers/${group}`).type(control).send(all).expect(200)
      const { base_uri: base } = made.body as { base_uri: string }
      assert.ok(base.startsWith(http.url), base)
      return base.slice(http.url.length)
    },
    async subscribed(topics, settings, group) {
      const path = await v2.instance(settings, group)
      await v2.send(`${path}/subscription`, { topics }).expect(204)
      return path
    },
    send: (path, body) => {
      const sent = http.post(path)
      return body === undefined ? sent : sent.type(control).send(body)
    },
    async consume(instance, query = '') {
      const answer = await http.get(`${instance}/records${query}`).expect(200)
      return answer.body as Consumed[]
    },
    values: async (instance, query) =>
      (await v2.consume(instance, query)).map(({ value }) => value),
    async committed(instance, topic, partition = 0) {
      const partitions = [{ topic, partition }]
      const asked = http.get(`${instance}/offsets`).type(control).send({ partitions })
      const { offsets } = (await asked.expect(200)).body as { offsets: { offset: number }[] }
      return offsets[0]?.offset
    },
    close: () => http.close(),
  }
  return v2
}

/** Status, code and words of a refusal. */
export function refusal(answer: request.Response): [status: number, code: number, words: string] {
  const { error_code: code, message } = answer.body as V2Failure
  return [answer.status, code, message]
}
