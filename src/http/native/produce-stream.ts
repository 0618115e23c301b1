/**
 * An upload that is answered line by line: records are read from one request while the receipts of
 * earlier ones leave in its answer, in the order of the request, each as soon as it is durable.
 *
 * What was read and is not yet answered is bounded: the socket is not read while that much is under
 * way, nor while the client leaves receipts lying.
 */
import { jsonLimits } from '../../format/json.ts'
import type { Clock } from '../../kit/clock.ts'
import { checkJson, isFault } from '../../kit/json-slices.ts'
import { LineFeed } from '../../kit/line-feed.ts'
import { afterByteOrderMark } from '../../kit/lines.ts'
import { GatewayError, toGatewayError } from '../../model/errors.ts'
import {
  bodyPaceBytesMin,
  bodyPaceMs,
  streamBytesInFlightMax,
  streamLotRecordsMax,
  streamSilenceMsMax,
} from '../../model/limits.ts'
import type { Principal } from '../../model/principal.ts'
import type { NewRecord } from '../../model/record.ts'
import type { Producer, RecordResult } from '../../produce/producer.ts'
import type { IncomingBody } from '../exchange/call.ts'
import { envelopeLine } from './envelope-records.ts'
import { recordFault } from './json-faults.ts'
import type { SharedFields } from './shared-fields.ts'
import { jsonRecord } from './shared-fields.ts'
import { writeResultLines, writeResultsEnd } from './wire.ts'

export interface StreamRequest {
  readonly principal: Principal
  readonly topic: string
  readonly incoming: IncomingBody
  readonly shared: SharedFields
  /** Lines are records of the envelope. */
  readonly envelope: boolean
  readonly replay: boolean
  readonly partition: number | undefined
  /** The client has gone, or the gateway drains. */
  readonly signal: AbortSignal
}

/** Beside its bytes every record under way takes about this much memory. */
const recordCostBytes = 200

interface Lot {
  readonly results: Promise<readonly RecordResult[]>
  readonly costBytes: number
}

type Piece = IteratorResult<Buffer> | 'ended'

export class ProduceStream {
  readonly #producer: Producer
  readonly #request: StreamRequest
  readonly #clock: Clock
  readonly #feed: LineFeed
  readonly #lots: Lot[] = []
  #underWayBytes = 0
  #heldBytes = 0
  #lineNumber = 0
  /** Where the next line begins in the body. */
  #lineAt = 0
  #records = 0
  #failed = 0
  #error: GatewayError | undefined
  #cut: (() => void) | undefined

  constructor(producer: Producer, clock: Clock, request: StreamRequest) {
    this.#producer = producer
    this.#clock = clock
    this.#request = request
    this.#feed = new LineFeed(request.incoming.bytesMax)
  }

  /**
   * The receipts, and a last line `{"records":n,"failed":n}`, with `error` when not everything was read;
   * without it the answer was cut.
   */
  async *lines(): AsyncGenerator<Buffer, undefined> {
    const { incoming, signal } = this.#request
    incoming.allowSilence(streamSilenceMsMax)
    const pieces = incoming.pieces()
    const ended = new Promise<'ended'>((resolve) => (this.#cut = () => resolve('ended')))
    const onAbort = (): void => this.#cut?.()
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
    const stopWatching = this.#watchPace()
    let next: Promise<Piece> | undefined
    let isOver = false
    try {
      for (;;) {
        if (!isOver && next === undefined && this.#underWayBytes < streamBytesInFlightMax) {
          await this.#producer.whenRoom(signal)
          next = Promise.race([pieces.next(), ended])
        }
        const oldest = this.#lots[0]
        if (next === undefined && oldest === undefined) break
        const arrived = await first(next, oldest?.results)
        if (arrived === 'receipt') {
          this.#lots.shift()
          this.#underWayBytes -= oldest!.costBytes
          yield this.#receipts(await oldest!.results)
          continue
        }
        const piece = await this.#taken(next!)
        next = undefined
        isOver = !this.#take(piece)
      }
      yield Buffer.from(writeResultsEnd(this.#records, this.#failed, this.#error))
    } finally {
      stopWatching()
      signal.removeEventListener('abort', onAbort)
      this.#hold(0)
      incoming.abandon()
    }
  }

  /** What reading throws ends the stream as a cut does, and is told in its last line. */
  async #taken(next: Promise<Piece>): Promise<Piece> {
    try {
      return await next
    } catch (error) {
      this.#error ??= toGatewayError(error)
      return 'ended'
    }
  }

  /** False when nothing more is to be read. */
  #take(piece: Piece): boolean {
    if (piece === 'ended') return false
    if (piece.done === true) {
      // Half a number is a number, too: what stands behind the last line end counts only at the end.
      const last = this.#request.incoming.isWhole ? this.#feed.end() : undefined
      if (last !== undefined) this.#append([last])
      return false
    }
    this.#append(this.#feed.push(piece.value))
    if (this.#feed.tooLarge) {
      this.#error = new GatewayError(
        'BODY_TOO_LARGE',
        `A line may take ${this.#request.incoming.bytesMax} bytes; line ${this.#lineNumber + 1} takes more than that.`,
      )
      return false
    }
    try {
      this.#hold(this.#feed.heldBytes)
      return true
    } catch (error) {
      this.#error = toGatewayError(error)
      return false
    }
  }

  /** The log keeps the order of calls, so no lot waits for the one before it. */
  #append(lines: readonly Buffer[]): void {
    let records: (NewRecord | GatewayError)[] = []
    let costBytes = 0
    for (const line of lines) {
      this.#lineNumber++
      const item = isBlank(line) ? undefined : this.#item(line)
      this.#lineAt += line.length + 1
      if (item === undefined) continue
      records.push(item)
      costBytes += line.length + recordCostBytes
      if (records.length < streamLotRecordsMax) continue
      this.#send(records, costBytes)
      records = []
      costBytes = 0
    }
    if (records.length > 0) this.#send(records, costBytes)
  }

  #item(line: Buffer): NewRecord | GatewayError {
    const { shared, envelope, replay, partition } = this.#request
    const number = this.#lineNumber
    const start = number === 1 ? afterByteOrderMark(line) : 0
    if (envelope) {
      const place = { number, start, end: line.length }
      const item = envelopeLine(line, place, shared, replay)
      if (item instanceof GatewayError || partition === undefined) return item
      if (item.partition === partition) return item
      return new GatewayError(
        'INVALID_RECORD',
        `Line ${number} names partition ${item.partition}, the path partition ${partition}.`,
      )
    }
    const value = checkJson(line, jsonLimits, start)
    if (!isFault(value)) return jsonRecord(line, value, shared)
    return recordFault(`Line ${number}`, { ...value, at: value.at + this.#lineAt })
  }

  #send(records: readonly (NewRecord | GatewayError)[], costBytes: number): void {
    const { principal, topic } = this.#request
    const results = this.#producer
      .produce(principal, { topic, records })
      .catch((error: unknown) => {
        const refused = toGatewayError(error)
        return records.map((record) => ({
          error: record instanceof GatewayError ? record : refused,
        }))
      })
    this.#lots.push({ results, costBytes })
    this.#underWayBytes += costBytes
  }

  #receipts(results: readonly RecordResult[]): Buffer {
    for (const result of results) {
      if ('error' in result) this.#failed++
      else this.#records++
    }
    return Buffer.from(writeResultLines(results))
  }

  /** `bytes`: of the line that has begun, counted among the bodies of all requests. */
  #hold(bytes: number): void {
    const more = bytes - this.#heldBytes
    this.#heldBytes = bytes
    if (more !== 0) this.#request.incoming.hold(more)
  }

  /** Silence between lines is fine; a line that has begun must go on, or a byte now and then holds all. */
  #watchPace(): () => void {
    let [number, held] = [0, 0]
    const look = (): void => {
      const slow = this.#heldBytes > 0 && held > 0 && number === this.#lineNumber
      if (slow && this.#heldBytes - held < bodyPaceBytesMin) {
        this.#error = new GatewayError(
          'UNAVAILABLE',
          `Line ${number + 1} comes too slowly: less than ${bodyPaceBytesMin} bytes in ${bodyPaceMs} ms.`,
        )
        this.#cut?.()
        return
      }
      number = this.#lineNumber
      held = this.#heldBytes
      timer = this.#clock.after(bodyPaceMs, look)
    }
    let timer = this.#clock.after(bodyPaceMs, look)
    return () => timer.cancel()
  }
}

/** Which of the two is there first; a failed piece counts as a piece. */
function first(
  next: Promise<unknown> | undefined,
  results: Promise<unknown> | undefined,
): Promise<'piece' | 'receipt'> {
  const waits: Promise<'piece' | 'receipt'>[] = []
  if (results !== undefined) waits.push(results.then(() => 'receipt'))
  if (next !== undefined) {
    waits.push(
      next.then(
        () => 'piece',
        () => 'piece',
      ),
    )
  }
  return Promise.race(waits)
}

function isBlank(line: Buffer): boolean {
  return line.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d)
}
