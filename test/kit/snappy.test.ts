import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import test from 'node:test'
import fc from 'fast-check'
import { loadSnappy } from '../../src/kit/snappy.ts'

const snappy = loadSnappy()!
const raw = createRequire(import.meta.url)('snappy') as {
  compressSync: (bytes: Uint8Array) => Buffer
}
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString()

test('what was compressed comes back, over as many blocks as it takes', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 2000 }),
      fc.integer({ min: 1, max: 100 }),
      (bytes, times) => {
        const whole = Buffer.concat(Array.from({ length: times }, () => bytes))
        assert.ok(Buffer.from(snappy.inflate(snappy.compress(whole), whole.length)).equals(whole))
      },
    ),
    { numRuns: 50 },
  )
})

test('the framing is that of Java clients: magic, two versions, blocks of 32 KiB', () => {
  const framed = Buffer.from(snappy.compress(Buffer.alloc(70_000, 'abc')))
  assert.equal(framed.subarray(0, 16).toString('hex'), '82534e415050590000000001' + '00000001')
  const sizes: number[] = []
  for (let at = 16; at < framed.length; at += 4 + framed.readInt32BE(at)) sizes.push(at)
  assert.equal(sizes.length, 3)
})

test('raw snappy without framing is read too', () => {
  assert.equal(
    text(snappy.inflate(raw.compressSync(Buffer.from('hello hello hello')), 100)),
    'hello hello hello',
  )
})

test('a few bytes that claim to inflate without end are refused before room is taken', () => {
  const claim = Buffer.from('ffffffff0f00', 'hex')
  assert.throws(() => snappy.inflate(claim, 1000), /would inflate to 4294967295 bytes; the limit/)
  const zeros = snappy.compress(Buffer.alloc(100_000))
  assert.throws(() => snappy.inflate(zeros, 99_999), /would inflate to 100000 bytes/)
  assert.equal(snappy.inflate(zeros, 100_000).length, 100_000)
})

test('a frame that is cut anywhere, or lies about a length, throws and never crashes', () => {
  const framed = Buffer.from(snappy.compress(Buffer.alloc(40_000, 'abcdefg')))
  const readable: number[] = []
  for (let end = 0; end < framed.length; end++) {
    try {
      snappy.inflate(framed.subarray(0, end), 100_000)
      readable.push(end)
    } catch (error) {
      assert.ok(error instanceof Error)
    }
  }
  // Blocks end there; that records are missing is seen by who reads them.
  const second = 16 + 4 + framed.readInt32BE(16)
  assert.deepEqual(readable, [16, second])
  const lying = Buffer.from(framed)
  lying.writeInt32BE(0x7fff_ffff, 16)
  assert.throws(() => snappy.inflate(lying, 100_000), /cut off/)
})
