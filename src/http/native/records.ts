/** Writing records, and reading them back without a group. */
import type { ReadAnswer, Reader, ReadRequest } from '../../consume/reader.ts'
import type { Gap } from '../../consume/gap.ts'
import { toPosition } from '../../consume/scope.ts'
import type { operations } from '../../contract/native.ts'
import type { Answer, Handlers, WrittenBody } from '../../contract/operations.ts'
import type { OutFormat } from '../../format/native-record.ts'
import { GatewayError, toGatewayError } from '../../model/errors.ts'
import { positionHeaderCharsMax } from '../../model/limits.ts'
import type { Place } from '../../model/place.ts'
import { parsePlace } from '../../model/place.ts'
import { formatPosition } from '../../model/position.ts'
import { isInternalTopic, isTopicName } from '../../model/topic.ts'
import type { NewRecord } from '../../model/record.ts'
import type {
  KeyedAnswer,
  ProduceRequest,
  Producer,
  RecordResult,
  RequestKey,
} from '../../produce/producer.ts'
import type { AnswersInFlight } from '../exchange/answers-in-flight.ts'
import { baseUrl } from '../exchange/base-url.ts'
import type { CallContext } from '../exchange/call.ts'
import { deduplicatedHeader, requestKey } from '../exchange/idempotency-key.ts'
import { retryAfterSeconds } from '../exchange/surface.ts'
import { toRecords } from './body-records.ts'
import { writeExportEnd, writeLines, writeReadAnswer, writeRecord, writeResults } from './wire.ts'

export interface RecordParts {
  readonly producer: Producer
  readonly reader: Reader
  readonly answers: AnswersInFlight
  readonly publicUrl: string | undefined
  readonly autoCreate: 'compat' | 'all' | 'none'
}

type RecordOperations =
  | 'postRecords'
  | 'putRecords'
  | 'postPartition'
  | 'readRecords'
  | 'readPartition'
  | 'readRecord'
  | 'readTopics'

type ProduceCall = Parameters<Handlers<operations, CallContext>['postRecords']>[0]
type PartitionProduceCall = Parameters<Handlers<operations, CallContext>['postPartition']>[0]
type ProduceQuery = ProduceCall['query'] & PartitionProduceCall['query']
type ProduceReply = Answer<operations['postRecords']>
type ReadReply = Answer<operations['readRecords']>

export function recordHandlers(
  parts: RecordParts,
): Pick<Handlers<operations, CallContext>, RecordOperations> {
  const produce = (call: ProduceCall | PartitionProduceCall): Promise<ProduceReply> =>
    produceRecords(parts, call)
  return {
    postRecords: produce,
    putRecords: produce,
    postPartition: produce,

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
  }
}

async function produceRecords(
  parts: RecordParts,
  call: ProduceCall | PartitionProduceCall,
): Promise<ProduceReply> {
  const { headers, params, query } = call
  const { timeoutMs, atomic, ...switches } = query as ProduceQuery
  const partition = 'partition' in params ? params.partition : undefined
  const key = requestKey(
    call,
    ['native', params.topic, ...(partition === undefined ? [] : [partition])],
    { ...switches, atomic, headers: decidingHeaders(headers) },
  )
  if (key !== undefined && wantsLines(headers.accept)) throw withoutEnd()
  const records = toRecords(call.bytes, {
    contentType: headers['content-type'],
    headers,
    switches: partition === undefined ? switches : { ...switches, partition },
  })
  if (partition !== undefined) checkPartition(records, partition)
  const { expectedEnd } = switches
  const answer = await produce(parts, call, key, {
    topic: params.topic,
    records,
    autoCreate: parts.autoCreate === 'all',
    ...(atomic === undefined ? {} : { atomic }),
    ...(expectedEnd === undefined ? {} : { expectedEnd }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  })
  return answerProduce(answer, headers['prefer'] as string | undefined)
}

/** Everything in the headers that decides what is stored. */
function decidingHeaders(headers: CallContext['headers']): unknown {
  return Object.entries(headers)
    .filter(([name]) => name === 'content-type' || /^(ebbgate-(key$|header-)|ce-)/.test(name))
    .sort(([left], [right]) => (left < right ? -1 : 1))
}

function withoutEnd(): GatewayError {
  return new GatewayError(
    'INVALID_REQUEST',
    'An upload that is answered line by line has no end that an Idempotency-Key could cover: leave out the key, or ask for application/json.',
  )
}

/** On the route of one partition an envelope cannot name another one. */
function checkPartition(records: readonly (NewRecord | GatewayError)[], partition: number): void {
  for (const [place, record] of records.entries()) {
    if (record instanceof GatewayError || record.partition === partition) continue
    throw new GatewayError(
      'INVALID_REQUEST',
      `Record ${place + 1} names partition ${record.partition}, the path partition ${partition}.`,
    )
  }
}

/** A missing topic is told together with the command that makes it. */
async function produce(
  { producer, publicUrl }: RecordParts,
  call: CallContext,
  key: RequestKey | undefined,
  request: ProduceRequest,
): Promise<KeyedAnswer> {
  try {
    if (key !== undefined) return await producer.produceOnce(call.principal, request, key)
    return { results: await producer.produce(call.principal, request), deduplicated: false }
  } catch (error) {
    if (!(error instanceof GatewayError) || error.code !== 'UNKNOWN_TOPIC') throw error
    // What cannot be made is not told how to be made; nor may any text of a client's be pasted.
    if (!isTopicName(request.topic) || isInternalTopic(request.topic)) throw error
    const url = `${baseUrl(publicUrl, call.host)}/v1/topics`
    throw new GatewayError(
      'UNKNOWN_TOPIC',
      `Topic '${request.topic}' does not exist. Create it: curl "${url}" -d '{"name":"${request.topic}"}'`,
      { cause: error },
    )
  }
}

/**
 * The status tells a shipper what to do: failures that would fail again are told inside a 200, so
 * that the good records are not sent twice; one that would pass is 503; and when nothing was stored
 * because nothing could be, the answer is that error.
 */
function answerProduce(answer: KeyedAnswer, prefer: string | undefined): ProduceReply {
  const { results, deduplicated } = answer
  let failed = 0
  let passing: GatewayError | undefined
  let first: GatewayError | undefined
  for (const result of results) {
    if (!('error' in result)) continue
    failed++
    first ??= result.error
    if (result.error.retriable) passing ??= result.error
  }
  const stored = results.length - failed
  if (first !== undefined && stored === 0 && passing === undefined)
    throw nothingStored(results, first)
  const headers: Record<string, string> = { 'ebbgate-records': String(stored) }
  if (failed > 0) headers['ebbgate-failed'] = String(failed)
  if (deduplicated) Object.assign(headers, deduplicatedHeader)
  if (passing !== undefined) {
    headers['retry-after'] = String(retryAfterSeconds(passing.retryAfterMs ?? 1000))
    return { status: 503, headers, written: json(writeResults(results, failed, deduplicated)) }
  }
  if (failed === 0 && prefer !== undefined && /\breturn\s*=\s*"?minimal\b/i.test(prefer)) {
    return { status: 204, headers }
  }
  return { status: 200, headers, written: json(writeResults(results, failed, deduplicated)) }
}

function nothingStored(results: readonly RecordResult[], first: GatewayError): GatewayError {
  if (results.length === 1) return first
  return new GatewayError(
    first.code,
    `None of the ${results.length} records can be stored. The first: ${first.message}`,
    { cause: first },
  )
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
}

async function readRecords(
  { reader, answers }: RecordParts,
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

/** A client that names the type gets lines; one that takes anything gets JSON. */
function wantsLines(accept: string | undefined): boolean {
  return accept !== undefined && /\bapplication\/x-ndjson\b/i.test(accept)
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
