/**
 * The envelope: records with keys, headers and places, in the shape in which they are read.
 *
 *   {"records":[{"key","keyFormat"?,"value","format"?,"headers"?,"partition"?,"timestamp"?}]}
 *
 * Its frame is walked, never parsed into objects, so that a value keeps its bytes. A record that is
 * wrong inside a sound frame is an INVALID_RECORD in its place; a broken frame is refused whole.
 */
import type { JsonSlice } from '../../kit/json-scanner.ts'
import { JsonScanner } from '../../kit/json-scanner.ts'
import { isFault, sliceElements, sliceMembers, textOf } from '../../kit/json-slices.ts'
import type { Line } from '../../kit/lines.ts'
import { fromBase64 } from '../../format/binary.ts'
import { jsonLimits } from '../../format/json.ts'
import { GatewayError } from '../../model/errors.ts'
import { headersPerRecordMax, recordsPerRequestMax } from '../../model/limits.ts'
import type { NewRecord, RecordHeader } from '../../model/record.ts'
import { bodyFault, recordFault, tooManyRecords } from './json-faults.ts'
import type { SharedFields } from './shared-fields.ts'
import { jsonRecord, newRecord } from './shared-fields.ts'

const objectOpen = 0x7b
const objectClose = 0x7d
const arrayOpen = 0x5b
const arrayClose = 0x5d

const memberNames = [
  'key',
  'keyFormat',
  'value',
  'format',
  'headers',
  'partition',
  'timestamp',
  'topic',
  'offset',
] as const
type MemberName = (typeof memberNames)[number]
type Members = Partial<Record<MemberName, JsonSlice>>

/** What is wrong with one record, told to its sender without the record's contents. */
class RecordMistake extends Error {}

/** `application/vnd.ebbgate.records+json`. Throws BAD_REQUEST, INVALID_REQUEST or BODY_TOO_LARGE. */
export function envelopeRecords(
  body: Buffer,
  from: number,
  shared: SharedFields,
  replay: boolean,
): (NewRecord | GatewayError)[] {
  const scanner = new JsonScanner(body, jsonLimits, from)
  if (scanner.peek() !== objectOpen) throw notTheEnvelope()
  let records: (NewRecord | GatewayError)[] | undefined
  scanner.open(objectOpen)
  while (scanner.fault === undefined && scanner.more(objectClose) && scanner.name()) {
    if (nameOf(scanner) !== 'records' || records !== undefined) throw notTheEnvelope()
    if (scanner.peek() !== arrayOpen) throw notTheEnvelope()
    records = []
    scanner.open(arrayOpen)
    while (scanner.fault === undefined && scanner.more(arrayClose)) {
      if (records.length === recordsPerRequestMax) throw tooManyRecords()
      records.push(nextRecord(scanner, shared, replay))
    }
  }
  if (scanner.fault === undefined && scanner.rest())
    scanner.fault = { fault: 'syntax', at: scanner.at }
  if (scanner.fault !== undefined) throw bodyFault(scanner.fault)
  if (records === undefined) throw notTheEnvelope()
  return records
}

/** One line of `application/vnd.ebbgate.records+ndjson`. */
export function envelopeLine(
  body: Buffer,
  { number, start, end }: Line,
  shared: SharedFields,
  replay: boolean,
): NewRecord | GatewayError {
  const scanner = new JsonScanner(body, jsonLimits, start, end)
  const record = nextRecord(scanner, shared, replay)
  if (scanner.fault === undefined && scanner.rest())
    scanner.fault = { fault: 'syntax', at: scanner.at }
  return scanner.fault === undefined ? record : recordFault(`Line ${number}`, scanner.fault)
}

/** A record of a transaction, with the topic that it names. */
export interface TopicRecord {
  readonly topic: string
  readonly record: NewRecord
}

/** The array at `list`, checked JSON, whose records each name their topic. Throws INVALID_RECORD. */
export function topicRecords(body: Buffer, list: JsonSlice): TopicRecord[] {
  const scanner = new JsonScanner(body, jsonLimits, list.start, list.end)
  const records: TopicRecord[] = []
  scanner.open(arrayOpen)
  while (scanner.fault === undefined && scanner.more(arrayClose)) {
    if (records.length === recordsPerRequestMax) throw tooManyRecords()
    const place = records.length + 1
    const members = nextMembers(scanner)
    const { topic: name, ...rest } = members instanceof GatewayError ? {} : members
    const record =
      members instanceof GatewayError ? members : tryRecord(body, rest, noShared, false)
    if (record instanceof GatewayError) {
      throw new GatewayError(record.code, `Record ${place}: ${record.message}`)
    }
    if (name?.kind !== 'string') throw invalid(`Record ${place} names no 'topic'.`)
    records.push({ topic: nameText(body, name.start + 1, name.end - 1), record })
  }
  if (scanner.fault !== undefined) throw bodyFault(scanner.fault)
  return records
}

const noShared: SharedFields = {
  key: null,
  keyFrom: undefined,
  headers: [],
  timestamp: undefined,
  partition: undefined,
}

/** Reads the record object that comes next. After a fault of the scanner the answer means nothing. */
function nextRecord(
  scanner: JsonScanner,
  shared: SharedFields,
  replay: boolean,
): NewRecord | GatewayError {
  const members = nextMembers(scanner)
  if (members instanceof GatewayError) return members
  return tryRecord(scanner.bytes, members, shared, replay)
}

function nextMembers(scanner: JsonScanner): Members | GatewayError {
  if (scanner.peek() !== objectOpen) {
    scanner.value()
    return invalid('A record of the envelope is an object.')
  }
  const members: Members = {}
  let mistake: string | undefined
  scanner.open(objectOpen)
  while (scanner.fault === undefined && scanner.more(objectClose) && scanner.name()) {
    const name = nameOf(scanner)
    if (!scanner.value()) break
    if (!isMemberName(name)) mistake ??= `Unknown member '${shown(name)}'.${known}`
    else if (members[name] !== undefined) mistake ??= `The member '${name}' stands there twice.`
    else members[name] = scanner.slice()
  }
  if (mistake !== undefined) return invalid(mistake)
  return scanner.fault === undefined ? members : invalid('The record is not valid JSON.')
}

function tryRecord(
  body: Uint8Array,
  members: Members,
  shared: SharedFields,
  replay: boolean,
): NewRecord | GatewayError {
  try {
    return toRecord(body, members, shared, replay)
  } catch (error) {
    if (error instanceof RecordMistake) return invalid(error.message)
    throw error
  }
}

const known = ' A record has key, keyFormat, value, format, headers, partition, timestamp.'

function toRecord(
  body: Uint8Array,
  members: Members,
  shared: SharedFields,
  replay: boolean,
): NewRecord | GatewayError {
  const { key, value } = members
  if (!replay && (members.topic !== undefined || members.offset !== undefined)) {
    throw new RecordMistake(
      "'topic' and 'offset' say where a record was read. With replay=true they and 'partition' are ignored.",
    )
  }
  if (value === undefined) throw new RecordMistake("'value' is missing; null is a tombstone.")
  const fields: SharedFields = {
    key: key === undefined ? shared.key : keyOf(body, key, members.keyFormat),
    // A key in the record, null too, is the sender's own word.
    keyFrom: key === undefined ? shared.keyFrom : undefined,
    headers:
      members.headers === undefined
        ? shared.headers
        : [...shared.headers, ...headersOf(body, members.headers)],
    timestamp:
      members.timestamp === undefined
        ? shared.timestamp
        : wholeNumber(body, 'timestamp', members.timestamp),
    partition:
      members.partition === undefined || replay
        ? shared.partition
        : wholeNumber(body, 'partition', members.partition),
  }
  const format = formatOf(body, 'format', members.format) ?? 'json'
  if (value.kind === 'null') return newRecord(null, fields.key, fields)
  if (format !== 'json') return newRecord(bytesOf(body, 'value', value, format), fields.key, fields)
  if (value.utf8At < 0) return jsonRecord(body, value, fields)
  return recordFault("The record's value", { fault: 'utf8', at: value.utf8At })
}

function keyOf(
  body: Uint8Array,
  key: JsonSlice,
  keyFormat: JsonSlice | undefined,
): Uint8Array | null {
  const format = formatOf(body, 'keyFormat', keyFormat) ?? 'text'
  if (key.kind === 'null') return null
  if (format === 'json') throw new RecordMistake("'keyFormat' is text or binary.")
  return bytesOf(body, 'key', key, format)
}

function headersOf(body: Uint8Array, headers: JsonSlice): RecordHeader[] {
  if (headers.kind !== 'array') throw new RecordMistake("'headers' is a list of {name, value}.")
  const elements = sliceElements(body, jsonLimits, headersPerRecordMax, headers.start, headers.end)
  if (isFault(elements)) {
    throw new RecordMistake(`A record has at most ${headersPerRecordMax} headers.`)
  }
  return elements.map((element) => headerOf(body, element))
}

function headerOf(body: Uint8Array, header: JsonSlice): RecordHeader {
  const members =
    header.kind === 'object'
      ? sliceMembers(body, jsonLimits, headerMemberNames.length, header.start, header.end)
      : undefined
  if (members === undefined || isFault(members)) throw new RecordMistake(headerShape)
  const found: Partial<Record<(typeof headerMemberNames)[number], JsonSlice>> = {}
  for (const { nameStart, nameEnd, value } of members) {
    const name = headerMemberNames.find((known) => known === nameText(body, nameStart, nameEnd))
    if (name === undefined || found[name] !== undefined) throw new RecordMistake(headerShape)
    found[name] = value
  }
  if (found.name === undefined || found.value === undefined) throw new RecordMistake(headerShape)
  const name = Buffer.from(bytesOf(body, 'name', found.name, 'text')).toString('utf8')
  const format = formatOf(body, 'format', found.format) ?? 'text'
  if (found.value.kind === 'null') return { name, value: null }
  if (format === 'json') throw new RecordMistake(headerShape)
  return { name, value: bytesOf(body, 'value', found.value, format) }
}

const headerMemberNames = ['name', 'value', 'format'] as const
const headerShape =
  'A header is {"name","value"}, with "format":"binary" for a value in base64; the value may be null.'

/** The bytes that a JSON string stands for: its text, or what its base64 holds. */
function bytesOf(
  body: Uint8Array,
  member: string,
  { kind, start, end, utf8At }: JsonSlice,
  format: 'text' | 'binary',
): Uint8Array {
  if (kind !== 'string') throw new RecordMistake(`'${member}' is not a string.`)
  if (utf8At >= 0) throw new RecordMistake(`'${member}' is not whole UTF-8, at byte ${utf8At}.`)
  const text = textOf(body, start + 1, end - 1)
  if (text === undefined) throw new RecordMistake(`'${member}' has a lone surrogate.`)
  if (format === 'text') return text
  const bytes = fromBase64(
    Buffer.from(text.buffer, text.byteOffset, text.length).toString('latin1'),
  )
  if (bytes === undefined) throw new RecordMistake(`'${member}' is not base64.`)
  return bytes
}

function formatOf(
  body: Uint8Array,
  member: 'format' | 'keyFormat',
  slice: JsonSlice | undefined,
): 'json' | 'text' | 'binary' | undefined {
  if (slice === undefined) return undefined
  const word = slice.kind === 'string' ? nameText(body, slice.start + 1, slice.end - 1) : ''
  if (word === 'json' || word === 'text' || word === 'binary') return word
  throw new RecordMistake(`'${member}' is one of json, text, binary.`)
}

function wholeNumber(body: Uint8Array, member: string, { kind, start, end }: JsonSlice): number {
  const digits = kind === 'number' ? nameText(body, start, end) : ''
  const value = Number(digits)
  if (/^\d{1,16}$/.test(digits) && Number.isSafeInteger(value)) return value
  throw new RecordMistake(`'${member}' is not a whole number of 0 or more.`)
}

function nameOf({ bytes, nameStart, nameEnd }: JsonScanner): string {
  return nameText(bytes, nameStart, nameEnd)
}

/** Member names and words, for comparing; what is no word of ours may be shown damaged. */
function nameText(bytes: Uint8Array, start: number, end: number): string {
  const text = textOf(bytes, start, end) ?? bytes.subarray(start, end)
  return Buffer.from(text.buffer, text.byteOffset, text.length).toString('utf8')
}

function isMemberName(name: string): name is MemberName {
  return (memberNames as readonly string[]).includes(name)
}

function shown(name: string): string {
  return name.length > 40 ? `${name.slice(0, 40)}…` : name
}

function invalid(message: string): GatewayError {
  return new GatewayError('INVALID_RECORD', message)
}

function notTheEnvelope(): GatewayError {
  return new GatewayError(
    'BAD_REQUEST',
    'The envelope is {"records":[…]} and nothing else. For plain JSON use the type application/json.',
  )
}
