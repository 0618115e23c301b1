/** A segment's `.log` as text: a line for each batch, one for each record where that is asked for. */
import { isUtf8 } from 'node:buffer'
import { readRecords } from '../../../model/batch-reader.ts'
import { GatewayError } from '../../../model/errors.ts'
import { readInt16, readInt32, readUint32 } from '../../../model/offset.ts'
import {
  attributesOf,
  baseOffsetOf,
  batchBytesOf,
  batchHeaderBytes,
  codecOf,
  hasLogAppendTime,
  isControl,
  isTransactional,
  lastOffsetDeltaOf,
  lastOffsetOf,
  recordCountOf,
} from '../../../model/record-batch.ts'
import type { StoredRecord } from '../../../model/record.ts'
import { headProblem } from '../log/segment-scan.ts'
import type { Dump, DumpOptions, DumpSource } from './dump-source.ts'
import { baseOf, pathOf, withFile } from './dump-source.ts'
import type { DamagedPart } from './segment-walk.ts'
import { walkSegment } from './segment-walk.ts'

const deleteHorizonBit = 0x40

export function dumpLog(source: DumpSource, options: DumpOptions): Dump {
  return withFile(source.disk, pathOf(source), async function* (file, bytes) {
    const base = baseOf(source)
    yield `Log starting offset: ${base}`
    // A look at one file cannot know whether it was compacted, and a gap is no damage by itself.
    const range = { bytes, base, baseEnd: Infinity, mayHaveGaps: true }
    let next = base
    for await (const part of walkSegment(file, range)) {
      if (part.kind === 'damage') {
        yield* damageLines(part, bytes)
        next = part.next ?? next
        continue
      }
      const first = baseOffsetOf(part.batch)
      if (first > next) yield `GAP offsets ${next} to ${first - 1} are not in this file.`
      next = lastOffsetOf(part.batch) + 1
      yield batchLine(part.batch, part.position, true)
      if (options.detail !== 'batches') yield* recordLines(part.batch, options)
    }
  })
}

/** One batch, field by field as Kafka's tool names them. */
function batchLine(batch: Uint8Array, position: number, isValid: boolean): string {
  const i64 = (at: number): bigint => Buffer.from(batch.subarray(at, at + 8)).readBigInt64BE()
  const baseSequence = readInt32(batch, 53)
  const horizon = (attributesOf(batch) & deleteHorizonBit) === 0 ? '.empty' : `[${i64(27)}]`
  const fields: readonly (readonly [name: string, value: string | number | bigint | boolean])[] = [
    ['baseOffset', i64(0)],
    ['lastOffset', i64(0) + BigInt(lastOffsetDeltaOf(batch))],
    ['count', recordCountOf(batch)],
    ['baseSequence', baseSequence],
    ['lastSequence', lastSequence(baseSequence, lastOffsetDeltaOf(batch))],
    ['producerId', i64(43)],
    ['producerEpoch', readInt16(batch, 51)],
    ['partitionLeaderEpoch', readInt32(batch, 12)],
    ['isTransactional', isTransactional(batch)],
    ['isControl', isControl(batch)],
    ['deleteHorizonMs', `OptionalLong${horizon}`],
    ['position', position],
    [hasLogAppendTime(batch) ? 'LogAppendTime' : 'CreateTime', i64(35)],
    ['size', batchBytesOf(batch)],
    ['magic', batch[16]!],
    ['compresscodec', codecOf(batch) ?? 'unknown'],
    ['crc', readUint32(batch, 17)],
    ['isvalid', isValid],
  ]
  return fields.map(([name, value]) => `${name}: ${value}`).join(' ')
}

/** Sequences wrap from 2^31-1 to 0. */
function lastSequence(baseSequence: number, delta: number): number {
  if (baseSequence < 0) return -1
  const last = baseSequence + delta
  return last > 0x7fff_ffff ? last - 0x8000_0000 : last
}

function* damageLines({ position, end, problem, from, next, head }: DamagedPart, bytes: number) {
  const readable = head.length === batchHeaderBytes && headProblem(head, bytes - position)
  if (readable === undefined) yield batchLine(head, position, false)
  const offsets = next === undefined ? `from offset ${from}` : `offsets ${from} to ${next - 1}`
  yield `DAMAGE position: ${position} to ${end}, ${offsets}: the batch at byte ${position} ${problem}.`
}

function* recordLines(batch: Uint8Array, options: DumpOptions): Generator<string> {
  const time = hasLogAppendTime(batch) ? 'LogAppendTime' : 'CreateTime'
  const baseSequence = readInt32(batch, 53)
  try {
    for (const [i, record] of readRecords(batch).entries()) {
      const sequence = lastSequence(baseSequence, i)
      yield recordLine(record, time, sequence, options)
    }
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error
    // A codec that is missing here is no damage.
    yield error.code === 'UNSUPPORTED' ? `| ${error.message}` : `DAMAGE ${error.message}`
  }
}

function recordLine(
  { offset, timestamp, key, value, headers }: StoredRecord,
  time: string,
  sequence: number,
  { detail, base64 }: DumpOptions,
): string {
  const size = (field: Uint8Array | null): number => field?.length ?? -1
  const line =
    `| offset: ${offset} ${time}: ${timestamp} keySize: ${size(key)} valueSize: ${size(value)}` +
    ` sequence: ${sequence} headerKeys: [${headers.map(({ name }) => name).join()}]`
  if (detail === 'records') return line
  return line + field('key', key, base64) + field('payload', value, base64)
}

/** Text as it is where one line can hold it. */
function field(name: string, bytes: Uint8Array | null, base64: boolean): string {
  if (bytes === null) return ''
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  if (base64) return ` ${name}: ${text.toString('base64')}`
  const plain = isUtf8(bytes) ? text.toString('utf8') : '\u0000'
  // eslint-disable-next-line no-control-regex -- these would break the line or the terminal
  if (!/[\u0000-\u001f\u007f-\u009f]/.test(plain)) return ` ${name}: ${plain}`
  return ` ${name} (base64): ${text.toString('base64')}`
}
