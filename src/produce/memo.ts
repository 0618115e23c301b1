/**
 * The memo of a keyed request: which record went into which batch, and which were refused. With the
 * results that the engine kept beside it, it gives a repetition the first answer, whatever the topic
 * looks like by then. Varints, then text:
 *
 *   version 1 · record count · time of the request, ms
 *   per record: number of its batch + 1 · its own time - time of the request; a refused one: 0
 *   the refused ones as JSON: [[code, message, applied], …]
 */
import type { OneShotResult } from '../engine/transactions.ts'
import { varintBytes, VarintReader, writeVarint } from '../kit/varint.ts'
import type { Applied, ErrorCode } from '../model/errors.ts'
import { errorCodes, GatewayError } from '../model/errors.ts'
import type { PlannedBatch } from './batch-builder.ts'
import type { RecordResult } from './record-result.ts'
import { unknownOffset } from './record-result.ts'

const version = 1

type Refused = [code: ErrorCode, message: string, applied: Applied]

/** `results` has the refused records; the places of the others are those of the batches. */
export function writeMemo(
  batches: readonly PlannedBatch[],
  results: readonly RecordResult[],
  nowMs: number,
): Uint8Array {
  const count = results.length
  const batchOf = new Uint32Array(count)
  const delays = new Float64Array(count)
  for (const [i, { places, records }] of batches.entries()) {
    for (const [at, place] of places.entries()) {
      batchOf[place] = i + 1
      delays[place] = (records[at]!.timestamp ?? nowMs) - nowMs
    }
  }
  const numbers = [version, count, nowMs]
  const refused: Refused[] = []
  for (let place = 0; place < count; place++) {
    numbers.push(batchOf[place]!)
    if (batchOf[place] !== 0) {
      numbers.push(delays[place]!)
      continue
    }
    const { code, message, applied } = (results[place] as { error: GatewayError }).error
    refused.push([code, message, applied])
  }
  const text = Buffer.from(JSON.stringify(refused))
  const size = numbers.reduce((sum, number) => sum + varintBytes(number), text.length)
  const memo = Buffer.allocUnsafe(size)
  let at = 0
  for (const number of numbers) at = writeVarint(memo, at, number)
  text.copy(memo, at)
  return memo
}

/** The answer of the first request. Throws INTERNAL for a memo that we did not write. */
export function readMemo({ memo, results }: OneShotResult): RecordResult[] {
  try {
    return answerOf(memo!, results)
  } catch (cause) {
    throw new GatewayError(
      'INTERNAL',
      'The first answer under this idempotency key cannot be read.',
      { cause },
    )
  }
}

function answerOf(memo: Uint8Array, results: OneShotResult['results']): RecordResult[] {
  const reader = new VarintReader(memo)
  if (reader.next() !== version) throw new RangeError('The memo has another version.')
  const count = reader.next()
  const nowMs = reader.next()
  const answers: RecordResult[] = []
  const refusedPlaces: number[] = []
  const taken = new Uint32Array(results.length)
  for (let place = 0; place < count; place++) {
    const batch = reader.next() - 1
    if (batch === -1) {
      refusedPlaces.push(place)
      continue
    }
    const timeMs = nowMs + reader.next()
    const { tp, offsets, logAppendTime } = results[batch]!
    const index = taken[batch]!++
    answers[place] = {
      partition: tp.partition,
      offset: offsets === undefined ? unknownOffset : offsets.base + index,
      timestamp: logAppendTime ?? timeMs,
    }
  }
  const text = Buffer.from(memo.subarray(reader.at)).toString()
  for (const [i, [code, message, applied]] of (JSON.parse(text) as Refused[]).entries()) {
    if (!Object.hasOwn(errorCodes, code)) throw new RangeError(`There is no code ${code}.`)
    const options = applied === 'maybe' ? { applied } : {}
    answers[refusedPlaces[i]!] = { error: new GatewayError(code, message, options) }
  }
  return answers
}
