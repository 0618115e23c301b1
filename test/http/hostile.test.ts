import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { loadDocuments } from '../../src/http/documents.ts'
import { ContractWitness } from '../support/contract-witness.ts'
import { openTestHttp } from '../support/http.ts'
import { naughtyStrings } from '../support/naughty-strings.ts'

const http = await openTestHttp()
after(() => http.close())
await http.post('/v1/topics').send({ name: 'known' }).expect(201)
await http.post('/v1/topics/known/records').type('json').send('[1,{"a":2},"x"]').expect(200)
await http.post('/consumers/known').send({ name: 'known', format: 'json' }).type('json').expect(200)

const word = fc.oneof(
  fc.constantFrom(
    'known',
    '0',
    '1',
    '-1',
    '1e3',
    'true',
    'null',
    'earliest',
    'offset:1',
    'json',
    '',
  ),
  fc.constantFrom(...naughtyStrings),
  fc.string({ unit: 'binary', maxLength: 20 }),
)

const mediaType = fc.constantFrom(
  'application/json',
  'application/x-ndjson',
  'application/vnd.ebbgate.records+json',
  'application/vnd.kafka.json.v2+json',
  'application/vnd.kafka.binary.v2+json',
  'application/vnd.kafka.v2+json',
  'application/x-www-form-urlencoded',
  'text/plain',
  'nonsense',
)

const body = fc.oneof(
  fc.constant(undefined),
  fc.json(),
  fc.uint8Array({ maxLength: 100 }),
  fc.constantFrom(
    '{"records":[{"value":1}]}',
    '{"records":[{"key":"a","value":"YQ==","partition":7}]}',
    '{"topics":["known"]}',
    '{"topic_pattern":"(a*)*$"}',
    '{"partitions":[{"topic":"known","partition":0}]}',
    '{"offsets":[{"topic":"known","partition":0,"offset":9007199254740991}]}',
    '{"name":"known"}',
    '{"__proto__":{"x":1}}',
    '[[[[[',
    '\ufeff{"a":1}',
  ),
)

/** What a fuzzed request would only wait for. */
const waits = new Set(['waitMs'])

const { native, v2 } = loadDocuments()

for (const document of [native, v2]) {
  const witness = new ContractWitness(document)
  for (const { id, method, path, queryNames, headerNames } of document.operations) {
    test(`${document.name}: nothing that is sent to ${id} is answered with a fault of ours`, async () => {
      const names = [...queryNames].filter((name) => !waits.has(name))
      const query = fc.dictionary(fc.constantFrom(...names, 'unknown'), word, { maxKeys: 3 })
      const parts = fc.array(word, { minLength: 3, maxLength: 3 })
      const header = fc.option(fc.constantFrom('Prefer', 'Accept', ...headerNames), {
        nil: undefined,
      })
      const hostile = fc.asyncProperty(
        parts,
        query,
        mediaType,
        body,
        header,
        word,
        async (values, queried, type, sent, name, value) => {
          let index = 0
          const filled = path.replaceAll(/\{[^}]+\}/g, () => encoded(values[index++]!))
          const url = `${filled}?${new URLSearchParams(wellFormed(queried)).toString()}`
          const headers: Record<string, string> = { 'content-type': type }
          if (name !== undefined && /^[\x20-\x7e]*$/.test(value)) headers[name] = value
          const withBody = sent !== undefined && method !== 'GET' && method !== 'HEAD'
          const response = await fetch(`${http.url}${url}`, {
            method,
            headers,
            ...(withBody ? { body: sent as string } : {}),
          })
          const text = await response.text()
          const { status } = response
          assert.ok(status < 500 || status === 501, `${method} ${url} ${type}: ${status} ${text}`)
          witness.check(method, filled, {
            status,
            headers: Object.fromEntries(response.headers),
            text,
          })
        },
      )
      await fc.assert(hostile, { numRuns: 25 })
    })
  }
}

/** A path part that stays one: dots alone and nothing at all would change the path. */
function encoded(part: string): string {
  const text = encodeURIComponent(part.toWellFormed())
  return /^\.{0,2}$/.test(text) ? 'x' : text
}

function wellFormed(query: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(query).map(([name, value]) => [name, value.toWellFormed()]),
  )
}
