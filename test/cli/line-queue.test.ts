import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import test from 'node:test'
import fc from 'fast-check'
import { LineQueue } from '../../src/cli/line-queue.ts'

async function linesOf(chunks: readonly Buffer[]): Promise<Buffer[]> {
  const queue = new LineQueue()
  const filling = queue.fill(Readable.from(chunks))
  const lines: Buffer[] = []
  for (let taken = await queue.take(); taken.length > 0; taken = await queue.take()) {
    lines.push(...taken.map(({ bytes }) => bytes))
  }
  await filling
  return lines
}

test('lines come out as they went in, wherever the pipe cut them', async () => {
  const byte = fc.integer({ min: 0, max: 255 }).filter((value) => value !== 0x0a)
  const line = fc.array(byte, { maxLength: 12 }).map((bytes) => Buffer.from(bytes))
  await fc.assert(
    fc.asyncProperty(fc.array(line), fc.integer({ min: 1, max: 9 }), async (lines, chunkBytes) => {
      const whole = Buffer.concat(lines.flatMap((each) => [each, Buffer.from('\n')]))
      const chunks: Buffer[] = []
      for (let at = 0; at < whole.length; at += chunkBytes) {
        chunks.push(whole.subarray(at, at + chunkBytes))
      }
      const expected = lines.map((each) => (each.at(-1) === 0x0d ? each.subarray(0, -1) : each))
      assert.deepEqual(await linesOf(chunks), expected)
    }),
  )
})

test('a last line without a line end counts, and an empty input has no line', async () => {
  assert.deepEqual((await linesOf([Buffer.from('a\nb')])).map(String), ['a', 'b'])
  assert.deepEqual((await linesOf([Buffer.from('a\r\n\r\nb\r')])).map(String), ['a', '', 'b'])
  assert.deepEqual(await linesOf([]), [])
})

test('a fast pipe waits until what was read has been taken', async () => {
  let produced = 0
  const endless = new Readable({
    read() {
      produced += 1
      this.push(produced > 1000 ? null : Buffer.from(`${'x'.repeat(65_535)}\n`))
    },
  })
  const queue = new LineQueue()
  const filling = queue.fill(endless)
  const first = await queue.take()
  // Let the pipe run as far as it is allowed to.
  for (let turn = 0; turn < 200; turn += 1) await new Promise((resolve) => setImmediate(resolve))
  assert.ok(produced < 100, `${produced} of 1000 chunks were read ahead`)
  let lines = first.length
  for (let taken = await queue.take(); taken.length > 0; taken = await queue.take()) {
    lines += taken.length
  }
  await filling
  assert.equal(lines, 1000)
})

test('a line without end is refused instead of being collected', async () => {
  const endless = new Readable({
    read() {
      this.push(Buffer.alloc(1024 * 1024, 'x'))
    },
  })
  const queue = new LineQueue()
  await queue.fill(endless)
  await assert.rejects(queue.take(), /^Failure: Line 1 is longer than \d+ bytes\.$/)
})

test('bytes that are no UTF-8 are told apart', async () => {
  const queue = new LineQueue()
  queue.add(Buffer.from('Grüße'))
  queue.add(Buffer.from([0xff, 0xfe]))
  queue.end()
  assert.deepEqual(
    (await queue.take()).map(({ utf8 }) => utf8),
    [true, false],
  )
  assert.deepEqual(await queue.take(), [])
})
