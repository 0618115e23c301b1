/** Between model words and the native API's JSON. */
import type { TopicFacts } from '../../admin/topics.ts'
import type { components } from '../../contract/native.ts'
import type { Gap } from '../../consume/gap.ts'
import type { ReadAnswer, ReadRecord } from '../../consume/reader.ts'
import type { OutFormat } from '../../format/native-record.ts'
import { writeNativeRecord } from '../../format/native-record.ts'
import { ByteSink } from '../../kit/byte-sink.ts'
import type { GatewayError } from '../../model/errors.ts'
import { errorBody } from '../../model/errors.ts'
import type { Offset } from '../../model/offset.ts'
import type { TopicPartition } from '../../model/topic.ts'
import type { RecordResult } from '../../produce/producer.ts'

type Schemas = components['schemas']

export function toTopic(topic: TopicFacts): Schemas['Topic'] {
  const configs: Record<string, string | null> = {}
  for (const { name, value, own } of topic.configs) if (own) configs[name] = value
  return {
    name: topic.name,
    id: topic.id,
    replicationFactor: topic.replicationFactor,
    configs,
    partitions: topic.partitions.map(({ id, leader, start, end }) => ({
      partition: id,
      leader: leader ?? null,
      start,
      end,
    })),
  }
}

/** `{"orders":[0,3]}`, as every answer and message shows partitions. */
export function toAssignment(places: readonly TopicPartition[]): Record<string, number[]> {
  const byTopic = new Map<string, number[]>()
  for (const { topic, partition } of places) {
    const partitions = byTopic.get(topic) ?? []
    byTopic.set(topic, partitions)
    partitions.push(partition)
  }
  const sorted = [...byTopic].sort(([left], [right]) => (left < right ? -1 : 1))
  return Object.fromEntries(
    sorted.map(([topic, partitions]) => [topic, partitions.sort((left, right) => left - right)]),
  )
}

/** `{"orders":{"0":1043}}`. */
export function toOffsets(
  commits: readonly { readonly tp: TopicPartition; readonly offset: Offset }[],
): Record<string, Record<string, number>> {
  const byTopic: Record<string, Record<string, number>> = {}
  for (const { tp, offset } of commits) (byTopic[tp.topic] ??= {})[tp.partition] = offset
  return byTopic
}

/** `{"orders":{"0":1043}}` as next offsets by topic and partition. */
export function fromOffsets(
  positions: Schemas['Positions'],
): ReadonlyMap<string, ReadonlyMap<number, Offset>> {
  const byTopic = Object.entries(positions).map(([topic, offsets]) => {
    const entries = Object.entries(offsets).map(([id, offset]) => [Number(id), offset] as const)
    return [topic, new Map(entries)] as const
  })
  return new Map(byTopic)
}

/** `[…]` with the stored bytes spliced in. */
export function writeRecordList(records: readonly ReadRecord[], format: OutFormat): Buffer {
  const sink = new ByteSink(expectedBytes(records))
  sink.text('[')
  let separator = ''
  for (const record of records) {
    sink.text(separator)
    writeNativeRecord(sink, record, format, record)
    separator = ',\n'
  }
  return sink.text(']').take()
}

/** Records that a place in an answer needs besides its own bytes; a guess that spares growing. */
const recordOverheadBytes = 128

/** `{"records":[…],"position":"…","live":…}` with the stored bytes spliced in. */
export function writeReadAnswer(answer: ReadAnswer, position: string, format: OutFormat): Buffer {
  const sink = new ByteSink(expectedBytes(answer.records))
  sink.text('{"records":[')
  let separator = ''
  for (const record of answer.records) {
    sink.text(separator)
    writeNativeRecord(sink, record, format, record)
    separator = ',\n'
  }
  sink.text(`],"position":"${position}","live":${answer.live}`)
  if (answer.gaps.length > 0) sink.text(`,"gaps":${JSON.stringify(answer.gaps)}`)
  return sink.text('}').take()
}

/** One record per line; a value that holds a line end is shown as text, where it is escaped. */
export function writeLines(records: readonly ReadRecord[], format: OutFormat): Buffer {
  const sink = new ByteSink(expectedBytes(records))
  for (const record of records) {
    writeNativeRecord(sink, record, format, record, { oneLine: true })
    sink.text('\n')
  }
  return sink.take()
}

export function writeRecord(record: ReadRecord, format: OutFormat): Buffer {
  const sink = new ByteSink(expectedBytes([record]))
  writeNativeRecord(sink, record, format, record)
  return sink.take()
}

function expectedBytes(records: readonly ReadRecord[]): number {
  let bytes = recordOverheadBytes
  for (const { key, value } of records) {
    bytes += recordOverheadBytes + (key?.length ?? 0) + (value?.length ?? 0)
  }
  return bytes
}

/** The produce answer, written by hand: it is one of the two hottest lines of the gateway. */
export function writeResults(
  results: readonly RecordResult[],
  failed: number,
  deduplicated = false,
): string {
  let text = '{"results":['
  let separator = ''
  for (const result of results) {
    text += separator + writeResult(result)
    separator = ','
  }
  text += failed === 0 ? ']' : `],"failed":${failed}`
  return deduplicated ? `${text},"deduplicated":true}` : `${text}}`
}

function writeResult(result: RecordResult): string {
  return 'error' in result
    ? `{"error":${JSON.stringify(errorBody(result.error))}}`
    : `{"partition":${result.partition},"offset":${result.offset},"timestamp":${result.timestamp}}`
}

/** One receipt per line. */
export function writeResultLines(results: readonly RecordResult[]): string {
  let text = ''
  for (const result of results) text += `${writeResult(result)}\n`
  return text
}

/** The last line of receipts; without it the answer was cut. `error`: why not everything was read. */
export function writeResultsEnd(records: number, failed: number, error?: GatewayError): string {
  const why = error === undefined ? {} : { error: errorBody(error) }
  return `${JSON.stringify({ ...why, records, failed })}\n`
}

/** The last line of an export. */
export function writeExportEnd(
  position: string,
  gaps: readonly Gap[],
  error?: GatewayError,
): Buffer {
  const end = {
    ...(error === undefined ? {} : { error: errorBody(error) }),
    position,
    ...(gaps.length === 0 ? {} : { gaps }),
  }
  return Buffer.from(`${JSON.stringify(end)}\n`)
}

/** A client that names the type gets lines; one that takes anything gets JSON. */
export function wantsLines(accept: string | undefined): boolean {
  return accept !== undefined && /\bapplication\/x-ndjson\b/i.test(accept)
}
