import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  brotliCompressSync,
  deflateRawSync,
  deflateSync,
  gzipSync,
  zstdCompressSync,
} from 'node:zlib'
import { checkCoding, codingOf, inflateBody } from '../../src/http/content-coding.ts'
import { GatewayError } from '../../src/model/errors.ts'

const text = Buffer.from('{"price":49300.00}\n'.repeat(50))

const packed = {
  gzip: gzipSync(text),
  'x-gzip': gzipSync(text),
  deflate: deflateSync(text),
  br: brotliCompressSync(text),
  zstd: zstdCompressSync(text),
}

/** Judges what comes out as a body's limit does. */
function atMost(bytesMax: number): (count: number) => void {
  let bytes = 0
  return (count) => {
    bytes += count
    if (bytes > bytesMax) throw new GatewayError('BODY_TOO_LARGE', `More than ${bytesMax} bytes.`)
  }
}

function hasCode(code: string): (error: unknown) => boolean {
  return (error) => error instanceof GatewayError && error.code === code
}

for (const [coding, bytes] of Object.entries(packed)) {
  test(`a ${coding} body is inflated to the bytes that were packed`, async () => {
    checkCoding(coding)
    assert.deepEqual(await inflateBody(coding, bytes, atMost(text.length)), text)
  })

  test(`a ${coding} body that is cut off is a bad request`, async () => {
    const cut = bytes.subarray(0, bytes.length - 5)
    await assert.rejects(inflateBody(coding, cut, atMost(1_000_000)), hasCode('BAD_REQUEST'))
  })

  test(`a ${coding} body stops at the limit of inflated bytes`, async () => {
    const limit = text.length - 1
    await assert.rejects(inflateBody(coding, bytes, atMost(limit)), hasCode('BODY_TOO_LARGE'))
  })
}

for (const [coding, pack] of [
  ['gzip', gzipSync],
  ['zstd', zstdCompressSync],
] as const) {
  test(`a ${coding} body of several parts is all of them`, async () => {
    const parts = Buffer.concat([pack(text), pack(Buffer.from('more\n')), pack(text)])
    const whole = Buffer.concat([text, Buffer.from('more\n'), text])
    assert.deepEqual(await inflateBody(coding, parts, atMost(whole.length)), whole)
    await assert.rejects(
      inflateBody(coding, parts, atMost(whole.length - 1)),
      hasCode('BODY_TOO_LARGE'),
    )
  })
}

for (const [coding, bytes] of Object.entries(packed)) {
  test(`bytes behind the end of a ${coding} body are a bad request`, async () => {
    const more = Buffer.concat([bytes, Buffer.from('{"lost":1}\n')])
    await assert.rejects(inflateBody(coding, more, atMost(1_000_000)), hasCode('BAD_REQUEST'))
  })
}

test('a zstd body of very many parts is a bad request', async () => {
  const parts = Buffer.concat(new Array<Buffer>(1_001).fill(zstdCompressSync('')))
  await assert.rejects(inflateBody('zstd', parts, atMost(1_000)), hasCode('BAD_REQUEST'))
})

test('deflate without its zlib head is taken as some clients have always sent it', async () => {
  assert.deepEqual(await inflateBody('deflate', deflateRawSync(text), atMost(text.length)), text)
})

test('a bomb of zeros is refused without inflating it', async () => {
  const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024))
  const before = process.memoryUsage().arrayBuffers
  await assert.rejects(inflateBody('gzip', bomb, atMost(1024 * 1024)), hasCode('BODY_TOO_LARGE'))
  assert.ok(process.memoryUsage().arrayBuffers - before < 16 * 1024 * 1024)
})

test('identity and an empty header mean that the body is as it is', () => {
  assert.equal(codingOf(undefined), undefined)
  assert.equal(codingOf(''), undefined)
  assert.equal(codingOf('Identity'), undefined)
  assert.equal(codingOf(' GZip '), 'gzip')
})

test('an unknown coding and two codings at once are refused', () => {
  for (const coding of ['snappy', 'compress', 'gzip, br']) {
    assert.throws(() => checkCoding(coding), hasCode('UNSUPPORTED_MEDIA_TYPE'))
  }
})
