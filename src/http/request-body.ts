/**
 * Reads request bodies, whole or as they come, with their own counters: one limit a body, one budget for
 * the process.
 * Fastify's parsers are not used: they refuse most of what real senders send.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Clock } from '../kit/clock.ts'
import { ByteSink } from '../kit/byte-sink.ts'
import { GatewayError } from '../model/errors.ts'
import { bodyPaceBytesMin, bodyPaceMs } from '../model/limits.ts'
import type { BodyPaceLimits, PacedBody } from './body-pace.ts'
import { BodyPace } from './body-pace.ts'
import { checkCoding, codingOf, inflateBody } from './content-coding.ts'
import type { IncomingBody } from './exchange/call.ts'

export interface BodyLimits {
  /** One body, counted after inflating. */
  readonly bytesMax: number
  /** Bodies of the whole process that are being read or used. */
  readonly inFlightMax: number
  /** How long a sender may go on with a body that has been refused, ms. */
  readonly lingerMs: number
  /** How fast a body must come. Default: as the model says. */
  readonly pace?: BodyPaceLimits
}

const nothing = Buffer.alloc(0)

/** Room made at once for a body that comes in pieces, bytes: what is declared need never come. */
const eagerBytesMax = 256 * 1024

export class RequestBodies {
  readonly #limits: BodyLimits
  readonly #clock: Clock
  readonly #paceLimits: BodyPaceLimits
  readonly #pace: BodyPace
  #inFlight = 0

  constructor(limits: BodyLimits, clock: Clock) {
    this.#limits = limits
    this.#clock = clock
    this.#paceLimits = limits.pace ?? { windowMs: bodyPaceMs, bytesMin: bodyPaceBytesMin }
    this.#pace = new BodyPace(this.#paceLimits, clock)
  }

  /** Bytes held now. */
  get inFlightBytes(): number {
    return this.#inFlight
  }

  /**
   * The body, inflated. The caller releases its length when it is done with it. Asks a client that
   * waits for `100 Continue` to go on only once the declared length has been judged.
   *
   * Throws BODY_TOO_LARGE, OVERLOADED when all bodies together take too much memory, UNAVAILABLE for one
   * that comes too slowly,
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
    const bytes = await this.#collect(request, declared === undefined ? 0 : Number(declared))
    return coding === undefined ? bytes : await this.#inflate(coding, bytes)
  }

  /** The same, read as it comes. A coded body is inflated whole first. Throws UNSUPPORTED_MEDIA_TYPE. */
  open(request: IncomingMessage, response: ServerResponse): IncomingBody {
    const coding = codingOf(request.headers['content-encoding'])
    if (coding !== undefined) checkCoding(coding)
    const pieces = this.#pieces(request, response)
    return {
      get isWhole() {
        return request.complete
      },
      bytesMax: this.#limits.bytesMax,
      pieces: () => pieces,
      hold: (bytes) => {
        this.#inFlight += bytes
        if (bytes > 0 && this.#inFlight > this.#limits.inFlightMax) throw overloaded()
      },
      allowSilence: (ms) => void request.socket.setTimeout(ms),
      abandon: () => {
        // What is left must be taken off the connection, or the next request never comes.
        void pieces.return(undefined).then(() => request.resume())
        if (!request.complete) this.abandon(request)
      },
    }
  }

  async *#pieces(
    request: IncomingMessage,
    response: ServerResponse,
  ): AsyncGenerator<Buffer, undefined> {
    if (request.headers['content-encoding'] !== undefined) {
      const bytes = await this.read(request, response)
      try {
        yield bytes
      } finally {
        this.release(bytes.length)
      }
      return
    }
    if (isWaitingForContinue(request)) response.writeContinue()
    try {
      // The answer goes on when nothing more is read, so the connection must stay.
      for await (const piece of request.iterator({ destroyOnReturn: false })) {
        yield piece as Buffer
      }
    } catch {
      // The client has gone: whoever writes the answer learns it from the socket.
    }
  }

  /** Gives back what `read` handed out. */
  release(bytes: number): void {
    this.#inFlight -= bytes
  }

  /**
   * After a refusal: what still comes of the body is dropped, so that a sender that only listens once
   * it has finished sees the answer; one that never finishes is cut.
   */
  abandon(request: IncomingMessage): void {
    this.#clock.after(this.#limits.lingerMs, () => {
      if (!request.complete) request.destroy()
    })
  }

  /** Judges a length before anything of it was read. */
  #admit(bytes: number): void {
    if (bytes > this.#limits.bytesMax) throw this.#tooLarge(`${bytes} bytes`)
    if (this.#inFlight + bytes > this.#limits.inFlightMax) throw overloaded()
  }

  /** `expected`: the declared length, 0 when there is none. */
  #collect(request: IncomingMessage, expected: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      let first: Buffer | undefined
      // Pieces are copied together as they come: kept one by one, a body in chunks of one byte would
      // take hundreds of times what is counted.
      let whole: ByteSink | undefined
      let settled = false
      const fail = (error: GatewayError): void => {
        if (settled) return
        settled = true
        this.#pace.forget(body)
        this.#inFlight -= body.receivedBytes
        first = whole = undefined
        reject(error)
      }
      const body: PacedBody = { receivedBytes: 0, tooSlow: () => fail(this.#tooSlow()) }
      this.#pace.watch(body)
      // A request is heard once, so its listeners stay: taking four off costs more than they do.
      request.on('data', (chunk: Buffer) => {
        if (settled) return
        body.receivedBytes += chunk.length
        this.#inFlight += chunk.length
        if (body.receivedBytes > this.#limits.bytesMax) fail(this.#tooLarge('more than that'))
        else if (this.#inFlight > this.#limits.inFlightMax) fail(overloaded())
        else if (first === undefined) first = chunk
        else {
          whole ??= new ByteSink(Math.min(expected, eagerBytesMax)).bytes(first)
          whole.bytes(chunk)
        }
      })
      request.on('end', () => {
        if (settled) return
        settled = true
        this.#pace.forget(body)
        resolve(whole?.take() ?? first ?? nothing)
      })
      const onCut = (): void => {
        // Every request closes in the end, and an error is dear to make.
        if (!settled) fail(new GatewayError('BAD_REQUEST', 'The connection ended within the body.'))
      }
      request.on('error', onCut).on('close', onCut)
    })
  }

  async #inflate(coding: string, packed: Buffer): Promise<Buffer> {
    const { bytesMax, inFlightMax } = this.#limits
    let held = 0
    try {
      return await inflateBody(coding, packed, (count) => {
        held += count
        this.#inFlight += count
        if (held > bytesMax) throw this.#tooLarge('more than that once it is inflated')
        if (this.#inFlight > inFlightMax) throw overloaded()
      })
    } catch (error) {
      this.#inFlight -= held
      throw error
    } finally {
      this.#inFlight -= packed.length
    }
  }

  #tooSlow(): GatewayError {
    const { windowMs, bytesMin } = this.#paceLimits
    return new GatewayError(
      'UNAVAILABLE',
      `The body comes too slowly: less than ${bytesMin} bytes in ${windowMs} ms.`,
    )
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
