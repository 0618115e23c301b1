import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { JournalEntry } from '../../../../src/engine/embedded/journal/journal-frame.ts'
import {
  blockBytes,
  copyFrame,
  decodeFrame,
  encodeFrame,
  entryHeaderBytes,
  frameHeaderBytes,
  frameSeed,
  readFrameClaim,
} from '../../../../src/engine/embedded/journal/journal-frame.ts'
import { entryKinds } from '../../../../src/engine/embedded/journal/state-machine.ts'

const seed = frameSeed(7, 3)

function sizeOf(entries: readonly JournalEntry[]): number {
  return entries.reduce(
    (sum, { payload }) => sum + entryHeaderBytes + payload.length,
    frameHeaderBytes,
  )
}

function encode(entries: readonly JournalEntry[], seq = 42): Buffer {
  return Buffer.concat(encodeFrame(entries, sizeOf(entries), { seq, timeMs: 1_000_000, seed }))
}

const entryArbitrary: fc.Arbitrary<JournalEntry> = fc.record({
  kind: fc.constantFrom(...Object.values(entryKinds)),
  partitionRef: fc.nat({ max: 0xffff_ffff }),
  baseOffset: fc.maxSafeNat(),
  segmentBase: fc.maxSafeNat(),
  segmentPos: fc.nat({ max: 0xffff_ffff }),
  // Small payloads are copied, large ones borrowed: both, mixed.
  payload: fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.integer({ min: 16_380, max: 20_000 }).map((size) => new Uint8Array(size).fill(size)),
  ),
})

test('a frame comes back as it was written, in whole blocks', () => {
  fc.assert(
    fc.property(fc.array(entryArbitrary, { minLength: 1, maxLength: 12 }), (entries) => {
      const bytes = encode(entries)
      assert.equal(bytes.length % blockBytes, 0)
      const claim = readFrameClaim(bytes)!
      assert.deepEqual(claim, { bytes: sizeOf(entries), seq: 42 })
      const frame = decodeFrame(bytes.subarray(0, claim.bytes), seed)!
      assert.equal(frame.seq, 42)
      assert.equal(frame.timeMs, 1_000_000)
      assert.deepEqual(
        frame.entries.map((entry) => ({ ...entry, payload: Buffer.from(entry.payload) })),
        entries.map((entry) => ({ ...entry, payload: Buffer.from(entry.payload) })),
      )
      assert.ok(bytes.subarray(claim.bytes).every((byte) => byte === 0))
    }),
  )
})

test('the bytes of a small frame are what the format says', () => {
  const payload = Buffer.from('state')
  const entry = {
    kind: entryKinds.META,
    partitionRef: 0,
    baseOffset: 0,
    segmentBase: 0,
    segmentPos: 0,
  }
  const bytes = encode([{ ...entry, payload }], 1)
  const crc = bytes.subarray(4, 8).toString('hex')
  assert.equal(
    bytes.subarray(0, 69).toString('hex'),
    `00000045${crc}000000000000000100000000000f42400000000100000000` +
      '02000000000000000000000000000000000000000000000000000000000000057374617465',
  )
  assert.equal(crc, '183a7cb6')
})

test('every flipped bit of a frame is noticed', () => {
  const entries = [1, 2].map((ref) => ({
    kind: entryKinds.BATCH,
    partitionRef: ref,
    baseOffset: 5,
    segmentBase: 0,
    segmentPos: 77,
    payload: Buffer.from('payload'),
  }))
  const bytes = encode(entries).subarray(0, sizeOf(entries))
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    bytes[bit >> 3]! ^= 1 << (bit & 7)
    assert.equal(decodeFrame(bytes, seed), undefined, `bit ${bit}`)
    bytes[bit >> 3]! ^= 1 << (bit & 7)
  }
  assert.notEqual(decodeFrame(bytes, seed), undefined)
})

test('a frame of another use of the file is no frame', () => {
  const entry = {
    kind: entryKinds.META,
    partitionRef: 0,
    baseOffset: 0,
    segmentBase: 0,
    segmentPos: 0,
  }
  const payload = Buffer.from('x')
  const bytes = encode([{ ...entry, payload }]).subarray(0, sizeOf([{ ...entry, payload }]))
  assert.equal(decodeFrame(bytes, frameSeed(8, 3)), undefined)
  assert.equal(decodeFrame(bytes, frameSeed(7, 4)), undefined)
  const copied = copyFrame(decodeFrame(bytes, seed)!, frameSeed(8, 4))
  assert.equal(copied.length, blockBytes)
  assert.equal(decodeFrame(copied.subarray(0, bytes.length), frameSeed(8, 4))?.seq, 42)
})

test('garbage never throws', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 300 }), (bytes) => {
      assert.equal(decodeFrame(bytes, seed), undefined)
      readFrameClaim(bytes)
    }),
  )
})
