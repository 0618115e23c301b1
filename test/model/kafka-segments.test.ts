/** Segment files of a real Kafka broker, with what Kafka's own classes read in them. */
import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { test } from 'node:test'
import { isControl, batchProblem, codecs } from '../../src/model/record-batch.ts'
import type { BatchLine } from '../support/segment-batches.ts'
import { batchesIn, batchLine } from '../support/segment-batches.ts'

type KafkaLine = BatchLine & { readonly marker?: string }

const folder = new URL('../fixtures/kafka-segments/', import.meta.url)
const topics = readdirSync(folder)
  .filter((name) => name.endsWith('.log'))
  .map((name) => name.slice(0, -'.log'.length))

const segment = (topic: string): Uint8Array[] =>
  batchesIn(readFileSync(new URL(`${topic}.log`, folder)))
const readingOf = (topic: string): KafkaLine[] =>
  readFileSync(new URL(`${topic}.jsonl`, folder), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as KafkaLine)

for (const topic of topics) {
  test(`a segment that a Kafka broker wrote is read as Kafka reads it: ${topic}`, () => {
    const batches = segment(topic)
    const reading = readingOf(topic)
    assert.equal(batches.length, reading.length)
    for (const [i, batch] of batches.entries()) {
      const { marker: _, ...expected } = reading[i]!
      assert.equal(batchProblem(batch), undefined)
      assert.deepEqual(batchLine(batch), expected)
    }
  })
}

test('the segments hold every codec, both kinds of times, transactions and what compaction leaves', () => {
  const lines = topics.flatMap(readingOf)
  for (const codec of codecs) {
    const found = lines.filter((line) => line.codec === codec)
    assert.ok(
      found.some(({ records = [] }) => records.some(({ key }) => key === null)),
      codec,
    )
    assert.ok(
      found.some(({ records = [] }) => records.some(({ value }) => value === null)),
      codec,
    )
    assert.ok(found.some(({ records = [] }) => records.some(({ headers }) => headers.length > 0)))
  }
  assert.ok(lines.some(({ logAppendTime }) => logAppendTime))
  assert.ok(lines.some(({ transactional, control }) => transactional && !control))
  assert.ok(lines.some(({ deleteHorizon }) => deleteHorizon))
  assert.ok(lines.some(({ count }) => count === 0))
  assert.ok(
    lines.some(({ count, ...at }) => count > 0 && count <= at.lastOffset - at.baseOffset),
    'a batch with holes',
  )
  assert.ok(lines.some(({ producerId }) => producerId >= 0))
})

test('the markers of a committed and of an aborted transaction are known as control batches', () => {
  const reading = readingOf('transactions')
  const markers = segment('transactions').flatMap((batch, i) =>
    isControl(batch) ? [reading[i]!.marker] : [],
  )
  assert.deepEqual(markers, ['COMMIT', 'ABORT', 'COMMIT'])
})

test('a flipped bit in the body of a foreign batch is found, whatever its codec', () => {
  for (const topic of topics) {
    for (const batch of segment(topic)) {
      const damaged = Uint8Array.from(batch)
      damaged[damaged.length - 1]! ^= 1
      assert.equal(batchProblem(damaged), 'does not match its CRC')
    }
  }
})
