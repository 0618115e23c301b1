import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ByteSink } from '../../src/kit/byte-sink.ts'
import type { StoredRecord } from '../../src/model/record.ts'
import type { RecordsFrame } from '../../src/push/frames.ts'
import {
  encodeFrames,
  messageFrame,
  renderRun,
  trimFrame,
  withRecords,
  writeFrameHeader,
} from '../../src/push/frames.ts'

const source = { id: 'f1', topic: 'orders', epoch: 'k9' }

function record(offset: number, value: string): StoredRecord {
  return { offset, timestamp: 1700000000000, key: null, value: Buffer.from(value), headers: [] }
}

function render(records: readonly StoredRecord[], from: number, next: number): RecordsFrame[] {
  const sink = new ByteSink()
  const run = { from, next, end: next, records, release: () => undefined }
  const pending = renderRun(sink, run, 0, from, 'json')
  const bytes = sink.take()
  return pending.map((frame) => withRecords(frame, bytes))
}

interface Parsed {
  from: number
  next: number
  offsets?: number[]
  records: { value: unknown }[]
  position?: string
}

/** Takes concatenated unmasked frames apart, by RFC 6455 and not by our own code. */
function parse(bytes: Buffer): { payload: string; message: Parsed }[] {
  const messages: { payload: string; message: Parsed }[] = []
  for (let at = 0; at < bytes.length;) {
    assert.equal(bytes[at], 0x81)
    let length = bytes[at + 1]!
    at += 2
    if (length === 126) {
      length = bytes.readUInt16BE(at)
      at += 2
    } else if (length === 127) {
      length = Number(bytes.readBigUInt64BE(at))
      at += 8
    }
    const payload = bytes.toString('utf8', at, at + length)
    messages.push({ payload, message: JSON.parse(payload) as Parsed })
    at += length
  }
  return messages
}

function header(payloadBytes: number): string {
  const target = Buffer.alloc(10)
  return target.toString('hex', 0, writeFrameHeader(target, payloadBytes))
}

test('a frame header has the bytes that RFC 6455 draws', () => {
  assert.equal(header(0), '8100')
  assert.equal(header(125), '817d')
  assert.equal(header(126), '817e007e')
  assert.equal(header(65_535), '817effff')
  assert.equal(header(65_536), '817f0000000000010000')
  assert.equal(header(0x1_2345_6789), '817f0000000123456789')
})

test('a message is one text frame', () => {
  assert.equal(
    messageFrame({ type: 'ok', id: 1 }).toString('latin1'),
    '\x81\x14{"type":"ok","id":1}',
  )
  const long = messageFrame({ text: 'é'.repeat(100) })
  assert.equal(long.toString('hex', 0, 4), '817e00d3')
  assert.equal(long.length, 4 + 0xd3)
})

test('a records frame says what it covers and holds the stored bytes', () => {
  const frames = render([record(7, '{"price":49300.00}'), record(8, '12345678901234567890')], 7, 9)
  const { bytes } = encodeFrames(source, frames, '1.k9.0-9')
  assert.deepEqual(
    parse(bytes).map(({ payload }) => payload),
    [
      '{"type":"records","feed":"f1","topic":"orders","epoch":"k9","partition":0,"from":7,"next":9,"end":9,' +
        '"records":[{"timestamp":1700000000000,"key":null,"value":{"price":49300.00}},' +
        '{"timestamp":1700000000000,"key":null,"value":12345678901234567890}],"position":"1.k9.0-9"}',
    ],
  )
})

test('holes are named by offsets, and a stretch without records is covered', () => {
  const [holes] = parse(encodeFrames(source, render([record(3, '1'), record(6, '2')], 2, 9)).bytes)
  assert.deepEqual(holes!.message.offsets, [3, 6])
  assert.deepEqual([holes!.message.from, holes!.message.next], [2, 9])
  const [empty] = parse(encodeFrames(source, render([], 2, 9)).bytes)
  assert.deepEqual([empty!.message.from, empty!.message.next], [2, 9])
  assert.deepEqual(empty!.message.records, [])
  assert.deepEqual(render([], 2, 2), [])
})

test('frames stay below 64 KiB, join without holes, and one larger record stands alone', () => {
  const records = Array.from({ length: 400 }, (_, i) => record(i, `"${'x'.repeat(i * 7)}"`))
  records.push(record(400, `"${'y'.repeat(200_000)}"`), record(401, '1'))
  const frames = render(records, 0, 402)
  const encoded = encodeFrames(source, frames)
  const messages = parse(encoded.bytes)
  let next = 0
  for (const { payload, message } of messages) {
    assert.equal(message.from, next)
    assert.equal(message.records.length, message.next - message.from)
    assert.ok(payload.length <= 65_536 || message.records.length === 1, `${payload.length} bytes`)
    next = message.next
  }
  assert.equal(next, 402)
  assert.ok(messages.length > 5)
})

test('a trimmed frame is the one that would have been made from there', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.integer({ min: 0, max: 60 }), { minLength: 1, maxLength: 30 }),
      fc.integer({ min: 0, max: 60 }),
      (offsets, from) => {
        const records = [...offsets].sort((a, b) => a - b).map((at) => record(at, `"v${at}"`))
        const [whole] = render(records, 0, 61)
        const trimmed = encodeFrames(source, [trimFrame(whole!, from)]).bytes
        const fresh = render(
          records.filter(({ offset }) => offset >= from),
          from,
          61,
        )
        assert.deepEqual(trimmed, encodeFrames(source, fresh).bytes)
      },
    ),
  )
})

test('encoded frames keep their records in the framed bytes, once', () => {
  const { bytes, frames } = encodeFrames(source, render([record(0, '{"a":1}')], 0, 1), '1.k9.0-1')
  assert.equal(frames[0]!.records.buffer, bytes.buffer)
  assert.deepEqual(
    encodeFrames(source, frames).bytes,
    encodeFrames(source, render([record(0, '{"a":1}')], 0, 1)).bytes,
  )
})
