import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import type { PartitionDescription } from '../../src/engine/topics.ts'
import { systemRandom } from '../../src/kit/random.ts'
import { murmur2, partitionOfKey, StickyPartitions } from '../../src/produce/partitioner.ts'

/** From Apache Kafka's own test of its hash: UtilsTest.testMurmur2 (and the empty array). */
const golden: Readonly<Record<string, number>> = {
  '': 275646681,
  '21': -973932308,
  foobar: -790332482,
  'a-little-bit-long-string': -985981536,
  'a-little-bit-longer-string': -1486304829,
  lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8: -58897971,
  abc: 479470107,
}

test('keys hash as in the Java client', () => {
  for (const [key, hash] of Object.entries(golden))
    assert.equal(murmur2(Buffer.from(key)), hash, key)
})

test('a key goes to the partition that a Java producer would choose', () => {
  for (const [key, hash] of Object.entries(golden)) {
    for (const count of [1, 2, 3, 12, 50, 10_000]) {
      const expected = (hash & 0x7fffffff) % count
      assert.equal(partitionOfKey(Buffer.from(key), count), expected, `${key} of ${count}`)
    }
  }
})

interface PlacedKey {
  readonly key: string
  readonly hash: number
  /** Partition by number of partitions. */
  readonly placed: Readonly<Record<string, number>>
}

test('keys of every kind and length go where the Java producer put them', () => {
  const fixture = new URL('../fixtures/kafka-partitions/keys.jsonl', import.meta.url)
  const lines = readFileSync(fixture, 'utf8').trimEnd().split('\n')
  assert.equal(lines.length, 200)
  for (const line of lines) {
    const { key, hash, placed } = JSON.parse(line) as PlacedKey
    const bytes = Buffer.from(key, 'base64')
    assert.equal(murmur2(bytes), hash, key)
    for (const [count, partition] of Object.entries(placed)) {
      assert.equal(partitionOfKey(bytes, Number(count)), partition, `${key} of ${count}`)
    }
  }
})

test('bytes above 127 hash as unsigned, as in the Java client', () => {
  // Kafka's rule is the same for every tail length, so each must see high bytes.
  const seen = [1, 2, 3, 4, 5].map((length) => murmur2(new Uint8Array(length).fill(0xff)))
  assert.equal(new Set(seen).size, seen.length)
  for (const hash of seen) assert.ok(Number.isInteger(hash) && Math.abs(hash) <= 2 ** 31)
})

function partitions(states: readonly PartitionDescription['state'][]): PartitionDescription[] {
  return states.map((state, id) => ({ id, state, leaderEpoch: 0, replicas: [] }))
}

test('requests without a key take turns over the partitions of each topic', () => {
  const sticky = new StickyPartitions(systemRandom)
  const three = partitions(['ok', 'ok', 'ok'])
  const two = partitions(['ok', 'ok'])
  // Two topics in turn: neither must see the same partition every time.
  const seen = Array.from({ length: 6 }, () => [sticky.next('a', three), sticky.next('b', two)])
  const ofA = seen.map(([partition]) => partition!)
  for (let i = 1; i < ofA.length; i++) assert.equal(ofA[i], (ofA[i - 1]! + 1) % 3)
  assert.deepEqual(new Set(seen.map(([, partition]) => partition)), new Set([0, 1]))
})

test('a partition that cannot be written is passed over', () => {
  const sticky = new StickyPartitions(systemRandom)
  const damaged = partitions(['corrupt', 'ok', 'offline', 'ok'])
  const seen = new Set(Array.from({ length: 8 }, () => sticky.next('a', damaged)))
  assert.deepEqual([...seen].sort(), [1, 3])
  assert.ok(sticky.next('b', partitions(['offline', 'offline'])) < 2)
})

test('a topic that grew gets turns on its new partitions too', () => {
  const sticky = new StickyPartitions(systemRandom)
  assert.equal(sticky.next('a', partitions(['ok'])), 0)
  const seen = Array.from({ length: 4 }, () => sticky.next('a', partitions(['ok', 'ok'])))
  assert.deepEqual(new Set(seen), new Set([0, 1]))
})
