import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { loadLz4 } from '../../src/kit/lz4.ts'

const lz4 = loadLz4()!

test('what was compressed comes back', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 2000 }),
      fc.integer({ min: 1, max: 100 }),
      (bytes, times) => {
        const whole = Buffer.concat(Array.from({ length: times }, () => bytes))
        assert.ok(Buffer.from(lz4.inflate(lz4.compress(whole), 8 * 1024 * 1024)).equals(whole))
      },
    ),
    { numRuns: 50 },
  )
})

test('the frame is one that Kafka reads: version 1, independent blocks, nothing optional', () => {
  const frame = Buffer.from(lz4.compress(Buffer.from('abc')))
  // The header checksum of the specification, which older record formats got wrong.
  assert.equal(
    frame.toString('hex'),
    '04224d18' + '60' + '40' + '82' + '03000080' + '616263' + '00000000',
  )
})

test('a bomb is refused before room is taken for it', () => {
  const bomb = lz4.compress(Buffer.alloc(32 * 1024 * 1024))
  assert.ok(bomb.length < 200_000)
  assert.throws(() => lz4.inflate(bomb, 1024 * 1024), /may inflate to \d+ bytes; the limit is/)
  assert.equal(lz4.inflate(bomb, 32 * 1024 * 1024).length, 32 * 1024 * 1024)
})

test('a frame that is cut or has bytes behind it throws', () => {
  const frame = Buffer.from(lz4.compress(Buffer.alloc(5000, 'abcdefg')))
  for (let end = 0; end < frame.length; end++) {
    assert.throws(() => lz4.inflate(frame.subarray(0, end), 100_000_000), `${end}`)
  }
  assert.throws(() => lz4.inflate(Buffer.concat([frame, frame]), 100_000_000), /does not end/)
  assert.throws(() => lz4.inflate(Buffer.from('no frame of lz4 at all'), 1000), /no frame/)
})

test('a flipped bit of the frame header is found by its checksum', () => {
  const frame = Buffer.from(lz4.compress(Buffer.alloc(5000, 'abcdefg')))
  for (let bit = 0; bit < 7 * 8; bit++) {
    const damaged = Buffer.from(frame)
    damaged[bit >> 3]! ^= 1 << (bit & 7)
    assert.throws(() => lz4.inflate(damaged, 100_000_000), `bit ${bit}`)
  }
})
