/**
 * CloudEvents 1.0 as records, in the way of their Kafka binding, so that its SDKs read what was sent
 * over HTTP: a binary event is its data with the attributes as headers `ce_…`; a structured one is the
 * event's own JSON, byte for byte. The extension `partitionkey` becomes the record's key.
 */
import type { JsonSlice } from '../../kit/json-scanner.ts'
import { checkJson, findJson, isFault, textOf } from '../../kit/json-slices.ts'
import { afterByteOrderMark } from '../../kit/lines.ts'
import { jsonLimits } from '../../format/json.ts'
import { GatewayError } from '../../model/errors.ts'
import type { NewRecord, RecordHeader } from '../../model/record.ts'
import { bodyFault, recordFault } from './json-faults.ts'
import type { RequestHeaders, SharedFields } from './shared-fields.ts'
import { jsonRecord, newRecord, rawRecord, withContentType } from './shared-fields.ts'

const attributePrefix = 'ce-'
/** Every event has them (CloudEvents 1.0.2, "Required Attributes"). */
const required = ['specversion', 'id', 'source', 'type'] as const
const structuredType = 'application/cloudevents+json'

export function isBinaryEvent(headers: RequestHeaders): boolean {
  return headers['ce-specversion'] !== undefined
}

/**
 * The event whose attributes are request headers. One without data has an empty value: null would
 * delete its key in a compacted topic. Throws BAD_REQUEST for attributes that make no event.
 */
export function binaryEvent(
  body: Buffer,
  headers: RequestHeaders,
  contentType: string | undefined,
  shared: SharedFields,
): NewRecord | GatewayError {
  const attributes = attributesOf(headers)
  for (const name of required) {
    const value = attributes.get(name)
    if (value === undefined || value.length === 0) {
      throw new GatewayError('BAD_REQUEST', `The event has no attribute '${name}' (ce-${name}).`)
    }
  }
  const wrong = versionFault(attributes.get('specversion')!, 'BAD_REQUEST')
  if (wrong !== undefined) throw wrong
  const kept: RecordHeader[] = [...shared.headers]
  for (const [name, value] of attributes) kept.push({ name: `ce_${name}`, value })
  const fields = withPartitionKey({ ...shared, headers: kept }, attributes.get('partitionkey'))
  const typed = contentType === undefined ? fields : withContentType(fields, contentType)
  // Without data there is nothing for `keyFrom` to look into.
  return body.length === 0 ? newRecord(body, typed.key, typed) : rawRecord(body, typed)
}

/** The one event of a body. Throws BAD_REQUEST and INVALID_REQUEST where it is not JSON. */
export function structuredEvent(
  body: Buffer,
  contentType: string,
  shared: SharedFields,
): NewRecord | GatewayError {
  const value = checkJson(body, jsonLimits, afterByteOrderMark(body))
  if (isFault(value)) throw bodyFault(value)
  return eventRecord(body, value, contentType, shared)
}

/** One event of a batch. */
export function batchedEvent(
  body: Buffer,
  value: JsonSlice,
  shared: SharedFields,
): NewRecord | GatewayError {
  if (value.utf8At >= 0) return recordFault('The event', { fault: 'utf8', at: value.utf8At })
  return eventRecord(body, value, structuredType, shared)
}

function eventRecord(
  body: Buffer,
  value: JsonSlice,
  contentType: string,
  shared: SharedFields,
): NewRecord | GatewayError {
  if (value.kind !== 'object') return invalid('An event is a JSON object.')
  for (const name of required) {
    const text = textMember(body, value, name)
    if (text === undefined || text.length === 0) {
      return invalid(`The event has no attribute '${name}', or it is no text.`)
    }
  }
  const wrong = versionFault(textMember(body, value, 'specversion')!, 'INVALID_RECORD')
  if (wrong !== undefined) return wrong
  const found = findJson(body, jsonLimits, value, ['partitionkey'])
  const key = textMember(body, value, 'partitionkey')
  if (found !== undefined && found.kind !== 'null' && key === undefined) {
    return invalid("The event's 'partitionkey' is no text.")
  }
  return jsonRecord(body, value, withPartitionKey(withContentType(shared, contentType), key))
}

/** The text of a member; undefined when it is missing or something else. */
function textMember(body: Buffer, object: JsonSlice, name: string): Uint8Array | undefined {
  const found = findJson(body, jsonLimits, object, [name])
  if (found?.kind !== 'string') return undefined
  return textOf(body, found.start + 1, found.end - 1)
}

/** The event's own key goes before that of its request, as in the envelope. */
function withPartitionKey(shared: SharedFields, key: Uint8Array | undefined): SharedFields {
  if (key === undefined || key.length === 0) return shared
  return { ...shared, key, keyFrom: undefined }
}

function versionFault(
  specversion: Uint8Array,
  code: 'BAD_REQUEST' | 'INVALID_RECORD',
): GatewayError | undefined {
  const version = Buffer.from(specversion).toString()
  if (version === '1.0') return undefined
  return new GatewayError(
    code,
    `CloudEvents 1.0 is taken here; the event's specversion is '${version.slice(0, 20)}'.`,
  )
}

/** `datacontenttype` is the request's own content type in this mode. */
function attributesOf(headers: RequestHeaders): ReadonlyMap<string, Buffer> {
  const attributes = new Map<string, Buffer>()
  for (const header in headers) {
    const name = header.slice(attributePrefix.length)
    if (!header.startsWith(attributePrefix) || name === '' || name === 'datacontenttype') continue
    const value = headers[header]
    if (value === undefined) continue
    attributes.set(name, decoded(typeof value === 'string' ? value : value.join(', ')))
  }
  return attributes
}

/**
 * Header values are percent-encoded UTF-8, and may stand in double quotes (CloudEvents HTTP binding,
 * §3.1.3.2). What is no encoding stands for itself. Node gives bytes as Latin-1.
 */
function decoded(value: string): Buffer {
  const quoted = /^"((?:[^"\\]|\\.)*)"$/.exec(value)?.[1]
  const text = quoted === undefined ? value : quoted.replaceAll(/\\(.)/g, '$1')
  const bytes = text.replaceAll(/%([0-9a-f]{2})/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  )
  return Buffer.from(bytes, 'latin1')
}

function invalid(message: string): GatewayError {
  return new GatewayError('INVALID_RECORD', message)
}
