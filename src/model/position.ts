/**
 * A position: the next offset of each partition, with the epochs (ids) of the topics. One opaque
 * string on every surface, safe in URLs, headers and SSE ids.
 *
 *   1.<epoch>.<partition>-<offset>.<partition>-<offset>…        up to 32 partitions
 *   2.<epoch>.<base64url of varints: partition delta, offset>   beyond
 *
 * Parts of several topics are joined by `~`. Positions grant nothing, so they are not signed.
 */
import { VarintReader, varintBytes, writeVarint } from '../kit/varint.ts'
import { GatewayError } from './errors.ts'
import type { Offset } from './offset.ts'

/** Next offsets of one topic; a partition that is not named was born after the position. */
export interface TopicPosition {
  /** The topic's id. */
  readonly epoch: string
  readonly offsets: ReadonlyMap<number, Offset>
}

export type Position = readonly TopicPosition[]

/** Up to this many partitions the readable spelling is used. */
const readablePartitionsMax = 32

export function formatPosition(position: Position): string {
  return position.map(formatPart).join('~')
}

/** Throws BAD_REQUEST when the text is no position. */
export function parsePosition(text: string): Position {
  const parts = text.split('~').map(parsePart)
  const epochs = new Set(parts.map((part) => part.epoch))
  if (epochs.size !== parts.length) throw notAPosition(text)
  return parts
}

/** Whether the text has the outer shape of a position: the first test of the from/until grammar. */
export function looksLikePosition(text: string): boolean {
  return /^[12]\.[A-Za-z0-9_-]+(\.|~|$)/.test(text)
}

function formatPart({ epoch, offsets }: TopicPosition): string {
  const entries = [...offsets].sort(([left], [right]) => left - right)
  if (entries.length <= readablePartitionsMax) {
    return ['1', epoch, ...entries.map(([partition, offset]) => `${partition}-${offset}`)].join('.')
  }
  return `2.${epoch}.${packOffsets(entries)}`
}

function packOffsets(entries: readonly (readonly [number, Offset])[]): string {
  let size = 0
  let previous = 0
  for (const [partition, offset] of entries) {
    size += varintBytes(partition - previous) + varintBytes(offset)
    previous = partition
  }
  const packed = Buffer.allocUnsafe(size)
  let at = 0
  previous = 0
  for (const [partition, offset] of entries) {
    at = writeVarint(packed, at, partition - previous)
    at = writeVarint(packed, at, offset)
    previous = partition
  }
  return packed.toString('base64url')
}

function parsePart(text: string): TopicPosition {
  const [version, epoch, ...rest] = text.split('.')
  if (epoch === undefined || !/^[A-Za-z0-9_-]{1,64}$/.test(epoch)) throw notAPosition(text)
  if (version === '1') return { epoch, offsets: parseReadable(text, rest) }
  if (version === '2' && rest.length === 1) return { epoch, offsets: unpackOffsets(text, rest[0]!) }
  throw notAPosition(text)
}

function parseReadable(text: string, entries: readonly string[]): Map<number, Offset> {
  const offsets = new Map<number, Offset>()
  for (const entry of entries) {
    const match = /^(\d{1,9})-(\d{1,16})$/.exec(entry)
    if (match === null) throw notAPosition(text)
    addOffset(text, offsets, Number(match[1]), Number(match[2]))
  }
  return offsets
}

function unpackOffsets(text: string, packed: string): Map<number, Offset> {
  const offsets = new Map<number, Offset>()
  const reader = new VarintReader(Buffer.from(packed, 'base64url'))
  let partition = 0
  try {
    while (reader.at < reader.bytes.length) {
      partition += reader.next()
      addOffset(text, offsets, partition, reader.next())
    }
  } catch {
    throw notAPosition(text)
  }
  return offsets
}

function addOffset(
  text: string,
  offsets: Map<number, Offset>,
  partition: number,
  offset: number,
): void {
  if (partition < 0 || offset < 0 || !Number.isSafeInteger(offset) || offsets.has(partition)) {
    throw notAPosition(text)
  }
  offsets.set(partition, offset)
}

function notAPosition(text: string): GatewayError {
  const shown = text.length > 80 ? `${text.slice(0, 80)}…` : text
  return new GatewayError('BAD_REQUEST', `'${shown}' is not a position.`)
}
