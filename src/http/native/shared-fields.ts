/** Key, partition, timestamp and headers that a request gives to all its records, without an envelope. */
import type { JsonSlice } from '../../kit/json-scanner.ts'
import { checkJson, findJson, isFault, parsePointer, textOf } from '../../kit/json-slices.ts'
import { afterByteOrderMark } from '../../kit/lines.ts'
import { jsonLimits } from '../../format/json.ts'
import { GatewayError } from '../../model/errors.ts'
import type { NewRecord, RecordHeader } from '../../model/record.ts'
import { noHeaders } from '../../model/record.ts'

export type RequestHeaders = Readonly<Record<string, string | readonly string[] | undefined>>

/** Query switches, so that a tool with a fixed body can set them in its URL. */
export interface ProduceSwitches {
  /** Never split: an array is one record, more than one value is refused. */
  readonly batch?: 'none' | undefined
  /** Text is one record per line. */
  readonly lines?: boolean | undefined
  readonly key?: string | undefined
  /** A JSON pointer (RFC 6901) into each record. */
  readonly keyFrom?: string | undefined
  readonly partition?: number | undefined
  /** Milliseconds since 1970. */
  readonly timestamp?: number | undefined
  /** With a key and an empty body: a null value. */
  readonly tombstone?: boolean | undefined
  /** Records as read may name `topic`, `partition` and `offset`, which are then ignored. */
  readonly replay?: boolean | undefined
}

export interface SharedFields {
  readonly key: Uint8Array | null
  readonly keyFrom: readonly string[] | undefined
  readonly headers: readonly RecordHeader[]
  readonly timestamp: number | undefined
  readonly partition: number | undefined
}

const keyHeader = 'ebbgate-key'
const headerPrefix = 'ebbgate-header-'

/** Throws BAD_REQUEST or INVALID_REQUEST when the carriers contradict each other. */
export function sharedFields(headers: RequestHeaders, switches: ProduceSwitches): SharedFields {
  const { key, keyFrom, timestamp, partition } = switches
  const fromHeader = headers[keyHeader]
  const named = [fromHeader, key, keyFrom].filter((carrier) => carrier !== undefined)
  if (named.length > 1) {
    throw new GatewayError(
      'INVALID_REQUEST',
      'The key is given twice: use one of Ebbgate-Key, key and keyFrom.',
    )
  }
  return {
    key: fromHeader === undefined ? keyBytes(key, 'utf8') : keyBytes(one(fromHeader), 'latin1'),
    keyFrom: keyFrom === undefined ? undefined : pointerOf(keyFrom),
    headers: recordHeaders(headers),
    timestamp,
    partition,
  }
}

/** An empty carrier means no key: that is what a shipper's template leaves of a missing field. */
function keyBytes(key: string | undefined, encoding: 'utf8' | 'latin1'): Uint8Array | null {
  return key === undefined || key === '' ? null : Buffer.from(key, encoding)
}

function pointerOf(text: string): readonly string[] {
  const pointer = parsePointer(text)
  if (pointer !== undefined) return pointer
  throw new GatewayError(
    'BAD_REQUEST',
    `'keyFrom' is not a JSON pointer: it begins with '/', and '~' stands only in '~0' and '~1'.`,
  )
}

/** Node hands header values on as Latin-1, so this gives back the bytes that were sent. */
function recordHeaders(headers: RequestHeaders): readonly RecordHeader[] {
  let kept: RecordHeader[] | undefined
  for (const name in headers) {
    if (!name.startsWith(headerPrefix)) continue
    const value = headers[name]
    if (value === undefined) continue
    if (name === headerPrefix) {
      throw new GatewayError('BAD_REQUEST', 'Ebbgate-Header- has no name behind it.')
    }
    kept ??= []
    kept.push({
      name: name.slice(headerPrefix.length),
      value: Buffer.from(one(value), 'latin1'),
    })
  }
  return kept ?? noHeaders
}

function one(value: string | readonly string[]): string {
  return typeof value === 'string' ? value : value.join(', ')
}

/** A record with the fields that it shares with its request. */
export function newRecord(
  value: Uint8Array | null,
  key: Uint8Array | null,
  { headers, timestamp, partition }: Pick<SharedFields, 'headers' | 'timestamp' | 'partition'>,
): NewRecord {
  if (timestamp === undefined) {
    return partition === undefined ? { key, value, headers } : { key, value, headers, partition }
  }
  return partition === undefined
    ? { key, value, headers, timestamp }
    : { key, value, headers, timestamp, partition }
}

/** A record whose value is this piece of JSON; its key may come out of it. */
export function jsonRecord(
  body: Uint8Array,
  slice: JsonSlice,
  shared: SharedFields,
): NewRecord | GatewayError {
  const key = shared.keyFrom === undefined ? shared.key : keyAt(body, slice, shared.keyFrom)
  if (key instanceof GatewayError) return key
  return newRecord(body.subarray(slice.start, slice.end), key, shared)
}

/**
 * The key that a pointer finds: a string gives its text, another scalar its JSON text, null or nothing
 * no key. A container is refused, because it would make a key that nobody meant.
 */
export function keyAt(
  body: Uint8Array,
  value: JsonSlice,
  pointer: readonly string[],
): Uint8Array | null | GatewayError {
  const found = findJson(body, jsonLimits, value, pointer)
  switch (found?.kind) {
    case undefined:
    case 'null':
      return null
    case 'string':
      return (
        textOf(body, found.start + 1, found.end - 1) ??
        new GatewayError('INVALID_RECORD', "The key that 'keyFrom' finds has a lone surrogate.")
      )
    case 'number':
    case 'true':
    case 'false':
      return body.subarray(found.start, found.end)
    case 'object':
    case 'array':
      return new GatewayError(
        'INVALID_RECORD',
        `'keyFrom' finds an ${found.kind}: a key comes from a string, a number, true or false.`,
      )
  }
}

/** Bytes as they are. `keyFrom` can only look into them if they happen to be JSON. */
export function rawRecord(value: Buffer, shared: SharedFields): NewRecord | GatewayError {
  if (shared.keyFrom === undefined) return newRecord(value, shared.key, shared)
  const json = checkJson(value, jsonLimits, afterByteOrderMark(value))
  if (isFault(json)) {
    return new GatewayError('INVALID_RECORD', "'keyFrom' reads JSON, and the record is not JSON.")
  }
  const key = keyAt(value, json, shared.keyFrom)
  return key instanceof GatewayError ? key : newRecord(value, key, shared)
}

/** The same, with the content type as a header of the record. */
export function withContentType(shared: SharedFields, contentType: string): SharedFields {
  const kept: RecordHeader = { name: 'content-type', value: Buffer.from(contentType, 'latin1') }
  return { ...shared, headers: [...shared.headers, kept] }
}
