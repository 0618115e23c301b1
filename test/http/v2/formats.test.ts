/** Formats that need a schema registry, which this version does not have. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { control, json, openTestV2, refusal } from '../../support/v2-http.ts'

const v2 = await openTestV2()
after(() => v2.close())

test('formats with schemas are answered that no registry is configured, and store nothing', async () => {
  const topic = await v2.topic()
  for (const format of ['avro', 'jsonschema', 'protobuf']) {
    const type = `application/vnd.kafka.${format}.v2+json`
    const body = { value_schema: '"int"', value_schema_id: 1, records: [{ value: 1 }] }
    for (const path of [`/topics/${topic}`, `/topics/${topic}/partitions/0`]) {
      const refused = await v2.http.post(path).type(type).send(body)
      assert.deepEqual(refusal(refused).slice(0, 2), [400, 40002])
      assert.match(refusal(refused)[2], /needs a schema registry, and none is configured/)
    }
    const made = await v2.send('/consumers/g', { format: format.toUpperCase() })
    assert.deepEqual(refusal(made).slice(0, 2), [400, 40002])
    const instance = await v2.subscribed([topic])
    const read = await v2.http.get(`${instance}/records`).set('Accept', type)
    assert.deepEqual(refusal(read).slice(0, 2), [406, 40601])
  }
  const { body } = await v2.http.get(`/topics/${topic}/partitions/0/offsets`).expect(200)
  assert.deepEqual(body, { beginning_offset: 0, end_offset: 0 })
})

test('R16: values keep their bytes and keys their identity, whatever is falsy', async () => {
  const topic = await v2.topic(8)
  const values = ['0', 'false', '""', '{}', '[]', '49300.00', '1e400', '{"a":1,"a":2}']
  const records = values.map(
    (value, n) => `{"key":${n % 2 ? '{"k": 1}' : '{"k":1}'},"value":${value}}`,
  )
  await v2.http
    .post(`/topics/${topic}`)
    .type(json)
    .send(`{"records":[${records.join()}]}`)
    .expect(200)
  const instance = await v2.subscribed([topic])
  const { text } = await v2.http.get(`${instance}/records`).expect(200)
  for (const value of values) assert.ok(text.includes(`"key":{"k":1},"value":${value},`), value)
  const partitions = new Set(
    (JSON.parse(text) as { partition: number }[]).map(({ partition }) => partition),
  )
  assert.equal(partitions.size, 1)
})

test('bodies of control calls may come without a type, as plain JSON, or as any embedded type', async () => {
  const topic = await v2.topic()
  const instance = await v2.instance()
  const body = JSON.stringify({ topics: [topic] })
  const avro = 'application/vnd.kafka.avro.v2+json'
  for (const type of ['application/json', control, json, avro, `${control}; charset=utf-8`]) {
    await v2.http.post(`${instance}/subscription`).set('Content-Type', type).send(body).expect(204)
  }
  const refused = await v2.http.post(`${instance}/subscription`).type('text/plain').send(body)
  assert.deepEqual(refusal(refused), [415, 415, 'HTTP 415 Unsupported Media Type'])
})
