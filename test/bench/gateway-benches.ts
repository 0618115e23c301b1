/** The gateway beside servers that do nothing but the transport: HTTP and WebSocket. */
import { get, post, runLoad } from './http-load.ts'
import { journalWritesPerSecond } from './journal-limit.ts'
import type { Comparison, Side, Turn } from './pairs.ts'
import { compare } from './pairs.ts'
import type { Server } from './servers.ts'
import { startSubject, startYardstick } from './servers.ts'
import { heard, openListener } from './socket-load.ts'

export const gatewayBenches = ['single', 'hundred', 'poll', 'fanout'] as const
export type GatewayBench = (typeof gatewayBenches)[number]

const event = (n: number): string =>
  `{"id":"order-${n}","customer":"c-${n % 97}","amount":49300.00,"items":[{"sku":"85123A","n":6},{"sku":"71053","n":2}],"note":"white hanging heart t-light holder, gift wrap please"}`
const hundred = `[${Array.from({ length: 100 }, (_, n) => event(n)).join(',')}]`
const json = { 'Content-Type': 'application/json' }

/** Both servers, started once for all benches of a run. */
export async function runGatewayBenches(
  names: readonly GatewayBench[],
  pairs: number,
  seconds: number,
  print: (result: Comparison) => void,
): Promise<void> {
  const subject = await startSubject()
  const yardstick = await startYardstick()
  try {
    const bench = new Benches(subject, yardstick, pairs, seconds)
    for (const name of names) print(await bench[name]())
  } finally {
    await subject.close()
    await yardstick.close()
  }
}

class Benches {
  readonly #subject: Server & { readonly data: string }
  readonly #yardstick: Server
  readonly #pairs: number
  readonly #seconds: number

  constructor(
    subject: Server & { readonly data: string },
    yardstick: Server,
    pairs: number,
    seconds: number,
  ) {
    this.#subject = subject
    this.#yardstick = yardstick
    this.#pairs = pairs
    this.#seconds = seconds
  }

  async single(): Promise<Comparison> {
    await this.#createTopic('single')
    const load = { connections: 64, seconds: this.#seconds }
    return compare(
      'POST of one event, 64 connections (yardstick: bare Fastify route, same body)',
      'requests',
      this.#pairs,
      http(this.#subject, { ...load, request: post('/v1/topics/single/records', event(1), json) }),
      http(this.#yardstick, { ...load, request: post('/json', event(1), json) }),
    )
  }

  async hundred(): Promise<Comparison> {
    await this.#createTopic('hundred')
    const load = { connections: 16, seconds: this.#seconds }
    const writes = await journalWritesPerSecond(this.#subject.data, hundred.length, 1)
    const result = await compare(
      'POST of 100 events, 16 connections (yardstick: bare Fastify route, same body)',
      'events',
      this.#pairs,
      http(
        this.#subject,
        { ...load, request: post('/v1/topics/hundred/records', hundred, json) },
        100,
      ),
      http(this.#yardstick, { ...load, request: post('/json', hundred, json) }, 100),
    )
    const limit = Math.round(writes * 100)
    return {
      ...result,
      note: `${result.note}; raw O_DSYNC journal, one such body a write: ${limit} events/s, ratio ${(result.subject / limit).toFixed(2)}`,
    }
  }

  async poll(): Promise<Comparison> {
    await this.#createTopic('poll')
    for (let i = 0; i < 10; i++) {
      await runLoad({
        port: this.#subject.port,
        connections: 1,
        seconds: 0,
        request: post('/v1/topics/poll/records', hundred, json),
      })
    }
    const path = '/v1/topics/poll/records?from=offset:300&partition=0&maxRecords=100'
    const answer = await fetch(`http://127.0.0.1:${this.#subject.port}${path}`)
    await fetch(`http://127.0.0.1:${this.#yardstick.port}/prepare`, {
      method: 'POST',
      body: await answer.arrayBuffer(),
    })
    const load = { connections: 16, seconds: this.#seconds }
    return compare(
      'GET of 100 records, 16 connections (yardstick: Fastify sends the same prepared bytes)',
      'requests',
      this.#pairs,
      http(this.#subject, { ...load, request: get(path) }),
      http(this.#yardstick, { ...load, request: get('/prepared') }),
    )
  }

  async fanout(): Promise<Comparison> {
    const clients = 200
    const flushes = 100
    const perFlush = 10
    await this.#createTopic('fan')
    const ten = (marker: string): string =>
      `[${Array.from({ length: perFlush }, (_, n) => (n === perFlush - 1 ? `{"marker":"${marker}"}` : event(n))).join(',')}]`
    const subscribe =
      '{"type":"subscribe","id":1,"sub":"s","topics":["fan"],"from":"latest","format":"json"}'
    const ours = await listeners(this.#subject, '/v1/ws', subscribe, '"live"')
    const theirs = await listeners(this.#yardstick, '/', undefined, undefined)
    let turnNumber = 0
    const side = (server: Server, sockets: Awaited<typeof ours>, path: string): Side => ({
      pid: server.pid,
      turn: async (): Promise<Turn> => {
        const last = `last-${turnNumber++}-`
        const all = Promise.all(sockets.map((socket) => heard(socket, last)))
        const startedAt = performance.now()
        for (let flush = 0; flush < flushes; flush++) {
          const body = ten(flush === flushes - 1 ? last : `m-${flush}`)
          const answer = await fetch(`http://127.0.0.1:${server.port}${path}`, {
            method: 'POST',
            // The bare server takes the bytes as they come; the gateway splits the array.
            headers: {
              'content-type': server === this.#subject ? 'application/json' : 'text/plain',
            },
            body,
          })
          await answer.arrayBuffer()
        }
        await all
        return {
          operations: clients * flushes * perFlush,
          seconds: (performance.now() - startedAt) / 1000,
        }
      },
    })
    const result = await compare(
      'fan-out to 200 WebSocket clients, 10 records a flush (yardstick: bare ws, shared pre-framed buffer)',
      'deliveries',
      this.#pairs,
      side(this.#subject, ours, '/v1/topics/fan/records'),
      side(this.#yardstick, theirs, '/broadcast'),
    )
    for (const socket of [...ours, ...theirs]) socket.destroy()
    return result

    async function listeners(server: Server, path: string, hello?: string, ready?: string) {
      return Promise.all(
        Array.from({ length: clients }, async () => {
          const socket = await openListener(server.port, path, hello)
          if (ready !== undefined) await heard(socket, ready)
          return socket
        }),
      )
    }
  }

  async #createTopic(name: string): Promise<void> {
    await fetch(`http://127.0.0.1:${this.#subject.port}/v1/topics`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ name, partitions: 1 }),
    })
  }
}

function http(
  server: Server,
  load: { connections: number; seconds: number; request: Buffer },
  perRequest = 1,
): Side {
  return {
    pid: server.pid,
    async turn(): Promise<Turn> {
      const result = await runLoad({ port: server.port, ...load })
      return {
        operations: result.answers * perRequest,
        seconds: result.seconds,
        note: `p50 ${result.p50.toFixed(1)} ms, p99 ${result.p99.toFixed(1)} ms`,
      }
    },
  }
}
