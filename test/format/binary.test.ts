import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { fromBase64, toBase64 } from '../../src/format/binary.ts'

test('bytes survive base64', () => {
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      assert.deepEqual(fromBase64(toBase64(bytes)), Buffer.from(bytes))
    }),
  )
})

test('text that no encoder writes is refused instead of repaired', () => {
  for (const text of ['YQ', 'YQ=', 'YR==', 'YQ==\n', 'Y Q=', '_-8=', 'a', '=', 'YQ==YQ==', 'é']) {
    assert.equal(fromBase64(text), undefined, text)
  }
})
