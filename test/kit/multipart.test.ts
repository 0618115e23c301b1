import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { boundaryOf, splitMultipart } from '../../src/kit/multipart.ts'

type Shown = [contentType: string | undefined, text: string]

function parts(body: string | Buffer, boundary = 'B', partsMax = 1000): Shown[] | string {
  const bytes = Buffer.from(body as string)
  const found = splitMultipart(bytes, boundary, partsMax)
  if ('fault' in found) return found.fault
  return found.map(({ contentType, start, end }) => [
    contentType,
    bytes.toString('utf8', start, end),
  ])
}

test('the boundary is found wherever a client writes it', () => {
  assert.equal(boundaryOf('multipart/form-data; boundary=abc'), 'abc')
  assert.equal(boundaryOf('multipart/mixed;charset=utf-8; Boundary="a b;\\"c" ; x=y'), 'a b;"c')
  assert.equal(boundaryOf('multipart/form-data; boundary=a=b;x=y'), 'a=b')
  assert.equal(boundaryOf('multipart/form-data'), undefined)
  assert.equal(boundaryOf('multipart/form-data; boundary=""'), undefined)
  assert.equal(boundaryOf('multipart/form-data; xboundary=q'), undefined)
})

test('each part is its bytes with its own type', () => {
  const body =
    'preamble\r\n--B\r\nContent-Disposition: form-data; name="a"\r\n\r\none\r\n' +
    '--B  \r\ncontent-TYPE: application/json ; x=y \r\nX: y\r\n\r\n{"a":\r\n1}\r\n' +
    '--B\r\n\r\n\r\n--B--\r\nepilogue --B\r\n'
  assert.deepEqual(parts(body), [
    [undefined, 'one'],
    ['application/json ; x=y', '{"a":\r\n1}'],
    [undefined, ''],
  ])
})

test('a part without any bytes may share its line end with the delimiter', () => {
  assert.deepEqual(parts('--B\r\nX: y\r\n\r\n--B\r\n\r\nz\r\n--B--'), [
    [undefined, ''],
    [undefined, 'z'],
  ])
})

test('what only looks like a delimiter belongs to its part', () => {
  const text = ' --B\r\n--Bx\r\n--B\n--\r\n--b\r\n\n--B\r\n x--B--'
  assert.deepEqual(parts(`--B\r\n\r\n${text}\r\n--B--`), [[undefined, text]])
})

test('lines may end in LF alone, if the first delimiter does', () => {
  assert.deepEqual(parts('--B\nContent-Type: text/csv\n\na\r\nb\r\n--B\n\n\n\n--B--\n'), [
    ['text/csv', 'a\r\nb\r'],
    [undefined, '\n'],
  ])
})

test('a body with no part is an empty list', () => {
  assert.deepEqual(parts('--B--\r\n'), [])
  assert.deepEqual(parts('\r\n--B--'), [])
})

test('a body that is not what its boundary says is refused with its reason', () => {
  assert.equal(parts('nothing of the kind'), 'begin')
  assert.equal(parts('--B\r\n\r\ncut'), 'end')
  assert.equal(parts('--B\r\n\r\ncut\r\n--B'), 'end')
  assert.equal(parts('--B\r\nX: y\r\n'), 'head')
  assert.equal(parts(`--B\r\n${'X: y\r\n'.repeat(4000)}\r\nv\r\n--B--`), 'head')
  assert.equal(parts('--B\r\n\r\na\r\n--B\r\n\r\nb\r\n--B--', 'B', 1), 'count')
})

/** Bytes that hold much of what delimiters are made of. */
const nasty = fc
  .array(fc.constantFrom('\r\n', '\n', '\r', '--B', '--', '-', 'B', ' ', 'é', ':', 'x'), {
    maxLength: 12,
  })
  .map((pieces) => pieces.join(''))

test('whatever parts are joined come apart again, unless one holds the delimiter', () => {
  fc.assert(
    fc.property(fc.array(nasty), fc.constantFrom('\r\n', '\n'), (texts, eol) => {
      const holds = new RegExp(`(^|${eol})--B(--|[ \t]*${eol}|[ \t]*$)`)
      fc.pre(texts.every((text) => !holds.test(text)))
      const body = `${texts.map((text) => `--B${eol}A: b${eol}${eol}${text}${eol}`).join('')}--B--${eol}`
      // An empty list shows no line end; the closing delimiter alone decides then.
      assert.deepEqual(
        parts(body),
        texts.map((text) => [undefined, text]),
      )
    }),
    { numRuns: 2000 },
  )
})

test('any bytes are cut or refused, in time that grows with them', () => {
  fc.assert(
    fc.property(fc.array(nasty, { maxLength: 50 }), (pieces) => {
      const body = Buffer.from(pieces.join(''))
      const found = splitMultipart(body, 'B', 5)
      if ('fault' in found) return
      let last = 0
      for (const { start, end } of found) {
        assert.ok(start >= last && end >= start && end <= body.length)
        last = end
      }
    }),
    { numRuns: 2000 },
  )
  assert.equal(parts(Buffer.from(`--B\r\n\r\n${'\r\n--Bx'.repeat(200_000)}`)), 'end')
  assert.equal(parts(Buffer.from('--B\r\n\r\n'.repeat(100_000)), 'B', 100_000), 'end')
})
