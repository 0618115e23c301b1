/** Writing records by the v2 contract. */
import type { components, operations } from '../../contract/v2.ts'
import type { Answer, Handlers } from '../../contract/operations.ts'
import { GatewayError } from '../../model/errors.ts'
import type { NewRecord } from '../../model/record.ts'
import type { Producer, RecordResult } from '../../produce/producer.ts'
import type { CallContext } from '../exchange/call.ts'
import { deduplicatedHeader, requestKey } from '../exchange/idempotency-key.ts'
import type { Dialect } from './dialects.ts'
import { kafkaNumberOf } from './dialects.ts'
import { v2ItemCode } from './errors.ts'
import type { V2Format } from './wire.ts'
import { isSchemaFormat, needsRegistry, toNewRecords } from './wire.ts'

export interface ProduceParts {
  readonly producer: Producer
  readonly autoCreate: 'compat' | 'all' | 'none'
  readonly dialect: Dialect
}

type ProduceRequest = components['schemas']['ProduceRequest']
type Item = components['schemas']['ProduceAnswer']['offsets'][number]
type ProduceInput = Parameters<Producer['produce']>[1]
type KeyedRequest = Parameters<Producer['produceOnce']>[2]
type ProduceReply = Answer<operations['produceToTopic']>

/** Item codes that are the status of the whole answer, too. */
const rightsStatuses: Readonly<Record<number, 401 | 403>> = { 40101: 401, 40301: 403 }

export function produceHandlers(
  parts: ProduceParts,
): Pick<Handlers<operations, CallContext>, 'produceToTopic' | 'produceToPartition'> {
  return {
    produceToTopic(call) {
      return produce(parts, call, call.body, call.params.topic, undefined)
    },

    produceToPartition(call) {
      if (call.body.records.some((record) => record.partition !== undefined)) {
        throw new GatewayError('INVALID_REQUEST', 'Unrecognized field: partition')
      }
      return produce(parts, call, call.body, call.params.topic, call.params.partition)
    },
  }
}

async function produce(
  parts: ProduceParts,
  call: CallContext,
  body: ProduceRequest,
  topic: string,
  partition: number | undefined,
): Promise<ProduceReply> {
  const { mediaType } = call
  const { dialect } = parts
  const place = partition === undefined ? [] : [partition]
  const key = requestKey(call, ['v2', topic, ...place], { mediaType })
  const request = {
    topic,
    records: toNewRecords(body, call.bytes, formatOf(mediaType), partition),
    autoCreate: parts.autoCreate !== 'none' && dialect.missingTopic === 'create',
  }
  const { results, deduplicated } = await stored(parts, call, request, key)
  const refused = dialect.missingTopic === 'item' ? undefined : refusalOfAll(results)
  if (refused !== undefined) throw refused
  const offsets = results.map((result, i) => toItem(result, request.records[i]!, dialect))
  const answer =
    dialect.items === 'nulls'
      ? { offsets, key_schema_id: null, value_schema_id: null }
      : { offsets }
  const headers = deduplicated ? deduplicatedHeader : {}
  for (const result of results) {
    if (!('error' in result)) continue
    const rights = rightsStatuses[v2ItemCode(result.error.code)]
    if (rights !== undefined) return { status: rights, body: answer }
  }
  const isWhole = !results.some((result) => 'error' in result)
  return { status: isWhole ? 200 : dialect.failedStatus, headers, body: answer }
}

/** A missing topic fails every record where the dialect has no refusal for it. */
async function stored(
  { producer, dialect }: ProduceParts,
  call: CallContext,
  request: ProduceInput,
  key: KeyedRequest | undefined,
): Promise<{ results: readonly RecordResult[]; deduplicated: boolean }> {
  try {
    if (key !== undefined) return await producer.produceOnce(call.principal, request, key)
    return { results: await producer.produce(call.principal, request), deduplicated: false }
  } catch (error) {
    const isItem = dialect.missingTopic === 'item' && error instanceof GatewayError
    if (!isItem || error.code !== 'UNKNOWN_TOPIC') throw error
    return { results: request.records.map(() => ({ error })), deduplicated: false }
  }
}

/** The type names the format; without one it would be a guess. */
function formatOf(mediaType: string): V2Format {
  if (mediaType === 'application/vnd.kafka.json.v2+json') return 'json'
  if (mediaType === 'application/vnd.kafka.binary.v2+json') return 'binary'
  const named = /^application\/vnd\.kafka\.(\w+)\.v2\+json$/.exec(mediaType)?.[1] ?? ''
  if (isSchemaFormat(named)) throw needsRegistry(named)
  throw new GatewayError('UNSUPPORTED_MEDIA_TYPE', 'The content type names no embedded format.')
}

/** A partition that does not exist is the request's mistake, as long as nothing of it was stored. */
function refusalOfAll(results: readonly RecordResult[]): GatewayError | undefined {
  let first: GatewayError | undefined
  for (const result of results) {
    if (!('error' in result) || result.error.code !== 'UNKNOWN_PARTITION') return undefined
    first ??= result.error
  }
  return first
}

function toItem(result: RecordResult, { partition: wished }: NewRecord, { items }: Dialect): Item {
  if (!('error' in result)) {
    const { partition, offset } = result
    return items === 'nulls'
      ? { partition, offset, error_code: null, error: null }
      : { partition, offset }
  }
  const { code, message, retriable } = result.error
  switch (items) {
    case 'nulls':
      return { partition: null, offset: null, error_code: v2ItemCode(code), error: message }
    case 'flags':
      return { error_code: retriable ? 2 : 1, error: message }
    case 'numbers':
      return { partition: wished ?? -1, offset: -1, error_code: kafkaNumberOf(code) }
    case 'statuses': {
      const isMissing = code === 'UNKNOWN_TOPIC' || code === 'UNKNOWN_PARTITION'
      return { error_code: isMissing ? 404 : 500, message }
    }
  }
}
