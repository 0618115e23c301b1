/** Writing records. */
import type { operations } from '../../contract/native.ts'
import type { Answer, Handlers, WrittenBody } from '../../contract/operations.ts'
import type { Clock } from '../../kit/clock.ts'
import { GatewayError } from '../../model/errors.ts'
import { isInternalTopic, isTopicName } from '../../model/topic.ts'
import type { NewRecord } from '../../model/record.ts'
import type {
  KeyedAnswer,
  ProduceRequest,
  Producer,
  RecordResult,
  RequestKey,
} from '../../produce/producer.ts'
import type { CallContext, IncomingBody } from '../exchange/call.ts'
import { deduplicatedHeader, requestKey } from '../exchange/idempotency-key.ts'
import { retryAfterSeconds } from '../exchange/surface.ts'
import { toRecords } from './body-records.ts'
import { ProduceStream } from './produce-stream.ts'
import { sharedFields } from './shared-fields.ts'
import { wantsLines, writeResultLines, writeResults, writeResultsEnd } from './wire.ts'

export interface ProduceParts {
  readonly producer: Producer
  readonly clock: Clock
  readonly autoCreate: 'compat' | 'all' | 'none'
}

type ProduceOperations = 'postRecords' | 'putRecords' | 'postPartition'

type ProduceCall = Parameters<Handlers<operations, CallContext>['postRecords']>[0]
type PartitionProduceCall = Parameters<Handlers<operations, CallContext>['postPartition']>[0]
type ProduceQuery = ProduceCall['query'] & PartitionProduceCall['query']
type ProduceReply = Answer<operations['postRecords']>

export function produceHandlers(
  parts: ProduceParts,
): Pick<Handlers<operations, CallContext>, ProduceOperations> {
  const produce = (call: ProduceCall | PartitionProduceCall): Promise<ProduceReply> =>
    produceRecords(parts, call)
  return {
    postRecords: produce,
    putRecords: produce,
    postPartition: produce,
  }
}

async function produceRecords(
  parts: ProduceParts,
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
  if (call.incoming !== undefined) return await streamRecords(parts, call, call.incoming, partition)
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
  return answerProduce(answer, headers['prefer'] as string | undefined, wantsLines(headers.accept))
}

/** Receipts while the upload goes on. What refuses the whole request is known before its first line. */
async function streamRecords(
  parts: ProduceParts,
  call: ProduceCall | PartitionProduceCall,
  incoming: IncomingBody,
  partition: number | undefined,
): Promise<ProduceReply> {
  const { producer, clock, autoCreate } = parts
  const { headers, params, query, principal, signal } = call
  const switches = query as ProduceQuery
  const { topic } = params
  const shared = sharedFields(headers, {
    ...switches,
    ...(partition === undefined ? {} : { partition }),
  })
  await told(call, topic, () =>
    producer.prepare(principal, { topic, autoCreate: autoCreate === 'all' }),
  )
  const stream = new ProduceStream(producer, clock, {
    principal,
    topic,
    incoming,
    shared,
    envelope: call.mediaType === 'application/vnd.ebbgate.records+ndjson',
    replay: switches.replay === true,
    partition,
    signal,
  })
  return { status: 200, written: { contentType: 'application/x-ndjson', bytes: stream.lines() } }
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

async function produce(
  { producer }: ProduceParts,
  call: CallContext,
  key: RequestKey | undefined,
  request: ProduceRequest,
): Promise<KeyedAnswer> {
  return await told(call, request.topic, async () =>
    key !== undefined
      ? await producer.produceOnce(call.principal, request, key)
      : { results: await producer.produce(call.principal, request), deduplicated: false },
  )
}

/** A missing topic is told together with the command that makes it. */
async function told<T>(call: CallContext, topic: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act()
  } catch (error) {
    if (!(error instanceof GatewayError) || error.code !== 'UNKNOWN_TOPIC') throw error
    // What cannot be made is not told how to be made; nor may any text of a client's be pasted.
    if (!isTopicName(topic) || isInternalTopic(topic)) throw error
    const url = `${call.baseUrl}/v1/topics`
    throw new GatewayError(
      'UNKNOWN_TOPIC',
      `Topic '${topic}' does not exist. Create it: curl "${url}" -d '{"name":"${topic}"}'`,
      { cause: error },
    )
  }
}

/**
 * The status tells a shipper what to do: failures that would fail again are told inside a 200, so
 * that the good records are not sent twice; one that would pass is 503; and when nothing was stored
 * because nothing could be, the answer is that error.
 */
function answerProduce(
  answer: KeyedAnswer,
  prefer: string | undefined,
  asLines: boolean,
): ProduceReply {
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
  if (asLines) {
    const bytes = writeResultLines(results) + writeResultsEnd(stored, failed)
    return { status: 200, headers, written: { contentType: 'application/x-ndjson', bytes } }
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

function json(bytes: string | Uint8Array): WrittenBody {
  return { contentType: 'application/json', bytes }
}
