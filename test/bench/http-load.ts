/**
 * A small HTTP/1.1 load generator: keep-alive connections, each sends the next request when the answer
 * to the last one is complete. It parses as little as it can, so that the server is the busy side.
 */
import { once } from 'node:events'
import { connect } from 'node:net'
import type { Socket } from 'node:net'

export interface Load {
  readonly port: number
  readonly connections: number
  readonly seconds: number
  /** The bytes of one whole request. */
  readonly request: Buffer
}

export interface LoadResult {
  readonly answers: number
  readonly seconds: number
  /** Of whole requests, ms. */
  readonly p50: number
  readonly p99: number
}

export function post(path: string, body: string, headers: Record<string, string> = {}): Buffer {
  const lines = [
    `POST ${path} HTTP/1.1`,
    'Host: 127.0.0.1',
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
  ]
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n${body}`)
}

export function get(path: string): Buffer {
  return Buffer.from(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`)
}

/** Rejects on the first answer that is not 2xx: a benchmark of refusals says nothing. */
export async function runLoad(load: Load): Promise<LoadResult> {
  const sockets = await Promise.all(
    Array.from({ length: load.connections }, async () => {
      const socket = connect({ port: load.port, host: '127.0.0.1', noDelay: true })
      await once(socket, 'connect')
      return socket
    }),
  )
  const times: number[] = []
  const startedAt = performance.now()
  const until = startedAt + load.seconds * 1000
  await Promise.all(sockets.map((socket) => drive(socket, load.request, until, times)))
  const seconds = (performance.now() - startedAt) / 1000
  for (const socket of sockets) socket.destroy()
  times.sort((left, right) => left - right)
  const at = (share: number): number => times[Math.floor((times.length - 1) * share)] ?? 0
  return { answers: times.length, seconds, p50: at(0.5), p99: at(0.99) }
}

function drive(socket: Socket, request: Buffer, until: number, times: number[]): Promise<void> {
  return new Promise((resolve, reject) => {
    let received: Buffer = Buffer.alloc(0)
    let sentAt = performance.now()
    socket.on('error', reject)
    socket.on('close', () => reject(new Error('The server closed a connection of the load.')))
    socket.on('data', (part) => {
      received = received.length === 0 ? part : Buffer.concat([received, part])
      const size = answerBytes(received)
      if (size === undefined || received.length < size) return
      if (received[9] !== 0x32) {
        reject(new Error(`Not a success: ${received.toString('utf8', 0, 400)}`))
        return
      }
      received = received.subarray(size)
      const now = performance.now()
      times.push(now - sentAt)
      if (now >= until) {
        resolve()
        return
      }
      sentAt = now
      socket.write(request)
    })
    socket.write(request)
  })
}

const headEnd = Buffer.from('\r\n\r\n')

/** Bytes of the first answer in the buffer; undefined while its head is incomplete. */
function answerBytes(received: Buffer): number | undefined {
  const end = received.indexOf(headEnd)
  if (end < 0) return undefined
  const length = /content-length: *(\d+)/i.exec(received.toString('latin1', 0, end))?.[1]
  if (length === undefined) throw new Error('The load generator needs Content-Length in answers.')
  return end + headEnd.length + Number(length)
}
