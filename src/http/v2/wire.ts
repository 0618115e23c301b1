/** Between v2's JSON and model words: loose scalars, embedded keys and values, records out. */
import type { Seek } from '../../consume/consumers.ts'
import type { components } from '../../contract/v2.ts'
import { fromBase64, toBase64 } from '../../format/binary.ts'
import { isJson, jsonLimits } from '../../format/json.ts'
import { parseIsoTime } from '../../kit/clock.ts'
import type { ByteSink } from '../../kit/byte-sink.ts'
import type { JsonFault, JsonSlice } from '../../kit/json-scanner.ts'
import type { JsonMember } from '../../kit/json-slices.ts'
import { compactJson, isFault, sliceElements, sliceMembers } from '../../kit/json-slices.ts'
import { afterByteOrderMark } from '../../kit/lines.ts'
import { GatewayError } from '../../model/errors.ts'
import { recordsPerRequestMax } from '../../model/limits.ts'
import type { NewRecord, RecordHeader, StoredRecord } from '../../model/record.ts'
import { noHeaders } from '../../model/record.ts'
import type { TopicPartition } from '../../model/topic.ts'

export const v2Formats = ['binary', 'json'] as const
export type V2Format = (typeof v2Formats)[number]

/** Formats of the contract that need a schema registry. */
export function isSchemaFormat(format: string): boolean {
  return format === 'avro' || format === 'jsonschema' || format === 'protobuf'
}

export function needsRegistry(format: string): GatewayError {
  return new GatewayError(
    'UNSUPPORTED',
    `The format '${format}' needs a schema registry, and none is configured: this version has the formats binary and json.`,
  )
}

type ProduceRequest = components['schemas']['ProduceRequest']
type ProduceRecord = components['schemas']['ProduceRecord']

/**
 * A whole number that may stand in a string, as Confluent takes it; never inside keys and values.
 * Throws INVALID_REQUEST when it is not exact.
 */
export function toInteger(value: number | string, field: string): number {
  const number = Number(value)
  if (Number.isSafeInteger(number)) return number
  throw new GatewayError('INVALID_REQUEST', `${field} must be a whole number up to 2^53-1.`)
}

export function toBoolean(value: boolean | 'true' | 'false'): boolean {
  return value === true || value === 'true'
}

export function toTopicPartitions({
  partitions,
}: components['schemas']['Partitions']): TopicPartition[] {
  return partitions.map(({ topic, partition }, index) => {
    return { topic, partition: toInteger(partition, `partitions[${index}].partition`) }
  })
}

/** Times stand behind offsets: of two words about one partition the later one counts. */
export function toSeeks({ offsets, timestamps }: components['schemas']['Positions']): Seek[] {
  const toOffsets = (offsets ?? []).map(({ topic, partition, offset }, index): Seek => {
    const at = `offsets[${index}]`
    const tp = { topic, partition: toInteger(partition, `${at}.partition`) }
    return { tp, to: toInteger(offset, `${at}.offset`) }
  })
  const toTimes = (timestamps ?? []).map(({ topic, partition, timestamp }, index): Seek => {
    const at = `timestamps[${index}]`
    const time = parseIsoTime(timestamp)
    if (time === undefined) {
      throw new GatewayError(
        'INVALID_REQUEST',
        `${at}.timestamp must be ISO 8601 with its zone, such as 2026-03-01T12:00:00Z.`,
      )
    }
    return { tp: { topic, partition: toInteger(partition, `${at}.partition`) }, to: { time } }
  })
  return [...toOffsets, ...toTimes]
}

/**
 * The records of a body the contract has accepted. `body` tells what is there, `bytes` hold it: the
 * bytes of a JSON value are stored as they stand, a JSON key without its white space.
 * All are decoded before the first is appended, so that a mistake in one stores nothing.
 * Throws BAD_REQUEST for what is not base64, INVALID_REQUEST for what is nested too deep.
 */
export function toNewRecords(
  body: ProduceRequest,
  bytes: Buffer,
  format: V2Format,
  partition: number | undefined,
): NewRecord[] {
  const decode = format === 'json' ? jsonFields(bytes) : base64Fields
  return body.records.map((record, index) => {
    const { key, value } = decode(record, index)
    const at = `records[${index}]`
    const placed = partition ?? nullable(record.partition, `${at}.partition`)
    const timestamp = nullable(record.timestamp, `${at}.timestamp`)
    return {
      key,
      value,
      headers: toHeaders(record.headers, at),
      ...(placed === undefined ? {} : { partition: placed }),
      ...(timestamp === undefined ? {} : { timestamp }),
    }
  })
}

interface Fields {
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
}

function nullable(value: number | string | null | undefined, field: string): number | undefined {
  return value === null || value === undefined ? undefined : toInteger(value, field)
}

function base64Fields(record: ProduceRecord, index: number): Fields {
  return {
    key: base64(record.key, `records[${index}].key`),
    value: base64(record.value, `records[${index}].value`),
  }
}

/** The contract's words, but for the data itself: contents are not repeated in messages. */
function base64(text: unknown, field: string): Uint8Array | null {
  if (text === null || text === undefined) return null
  const bytes = typeof text === 'string' ? fromBase64(text) : undefined
  if (bytes !== undefined) return bytes
  throw new GatewayError('BAD_REQUEST', `Bad Request: data=<${field}> is not a base64 string.`)
}

/** The contract knows six members; more can only be repetitions. */
const membersMax = 100

/** Finds the slices once; JSON.parse has accepted the body, so only its depth can be wrong here. */
function jsonFields(bytes: Buffer): (record: ProduceRecord, index: number) => Fields {
  const whole = checked(sliceMembers(bytes, jsonLimits, membersMax, afterByteOrderMark(bytes)))
  const list = memberOf(bytes, whole, 'records')
  if (list === undefined) throw new Error('The contract accepted a body without records.')
  const records = checked(
    sliceElements(bytes, jsonLimits, recordsPerRequestMax, list.start, list.end),
  )
  return (_record, index) => {
    const { start, end } = records[index]!
    const members = checked(sliceMembers(bytes, jsonLimits, membersMax, start, end))
    const key = memberOf(bytes, members, 'key')
    const value = memberOf(bytes, members, 'value')
    return {
      key: isNull(key) ? null : compactJson(bytes.subarray(key.start, key.end)),
      value: isNull(value) ? null : bytes.subarray(value.start, value.end),
    }
  }
}

function isNull(slice: JsonSlice | undefined): slice is undefined {
  return slice === undefined || slice.kind === 'null'
}

function checked<T extends object>(slices: T | JsonFault): T {
  if (!isFault(slices)) return slices
  throw new GatewayError(
    'INVALID_REQUEST',
    slices.fault === 'depth'
      ? `JSON may be nested ${jsonLimits.depthMax} levels deep; at byte ${slices.at} it is deeper.`
      : `The body cannot be read at byte ${slices.at}.`,
  )
}

/** The last member of that name, as JSON.parse has it too. */
function memberOf(
  bytes: Buffer,
  members: readonly JsonMember[],
  name: string,
): JsonSlice | undefined {
  return members.findLast(({ nameStart, nameEnd }) => {
    const spelled = bytes.toString('utf8', nameStart, nameEnd)
    return spelled === name || (spelled.includes('\\') && JSON.parse(`"${spelled}"`) === name)
  })?.value
}

function toHeaders(headers: ProduceRecord['headers'], at: string): readonly RecordHeader[] {
  if (headers === null || headers === undefined || headers.length === 0) return noHeaders
  return headers.map(({ key, value }, index) => ({
    name: key,
    value: base64(value, `${at}.headers[${index}].value`),
  }))
}

/** Fields that a client asks for by `include`; strict v2 clients refuse what they do not know. */
export interface Included {
  readonly headers: boolean
  readonly timestamp: boolean
}

/**
 * Writes a record into the answer. False, and nothing written, when its stored bytes are not what the
 * format says: bytes that were not verified never go into a JSON answer.
 */
export function writeConsumed(
  sink: ByteSink,
  record: StoredRecord & { readonly topic: string; readonly partition: number },
  format: V2Format,
  included: Included,
): boolean {
  const { topic, partition, offset, key, value } = record
  if (format === 'json' && !(isShowable(key) && isShowable(value))) return false
  // Topic names need no escape: they are letters, digits and `._-`.
  sink.text(`{"topic":"${topic}","key":`)
  writeField(sink, key, format)
  sink.text(',"value":')
  writeField(sink, value, format)
  sink.text(`,"partition":${partition},"offset":${offset}`)
  if (included.timestamp) sink.text(`,"timestamp":${record.timestamp}`)
  if (included.headers) {
    const headers = record.headers.map((header) => ({
      key: header.name,
      value: header.value === null ? null : toBase64(header.value),
    }))
    sink.text(`,"headers":${JSON.stringify(headers)}`)
  }
  sink.text('}')
  return true
}

function isShowable(bytes: Uint8Array | null): boolean {
  return bytes === null || isJson(bytes)
}

function writeField(sink: ByteSink, bytes: Uint8Array | null, format: V2Format): void {
  if (bytes === null) sink.text('null')
  else if (format === 'json') sink.bytes(bytes)
  else sink.jsonBase64(bytes)
}
