/**
 * From a body to records: the content type decides, by one table, and nothing is copied. People send
 * what their tool sends, so no type is refused, and what cannot be told apart is one record.
 *
 *   application/json, +json            one value, the elements of one array, or values in a row
 *   application/vnd.ebbgate.records+…  the envelope (json), or one of its records a line (ndjson)
 *   application/x-ndjson, ndjson, jsonl  one record a line
 *   text/*                             one record, or one a line with `lines`
 *   application/x-www-form-urlencoded  curl's -d: as JSON if it is JSON, else text
 *   multipart/form-data, mixed         one record a part, with the part's own type
 *   application/cloudevents+json       one event, or an array of them (-batch+json)
 *   any, with ce-specversion           the data of one event, its attributes as headers
 *   none, anything else                one record of raw bytes
 */
import type { JsonSlice } from '../../kit/json-scanner.ts'
import { checkJson, isFault, sliceElements, sliceValues } from '../../kit/json-slices.ts'
import { afterByteOrderMark, splitLines } from '../../kit/lines.ts'
import type { Line } from '../../kit/lines.ts'
import type { MultipartFault } from '../../kit/multipart.ts'
import { boundaryOf, splitMultipart } from '../../kit/multipart.ts'
import { jsonLimits } from '../../format/json.ts'
import { GatewayError } from '../../model/errors.ts'
import { recordsPerRequestMax } from '../../model/limits.ts'
import type { NewRecord } from '../../model/record.ts'
import { batchedEvent, binaryEvent, isBinaryEvent, structuredEvent } from './cloud-events.ts'
import { envelopeLine, envelopeRecords } from './envelope-records.ts'
import { bodyFault, recordFault, tooManyRecords } from './json-faults.ts'
import type { ProduceSwitches, RequestHeaders, SharedFields } from './shared-fields.ts'
import { jsonRecord, newRecord, rawRecord, sharedFields, withContentType } from './shared-fields.ts'

export type { ProduceSwitches } from './shared-fields.ts'

export interface BodyRequest {
  /** As it was sent; undefined when it was not. */
  readonly contentType: string | undefined
  /** Names in lower case, as Node gives them. */
  readonly headers: RequestHeaders
  readonly switches: ProduceSwitches
}

type Items = (NewRecord | GatewayError)[]

/**
 * The records of a body that was read whole, in their order. A record of a batch that can never be
 * stored stands there as its INVALID_RECORD. Values are slices of `body`.
 * Throws BAD_REQUEST (not what the type says), INVALID_REQUEST (nothing storable, contradictions,
 * nested too deep) and BODY_TOO_LARGE (too many records).
 */
export function toRecords(body: Buffer, request: BodyRequest): Items {
  const { headers, switches } = request
  const shared = sharedFields(headers, switches)
  if (switches.tombstone === true) return [tombstone(body, shared)]
  // An event may have nothing but its attributes.
  if (body.length === 0 && !isBinaryEvent(headers)) throw nothingToStore()
  const items = itemsOf(body, request, shared)
  if (items.length > recordsPerRequestMax) throw tooManyRecords()
  return items
}

function itemsOf(
  body: Buffer,
  { contentType, headers, switches }: BodyRequest,
  shared: SharedFields,
): Items {
  const type = contentType === undefined ? '' : mediaType(contentType)
  switch (type) {
    case 'application/cloudevents+json':
      return [structuredEvent(body, contentType!, shared)]
    case 'application/cloudevents-batch+json':
      return eventItems(body, shared, switches)
  }
  if (isBinaryEvent(headers)) return [binaryEvent(body, headers, contentType, shared)]
  switch (type) {
    case 'application/json':
      return jsonItems(body, shared, switches)
    case 'application/vnd.ebbgate.records+json':
      return envelopeRecords(body, afterByteOrderMark(body), shared, switches.replay === true)
    case 'application/vnd.ebbgate.records+ndjson':
      return lineItems(body, switches, (line) =>
        envelopeLine(body, line, shared, switches.replay === true),
      )
    case 'application/x-ndjson':
    case 'application/ndjson':
    case 'application/jsonl':
      return lineItems(body, switches, (line) => jsonLine(body, line, shared))
    case 'application/x-www-form-urlencoded':
      return formItems(body, shared, switches)
    case 'multipart/form-data':
    case 'multipart/mixed':
      return partItems(body, contentType!, shared, switches)
    case '':
      return rawItems(body, shared, switches)
    default:
      return type.endsWith('+json')
        ? jsonItems(body, shared, switches)
        : rawItems(body, withContentType(shared, contentType!), switches)
  }
}

/** The type without parameters, in lower case. */
function mediaType(contentType: string): string {
  const semicolon = contentType.indexOf(';')
  return (semicolon < 0 ? contentType : contentType.slice(0, semicolon)).trim().toLowerCase()
}

function jsonItems(body: Buffer, shared: SharedFields, { batch }: ProduceSwitches): Items {
  const from = afterByteOrderMark(body)
  if (batch !== 'none' && firstByte(body, from) === arrayOpen) {
    const elements = sliceElements(body, jsonLimits, recordsPerRequestMax, from)
    if (!isFault(elements)) return elements.map((element) => batchItem(body, element, shared))
    // It may still be several values that begin with an array: `[1][2]`.
    if (elements.fault !== 'syntax') throw bodyFault(elements)
  }
  const values = sliceValues(body, jsonLimits, recordsPerRequestMax, from)
  if (isFault(values)) throw bodyFault(values)
  return valueItems(body, values, shared, batch)
}

/** One item for each value; a single one that is broken is the whole body's mistake. */
function valueItems(
  body: Buffer,
  values: readonly JsonSlice[],
  shared: SharedFields,
  batch: ProduceSwitches['batch'],
): Items {
  const [value] = values
  if (value === undefined) throw nothingToStore()
  if (values.length > 1) {
    if (batch === 'none') throw notOne(values.length)
    return values.map((each) => batchItem(body, each, shared))
  }
  if (value.utf8At >= 0) throw bodyFault({ fault: 'utf8', at: value.utf8At })
  return [jsonRecord(body, value, shared)]
}

function batchItem(body: Buffer, value: JsonSlice, shared: SharedFields): NewRecord | GatewayError {
  if (value.utf8At < 0) return jsonRecord(body, value, shared)
  return recordFault('The record', { fault: 'utf8', at: value.utf8At })
}

function jsonLine(
  body: Buffer,
  { number, start, end }: Line,
  shared: SharedFields,
): NewRecord | GatewayError {
  const value = checkJson(body, jsonLimits, start, end)
  return isFault(value) ? recordFault(`Line ${number}`, value) : jsonRecord(body, value, shared)
}

/** One item for each line that is not blank. */
function lineItems(
  body: Buffer,
  { batch }: ProduceSwitches,
  toItem: (line: Line) => NewRecord | GatewayError,
): Items {
  const from = afterByteOrderMark(body)
  const isFilled = (start: number, end: number): boolean => firstByte(body, start, end) !== -1
  const lines = splitLines(body, recordsPerRequestMax, from, isFilled)
  if (lines.length === 0) throw nothingToStore()
  if (lines.length > recordsPerRequestMax) throw tooManyRecords()
  if (batch === 'none' && lines.length > 1) throw notOne(lines.length)
  return lines.map(toItem)
}

/** curl's -d says that everything is a form. What looks like JSON and is JSON is taken as JSON. */
function formItems(body: Buffer, shared: SharedFields, switches: ProduceSwitches): Items {
  const from = afterByteOrderMark(body)
  const first = firstByte(body, from)
  if (first === arrayOpen || first === objectOpen || first === quote) {
    const limits = first === arrayOpen ? splitLimits : jsonLimits
    const values = sliceValues(body, limits, recordsPerRequestMax, from)
    if (isFault(values)) {
      if (values.fault === 'count') throw bodyFault(values)
    } else if (values.every(({ utf8At }) => utf8At < 0)) {
      return first === arrayOpen
        ? jsonItems(body, shared, switches)
        : valueItems(body, values, shared, switches.batch)
    }
  }
  return rawItems(body, withContentType(shared, 'text/plain'), switches)
}

/** One level more than a value may have: the array that is split is none of theirs. */
const splitLimits = { ...jsonLimits, depthMax: jsonLimits.depthMax + 1 }

function rawItems(body: Buffer, shared: SharedFields, switches: ProduceSwitches): Items {
  if (switches.lines !== true) return [rawRecord(body, shared)]
  const lines = splitLines(body, recordsPerRequestMax)
  if (lines.length === 0) throw nothingToStore()
  if (lines.length > recordsPerRequestMax) throw tooManyRecords()
  if (switches.batch === 'none' && lines.length > 1) throw notOne(lines.length)
  return lines.map(({ start, end }) => rawRecord(body.subarray(start, end), shared))
}

/** One item for each part. Without a boundary, or where it never stands, nothing tells parts apart. */
function partItems(
  body: Buffer,
  contentType: string,
  shared: SharedFields,
  { batch }: ProduceSwitches,
): Items {
  const boundary = boundaryOf(contentType)
  const parts = boundary === undefined ? [] : splitMultipart(body, boundary, recordsPerRequestMax)
  const isWhole = boundary === undefined || ('fault' in parts && parts.fault === 'begin')
  if (isWhole) return [rawRecord(body, withContentType(shared, contentType))]
  if ('fault' in parts) throw partFault(parts)
  if (batch === 'none' && parts.length !== 1) throw notOne(parts.length)
  return parts.map(({ contentType: own, start, end }) => {
    const fields = own === undefined ? shared : withContentType(shared, own)
    return rawRecord(body.subarray(start, end), fields)
  })
}

function partFault({ fault, at }: MultipartFault): GatewayError {
  if (fault === 'count') return tooManyRecords()
  const text =
    fault === 'head'
      ? `The head of the part at byte ${at} of the body has no end.`
      : 'The multipart body is cut off: its closing boundary is missing.'
  return new GatewayError('BAD_REQUEST', text)
}

/** One item for each event of a batch; a wrong one fails alone. */
function eventItems(body: Buffer, shared: SharedFields, { batch }: ProduceSwitches): Items {
  const elements = sliceElements(body, jsonLimits, recordsPerRequestMax, afterByteOrderMark(body))
  if (isFault(elements)) throw bodyFault(elements)
  if (batch === 'none' && elements.length !== 1) throw notOne(elements.length)
  return elements.map((element) => batchedEvent(body, element, shared))
}

function tombstone(body: Buffer, shared: SharedFields): NewRecord {
  if (shared.key === null || body.length > 0) {
    throw new GatewayError(
      'INVALID_REQUEST',
      "'tombstone=true' needs a key (Ebbgate-Key or key) and an empty body.",
    )
  }
  return newRecord(null, shared.key, shared)
}

const arrayOpen = 0x5b
const objectOpen = 0x7b
const quote = 0x22

/** The first byte that is not JSON white space, or -1. */
function firstByte(body: Buffer, from: number, end = body.length): number {
  for (let at = from; at < end; at++) {
    const byte = body[at]!
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return byte
  }
  return -1
}

function nothingToStore(): GatewayError {
  return new GatewayError(
    'INVALID_REQUEST',
    "The body is empty: there is nothing to store. A null value is written with a key and 'tombstone=true'.",
  )
}

function notOne(count: number): GatewayError {
  return new GatewayError(
    'BAD_REQUEST',
    `With 'batch=none' a body is one record; this one holds ${count}.`,
  )
}
