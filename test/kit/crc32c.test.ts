import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { crc32c, crc32cInScript } from '../../src/kit/crc32c.ts'

const bytes = (length: number, make: (i: number) => number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => make(i))

test('the vectors of RFC 3720 (B.4) and the usual check value come out', () => {
  assert.equal(crc32c(bytes(32, () => 0)), 0x8a9136aa)
  assert.equal(crc32c(bytes(32, () => 0xff)), 0x62a8ab43)
  assert.equal(crc32c(bytes(32, (i) => i)), 0x46dd794e)
  assert.equal(crc32c(bytes(32, (i) => 31 - i)), 0x113fdb5c)
  assert.equal(crc32c(Buffer.from('123456789')), 0xe3069283)
  assert.equal(crc32c(new Uint8Array()), 0)
})

test('script and native code agree, and a checksum may be computed in pieces', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 4096 }), fc.nat(4096), (data, cut) => {
      const whole = crc32cInScript(data)
      assert.equal(crc32c(data), whole)
      assert.equal(crc32c(data.subarray(cut), crc32c(data.subarray(0, cut))), whole)
    }),
  )
})
