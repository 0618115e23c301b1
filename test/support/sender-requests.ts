/**
 * What real senders put on the wire, written out after what is known of them: the request line's
 * method and query, the head as they spell it, the body, and what must come of it.
 */
import { deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'

export interface SenderRequest {
  readonly sender: string
  /** `POST` unless said otherwise. */
  readonly method?: string
  readonly version?: '1.0' | '1.1'
  readonly query?: string
  /** Without Host, Content-Length and Transfer-Encoding, which the test adds. */
  readonly head: readonly string[]
  readonly body: string | Buffer
  /** The body goes out in these many chunks instead of with a length. */
  readonly chunks?: number
  /** Waits for `100 Continue` before the body. */
  readonly waits?: boolean
  /** Stored values, in order. Default: the body as it is. */
  readonly values?: readonly (string | Buffer)[]
  readonly keys?: readonly (string | null)[]
  /** The record header `content-type` of each. Default: none. */
  readonly types?: readonly (string | null)[]
  /** Default: 200. */
  readonly status?: number
  /** Value of `Ebbgate-Failed`. */
  readonly failed?: number
}

const form = 'Content-Type: application/x-www-form-urlencoded'
const json = 'Content-Type: application/json'
const h2c = [
  'Connection: Upgrade, HTTP2-Settings',
  'HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA',
  'Upgrade: h2c',
]
const two = '[{"a":1},{"a":2.50}]'
const halves = ['{"a":1}', '{"a":2.50}']
const eventAttributes = '"specversion":"1.0","id":"1","source":"/s","type":"t"'
const otlp = '{"resourceLogs":[{"scopeLogs":[]}]}'
const msgpack = Buffer.from([0x92, 0x00, 0x81, 0xa1, 0x61, 0x01])
const snsBody = '{\n  "Type" : "Notification",\n  "MessageId" : "22b80b92"\n}'

/** §2: HTTP clients and what they send by default. */
export const clientRequests: readonly SenderRequest[] = [
  {
    sender: "curl -d '{…}'",
    head: ['User-Agent: curl/7.88.1', 'Accept: */*', form],
    body: '{"a":1}',
  },
  {
    sender: "curl -d 'text'",
    head: ['User-Agent: curl/7.88.1', 'Accept: */*', form],
    body: 'This is my first event',
    types: ['text/plain'],
  },
  { sender: "curl -d '[…]'", head: ['Accept: */*', form], body: two, values: halves },
  {
    sender: "curl -d '[…]' with batch=none",
    query: '?batch=none',
    head: ['Accept: */*', form],
    body: two,
  },
  {
    sender: 'curl --json',
    head: [json, 'Accept: application/json'],
    body: '{ "a" : 49300.00 }',
  },
  {
    sender: 'curl -T -',
    method: 'PUT',
    head: ['User-Agent: curl/7.88.1', 'Accept: */*', 'Expect: 100-continue'],
    body: 'from a pipe\n',
    chunks: 2,
    waits: true,
  },
  {
    sender: 'curl -F',
    head: ['Content-Type: multipart/form-data; boundary=------------------------d74496d66958873e'],
    body:
      '--------------------------d74496d66958873e\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n' +
      '--------------------------d74496d66958873e\r\nContent-Disposition: form-data; name="f"; filename="x.json"\r\n' +
      'Content-Type: application/json\r\n\r\n{"f":\n1}\n\r\n--------------------------d74496d66958873e--\r\n',
    values: ['1', '{"f":\n1}\n'],
    types: [null, 'application/json'],
  },
  { sender: 'curl --http2 on plain http', head: ['Accept: */*', ...h2c, form], body: '{"a":1}' },
  {
    sender: 'Python requests, json=',
    head: ['Accept-Encoding: gzip, deflate', 'Accept: */*', 'Connection: keep-alive', json],
    body: '{"a": 1}',
  },
  { sender: "Python requests, data='…'", head: ['Accept: */*'], body: two },
  { sender: 'Python requests, data={…}', head: [form], body: 'a=1&b=x+y', types: ['text/plain'] },
  {
    sender: 'Python requests, a generator',
    head: ['Accept: */*'],
    body: 'piece by piece',
    chunks: 3,
  },
  {
    sender: 'Python urllib',
    head: [
      'Accept-Encoding: identity',
      form,
      'User-Agent: Python-urllib/3.12',
      'Connection: close',
    ],
    body: '{"a": 1}',
  },
  {
    sender: 'Go NewRequest',
    head: ['User-Agent: Go-http-client/1.1', 'Accept-Encoding: gzip'],
    body: '{"a":1}',
  },
  {
    sender: 'Go with a reader of unknown length',
    head: ['User-Agent: Go-http-client/1.1', json, 'Accept-Encoding: gzip'],
    body: '{"a":1}',
    chunks: 1,
  },
  {
    sender: "Java HttpClient's h2c",
    head: [...h2c, 'User-Agent: Java-http-client/17.0.15'],
    body: '{"a":1}',
  },
  {
    sender: "Java HttpClient's h2c, a stream",
    head: [...h2c, 'User-Agent: Java-http-client/17.0.15', json],
    body: '{"a":1}',
    chunks: 2,
  },
  {
    sender: 'Java HttpURLConnection',
    head: [form, 'Accept: text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2'],
    body: '{"a":1}',
  },
  { sender: 'OkHttp', head: ['Content-Type: application/json; charset=utf-8'], body: '{"a":1}' },
  { sender: 'Swift URLSession', head: [form, 'Accept: */*'], body: '{"a":1}' },
  {
    sender: 'ESP32 HTTPClient',
    head: ['Connection: keep-alive', 'Accept-Encoding: identity;q=1,chunked;q=0.1,*;q=0', json],
    body: '{"t":21.50}',
  },
  { sender: 'Arduino, HTTP/1.0', version: '1.0', head: [], body: 't=21.50' },
  {
    sender: 'a device that wants little',
    method: 'PUT',
    query: '?timeoutMs=4000',
    head: ['Ebbgate-Key: dev42', 'Idempotency-Key: dev42-b7-1187', 'Prefer: return=minimal'],
    body: '{"t":21.50}',
    keys: ['dev42'],
    status: 204,
  },
  {
    sender: 'Node fetch of a string',
    head: ['content-type: text/plain;charset=UTF-8', 'accept: */*', 'sec-fetch-mode: cors'],
    body: '{"a":1}',
    types: ['text/plain;charset=UTF-8'],
  },
  {
    sender: 'Node fetch of URLSearchParams',
    head: ['content-type: application/x-www-form-urlencoded;charset=UTF-8'],
    body: 'a=1&b=%C3%A9',
    types: ['text/plain'],
  },
  { sender: 'Node fetch of bytes', head: ['accept: */*'], body: Buffer.from([0, 0xff, 0x0a]) },
  { sender: 'axios, an object', head: ['Content-Type: application/json'], body: '{"a":1}' },
  { sender: 'axios, a string', head: [form], body: 'hello', types: ['text/plain'] },
  { sender: 'winston Http, batching', head: [json], body: two, values: halves },
  { sender: 'pino-http-send', head: [json], body: '{"logs":[{"level":30}]}' },
  {
    sender: 'Segment',
    head: [json, 'Authorization: Basic a2V5Og=='],
    body: '{"batch":[{"type":"track"}],"sentAt":"x"}',
  },
  {
    sender: 'PostHog, gzip',
    head: [json, 'Content-Encoding: gzip'],
    body: gzipSync('{"api_key":"k","batch":[]}'),
    values: ['{"api_key":"k","batch":[]}'],
  },
  {
    sender: 'Snowplow',
    head: ['Content-Type: application/json; charset=utf-8'],
    body: '{"schema":"iglu:x","data":[{"e":"pv"}]}',
  },
  {
    sender: 'CloudEvents SDK, binary',
    head: [
      'content-type: application/json; charset=utf-8',
      ...['ce-id: 1', 'ce-type: t', 'ce-source: /s', 'ce-specversion: 1.0', 'ce-partitionkey: k'],
    ],
    body: '{"a":[1,2]}',
    chunks: 1,
    keys: ['k'],
    types: ['application/json; charset=utf-8'],
  },
  {
    sender: 'CloudEvents SDK, structured',
    head: ['content-type: application/cloudevents+json; charset=utf-8'],
    body: `{${eventAttributes},"partitionkey":"k","data":{"n":1.0}}`,
    chunks: 1,
    keys: ['k'],
    types: ['application/cloudevents+json; charset=utf-8'],
  },
  {
    sender: 'CloudEvents SDK, batch',
    head: ['content-type: application/cloudevents-batch+json'],
    body: `[{${eventAttributes}}, {${eventAttributes},"data":1}]`,
    values: [`{${eventAttributes}}`, `{${eventAttributes},"data":1}`],
    types: ['application/cloudevents+json', 'application/cloudevents+json'],
  },
]

/** §12 and §15: what pages and other people's services send. */
export const pageAndHookRequests: readonly SenderRequest[] = [
  {
    sender: 'sendBeacon of FormData',
    head: ['Content-Type: multipart/form-data; boundary=----WebKitFormBoundaryx'],
    body: '------WebKitFormBoundaryx\r\nContent-Disposition: form-data; name="e"\r\n\r\n{"e":1}\r\n------WebKitFormBoundaryx--\r\n',
    values: ['{"e":1}'],
  },
  {
    sender: 'GitHub, JSON',
    head: ['Accept: */*', 'X-GitHub-Event: push', 'X-GitHub-Delivery: 72d3162e', json],
    query: '?keyFrom=/repository/full_name',
    body: '{"ref":"main","repository":{"full_name":"o/r"}}',
    keys: ['o/r'],
  },
  {
    sender: 'GitHub, a form',
    head: [form, 'X-GitHub-Event: push'],
    body: 'payload=%7B%22ref%22%3A%22main%22%7D',
    types: ['text/plain'],
  },
  {
    sender: 'Stripe, pretty-printed',
    head: ['Content-Type: application/json; charset=utf-8', 'Stripe-Signature: t=1,v1=ab'],
    body: '{\n  "id": "evt_1",\n  "amount": 2000.00\n}',
  },
  {
    sender: 'Amazon SNS',
    head: ['Content-Type: text/plain; charset=UTF-8', 'x-amz-sns-message-type: Notification'],
    body: snsBody,
    types: ['text/plain; charset=UTF-8'],
  },
  {
    sender: 'Google Pub/Sub push',
    head: [json, 'From: noreply@google.com'],
    body: '{"message":{"data":"aGk=","messageId":"1"},"subscription":"s"}',
  },
]

/** §14: shippers and pipelines. */
export const shipperRequests: readonly SenderRequest[] = [
  { sender: 'Fluent Bit json', head: [json], body: two, values: halves },
  { sender: 'Fluent Bit json_stream', head: [json], body: halves.join(''), values: halves },
  {
    sender: 'Fluent Bit json_lines, zstd',
    head: ['Content-Type: application/x-ndjson', 'Content-Encoding: zstd'],
    body: zstdCompressSync(`${halves.join('\n')}\n`),
    values: halves,
  },
  {
    sender: 'Fluent Bit gelf',
    head: [json, 'FLUENT-TAG: app'],
    body: '{"version":"1.1"}\n{"version":"1.1","level":6}\n',
    values: ['{"version":"1.1"}', '{"version":"1.1","level":6}'],
  },
  {
    sender: 'Fluent Bit msgpack',
    head: ['Content-Type: application/msgpack'],
    body: msgpack,
    types: ['application/msgpack'],
  },
  {
    sender: 'Fluentd ndjson',
    head: ['Content-Type: application/x-ndjson', 'Connection: close', 'Accept: */*'],
    body: `${halves.join('\n')}\n`,
    values: halves,
  },
  { sender: 'Fluentd json_array', head: [json], body: two, values: halves },
  {
    sender: 'Fluentd csv',
    query: '?lines=true',
    head: ['Content-Type: text/csv'],
    body: 'a,b\r\nc,"d"\r\n',
    values: ['a,b', 'c,"d"'],
    types: ['text/csv', 'text/csv'],
  },
  {
    sender: 'Vector, zlib',
    head: [json, 'content-encoding: deflate', 'accept-encoding: zstd,gzip,deflate,br'],
    body: deflateSync(two),
    values: halves,
  },
  {
    sender: 'Vector, a prefix around the array',
    head: [json],
    body: `{"events":${two}}`,
  },
  { sender: 'Logstash json', head: [json, 'Connection: Keep-Alive'], body: '{"@version":"1"}' },
  { sender: 'Logstash json_batch', head: [json], body: two, values: halves },
  {
    sender: 'Logstash message',
    head: ['Content-Type: text/plain'],
    body: 'free text',
    types: ['text/plain'],
  },
  {
    sender: 'Telegraf, influx lines',
    query: '?lines=true',
    head: ['Content-Type: text/plain; charset=utf-8', 'Content-Encoding: gzip'],
    body: gzipSync('cpu,host=a usage=1.50 1\nmem,host=a free=2i 1\n'),
    values: ['cpu,host=a usage=1.50 1', 'mem,host=a free=2i 1'],
    types: ['text/plain; charset=utf-8', 'text/plain; charset=utf-8'],
  },
  { sender: 'OTLP/HTTP, JSON', head: [json], body: otlp, chunks: 2 },
  {
    sender: 'OTLP/HTTP, protobuf',
    head: ['Content-Type: application/x-protobuf', 'Content-Encoding: gzip'],
    body: gzipSync(Buffer.from([0x0a, 0x00])),
    values: [Buffer.from([0x0a, 0x00])],
    types: ['application/x-protobuf'],
  },
  {
    sender: 'Benthos, one message',
    head: ['Content-Type: application/octet-stream'],
    body: Buffer.from([0x00, 0x80]),
    types: ['application/octet-stream'],
  },
  {
    sender: 'Benthos, a batch',
    head: ['Content-Type: multipart/mixed; boundary=9d4e'],
    body:
      '--9d4e\r\nContent-Type: application/octet-stream\r\n\r\nfoo\r\n' +
      '--9d4e\r\nContent-Type: application/octet-stream\r\n\r\nbar\nbaz\r\n--9d4e--\r\n',
    values: ['foo', 'bar\nbaz'],
    types: ['application/octet-stream', 'application/octet-stream'],
  },
  {
    sender: 'Kafka Connect HTTP sink, a batch',
    query: '?lines=true',
    head: [...h2c, 'User-Agent: Java-http-client/11'],
    body: '{"a":1}\n{"a":2.50}',
    values: halves,
  },
  {
    sender: 'lines of which one is broken',
    head: ['Content-Type: application/x-ndjson'],
    body: '{"a":1}\n{"a":\n{"a":2.50}\n',
    values: halves,
    failed: 1,
  },
  {
    sender: 'the same with Prefer: return=minimal',
    head: ['Content-Type: application/x-ndjson', 'Prefer: return=minimal'],
    body: '{"a":1}\n{"a":\n{"a":2.50}\n',
    values: halves,
    failed: 1,
  },
  {
    sender: 'the same, all or nothing',
    query: '?atomic=true',
    head: ['Content-Type: application/x-ndjson'],
    body: '{"a":1}\n{"a":\n{"a":2.50}\n',
    values: [],
    status: 422,
  },
]
