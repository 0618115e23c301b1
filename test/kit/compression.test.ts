import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { unzstd, zstd } from '../../src/kit/compression.ts'

const skippable = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4])

test('zstd frames one behind the other are all of their bytes', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1 }), (parts) => {
      const whole = Buffer.concat(parts)
      const frames = Buffer.concat(parts.map((part) => zstd(part)))
      assert.deepEqual(Buffer.from(unzstd(frames, whole.length + 1, parts.length)), whole)
    }),
  )
})

test('a skippable zstd frame holds nothing, wherever it stands', () => {
  const [a, b] = [zstd(Buffer.from('a')), zstd(Buffer.from('b'))]
  for (const frames of [
    [skippable, a, b],
    [a, skippable, b],
    [a, b, skippable],
  ]) {
    assert.equal(Buffer.from(unzstd(Buffer.concat(frames), 10, 3)).toString(), 'ab')
  }
})

test('zstd frames that are damaged, too many or too large are refused', () => {
  const frames = Buffer.concat([zstd(Buffer.alloc(50)), zstd(Buffer.alloc(50))])
  assert.equal(unzstd(frames, 100, 2).length, 100)
  assert.throws(() => unzstd(frames, 99, 2))
  assert.throws(() => unzstd(frames, 50, 2))
  assert.throws(() => unzstd(frames, 100, 1))
  assert.throws(() => unzstd(frames.subarray(0, -3), 100, 2))
  assert.throws(() => unzstd(Buffer.concat([frames, Buffer.from('junk')]), 100, 9))
})
