/** The gateway as the commands reach it: over HTTP, like any other client. */
import { Failure, commandName, exitUsage } from './failure.ts'

export interface ApiOptions {
  readonly url: string
  readonly key?: string
}

export interface Call {
  readonly body?: string | Uint8Array<ArrayBuffer>
  readonly contentType?: string
  readonly accept?: string
  /** A repetition under the same key happens once. */
  readonly idempotencyKey?: string
  readonly signal?: AbortSignal
  /** Longest wait for the whole answer, ms. */
  readonly timeoutMs?: number
}

/** An answer that says no. */
export class Refusal extends Failure {
  readonly status: number
  /** The native API's error code. */
  readonly code: unknown
  readonly retryAfterMs: number | undefined
  /** Nothing of the request was written. */
  readonly nothingApplied: boolean

  constructor(status: number, retryAfter: string | null, body: unknown) {
    const problem = (typeof body === 'object' && body !== null ? body : {}) as Record<
      string,
      unknown
    >
    // The native API explains itself in `detail`, v2 in `message`.
    const text = problem['detail'] ?? problem['message']
    super(typeof text === 'string' ? text : `The gateway answered with status ${status}.`)
    this.name = 'Refusal'
    this.status = status
    this.code = problem['code']
    this.retryAfterMs = retryAfter === null ? undefined : Number(retryAfter) * 1000
    this.nothingApplied = problem['applied'] === 'no'
  }
}

/** Nobody answered; whether the request was taken is not known. */
export class Unreachable extends Failure {}

const callTimeoutMs = 60_000

export class Api {
  /** Without a trailing slash. */
  readonly url: string
  readonly key: string | undefined

  constructor(options: ApiOptions) {
    if (!URL.canParse(options.url) || !/^https?:$/.test(new URL(options.url).protocol)) {
      throw new Failure(
        `--url: '${options.url}' is not an http:// or https:// URL, such as http://127.0.0.1:8082.`,
        { exitCode: exitUsage },
      )
    }
    this.url = options.url.replace(/\/+$/, '')
    this.key = options.key
  }

  /** The JSON of a good answer, undefined where there is none. Throws Refusal and Failure. */
  async call(method: string, path: string, call: Call = {}): Promise<unknown> {
    const headers: Record<string, string> = { accept: call.accept ?? 'application/json' }
    if (call.body !== undefined) headers['content-type'] = call.contentType ?? 'application/json'
    if (call.idempotencyKey !== undefined) headers['idempotency-key'] = call.idempotencyKey
    if (this.key !== undefined) headers['x-api-key'] = this.key
    const deadline = AbortSignal.timeout(call.timeoutMs ?? callTimeoutMs)
    const signal = call.signal === undefined ? deadline : AbortSignal.any([call.signal, deadline])
    const url = path.startsWith('/') ? this.url + path : path
    const init = {
      method,
      headers,
      signal,
      ...(call.body === undefined ? {} : { body: call.body }),
    }
    let response: Response
    let text: string
    try {
      response = await fetch(url, init)
      text = await response.text()
    } catch (cause) {
      if (call.signal?.aborted === true) throw cause
      throw unreachable(this.url, cause)
    }
    const body = parse(text)
    if (!response.ok) throw new Refusal(response.status, response.headers.get('retry-after'), body)
    return body
  }
}

function parse(text: string): unknown {
  if (text === '') return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function unreachable(url: string, cause: unknown): Unreachable {
  if (cause instanceof DOMException && cause.name === 'TimeoutError') {
    return new Unreachable(`The gateway at ${url} did not answer in time.`, { cause })
  }
  return new Unreachable(
    `No gateway answers at ${url}. Start one with '${commandName()} serve', or name another with --url.`,
    { cause },
  )
}
