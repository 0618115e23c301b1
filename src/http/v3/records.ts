/** Writing records by the v3 contract: one, a stream of them, or a batch. */
import type { Answer, Handlers } from '../../contract/operations.ts'
import type { operations } from '../../contract/v3.ts'
import { jsonLimits } from '../../format/json.ts'
import type { Clock } from '../../kit/clock.ts'
import { checkJson, isFault, sliceValues } from '../../kit/json-slices.ts'
import { afterByteOrderMark } from '../../kit/lines.ts'
import type { Logger } from '../../kit/logger.ts'
import { GatewayError, toGatewayError } from '../../model/errors.ts'
import { recordsPerRequestMax } from '../../model/limits.ts'
import type { Producer, RecordResult } from '../../produce/producer.ts'
import type { CallContext } from '../exchange/call.ts'
import { deduplicatedHeader, requestKey } from '../exchange/idempotency-key.ts'
import { charsetOf, payloadError, v3ContentType } from './errors.ts'
import type { FrameParts } from './frame.ts'
import { readBatch } from './produce-batch.ts'
import { ProduceStream } from './produce-stream.ts'
import type { Item, ReceiptPlace } from './receipt.ts'
import { outcomeOf, receiptText, toRecord } from './receipt.ts'
import { readEntry } from './record-entry.ts'

export interface RecordParts extends FrameParts {
  readonly producer: Producer
  readonly autoCreate: 'compat' | 'all' | 'none'
  readonly clock: Clock
  readonly logger: Logger
}

type RecordCall = CallContext & {
  readonly params: { readonly cluster_id: string; readonly topic_name: string }
}

export function recordHandlers(
  parts: RecordParts,
): Pick<Handlers<operations, CallContext>, 'produceRecord' | 'produceRecordsBatch'> {
  return {
    async produceRecord(call) {
      checkType(call)
      return call.incoming === undefined
        ? await produceUnderKey(parts, call)
        : await produceStream(parts, call, call.incoming)
    },

    async produceRecordsBatch(call) {
      checkType(call)
      const entries = readBatch(call.bytes)
      const items = entries.map(({ item }) => item)
      const { results, deduplicated } = await produce(parts, call, items, 'records:batch')
      const place = await placeOf(parts, call)
      const body: { successes: Success[]; failures: Failure[] } = { successes: [], failures: [] }
      for (const [i, { id, item }] of entries.entries()) {
        const outcome = outcomeOf(place, item, results[i]!)
        if ('failure' in outcome) body.failures.push({ id, ...outcome.failure })
        else body.successes.push({ id, ...outcome.success })
      }
      return { status: 207, headers: deduplicated ? deduplicatedHeader : {}, body }
    },
  }
}

type BatchBody = NonNullable<Answer<operations['produceRecordsBatch']>['body']>
type Success = Extract<BatchBody, { successes: unknown }>['successes'][number]
type Failure = Extract<BatchBody, { failures: unknown }>['failures'][number]

async function produceStream(
  parts: RecordParts,
  call: RecordCall,
  incoming: NonNullable<CallContext['incoming']>,
): Promise<Answer<operations['produceRecord']>> {
  const { principal, signal } = call
  const place = await placeOf(parts, call)
  const charset = charsetOf(call.headers['content-type'])
  const stream = new ProduceStream(parts, { principal, place, incoming, charset, signal })
  try {
    await stream.begin()
    const autoCreate = parts.autoCreate !== 'none'
    await parts.producer.prepare(principal, { topic: place.topic, autoCreate })
  } catch (error) {
    stream.drop()
    throw error
  }
  const written = { contentType: v3ContentType, bytes: stream.receipts() }
  return { status: 200, written }
}

/** A stream has no end that could be repeated, so under a key the body is read whole. */
async function produceUnderKey(
  parts: RecordParts,
  call: RecordCall,
): Promise<Answer<operations['produceRecord']>> {
  if (call.headers['transfer-encoding'] !== undefined) {
    throw new GatewayError(
      'INVALID_REQUEST',
      'A streamed body cannot have an Idempotency-Key: send it with its Content-Length.',
    )
  }
  const items = itemsOf(call.bytes)
  const { results, deduplicated } = await produce(parts, call, items, 'records')
  const place = await placeOf(parts, call)
  const texts = items.map((item, i) => receiptText(place, item, results[i]!))
  return {
    status: 200,
    headers: deduplicated ? deduplicatedHeader : {},
    written: { contentType: v3ContentType, bytes: texts.join('') },
  }
}

function itemsOf(bytes: Buffer): readonly Item[] {
  const slices = sliceValues(bytes, jsonLimits, recordsPerRequestMax, afterByteOrderMark(bytes))
  if (isFault(slices)) {
    if (slices.fault === 'count') {
      throw new GatewayError(
        'BODY_TOO_LARGE',
        `A request holds at most ${recordsPerRequestMax} records.`,
      )
    }
    throw new GatewayError('BAD_REQUEST', `The body is not valid JSON, at byte ${slices.at}.`)
  }
  if (slices.length === 0) {
    throw new GatewayError(
      'INVALID_REQUEST',
      `${payloadError}Request body is empty. Data is required.`,
    )
  }
  return slices.map((slice) => {
    const checked = checkJson(bytes, jsonLimits, slice.start, slice.end)
    if (isFault(checked)) return new GatewayError('BAD_REQUEST', 'The record is not whole UTF-8.')
    try {
      return readEntry(bytes, slice)
    } catch (error) {
      return toGatewayError(error)
    }
  })
}

async function produce(
  { producer, autoCreate }: RecordParts,
  call: RecordCall,
  items: readonly Item[],
  route: string,
): Promise<{ readonly results: readonly RecordResult[]; readonly deduplicated: boolean }> {
  const { topic_name: topic } = call.params
  const request = { topic, records: items.map(toRecord), autoCreate: autoCreate !== 'none' }
  const key = requestKey(call, ['v3', route, topic], {})
  if (key !== undefined) return await producer.produceOnce(call.principal, request, key)
  return { results: await producer.produce(call.principal, request), deduplicated: false }
}

/** Receipts name the cluster that took the records, whatever the path calls it. */
async function placeOf({ cluster }: RecordParts, call: RecordCall): Promise<ReceiptPlace> {
  const { clusterId } = await cluster.describe(call.principal)
  const { requestId, params } = call
  return { clusterId, topic: params.topic_name, requestId, appends: true }
}

function checkType({ mediaType }: CallContext): void {
  if (mediaType === '' || mediaType === v3ContentType) return
  throw new GatewayError('UNSUPPORTED_MEDIA_TYPE', 'Records come as application/json.')
}
