/** Reading records back, without a group. */
import type { ReadAnswer, Reader, ReadRequest } from '../../consume/reader.ts'
import type { RecordFilter } from '../../consume/filter.ts'
import { compileFilter } from '../../consume/filter.ts'
import type { Gap } from '../../consume/gap.ts'
import { toPosition } from '../../consume/scope.ts'
import type { operations } from '../../contract/native.ts'
import type { Answer, Handlers, WrittenBody } from '../../contract/operations.ts'
import { jsonLimits } from '../../format/json.ts'
import type { OutFormat } from '../../format/native-record.ts'
import { checkJson, findJson, isFault } from '../../kit/json-slices.ts'
import { afterByteOrderMark } from '../../kit/lines.ts'
import { GatewayError, toGatewayError } from '../../model/errors.ts'
import { positionHeaderCharsMax } from '../../model/limits.ts'
import type { Place } from '../../model/place.ts'
import { parsePlace } from '../../model/place.ts'
import { formatPosition } from '../../model/position.ts'
import type { AnswersInFlight } from '../exchange/answers-in-flight.ts'
import type { CallContext } from '../exchange/call.ts'
import { bodyFault } from './json-faults.ts'
import { wantsLines, writeExportEnd, writeLines, writeReadAnswer, writeRecord } from './wire.ts'

export interface ReadParts {
  readonly reader: Reader
  readonly answers: AnswersInFlight
}

type ReadOperations = 'readRecords' | 'readPartition' | 'readRecord' | 'readTopics' | 'queryRecords'

type ReadReply = Answer<operations['readRecords']>

export function readHandlers(
  parts: ReadParts,
): Pick<Handlers<operations, CallContext>, ReadOperations> {
  return {
    readRecords(call) {
      const { partition: partitions, ...query } = call.query
      const { topic } = call.params
      const wanted = partitions === undefined ? { topic } : { topic, partitions }
      return readRecords(parts, call, [wanted], query)
    },

    readPartition(call) {
      const { topic, partition } = call.params
      return readRecords(parts, call, [{ topic, partitions: [partition] }], call.query)
    },

    readTopics(call) {
      const { topic: topics, ...query } = call.query
      return readRecords(
        parts,
        call,
        topics.map((topic) => ({ topic })),
        query,
      )
    },

    async readRecord(call) {
      const { topic, partition, offset } = call.params
      const record = await parts.reader.record(call.principal, { topic, partition }, offset)
      const bytes = writeRecord(record, call.query.format ?? 'json')
      parts.answers.admit(call, bytes.length)
      return { status: 200, written: json(bytes) }
    },

    queryRecords(call) {
      const { topics, partitions, filter, ...query } = call.body
      if (partitions !== undefined && topics.length > 1) {
        throw new GatewayError('BAD_REQUEST', "With 'partitions' one topic is read, not several.")
      }
      const wanted = topics.map((topic) => ({
        topic,
        ...(partitions === undefined ? {} : { partitions }),
      }))
      const tests = filter === undefined ? {} : { filter: filterOf(call.bytes) }
      return readRecords(parts, call, wanted, { ...query, ...tests })
    },
  }
}

/** From the bytes of the body: parsed, long numbers would have lost their digits. */
function filterOf(body: Buffer): RecordFilter {
  const whole = checkJson(body, jsonLimits, afterByteOrderMark(body))
  if (isFault(whole)) throw bodyFault(whole)
  return compileFilter(body, findJson(body, jsonLimits, whole, ['filter'])!)
}

/** The last line of an export names the gaps it met; a line must not grow without end. */
const toldGapsMax = 1000

interface ReadQuery {
  readonly from?: string
  readonly until?: string
  readonly waitMs?: number
  readonly maxRecords?: number
  readonly maxBytes?: number
  readonly keys?: readonly string[]
  readonly format?: OutFormat
  readonly onGap?: 'continue' | 'fail'
  readonly filter?: RecordFilter
}

async function readRecords(
  { reader, answers }: ReadParts,
  call: CallContext,
  topics: ReadRequest['topics'],
  query: ReadQuery,
): Promise<ReadReply> {
  const waitMs = query.waitMs ?? 0
  const request: ReadRequest = {
    topics,
    from: parsePlace('from', query.from ?? 'earliest'),
    waitMs,
    onGap: query.onGap ?? 'continue',
    ...(query.until === undefined ? {} : { until: parseUntil(query.until) }),
    ...(query.maxRecords === undefined ? {} : { recordsMax: query.maxRecords }),
    ...(query.maxBytes === undefined ? {} : { bytesMax: query.maxBytes }),
    ...(query.keys === undefined ? {} : { keys: query.keys.map((key) => Buffer.from(key)) }),
    ...(query.filter === undefined ? {} : { filter: query.filter }),
    ...(waitMs > 0 ? { signal: call.signal } : {}),
  }
  const format = query.format ?? 'json'
  if (wantsLines(call.headers.accept)) return await exportRecords(reader, call, request, format)
  const answer = await reader.read(call.principal, request)
  try {
    const position = formatPosition(answer.position)
    const bytes = writeReadAnswer(answer, position, format)
    answers.admit(call, bytes.length)
    return { status: 200, headers: positionHeader(position), written: json(bytes) }
  } finally {
    answer.release()
  }
}

/**
 * A topic of many partitions has a position of tens of kilobytes. Proxies take heads of 4 to 8 KiB and
 * most clients of 16, so there the whole answer would be lost over its header.
 */
function positionHeader(position: string): Readonly<Record<string, string>> {
  return position.length > positionHeaderCharsMax ? {} : { 'ebbgate-position': position }
}

function parseUntil(word: string): Place {
  const until = parsePlace('until', word)
  if (until.at !== 'last') return until
  throw new GatewayError('BAD_REQUEST', `'until=${word}': last:<n> is a place to read from only.`)
}

/**
 * The first read decides the status; the rest follows while the client takes it. The end is fixed when
 * the export begins, so it comes to an end while others write.
 */
async function exportRecords(
  reader: Reader,
  call: CallContext,
  request: ReadRequest,
  format: OutFormat,
): Promise<ReadReply> {
  const { topics, onGap } = request
  const start = await reader.begin(call.principal, {
    topics,
    from: { at: 'earliest' },
    until: request.until ?? { at: 'latest' },
    onGap,
  })
  const until: Place = { at: 'position', position: toPosition(start.untils ?? []) }
  const bounded: ReadRequest = { ...request, until }
  const first = await reader.read(call.principal, bounded)
  const lines = exportLines(reader, call, bounded, first, format)
  return { status: 200, written: { contentType: 'application/x-ndjson', bytes: lines } }
}

async function* exportLines(
  reader: Reader,
  call: CallContext,
  request: ReadRequest,
  first: ReadAnswer,
  format: OutFormat,
): AsyncGenerator<Uint8Array> {
  let answer = first
  let left = request.recordsMax
  const gaps: Gap[] = []
  for (;;) {
    const { position } = answer
    const count = answer.records.length
    if (gaps.length < toldGapsMax) gaps.push(...answer.gaps)
    let lines: Buffer
    try {
      lines = writeLines(answer.records, format)
    } finally {
      answer.release()
    }
    if (lines.length > 0) yield lines
    if (left !== undefined) left -= count
    // Nobody sees more of it: reading on would only cost.
    if (call.method === 'HEAD') return
    if (answer.live || left === 0) {
      yield writeExportEnd(formatPosition(position), gaps)
      return
    }
    try {
      answer = await reader.read(call.principal, {
        ...request,
        from: { at: 'position', position },
        waitMs: 0,
        ...(left === undefined ? {} : { recordsMax: left }),
      })
    } catch (error) {
      yield writeExportEnd(formatPosition(position), gaps, toGatewayError(error))
      return
    }
  }
}

function json(bytes: string | Uint8Array): WrittenBody {
  return { contentType: 'application/json', bytes }
}
