/** Bytes that are no HTTP request: there is no request to answer, only a socket. */
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { GatewayError } from '../model/errors.ts'
import { problemOf } from './exchange/problem.ts'

interface UnreadableRequest extends Error {
  readonly code?: string
}

/** Answers on the bare socket and ends it. */
export function refuseUnreadable(
  error: UnreadableRequest,
  socket: Socket,
  requestId: () => string,
): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const status = unreadableStatuses[error.code ?? ''] ?? 400
  const id = requestId()
  const refused = new GatewayError(
    'BAD_REQUEST',
    unreadableReasons[status] ?? 'This is no HTTP request.',
  )
  const body = JSON.stringify(problemOf(refused, status, id))
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: application/problem+json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nEbbgate-Request-Id: ${id}\r\nConnection: close\r\n\r\n${body}`,
  )
}

const unreadableStatuses: Readonly<Record<string, number>> = {
  HPE_HEADER_OVERFLOW: 431,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
}

const unreadableReasons: Readonly<Record<number, string>> = {
  408: 'The head of the request did not arrive in time.',
  431: 'The head of the request takes more than 16 KiB.',
}
