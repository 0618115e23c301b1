/** One record as v3 writes it: an object of key, value, headers, partition and time, read where it lies. */
import type { components } from '../../contract/v3.ts'
import { fromBase64 } from '../../format/binary.ts'
import { jsonLimits } from '../../format/json.ts'
import { parseIsoTime } from '../../kit/clock.ts'
import type { JsonSlice } from '../../kit/json-scanner.ts'
import { compactJson, isFault, sliceElements, sliceMembers, textOf } from '../../kit/json-slices.ts'
import { GatewayError } from '../../model/errors.ts'
import { headersPerRecordMax } from '../../model/limits.ts'
import type { NewRecord, RecordHeader } from '../../model/record.ts'
import { noHeaders } from '../../model/record.ts'
import { payloadError } from './errors.ts'

type StoredData = components['schemas']['StoredData']

/** A record, and what its receipt says of its halves; they are absent where the record had none. */
export interface RecordEntry {
  readonly record: NewRecord
  readonly key: StoredData | undefined
  readonly value: StoredData | undefined
}

/** The members of an object by name; of twins the last one counts, as for JSON.parse. */
export type Members = ReadonlyMap<string, JsonSlice>

const recordNames = ['partition_id', 'headers', 'key', 'value', 'timestamp'] as const
const dataNames = ['type', 'data', 'subject', 'subject_name_strategy', 'schema_id'] as const
const schemaNames = ['schema_version', 'schema'] as const
const headerNames = ['name', 'value'] as const

/** More members can only be repetitions. */
const membersMax = 100

/**
 * The members of an object that may have these names and no others.
 * Throws INVALID_REQUEST for another shape, BAD_REQUEST for what is broken.
 */
export function membersOf(
  bytes: Buffer,
  slice: JsonSlice,
  what: string,
  names: readonly string[],
): Members {
  if (slice.kind !== 'object') throw misshapen(`${what} is not an object.`)
  const members = sliceMembers(bytes, jsonLimits, membersMax, slice.start, slice.end)
  if (isFault(members)) {
    throw members.fault === 'count'
      ? misshapen(`${what} has more than ${membersMax} members.`)
      : new GatewayError('BAD_REQUEST', `${what} cannot be read.`)
  }
  const found = new Map<string, JsonSlice>()
  for (const { nameStart, nameEnd, value } of members) {
    const name = utf8(textOf(bytes, nameStart, nameEnd) ?? bytes.subarray(nameStart, nameEnd))
    if (!names.includes(name)) {
      const shown = name.length > 100 ? `${name.slice(0, 100)}…` : name
      throw new GatewayError('INVALID_REQUEST', `Unrecognized field: ${shown}`)
    }
    found.set(name, value)
  }
  return found
}

/**
 * The record that stands in an object of JSON that was checked. Keys and values are slices of `bytes`.
 * Throws INVALID_REQUEST for another shape (an unknown member, a wrong type), BAD_REQUEST for contents
 * that cannot be read, UNSUPPORTED for what would need a schema registry.
 */
export function readEntry(bytes: Buffer, slice: JsonSlice): RecordEntry {
  return entryOf(bytes, membersOf(bytes, slice, 'The record', recordNames))
}

/** What an entry of a batch may have. */
export const batchEntryNames: readonly string[] = ['id', ...recordNames]

/** The same for members that were cut already; an `id` among them is passed over. */
export function entryOf(bytes: Buffer, members: Members): RecordEntry {
  const partition = wholeNumber(bytes, present(members, 'partition_id'), 'partition_id')
  const headers = readHeaders(bytes, present(members, 'headers'))
  const timestamp = readTime(bytes, present(members, 'timestamp'))
  const key = readData(bytes, present(members, 'key'), 'key')
  const value = readData(bytes, present(members, 'value'), 'value')
  return {
    record: {
      key: key?.bytes ?? null,
      value: value?.bytes ?? null,
      headers,
      ...(partition === undefined ? {} : { partition }),
      ...(timestamp === undefined ? {} : { timestamp }),
    },
    key: key?.stored,
    value: value?.stored,
  }
}

/** Null means absent, everywhere in this contract. */
function present(members: Members, name: string): JsonSlice | undefined {
  const slice = members.get(name)
  return slice?.kind === 'null' ? undefined : slice
}

function readData(
  bytes: Buffer,
  slice: JsonSlice | undefined,
  field: 'key' | 'value',
): { readonly bytes: Uint8Array; readonly stored: StoredData } | undefined {
  if (slice === undefined) return undefined
  const members = membersOf(bytes, slice, `'${field}'`, [...dataNames, ...schemaNames])
  const typeSlice = present(members, 'type')
  const type = typeSlice === undefined ? undefined : stringOf(bytes, typeSlice, `${field}.type`)
  const data = present(members, 'data')
  const hasSchema = [...members.keys()].some(
    (name) => name !== 'type' && name !== 'data' && present(members, name) !== undefined,
  )
  switch (type) {
    case 'BINARY':
    case 'JSON':
    case 'STRING': {
      if (hasSchema) throw misshapen(`'${field}' has a schema beside the type ${type}.`)
      if (data === undefined) return undefined
      const stored = storedBytes(bytes, data, type, field)
      return { bytes: stored, stored: { type, size: stored.length } }
    }
    case undefined:
      // Without a type or a schema nothing can be meant but null.
      if (data === undefined && !hasSchema) return undefined
      throw needsRegistry()
    case 'AVRO':
    case 'JSONSCHEMA':
    case 'PROTOBUF':
      throw needsRegistry()
    default:
      throw misshapen(`'${field}.type' is one of BINARY, JSON, STRING, AVRO, JSONSCHEMA, PROTOBUF.`)
  }
}

/** JSON keeps its bytes; a key without its white space, because a key is an identity. */
function storedBytes(
  bytes: Buffer,
  data: JsonSlice,
  type: StoredData['type'],
  field: 'key' | 'value',
): Uint8Array {
  if (type === 'JSON') {
    if (data.utf8At >= 0) throw unreadable(`'${field}.data' is not whole UTF-8.`)
    const slice = bytes.subarray(data.start, data.end)
    return field === 'key' ? compactJson(slice) : slice
  }
  const text = textBytes(bytes, data, `${field}.data`)
  return type === 'STRING' ? text : base64(text, `${field}.data`)
}

function readHeaders(bytes: Buffer, slice: JsonSlice | undefined): readonly RecordHeader[] {
  if (slice === undefined) return noHeaders
  if (slice.kind !== 'array') throw misshapen("'headers' is not a list.")
  const { start, end } = slice
  const elements = sliceElements(bytes, jsonLimits, headersPerRecordMax, start, end)
  if (isFault(elements)) {
    throw misshapen(`A record has at most ${headersPerRecordMax} headers.`)
  }
  return elements.map((element, i) => {
    const members = membersOf(bytes, element, `'headers[${i}]'`, headerNames)
    const name = members.get('name')
    if (name === undefined) throw misshapen(`'headers[${i}]' has no name.`)
    const value = present(members, 'value')
    const field = `headers[${i}].value`
    return {
      name: stringOf(bytes, name, `headers[${i}].name`),
      value: value === undefined ? null : base64(textBytes(bytes, value, field), field),
    }
  })
}

function readTime(bytes: Buffer, slice: JsonSlice | undefined): number | undefined {
  if (slice === undefined) return undefined
  const time = parseIsoTime(stringOf(bytes, slice, 'timestamp'))
  if (time === undefined) throw misshapen("'timestamp' is not a time by ISO 8601.")
  return time
}

/** Negative ones are whole numbers, too: there is no such partition, which is another answer. */
function wholeNumber(
  bytes: Buffer,
  slice: JsonSlice | undefined,
  field: string,
): number | undefined {
  if (slice === undefined) return undefined
  const digits = slice.kind === 'number' ? bytes.toString('latin1', slice.start, slice.end) : ''
  const number = Number(digits)
  if (/^-?\d{1,10}$/.test(digits) && Math.abs(number) <= 2_147_483_647) return number
  throw misshapen(`'${field}' is not a whole number.`)
}

export function stringOf(bytes: Buffer, slice: JsonSlice, field: string): string {
  return utf8(textBytes(bytes, slice, field))
}

function textBytes(bytes: Buffer, { kind, start, end, utf8At }: JsonSlice, field: string): Buffer {
  if (kind !== 'string') throw misshapen(`'${field}' is not a string.`)
  const text = utf8At >= 0 ? undefined : textOf(bytes, start + 1, end - 1)
  if (text === undefined) throw unreadable(`'${field}' is not whole UTF-8.`)
  return Buffer.from(text.buffer, text.byteOffset, text.length)
}

/** The contract's words, but for the data itself: contents are not repeated in messages. */
function base64(text: Buffer, field: string): Uint8Array {
  const bytes = fromBase64(text.toString('latin1'))
  if (bytes !== undefined) return bytes
  throw unreadable(`Bad Request: data=<${field}> is not a valid base64 string.`)
}

function utf8(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8')
}

function misshapen(message: string): GatewayError {
  return new GatewayError('INVALID_REQUEST', `${payloadError}${message}`)
}

function unreadable(message: string): GatewayError {
  return new GatewayError('BAD_REQUEST', message)
}

function needsRegistry(): GatewayError {
  return new GatewayError(
    'UNSUPPORTED',
    `${payloadError}Schema Registry must be configured when using schemas.`,
  )
}
