/** A record as a read hands it out: with its place, and borrowed bytes. */
import type { StoredRecord } from '../model/record.ts'
import type { TopicPartition } from '../model/topic.ts'

/** The byte arrays are slices of borrowed batches. */
export interface ReadRecord extends StoredRecord {
  readonly topic: string
  readonly partition: number
}

/** Bytes a record adds to an answer besides its key, value and headers. */
const recordOverheadBytes = 16

/** What a record counts for in `bytesMax`. */
export function recordBytes({ key, value, headers }: StoredRecord): number {
  let bytes = recordOverheadBytes + (key?.length ?? 0) + (value?.length ?? 0)
  for (const header of headers) bytes += header.name.length + (header.value?.length ?? 0)
  return bytes
}

/** The record with its place; spelt out, because this runs once per record of every read. */
export function placed({ topic, partition }: TopicPartition, record: StoredRecord): ReadRecord {
  const { offset, timestamp, key, value, headers } = record
  return { topic, partition, offset, timestamp, key, value, headers }
}

/** A copy that outlives the borrowed batch. */
export function ownRecord(tp: TopicPartition, record: StoredRecord): ReadRecord {
  const own = (bytes: Uint8Array | null): Uint8Array | null =>
    bytes === null ? null : Buffer.from(bytes)
  return {
    ...record,
    ...tp,
    key: own(record.key),
    value: own(record.value),
    headers: record.headers.map(({ name, value }) => ({ name, value: own(value) })),
  }
}

/** Whether a record has one of the keys; without keys every record does. */
function keyFilter(keys: readonly Uint8Array[] | undefined): (record: StoredRecord) => boolean {
  if (keys === undefined) return () => true
  const wanted = new Set(keys.map(toText))
  return ({ key }) => key !== null && wanted.has(toText(key))
}

/** What a read asks of its records: one of the keys, and the filter. */
export function recordFilter({
  keys,
  filter,
}: {
  readonly keys?: readonly Uint8Array[]
  readonly filter?: (record: StoredRecord) => boolean
}): (record: StoredRecord) => boolean {
  if (filter === undefined) return keyFilter(keys)
  if (keys === undefined) return filter
  const hasKey = keyFilter(keys)
  return (record) => hasKey(record) && filter(record)
}

/** One character a byte, so that equal texts mean equal bytes. */
function toText(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
}
