/** Real events of five kinds, and the way in which senders of that kind really send them. */
import { readFileSync } from 'node:fs'
import type { Placed } from './ledger.ts'

export interface Source {
  readonly topic: string
  readonly partitions: number
  /** What a person is told about it. */
  readonly story: string
  readonly events: readonly Buffer[]
  /** Events of one request. */
  readonly perRequest: number
  /** The key that the stored record must have. */
  keyOf(event: Buffer): string | null
  /** Sends them in one request. Resolves to where they are; rejects when that was not answered. */
  send(url: string, events: readonly Buffer[]): Promise<readonly Placed[]>
}

export const sources: readonly Source[] = [
  {
    topic: 'access-log',
    partitions: 2,
    story: 'web access log, text lines as Telegraf posts them',
    events: lines('web-access-log/access.log'),
    perRequest: 25,
    keyOf: () => null,
    send: (url, events) =>
      native(`${url}/v1/topics/access-log/records?lines=true`, joined(events, '\n'), {
        'content-type': 'text/plain; charset=utf-8',
      }),
  },
  {
    topic: 'orders',
    partitions: 3,
    story: 'retail order lines, NDJSON as Fluent Bit posts it, keyed by invoice',
    events: lines('retail-orders/order-lines.jsonl'),
    perRequest: 40,
    keyOf: (event) => member(event, 'InvoiceNo'),
    send: (url, events) =>
      native(`${url}/v1/topics/orders/records?keyFrom=/InvoiceNo`, joined(events, '\n', '\n'), {
        'content-type': 'application/x-ndjson',
      }),
  },
  {
    topic: 'github-events',
    partitions: 4,
    story: 'GitHub timeline, a JSON array as Vector posts it, keyed by repository',
    events: lines('github-events/events.jsonl'),
    perRequest: 10,
    keyOf: (event) => (JSON.parse(event.toString()) as { repo: { name: string } }).repo.name,
    send: (url, events) =>
      native(
        `${url}/v1/topics/github-events/records?keyFrom=/repo/name`,
        Buffer.concat([Buffer.from('['), joined(events, ','), Buffer.from(']')]),
        { 'content-type': 'application/json' },
      ),
  },
  {
    topic: 'vehicle',
    partitions: 2,
    story: 'car telemetry, one event a request as curl -d sends it, keyed by header',
    events: lines('vehicle-trace/trace.jsonl'),
    perRequest: 1,
    keyOf: (event) => member(event, 'name'),
    send: (url, [event]) =>
      native(`${url}/v1/topics/vehicle/records`, event!, {
        'content-type': 'application/x-www-form-urlencoded',
        'ebbgate-key': member(event!, 'name'),
      }),
  },
  {
    topic: 'trades',
    partitions: 2,
    story: 'market trades, through the v2 surface as REST proxy clients send them',
    events: [
      ...lines('market-trades/trades-brl.jsonl'),
      ...lines('market-trades/trades-usd.jsonl'),
    ],
    perRequest: 15,
    keyOf: (event) => JSON.stringify((JSON.parse(event.toString()) as { tid: number }).tid),
    send: (url, events) => produceV2(url, 'trades', events),
  },
]

/** All that the fixtures hold, for messages. */
export const eventCount = sources.reduce((sum, source) => sum + source.events.length, 0)

export async function createTopics(url: string): Promise<void> {
  for (const { topic, partitions } of sources) {
    const answer = await fetch(`${url}/v1/topics`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ name: topic, partitions, ifNotExists: true }),
    })
    if (!answer.ok) throw new Error(`${topic} was not created: ${await answer.text()}`)
  }
}

function lines(file: string): Buffer[] {
  const text = readFileSync(new URL(`../fixtures/${file}`, import.meta.url), 'latin1')
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => Buffer.from(line, 'latin1'))
}

function joined(events: readonly Buffer[], between: string, end = ''): Buffer {
  const parts: Buffer[] = []
  for (const [i, event] of events.entries()) {
    if (i > 0) parts.push(Buffer.from(between))
    parts.push(event)
  }
  return Buffer.concat([...parts, Buffer.from(end)])
}

function member(event: Buffer, name: string): string {
  return String((JSON.parse(event.toString()) as Record<string, unknown>)[name])
}

async function native(
  url: string,
  body: Buffer,
  headers: Record<string, string>,
): Promise<readonly Placed[]> {
  const answer = await fetch(url, { method: 'POST', headers, body: new Uint8Array(body) })
  if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`)
  return ((await answer.json()) as { results: Placed[] }).results
}

async function produceV2(
  url: string,
  topic: string,
  events: readonly Buffer[],
): Promise<readonly Placed[]> {
  const records = events.map((event) => {
    const key = (JSON.parse(event.toString()) as { tid: number }).tid
    return Buffer.concat([Buffer.from(`{"key":${key},"value":`), event, Buffer.from('}')])
  })
  const answer = await fetch(`${url}/topics/${topic}`, {
    method: 'POST',
    headers: { 'content-type': 'application/vnd.kafka.json.v2+json' },
    body: new Uint8Array(
      Buffer.concat([Buffer.from('{"records":['), joined(records, ','), Buffer.from(']}')]),
    ),
  })
  if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`)
  return ((await answer.json()) as { offsets: Placed[] }).offsets
}
