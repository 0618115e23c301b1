/** Puts answers on the wire: whole ones in one write, growing ones as fast as the client takes them. */
import type { ServerResponse } from 'node:http'
import { once } from 'node:events'
import type { WrittenBody } from '../../contract/operations.ts'

export type AnswerHeaders = Record<string, string | number>

/** An answer without a body. */
export function sendEmpty(response: ServerResponse, status: number, headers: AnswerHeaders): void {
  if (status !== 204 && status !== 304) headers['content-length'] = 0
  response.writeHead(status, headers)
  response.end()
}

/** A whole answer, with its length, in one write. Node leaves the body of an answer to HEAD out. */
export function sendWhole(
  response: ServerResponse,
  status: number,
  headers: AnswerHeaders,
  contentType: string,
  body: string | Uint8Array,
): void {
  headers['content-type'] = contentType
  headers['content-length'] = typeof body === 'string' ? Buffer.byteLength(body) : body.length
  response.writeHead(status, headers)
  response.end(body)
}

/** Either kind. Resolves when a growing body has been handed over, or the client has gone. */
export async function sendWritten(
  response: ServerResponse,
  status: number,
  headers: AnswerHeaders,
  { contentType, bytes }: WrittenBody,
): Promise<void> {
  if (typeof bytes === 'string' || bytes instanceof Uint8Array) {
    sendWhole(response, status, headers, contentType, bytes)
    return
  }
  headers['content-type'] = contentType
  response.writeHead(status, headers)
  await pump(response, bytes)
}

/**
 * Pulls the next chunk only once the socket has taken the last one. A source that fails cuts the
 * connection: after the head nothing else can tell the client that the answer is not whole.
 */
async function pump(response: ServerResponse, source: AsyncIterable<Uint8Array>): Promise<void> {
  const gone = new AbortController()
  const onClose = (): void => gone.abort()
  response.once('close', onClose)
  try {
    for await (const chunk of source) {
      if (response.destroyed) return
      if (!response.write(chunk)) {
        await once(response, 'drain', { signal: gone.signal }).catch(() => undefined)
        if (response.destroyed) return
      }
    }
    response.end()
  } catch (error) {
    response.destroy()
    throw error
  } finally {
    response.off('close', onClose)
  }
}
