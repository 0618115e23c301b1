/**
 * A record as the native JSON object: the same on `/v1`, in WebSocket frames and in SSE events.
 *
 *   {"topic","partition","offset","timestamp","key","keyFormat"?,"value","format"?,"headers"?}
 *
 * Frames on the socket say topic, partition and offset once for a run of records, so there the first
 * three are left out (place = undefined).
 *
 * The stored bytes of a value are spliced in only where every decoder takes them; else it is a string
 * with "format":"text", or base64 with "format":"binary". Posted in the envelope, the object stores
 * the same bytes again.
 */
import type { ByteSink } from '../kit/byte-sink.ts'
import type { RecordHeader, StoredRecord } from '../model/record.ts'
import type { OutFormat } from './format.ts'
import { isPortableJson } from './json.ts'
import { isText, saysText } from './text.ts'

export type { OutFormat } from './format.ts'

/** `oneLine`: for formats that end a record at a line end; a value that holds one is then shown as text. */
export interface NativeRecordOptions {
  readonly oneLine?: boolean
}

const lineFeed = 0x0a
const carriageReturn = 0x0d

/** Writes the record object. With `place` it names topic, partition and offset; frames hoist all three. */
export function writeNativeRecord(
  sink: ByteSink,
  record: StoredRecord,
  format: OutFormat,
  place?: { readonly topic: string; readonly partition: number },
  options: NativeRecordOptions = {},
): void {
  // Topic names need no escape: they are letters, digits and `._-`.
  if (place === undefined) sink.text('{"timestamp":')
  else sink.text(`${placed(place)}${record.offset},"timestamp":`)
  sink.text(`${record.timestamp},"key":`)
  writeKey(sink, record.key)
  sink.text(',"value":')
  writeValue(sink, record, format, options)
  if (record.headers.length > 0) writeHeaders(sink, record.headers)
  sink.byte(0x7d)
}

function placed({
  topic,
  partition,
}: {
  readonly topic: string
  readonly partition: number
}): string {
  return `{"topic":"${topic}","partition":${partition},"offset":`
}

function writeKey(sink: ByteSink, key: Uint8Array | null): void {
  if (key === null) sink.text('null')
  else if (isText(key)) sink.jsonText(key)
  else sink.jsonBase64(key).text(',"keyFormat":"binary"')
}

function writeValue(
  sink: ByteSink,
  { value, headers }: StoredRecord,
  format: OutFormat,
  options: NativeRecordOptions,
): void {
  if (value === null) {
    sink.text('null')
  } else if (format === 'json' && isSpliced(value, headers, options)) {
    sink.bytes(value)
  } else if (format !== 'binary' && isText(value)) {
    sink.jsonText(value).text(',"format":"text"')
  } else {
    sink.jsonBase64(value).text(',"format":"binary"')
  }
}

function isSpliced(
  value: Uint8Array,
  headers: readonly RecordHeader[],
  { oneLine }: NativeRecordOptions,
): boolean {
  if (headers.length > 0 && saysText(headers)) return false
  if (!isPortableJson(value)) return false
  // A bare null would read as a tombstone: its four bytes are shown as the text they are.
  if (value.length === 4 && value[0] === 0x6e) return false
  return oneLine !== true || (!value.includes(lineFeed) && !value.includes(carriageReturn))
}

function writeHeaders(sink: ByteSink, headers: readonly RecordHeader[]): void {
  let separator = ',"headers":[{"name":'
  for (const { name, value } of headers) {
    sink.text(separator).jsonText(name).text(',"value":')
    if (value === null) sink.text('null')
    else if (isText(value)) sink.jsonText(value)
    else sink.jsonBase64(value).text(',"format":"binary"')
    sink.byte(0x7d)
    separator = ',{"name":'
  }
  sink.byte(0x5d)
}
