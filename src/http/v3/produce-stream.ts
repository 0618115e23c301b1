/**
 * Streaming produce: records are read from one request while the receipts of earlier ones leave in its
 * answer, in the order of the request, each as soon as it is durable.
 *
 * What is read and not yet answered is bounded: the socket is not read while that many bytes are under
 * way, so a log that is busy and a client that takes no receipts both hold back the sender.
 */
import { jsonLimits } from '../../format/json.ts'
import type { Clock } from '../../kit/clock.ts'
import { JsonFeed } from '../../kit/json-feed.ts'
import { checkJson, isFault } from '../../kit/json-slices.ts'
import { afterByteOrderMark } from '../../kit/lines.ts'
import type { Logger } from '../../kit/logger.ts'
import { GatewayError, toGatewayError } from '../../model/errors.ts'
import {
  streamAgeMsMax,
  streamBytesInFlightMax,
  streamClosingMs,
  streamLotRecordsMax,
  streamSilenceMsMax,
} from '../../model/limits.ts'
import type { Principal } from '../../model/principal.ts'
import type { Producer, RecordResult } from '../../produce/producer.ts'
import type { IncomingBody } from '../exchange/call.ts'
import type { Charset } from '../exchange/surface.ts'
import { payloadError } from './errors.ts'
import type { Item, ReceiptPlace } from './receipt.ts'
import { receiptText, toRecord } from './receipt.ts'
import { readEntry } from './record-entry.ts'

export interface ProduceStreamParts {
  readonly producer: Producer
  readonly clock: Clock
  readonly logger: Logger
}

export interface StreamRequest {
  readonly principal: Principal
  readonly place: ReceiptPlace
  readonly incoming: IncomingBody
  readonly charset: Charset
  /** The client has gone, or the gateway drains. */
  readonly signal: AbortSignal
}

/** Beside its bytes every record under way takes about this much memory. */
const recordCostBytes = 200

interface Lot {
  readonly receipts: Promise<Buffer>
  readonly costBytes: number
}

export class ProduceStream {
  readonly #parts: ProduceStreamParts
  readonly #request: StreamRequest
  readonly #feed: JsonFeed
  readonly #pieces: AsyncIterator<Buffer>
  readonly #beganMs: number
  #values: Buffer[] = []
  #isFirstPiece = true
  /** Nothing more is read: the request has ended, or must. */
  #isOver = false
  #closingAt: number | undefined
  #heldBytes = 0
  /** Lots whose receipts were not taken, oldest first, and their cost. */
  readonly #lots: Lot[] = []
  #underWayBytes = 0
  /** Nobody takes receipts any more, so nothing more is appended. */
  #isDropped = false
  /** Everything that was read is on its way. */
  #isRead = false
  #wakeReader: (() => void) | undefined
  #wakeWriter: (() => void) | undefined
  /** Ends the wait for the next bytes. */
  #cutPiece: (() => void) | undefined
  readonly #endReading = (): void => {
    this.#isOver = true
    this.#cutPiece?.()
  }

  constructor(parts: ProduceStreamParts, request: StreamRequest) {
    this.#parts = parts
    this.#request = request
    this.#feed = new JsonFeed(request.incoming.bytesMax)
    this.#pieces = request.incoming.pieces()
    this.#beganMs = parts.clock.monotonicMs()
    if (request.signal.aborted) this.#endReading()
    else request.signal.addEventListener('abort', this.#endReading, { once: true })
  }

  /**
   * Resolves once something of the first record is there. Throws INVALID_REQUEST when nothing comes, and
   * what reading throws; then `drop` it.
   */
  async begin(): Promise<void> {
    this.#request.incoming.allowSilence(streamSilenceMsMax)
    while (!this.#isOver && this.#values.length === 0 && this.#feed.heldBytes === 0) {
      await this.#readPiece()
    }
    if (this.#values.length === 0 && this.#feed.heldBytes === 0 && !this.#feed.tooLarge) {
      throw new GatewayError(
        'INVALID_REQUEST',
        `${payloadError}Request body is empty. Data is required.`,
      )
    }
  }

  /** Gives everything back; what comes of the request after that is not read. */
  drop(): void {
    this.#isDropped = true
    this.#endReading()
    this.#wakeReader?.()
    this.#request.signal.removeEventListener('abort', this.#endReading)
    this.#hold(0)
  }

  /** The receipts; reading goes on meanwhile. */
  async *receipts(): AsyncGenerator<Buffer, undefined> {
    // It never rejects: what goes wrong stands in the last receipt.
    const reading = this.#read()
    try {
      for (;;) {
        const lot = this.#lots[0]
        if (lot === undefined) {
          if (this.#isRead) return
          await new Promise<void>((resolve) => (this.#wakeWriter = resolve))
          continue
        }
        // Asked for the next one only when the client has taken the last.
        yield await lot.receipts
        this.#lots.shift()
        this.#underWayBytes -= lot.costBytes
        this.#wakeReader?.()
      }
    } finally {
      this.drop()
      await reading
      // A piece may have come in the same moment.
      this.#hold(0)
      this.#request.incoming.abandon()
    }
  }

  async #read(): Promise<void> {
    const { producer } = this.#parts
    const { signal } = this.#request
    try {
      for (;;) {
        while (this.#values.length > 0 && !this.#isDropped) {
          await this.#whenRoom()
          await producer.whenRoom(signal)
          if (this.#isDropped) break
          this.#append(this.#values.splice(0, streamLotRecordsMax))
        }
        if (this.#isOver) break
        await this.#readPiece()
      }
      if (this.#feed.tooLarge) this.#refuse(this.#tooLarge())
    } catch (error) {
      this.#refuse(toGatewayError(error))
    }
    this.#isRead = true
    this.#wakeWriter?.()
  }

  /** The next bytes of the request, and the values that end in them. */
  async #readPiece(): Promise<void> {
    const next = await new Promise<IteratorResult<Buffer> | undefined>((resolve, reject) => {
      this.#cutPiece = () => resolve(undefined)
      this.#pieces.next().then(resolve, reject)
    })
    if (next === undefined) return
    if (next.done === true) {
      this.#isOver = true
      const rest = this.#feed.end()
      if (rest !== undefined) this.#values.push(rest)
      return
    }
    let piece = next.value
    if (this.#request.charset === 'latin1') piece = Buffer.from(piece.toString('latin1'))
    if (this.#isFirstPiece) piece = piece.subarray(afterByteOrderMark(piece))
    this.#isFirstPiece = false
    this.#values.push(...this.#feed.push(piece))
    if (this.#feed.tooLarge) this.#isOver = true
    this.#hold(this.#feed.heldBytes)
  }

  /** Waits until less is under way. */
  async #whenRoom(): Promise<void> {
    while (this.#underWayBytes > streamBytesInFlightMax && !this.#isDropped) {
      await new Promise<void>((resolve) => (this.#wakeReader = resolve))
    }
  }

  /** Sends a lot on its way. The log keeps the order of calls, so the next one need not wait. */
  #append(values: readonly Buffer[]): void {
    const items: Item[] = []
    let costBytes = 0
    for (const value of values) {
      const item = this.#itemOf(value)
      items.push(item)
      costBytes += value.length + recordCostBytes
      // What is no JSON has no end either, so nothing behind it can be told apart.
      if (item instanceof BrokenJson) {
        this.#isOver = true
        this.#values = []
        break
      }
    }
    this.#queue(this.#produce(items), costBytes)
  }

  #itemOf(value: Buffer): Item {
    const slice = checkJson(value, jsonLimits)
    if (isFault(slice)) {
      if (slice.fault === 'depth') {
        const { depthMax } = jsonLimits
        return new GatewayError('BAD_REQUEST', `JSON may be nested ${depthMax} levels deep.`)
      }
      if (slice.fault === 'utf8') {
        return new GatewayError('BAD_REQUEST', 'The record is not whole UTF-8.')
      }
      return new BrokenJson()
    }
    if (this.#isTooOld()) return tooOld()
    try {
      return readEntry(value, slice)
    } catch (error) {
      return toGatewayError(error)
    }
  }

  async #produce(items: readonly Item[]): Promise<Buffer> {
    const { place, principal } = this.#request
    let results: readonly RecordResult[]
    try {
      const records = items.map(toRecord)
      results = await this.#parts.producer.produce(principal, { topic: place.topic, records })
    } catch (error) {
      const refused = toGatewayError(error)
      results = items.map((item) => ({ error: item instanceof GatewayError ? item : refused }))
    }
    const texts = items.map((item, i) => {
      const result = results[i]!
      if (item instanceof StreamTooOld) return tooOldText
      if ('error' in result) this.#note(result.error)
      return receiptText(place, item, result)
    })
    return Buffer.from(texts.join(''))
  }

  /** A last receipt for what ends the stream. */
  #refuse(error: GatewayError): void {
    this.#note(error)
    const text = receiptText(this.#request.place, error, { error })
    this.#queue(Promise.resolve(Buffer.from(text)), 0)
  }

  #queue(receipts: Promise<Buffer>, costBytes: number): void {
    this.#lots.push({ receipts, costBytes })
    this.#underWayBytes += costBytes
    this.#wakeWriter?.()
  }

  /** The contract's rule: the first record that comes too late is told so, and some time later all ends. */
  #isTooOld(): boolean {
    const { clock } = this.#parts
    if (clock.monotonicMs() - this.#beganMs < streamAgeMsMax) return false
    if (this.#closingAt === undefined) {
      this.#closingAt = clock.monotonicMs() + streamClosingMs
      clock.after(streamClosingMs, this.#endReading)
    }
    return true
  }

  /** `bytes`: of the value that has begun, counted among the bodies of all requests. */
  #hold(bytes: number): void {
    const more = bytes - this.#heldBytes
    this.#heldBytes = bytes
    if (more !== 0) this.#request.incoming.hold(more)
  }

  #note(error: GatewayError): void {
    if (error.code !== 'INTERNAL') return
    const { requestId } = this.#request.place
    this.#parts.logger.error({ requestId, error }, 'Records of a stream failed unexpectedly.')
  }

  #tooLarge(): GatewayError {
    return new GatewayError(
      'BODY_TOO_LARGE',
      `A record may take ${this.#request.incoming.bytesMax} bytes; this one takes more than that.`,
    )
  }
}

class BrokenJson extends GatewayError {
  constructor() {
    super('BAD_REQUEST', 'The record is not valid JSON, so the rest cannot be read.')
  }
}

class StreamTooOld extends GatewayError {}

const tooOldText = `${JSON.stringify({
  error_code: 408,
  message: 'Streaming connection open for longer than allowed: Connection will be closed.',
})}\n`

function tooOld(): GatewayError {
  return new StreamTooOld('ILLEGAL_STATE', 'The stream has been open for too long.')
}
