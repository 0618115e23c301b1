/**
 * Reads request bodies whole, with their own counters: one limit a body, one budget for the process.
 * Fastify's parsers are not used: they refuse most of what real senders send.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { GatewayError } from '../model/errors.ts'
import { checkCoding, codingOf, inflateBody } from './content-coding.ts'

export interface BodyLimits {
  /** One body, counted after inflating. */
  readonly bytesMax: number
  /** Bodies of the whole process that are being read or used. */
  readonly inFlightMax: number
}

const nothing = Buffer.alloc(0)

export class RequestBodies {
  readonly #limits: BodyLimits
  #inFlight = 0

  constructor(limits: BodyLimits) {
    this.#limits = limits
  }

  /** Bytes held now. */
  get inFlightBytes(): number {
    return this.#inFlight
  }

  /**
   * The body, inflated. The caller releases its length when it is done with it. Asks a client that
   * waits for `100 Continue` to go on only once the declared length has been judged.
   *
   * Throws BODY_TOO_LARGE, OVERLOADED when all bodies together take too much memory,
   * UNSUPPORTED_MEDIA_TYPE for a coding, BAD_REQUEST for damaged or cut-off bytes.
   */
  async read(request: IncomingMessage, response: ServerResponse): Promise<Buffer> {
    const { headers } = request
    const declared = headers['content-length']
    if (declared === undefined ? headers['transfer-encoding'] === undefined : declared === '0') {
      return nothing
    }
    const coding = codingOf(headers['content-encoding'])
    if (coding !== undefined) checkCoding(coding)
    if (declared !== undefined) this.#admit(Number(declared))
    if (isWaitingForContinue(request)) response.writeContinue()
    const bytes = await this.#collect(request)
    return coding === undefined ? bytes : await this.#inflate(coding, bytes)
  }

  /** Gives back what `read` handed out. */
  release(bytes: number): void {
    this.#inFlight -= bytes
  }

  /** Judges a length before anything of it was read. */
  #admit(bytes: number): void {
    if (bytes > this.#limits.bytesMax) throw this.#tooLarge(`${bytes} bytes`)
    if (this.#inFlight + bytes > this.#limits.inFlightMax) throw overloaded()
  }

  #collect(request: IncomingMessage): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      let first: Buffer | undefined
      let chunks: Buffer[] | undefined
      let held = 0
      const settle = (error?: GatewayError): void => {
        request.off('data', onData).off('end', onEnd).off('error', onCut).off('close', onCut)
        if (error === undefined) {
          resolve(chunks === undefined ? (first ?? nothing) : Buffer.concat(chunks, held))
        } else {
          this.#inFlight -= held
          // The rest is read and dropped, so that the client gets to see the answer.
          request.resume()
          reject(error)
        }
      }
      const onData = (chunk: Buffer): void => {
        held += chunk.length
        this.#inFlight += chunk.length
        if (first === undefined) first = chunk
        else if (chunks === undefined) chunks = [first, chunk]
        else chunks.push(chunk)
        if (held > this.#limits.bytesMax) settle(this.#tooLarge('more than that'))
        else if (this.#inFlight > this.#limits.inFlightMax) settle(overloaded())
      }
      const onEnd = (): void => settle()
      const onCut = (): void =>
        settle(new GatewayError('BAD_REQUEST', 'The connection ended within the body.'))
      request.on('data', onData).on('end', onEnd).on('error', onCut).on('close', onCut)
    })
  }

  async #inflate(coding: string, packed: Buffer): Promise<Buffer> {
    try {
      const bytes = await inflateBody(coding, packed, this.#limits.bytesMax)
      this.#inFlight += bytes.length
      if (this.#inFlight - packed.length > this.#limits.inFlightMax) {
        this.#inFlight -= bytes.length
        throw overloaded()
      }
      return bytes
    } finally {
      this.#inFlight -= packed.length
    }
  }

  #tooLarge(met: string): GatewayError {
    return new GatewayError(
      'BODY_TOO_LARGE',
      `The body may take ${this.#limits.bytesMax} bytes; this one takes ${met}.`,
    )
  }
}

/** HTTP/1.0 knows no interim answers, so its `Expect` is not heard (RFC 9110 §10.1.1). */
export function isWaitingForContinue(request: IncomingMessage): boolean {
  const { expect } = request.headers
  if (expect === undefined || request.httpVersion === '1.0') return false
  return expect.toLowerCase() === '100-continue'
}

function overloaded(): GatewayError {
  return new GatewayError('OVERLOADED', 'Too many request bodies are being read at this moment.')
}
