/** What operators and orchestrators ask: does it live, is it ready, how does it go; and the documents. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Logger } from '../kit/logger.ts'
import type { AnswerHeaders } from './exchange/answer.ts'
import { sendWhole } from './exchange/answer.ts'
import type { Documents } from './documents.ts'

/** Whether requests are served, and if not, why. */
export interface GatewayState {
  readonly ready: boolean
  readonly reason?: string
  /** How far recovery has come, in units of its own. */
  readonly recovery?: { readonly done: number; readonly total: number }
  /** Ready, but something that not every request needs is missing. */
  readonly degraded?: string
}

/** The text of the metrics page and the media type it is written in. */
export interface MetricsPage {
  readonly contentType: string
  text(): Promise<string>
}

export interface OpsParts {
  readonly state: () => GatewayState
  readonly metrics: MetricsPage
  readonly documents: Documents
  readonly logger: Logger
}

const plainText = 'text/plain; charset=utf-8'

/** Answered whatever the state of the gateway. */
export const opsPaths: ReadonlySet<string> = new Set(['/healthz', '/readyz', '/metrics'])

export function registerOps(server: FastifyInstance, parts: OpsParts): void {
  const { documents } = parts
  const text = (path: string, contentType: string, body: string): void => {
    server.get(path, (request, reply) => {
      sendWhole(reply.raw, 200, headersOf(request), contentType, body)
    })
  }
  server.get('/healthz', (request, reply) => {
    sendJson(request, reply, 200, { status: 'alive' })
  })
  server.get('/readyz', (request, reply) => {
    const state = parts.state()
    const { ready, reason, recovery, degraded } = state
    sendJson(request, reply, ready ? 200 : 503, {
      status: ready ? (degraded === undefined ? 'ready' : 'degraded') : 'not ready',
      ...(ready ? { reason: degraded } : { reason }),
      recovery,
    })
  })
  server.get('/metrics', (request, reply) => {
    parts.metrics.text().then(
      (page) => sendWhole(reply.raw, 200, headersOf(request), parts.metrics.contentType, page),
      (error: unknown) => {
        parts.logger.error({ requestId: request.id, error }, 'The metrics could not be collected.')
        sendJson(request, reply, 500, { status: 'metrics could not be collected' })
      },
    )
  })
  text('/openapi/native.yaml', 'application/yaml', documents.native.text)
  text('/openapi/v2.yaml', 'application/yaml', documents.v2.text)
  text('/openapi/v3.yaml', 'application/yaml', documents.v3.text)
  text('/docs/errors', plainText, documents.errors)
}

function headersOf(request: FastifyRequest): AnswerHeaders {
  return {
    'ebbgate-request-id': request.id,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  }
}

function sendJson(
  request: FastifyRequest,
  reply: FastifyReply,
  status: number,
  body: object,
): void {
  const headers = headersOf(request)
  if (status === 503) headers['retry-after'] = 1
  sendWhole(reply.raw, status, headers, 'application/json', JSON.stringify(body))
}
