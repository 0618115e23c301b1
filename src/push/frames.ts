/**
 * Bytes on the socket: server frames of RFC 6455, and the `records` message built around stored
 * values. Server frames are not masked, so one framed buffer serves every socket.
 *
 *   0        1        2..                      payload up to 125 bytes
 *   0x81     length   payload
 *   0x81     126      length u16               up to 65,535
 *   0x81     127      length u64               beyond
 *
 * 0x81: FIN and opcode 1 (text). Messages are never fragmented.
 */
import type { Run } from '../consume/run.ts'
import type { OutFormat } from '../format/native-record.ts'
import { writeNativeRecord } from '../format/native-record.ts'
import type { ByteSink } from '../kit/byte-sink.ts'
import { recordsFrameBytesMax } from '../model/limits.ts'
import type { Offset } from '../model/offset.ts'
import { writeInt64 } from '../model/offset.ts'

const finText = 0x81

/** Bytes of the header in front of a payload of this size. */
export function headerBytesOf(payloadBytes: number): number {
  if (payloadBytes <= 125) return 2
  return payloadBytes <= 0xffff ? 4 : 10
}

/** Writes the header at the start of `target` and returns its size. */
export function writeFrameHeader(target: Uint8Array, payloadBytes: number): number {
  target[0] = finText
  if (payloadBytes <= 125) {
    target[1] = payloadBytes
    return 2
  }
  if (payloadBytes <= 0xffff) {
    target[1] = 126
    target[2] = payloadBytes >>> 8
    target[3] = payloadBytes
    return 4
  }
  target[1] = 127
  writeInt64(target, 2, payloadBytes)
  return 10
}

/** One text frame that holds this message. */
export function messageFrame(message: Readonly<Record<string, unknown>>): Buffer {
  const text = JSON.stringify(message)
  const payloadBytes = Buffer.byteLength(text)
  const headerBytes = headerBytesOf(payloadBytes)
  const frame = Buffer.allocUnsafe(headerBytes + payloadBytes)
  writeFrameHeader(frame, payloadBytes)
  frame.write(text, headerBytes, 'utf8')
  return frame
}

/** What the records of a feed have in common: the fixed part of every frame's head. */
export interface FrameSource {
  /** The server's name of the feed. */
  readonly id: string
  readonly topic: string
  readonly epoch: string
}

/** One run of one partition, rendered but not yet framed. */
export interface RecordsFrame {
  readonly partition: number
  /** Offsets [from, next) are covered, also where no record stands. */
  readonly from: Offset
  readonly next: Offset
  /** The durable end when the run was read. */
  readonly end: Offset
  /** The record objects, joined by commas. */
  readonly records: Uint8Array
  readonly offsets: readonly Offset[]
  /** Where each record object starts in `records`. */
  readonly starts: readonly number[]
}

/** A frame whose records still stand in the sink, at [recordsFrom, recordsTo). */
export interface PendingFrame extends Omit<RecordsFrame, 'records'> {
  readonly recordsFrom: number
  readonly recordsTo: number
}

/** Room for the head and the position, so that whole frames stay within their limit, bytes. */
const headBytesAtMost = 2 * 1024

const comma = 0x2c

/**
 * Writes the records of a run into the sink, from offset `from` on, which may lie before or behind
 * the run's own start. A frame is closed before it grows over its limit; a larger record stands alone.
 */
export function renderRun(
  sink: ByteSink,
  run: Run,
  partition: number,
  from: Offset,
  format: OutFormat,
): PendingFrame[] {
  const frames: PendingFrame[] = []
  const bytesMax = recordsFrameBytesMax - headBytesAtMost
  let frameFrom = from
  let recordsFrom = sink.length
  let offsets: Offset[] = []
  let starts: number[] = []
  const close = (next: Offset, recordsTo: number): void => {
    frames.push({
      partition,
      from: frameFrom,
      next,
      end: run.end,
      offsets,
      starts,
      recordsFrom,
      recordsTo,
    })
    frameFrom = next
    recordsFrom = recordsTo
    offsets = []
    starts = []
  }
  for (const record of run.records) {
    if (record.offset < from) continue
    const mark = sink.length
    if (offsets.length > 0) sink.byte(comma)
    starts.push(sink.length - recordsFrom)
    writeNativeRecord(sink, record, format)
    if (offsets.length > 0 && sink.length - recordsFrom > bytesMax) {
      sink.truncate(mark)
      starts.pop()
      close(record.offset, mark)
      starts.push(0)
      writeNativeRecord(sink, record, format)
    }
    offsets.push(record.offset)
  }
  if (offsets.length > 0 || run.next > frameFrom) close(Math.max(run.next, frameFrom), sink.length)
  return frames
}

/** The frames with the records they stand for; the bytes must outlive them. */
export function withRecords(pending: PendingFrame, bytes: Uint8Array): RecordsFrame {
  const { recordsFrom, recordsTo, ...frame } = pending
  return { ...frame, records: bytes.subarray(recordsFrom, recordsTo) }
}

/** The part of a frame at or past an offset inside it. */
export function trimFrame(frame: RecordsFrame, from: Offset): RecordsFrame {
  const first = frame.offsets.findIndex((offset) => offset >= from)
  if (first < 0)
    return { ...frame, from, records: frame.records.subarray(0, 0), offsets: [], starts: [] }
  const cut = frame.starts[first]!
  return {
    ...frame,
    from,
    records: frame.records.subarray(cut),
    offsets: frame.offsets.slice(first),
    starts: frame.starts.slice(first).map((start) => start - cut),
  }
}

/** Several frames in one buffer; `position`, if given, stands in the last one. */
export function encodeFrames(
  source: FrameSource,
  frames: readonly RecordsFrame[],
  position?: string,
): { bytes: Buffer; frames: RecordsFrame[] } {
  const parts = frames.map((frame, i) => {
    const head = headOf(source, frame)
    const tail =
      position !== undefined && i === frames.length - 1 ? `],"position":"${position}"}` : ']}'
    const payloadBytes = Buffer.byteLength(head) + frame.records.length + tail.length
    return { frame, head, tail, payloadBytes }
  })
  const total = parts.reduce((sum, { payloadBytes }) => {
    return sum + headerBytesOf(payloadBytes) + payloadBytes
  }, 0)
  const bytes = Buffer.allocUnsafeSlow(total)
  let at = 0
  const encoded = parts.map(({ frame, head, tail, payloadBytes }): RecordsFrame => {
    at += writeFrameHeader(bytes.subarray(at), payloadBytes)
    at += bytes.write(head, at, 'utf8')
    const recordsAt = at
    bytes.set(frame.records, at)
    at += frame.records.length
    at += bytes.write(tail, at, 'latin1')
    // The frame borrows its records from the framed bytes, so that they are kept once.
    return { ...frame, records: bytes.subarray(recordsAt, recordsAt + frame.records.length) }
  })
  return { bytes, frames: encoded }
}

function headOf(source: FrameSource, frame: RecordsFrame): string {
  const { partition, from, next, end, offsets } = frame
  // Ids, topic names and epochs hold nothing that JSON escapes.
  const head = `{"type":"records","feed":"${source.id}","topic":"${source.topic}","epoch":"${source.epoch}","partition":${partition},"from":${from},"next":${next},"end":${end},`
  const dense = offsets.every((offset, i) => offset === from + i)
  return dense ? `${head}"records":[` : `${head}"offsets":[${offsets.join(',')}],"records":[`
}
