import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import request from 'supertest'
import type { AnyHandler } from '../../src/http/contract-router.ts'
import { bindContract, routeUrl, silentHttpMeter } from '../../src/http/contract-router.ts'
import { ContractDocument } from '../../src/http/contract-document.ts'
import { loadDocuments } from '../../src/http/documents.ts'
import { TrustedProxies } from '../../src/access/trusted-proxies.ts'
import { BaseUrls } from '../../src/http/exchange/base-url.ts'
import { WaitingCalls } from '../../src/http/exchange/waiting-calls.ts'
import { nativeSurface } from '../../src/http/native/errors.ts'
import { RequestBodies } from '../../src/http/request-body.ts'
import { dialects } from '../../src/http/v2/dialects.ts'
import { v2Surface } from '../../src/http/v2/errors.ts'
import { systemClock } from '../../src/kit/clock.ts'
import type { LogFields } from '../../src/kit/logger.ts'
import { silentLogger } from '../../src/kit/logger.ts'
import { anonymous } from '../../src/model/principal.ts'

const document = new ContractDocument(
  'sample',
  `
openapi: 3.1.0
info: { title: Sample, version: '1' }
paths:
  /things/{id}:
    parameters:
      - { name: id, in: path, required: true, schema: { type: integer, minimum: 1 } }
    get:
      operationId: getThing
      parameters:
        - $ref: '#/components/parameters/MaxRecords'
        - { name: tag, in: query, schema: { type: array, items: { type: string } } }
        - { name: deep, in: query, schema: { type: boolean } }
        - { name: X-Level, in: header, schema: { type: integer, maximum: 9 } }
      responses: { '200': { description: ok } }
    post:
      operationId: changeThing
      requestBody:
        required: true
        content:
          application/json:
            schema: { $ref: '#/components/schemas/Thing' }
      responses: { '200': { description: ok } }
  /things/{id}/raw:
    parameters:
      - { name: id, in: path, required: true, schema: { type: string } }
    put:
      operationId: putRaw
      x-ebbgate-appends: true
      requestBody: { content: { '*/*': { schema: {} } } }
      responses: { '200': { description: ok } }
  /things:batch:
    get:
      operationId: getBatch
      parameters:
        - { name: kind, in: query, required: true, schema: { type: string, enum: [a, b] } }
      responses: { '200': { description: ok } }
components:
  parameters:
    MaxRecords: { name: maxRecords, in: query, schema: { type: integer, minimum: 1, maximum: 10 } }
  schemas:
    Thing:
      type: object
      required: [size]
      additionalProperties: false
      properties:
        size: { type: integer }
        parts: { type: array, items: { $ref: '#/components/schemas/Thing' } }
`,
)

type SeenCall = { params: unknown; query: unknown; body: unknown; bytes: Buffer }

/** Answers with what the handler was given. */
const echo: AnyHandler = (call: never) => {
  const { params, query, body, bytes } = call as SeenCall
  return Promise.resolve({
    status: 200,
    body: { params, query, body: body ?? null, bytes: bytes.toString('latin1') },
  })
}

const handlers = { getThing: echo, changeThing: echo, putRaw: echo, getBatch: echo }

function serve(
  given: Readonly<Record<string, AnyHandler>>,
  options: { surface?: typeof nativeSurface; logged?: LogFields[] } = {},
): FastifyInstance {
  const server = fastify({ routerOptions: { maxParamLength: 1024 } })
  for (const method of ['POST', 'PUT']) {
    server.addHttpMethod(method, { hasBody: false, overrideExisting: true })
  }
  bindContract(server, document, given, options.surface ?? nativeSurface, {
    clock: systemClock,
    logger: { ...silentLogger, error: (fields) => void options.logged?.push(fields) },
    meter: silentHttpMeter,
    bodies: new RequestBodies({ bytesMax: 1000, inFlightMax: 5000, lingerMs: 1000 }, systemClock),
    waiting: new WaitingCalls(),
    bases: new BaseUrls(undefined, new TrustedProxies([])),
    authenticate: () => anonymous,
  })
  after(() => server.close())
  return server
}

const server = serve(handlers)
await server.listen({ port: 0, host: '127.0.0.1' })
const api = request(server.server)

const v2Server = serve(handlers, { surface: v2Surface(dialects.confluent) })
await v2Server.listen({ port: 0, host: '127.0.0.1' })
const v2 = request(v2Server.server)

function detailOf(response: request.Response): string {
  return (response.body as { detail: string }).detail
}

test('parameters arrive as what the document says they are', async () => {
  const response = await api.get('/things/7?maxRecords=3&deep=true&tag=a').expect(200)
  assert.deepEqual(response.body, {
    params: { id: 7 },
    query: { maxRecords: 3, deep: true, tag: ['a'] },
    body: null,
    bytes: '',
  })
  const repeated = await api.get('/things/7?tag=a&tag=b').expect(200)
  assert.deepEqual((repeated.body as { query: unknown }).query, { tag: ['a', 'b'] })
})

test('an unknown query parameter is refused, and the nearest known one is named', async () => {
  const response = await api.get('/things/7?maxrecord=3').expect(400)
  assert.match(detailOf(response), /'maxrecord' is not known\. Did you mean 'maxRecords'\?/)
  assert.match(
    detailOf(await api.get('/things/7?zzz=3').expect(400)),
    /'zzz' is not known\. Known here: /,
  )
  assert.match(detailOf(await api.post('/things/7?deep=1').send({ size: 1 }).expect(400)), /'deep'/)
})

test('v2 ignores query parameters that it does not know', async () => {
  await v2.get('/things/7?pretty=1').expect(200)
})

test('a parameter out of range is refused with its limit and the value met', async () => {
  assert.match(detailOf(await api.get('/things/7?maxRecords=11').expect(400)), /<= 10, but is 11/)
  assert.match(detailOf(await api.get('/things/0').expect(400)), /'id' must be >= 1, but is 0/)
  assert.match(detailOf(await api.get('/things/x').expect(400)), /'id' must be integer, but is 'x'/)
  assert.match(detailOf(await api.get('/things/7?maxRecords=').expect(400)), /must be integer/)
  assert.match(
    detailOf(await api.get('/things/7?maxRecords=1&maxRecords=2').expect(400)),
    /integer/,
  )
  const response = await api.get('/things/7').set('X-Level', '10').expect(400)
  assert.match(detailOf(response), /Header parameter 'x-level' must be <= 9/)
})

test('a query parameter that is missing is named', async () => {
  assert.match(detailOf(await api.get('/things:batch').expect(400)), /'kind' is missing/)
  const response = await api.get('/things:batch?kind=c').expect(400)
  assert.match(detailOf(response), /must be one of a, b, but is 'c'/)
})

test('a colon in a path is no parameter', async () => {
  assert.equal(routeUrl('/a/{b}/records:batch'), '/a/:b/records::batch')
  await api.get('/things:batch?kind=a').expect(200)
  await api.get('/thingsxbatch?kind=a').expect(404)
})

test('bodies are not coerced and not stripped', async () => {
  const response = await api.post('/things/7').send({ size: '5' }).expect(400)
  assert.match(detailOf(response), /Member 'size' must be integer, but is '5'/)
  const unknown = await api.post('/things/7').send({ size: 5, sise: 1 }).expect(400)
  assert.match(detailOf(unknown), /Member 'sise' is not known\. Did you mean 'size'\?/)
  const nested = await api
    .post('/things/7')
    .send({ size: 5, parts: [{ size: 1, x: 1 }] })
    .expect(400)
  assert.match(detailOf(nested), /'x' of 'parts\[0\]' is not known/)
  assert.match(detailOf(await api.post('/things/7').send({}).expect(400)), /'size' is missing/)
})

test('v2 says it in its own words and with its own status', async () => {
  const unknown = await v2.post('/things/7').send({ size: 5, sise: 1 }).expect(422)
  assert.deepEqual(unknown.body, { error_code: 422, message: 'Unrecognized field: sise' })
  const broken = await v2.post('/things/7').type('json').send('{"size":').expect(400)
  assert.equal((broken.body as { error_code: number }).error_code, 400)
})

test('a body that is no JSON, or no UTF-8, is a bad request that does not repeat it', async () => {
  const response = await api.post('/things/7').type('json').send('{"size":secret}').expect(400)
  assert.match(detailOf(response), /not valid JSON/)
  assert.ok(!detailOf(response).includes('secret'))
  const broken = Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])
  const utf8 = await api
    .post('/things/7')
    .type('json')
    .serialize(() => broken as never)
    .send({})
  assert.equal(utf8.status, 400)
  assert.match(detailOf(utf8), /not UTF-8/)
})

test('a body that the document asks for and nobody sent is named', async () => {
  assert.match(detailOf(await api.post('/things/7').expect(400)), /body is missing/)
  assert.match(detailOf(await api.post('/things/7').type('json').send('  ').expect(400)), /missing/)
})

test('a media type that the document does not declare is 415 and names those it does', async () => {
  const response = await api.post('/things/7').type('application/xml').send('<a/>').expect(415)
  assert.match(detailOf(response), /application\/json/)
})

test('an operation that takes anything gets the bytes, whatever they are called', async () => {
  for (const type of ['application/json', 'nonsense', 'text/plain; charset=x', 'a/b/c']) {
    const response = await api.put('/things/7/raw').set('Content-Type', type).send('{"a" :1}')
    assert.equal(response.status, 200, type)
    assert.equal((response.body as { bytes: string }).bytes, '{"a" :1}', type)
  }
})

test('a body above the limit is 413 and names the limit', async () => {
  const response = await api.put('/things/7/raw').send('x'.repeat(1001)).expect(413)
  assert.match(detailOf(response), /1000 bytes; this one takes 1001 bytes/)
})

test('path parameters may be long, and those beyond any use are not found', async () => {
  await api
    .put(`/things/${'x'.repeat(1000)}/raw`)
    .send('a')
    .expect(200)
})

test('an error nobody foresaw is told by its id alone, and the log has the rest', async () => {
  const logged: LogFields[] = []
  const failing = serve(
    { ...handlers, getThing: () => Promise.reject(new Error('secret detail')) },
    { logged },
  )
  await failing.listen({ port: 0, host: '127.0.0.1' })
  const response = await request(failing.server).get('/things/7').expect(500)
  const body = response.body as { code: string; detail: string; requestId: string }
  assert.equal(body.code, 'INTERNAL')
  assert.ok(!JSON.stringify(body).includes('secret'))
  assert.ok(body.detail.includes(body.requestId))
  assert.equal(logged.length, 1)
  assert.match(String(logged[0]?.['error']), /secret detail/)
})

test('an operation without a handler stops the start, and so does a handler without one', () => {
  const { getThing: _, ...rest } = handlers
  assert.throws(() => serve(rest), /Operation getThing of sample\.yaml has no handler/)
  assert.throws(() => serve({ ...handlers, getThink: echo }), /has no operation getThink/)
})

test('the contracts that are shipped can be bound', () => {
  const { native, v2: contract } = loadDocuments()
  assert.ok(native.operations.length > 10)
  assert.ok(contract.operations.length > 15)
})
