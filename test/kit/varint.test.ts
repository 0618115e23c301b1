import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { VarintReader, varintBytes, writeVarint } from '../../src/kit/varint.ts'

function written(value: number): Uint8Array {
  const bytes = new Uint8Array(varintBytes(value))
  assert.equal(writeVarint(bytes, 0, value), bytes.length)
  return bytes
}

test('small numbers of both signs take the bytes of the zigzag encoding', () => {
  assert.deepEqual([...written(0)], [0])
  assert.deepEqual([...written(-1)], [1])
  assert.deepEqual([...written(1)], [2])
  assert.deepEqual([...written(63)], [0x7e])
  assert.deepEqual([...written(64)], [0x80, 0x01])
  assert.deepEqual([...written(-65)], [0x81, 0x01])
  assert.deepEqual([...written(300)], [0xd8, 0x04])
})

test('every number up to 2^52 comes back as it was written', () => {
  const limit = 2 ** 52 - 1
  fc.assert(
    fc.property(fc.integer({ min: -limit, max: limit }), (value) => {
      const reader = new VarintReader(written(value))
      assert.equal(reader.next(), value)
      assert.equal(reader.at, reader.bytes.length)
    }),
  )
})

test('a number that is cut off or too long is refused', () => {
  assert.throws(() => new VarintReader(Uint8Array.of(0x80)).next(), RangeError)
  assert.throws(() => new VarintReader(new Uint8Array(11).fill(0xff)).next(), RangeError)
})
