/**
 * Segment files that a real broker wrote, in all codecs, with transactions and compacted, read by our
 * own reader: it must see what Kafka's classes see, and Kafka's classes what was acknowledged.
 */
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import { batchProblem } from '../../src/model/record-batch.ts'
import { KafkaBroker } from '../support/kafka/kafka-broker.ts'
import type { KafkaJars } from '../support/kafka/kafka-jars.ts'
import type { KafkaBatchLine } from '../support/kafka/segment-reading.ts'
import { readByKafka } from '../support/kafka/segment-reading.ts'
import type { RecordLine } from '../support/segment-batches.ts'
import { batchesIn, batchLine } from '../support/segment-batches.ts'
import { until } from '../support/until.ts'
import type { ProgrammeReport } from './programme.ts'

const fixtures = fileURLToPath(new URL('../fixtures/kafka-segments/', import.meta.url))
const compactedTopic = 'compacted'
const cleanerDeadlineMs = 60_000

interface Acknowledged extends RecordLine {
  readonly topic: string
}

/** With `golden`, the fixtures of test/model/kafka-segments.test.ts are written anew. */
export async function readForeignFiles(
  jars: KafkaJars,
  options: { readonly rounds: number; readonly golden: boolean },
): Promise<ProgrammeReport> {
  const broker = await KafkaBroker.start(jars)
  try {
    const told = await jars.ask('Workload', [broker.address, String(options.rounds)])
    const acknowledged = told
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Acknowledged)
    const cleaned = join(broker.logs, `${compactedTopic}-0`, `${'0'.repeat(20)}.log`)
    await until(
      async () =>
        batchesIn(await readFile(cleaned)).some((batch) => batchLine(batch).deleteHorizon),
      'the cleaner of the broker',
      cleanerDeadlineMs,
    )
    await broker.stop()
    const paths = (await readdir(broker.logs, { recursive: true }))
      .filter((path) => path.endsWith('.log'))
      .map((path) => join(broker.logs, path))
    const theirs = await readByKafka(jars, paths)
    const comparison = await compare(theirs)
    comparison.problems.push(...unlikeAcknowledged(theirs, acknowledged))
    if (options.golden) await keep(theirs)
    return {
      figures: [
        ['Kafka wrote: records acknowledged', acknowledged.length],
        ['Kafka wrote: segments', paths.length],
        ...comparison.counts,
      ],
      problems: comparison.problems,
    }
  } catch (cause) {
    throw new Error(`A run with a broker failed, which said: ${broker.said}`, { cause })
  } finally {
    await broker.remove()
  }
}

/** Ours and Kafka's reading of each file, batch by batch. */
async function compare(theirs: ReadonlyMap<string, readonly KafkaBatchLine[]>): Promise<{
  counts: [string, number][]
  problems: string[]
}> {
  const problems: string[] = []
  const counts = new Map<string, number>()
  const count = (name: string, by = 1): void =>
    void counts.set(`we read: ${name}`, (counts.get(`we read: ${name}`) ?? 0) + by)
  for (const [path, expected] of theirs) {
    const batches = batchesIn(await readFile(path))
    const where = `${basename(dirname(path))}/${basename(path)}`
    if (batches.length !== expected.length) {
      problems.push(`${where}: ${batches.length} batches, Kafka sees ${expected.length}`)
    }
    for (const [i, batch] of batches.entries()) {
      const problem = batchProblem(batch)
      const { marker, ...line } = expected[i]!
      const ours = batchLine(batch)
      if (problem !== undefined) problems.push(`${where}: batch ${i} ${problem}`)
      count(`batches, ${ours.codec}`)
      if (ours.transactional && !ours.control) count('transactional batches')
      if (marker !== undefined) count(`control batches, ${marker}`)
      if (ours.deleteHorizon) count('batches with a delete horizon')
      if (ours.count === 0) count('empty batches')
      if (ours.records === undefined)
        count('records in a codec that is not decoded here', ours.count)
      else count('records', ours.records.length)
      const records = ours.records === undefined ? undefined : line.records
      if (!isDeepStrictEqual(ours, { ...line, records })) {
        problems.push(`${where}: batch ${i} is ${JSON.stringify(ours)} not ${JSON.stringify(line)}`)
      }
    }
  }
  return { counts: [...counts].sort(), problems }
}

/** So that the comparison does not rest on Kafka's reading alone. */
function unlikeAcknowledged(
  theirs: ReadonlyMap<string, readonly KafkaBatchLine[]>,
  acknowledged: readonly Acknowledged[],
): string[] {
  const stored = new Map<string, RecordLine>()
  for (const [path, batches] of theirs) {
    const topic = basename(dirname(path)).replace(/-\d+$/, '')
    for (const { records } of batches) {
      for (const record of records ?? []) stored.set(`${topic} ${record.offset}`, record)
    }
  }
  return acknowledged.flatMap(({ topic, ...sent }) => {
    const found = stored.get(`${topic} ${sent.offset}`)
    if (isDeepStrictEqual(found, sent)) return []
    // Later records have taken its place.
    if (found === undefined && topic === compactedTopic) return []
    return [
      `${topic} offset ${sent.offset}: ${JSON.stringify(found)} is not ${JSON.stringify(sent)}`,
    ]
  })
}

/** The first segment of each topic, and what Kafka reads in it. */
async function keep(theirs: ReadonlyMap<string, readonly KafkaBatchLine[]>): Promise<void> {
  await mkdir(fixtures, { recursive: true })
  for (const [path, batches] of theirs) {
    const [, topic] = /^([a-z][a-z0-9-]*)-0$/.exec(basename(dirname(path))) ?? []
    if (topic === undefined || !/^0+\.log$/.test(basename(path))) continue
    await writeFile(join(fixtures, `${topic}.log`), await readFile(path))
    const lines = batches.map((batch) => `${JSON.stringify(batch)}\n`)
    await writeFile(join(fixtures, `${topic}.jsonl`), lines.join(''))
  }
}
