/** Keys of every kind land where the Java producer puts them. */
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { murmur2, partitionOfKey } from '../../src/produce/partitioner.ts'
import type { KafkaJars } from '../support/kafka/kafka-jars.ts'
import { SimRandom } from '../support/sim-random.ts'
import type { ProgrammeReport } from './programme.ts'

const fixture = fileURLToPath(new URL('../fixtures/kafka-partitions/keys.jsonl', import.meta.url))
const partitionCounts = [1, 2, 3, 12, 50, 10_000]
const keysKept = 200
const problemsShown = 10

/** With `golden`, the fixture of test/produce/partitioner.test.ts is written anew. */
export async function compareKeys(
  jars: KafkaJars,
  options: { readonly keys: number; readonly seed: number; readonly golden: boolean },
): Promise<ProgrammeReport> {
  const random = new SimRandom(options.seed)
  const keys = Array.from({ length: options.keys }, (_, i) => someKey(random, i))
  const input = keys.map((key) => `${key.toString('base64')}\n`).join('')
  const told = await jars.ask('KeyPartitions', partitionCounts.map(String), input)
  const answers = told
    .trimEnd()
    .split('\n')
    .map((line) => line.split(' ').map(Number))
  const problems: string[] = []
  if (answers.length !== keys.length) problems.push(`${answers.length} answers for the keys`)
  let unlike = 0
  for (const [i, key] of keys.entries()) {
    const ours = [murmur2(key), ...partitionCounts.map((count) => partitionOfKey(key, count))]
    if (ours.join() === answers[i]?.join()) continue
    unlike++
    if (unlike <= problemsShown) {
      problems.push(`key ${key.toString('base64')}: ${ours.join()} is not ${answers[i]?.join()}`)
    }
  }
  if (options.golden) await keep(keys, answers)
  return {
    figures: [
      ['keys: hashed by both', keys.length],
      ['keys: placed in partitions by both', keys.length * partitionCounts.length],
      ['keys: placed otherwise', unlike],
    ],
    problems,
  }
}

/** Short ones of every length first, then any bytes, text beyond ASCII, and long ones. */
function someKey(random: SimRandom, i: number): Buffer {
  if (i < 40) return Buffer.from(random.bytes(i))
  switch (random.below(4)) {
    case 0:
      return Buffer.from(random.bytes(random.below(64)))
    case 1:
      return Buffer.from(String(random.below(1_000_000)))
    case 2: {
      const points = Array.from({ length: random.below(20) }, () => 0x80 + random.below(0xd000))
      return Buffer.from(String.fromCodePoint(...points))
    }
    default:
      return Buffer.from(random.bytes(random.below(random.chance(0.05) ? 10_000 : 300)))
  }
}

async function keep(keys: readonly Buffer[], answers: readonly number[][]): Promise<void> {
  const short = keys.flatMap((key, i) => (key.length > 100 ? [] : [{ key, answer: answers[i]! }]))
  const lines = short.slice(0, keysKept).map(({ key, answer: [hash, ...partitions] }) => {
    const placed = Object.fromEntries(partitionCounts.map((count, i) => [count, partitions[i]]))
    return `${JSON.stringify({ key: key.toString('base64'), hash, placed })}\n`
  })
  await mkdir(dirname(fixture), { recursive: true })
  await writeFile(fixture, lines.join(''))
}
