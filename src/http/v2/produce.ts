/** Writing records by the v2 contract. */
import type { components, operations } from '../../contract/v2.ts'
import type { Answer, Handlers } from '../../contract/operations.ts'
import { GatewayError } from '../../model/errors.ts'
import type { Producer, RecordResult } from '../../produce/producer.ts'
import type { CallContext } from '../exchange/call.ts'
import { deduplicatedHeader, requestKey } from '../exchange/idempotency-key.ts'
import { v2ItemCode } from './errors.ts'
import type { V2Format } from './wire.ts'
import { isSchemaFormat, needsRegistry, toNewRecords } from './wire.ts'

export interface ProduceParts {
  readonly producer: Producer
  readonly autoCreate: 'compat' | 'all' | 'none'
}

type ProduceRequest = components['schemas']['ProduceRequest']
type Item = components['schemas']['ProduceAnswer']['offsets'][number]
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
  const place = partition === undefined ? [] : [partition]
  const key = requestKey(call, ['v2', topic, ...place], { mediaType })
  const request = {
    topic,
    records: toNewRecords(body, call.bytes, formatOf(mediaType), partition),
    autoCreate: parts.autoCreate !== 'none',
  }
  const { producer } = parts
  const { results, deduplicated } =
    key === undefined
      ? { results: await producer.produce(call.principal, request), deduplicated: false }
      : await producer.produceOnce(call.principal, request, key)
  const refused = refusalOfAll(results)
  if (refused !== undefined) throw refused
  const offsets = results.map(toItem)
  const answer = { offsets, key_schema_id: null, value_schema_id: null }
  const rights = offsets.find(({ error_code: code }) => code !== null && code in rightsStatuses)
  const headers = deduplicated ? deduplicatedHeader : {}
  return rights === undefined
    ? { status: 200, headers, body: answer }
    : { status: rightsStatuses[rights.error_code!]!, body: answer }
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

function toItem(result: RecordResult): Item {
  if ('error' in result) {
    const { code, message } = result.error
    return { partition: null, offset: null, error_code: v2ItemCode(code), error: message }
  }
  const { partition, offset } = result
  return { partition, offset, error_code: null, error: null }
}
