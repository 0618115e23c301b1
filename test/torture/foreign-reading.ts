/**
 * The files of our engine before Kafka's own eyes: its dump tool and its classes must see exactly
 * what was acknowledged, after a clean stop and after a recovery, and must see planted damage.
 */
import { cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { KafkaJars } from '../support/kafka/kafka-jars.ts'
import type { ExpectedSegment } from '../support/kafka/log-dump.ts'
import { dumpIndexes, dumpLogs } from '../support/kafka/log-dump.ts'
import { readByKafka } from '../support/kafka/segment-reading.ts'
import type { BatchLine } from '../support/segment-batches.ts'
import { SimRandom } from '../support/sim-random.ts'
import { compareDumps } from './dump-likeness.ts'
import type { ProgrammeReport } from './programme.ts'
import { writeCompacted } from './compacted-folder.ts'
import { openFolder, VariedFolder } from './varied-folder.ts'

type Figures = [name: string, value: string | number][]

export async function showOurFiles(
  jars: KafkaJars,
  options: { readonly batches: number; readonly seed: number },
): Promise<ProgrammeReport> {
  const home = await mkdtemp(join(tmpdir(), 'ebbgate-format-'))
  try {
    const [data, image] = [join(home, 'stopped'), join(home, 'killed')]
    const folder = new VariedFolder(new SimRandom(options.seed))
    await fill(folder, data, image, options.batches)
    const stopped = await look(jars, data, folder.ledger, 'after a clean stop')
    const engine = await openFolder(image)
    await folder.write(engine, 5)
    await engine.close()
    const recovered = await look(jars, image, folder.ledger, 'after a recovery')
    const compacted = await lookAtCompacted(jars, join(home, 'compacted'), options)
    const planted = await plantedFaults(jars, home, stopped.segments)
    return {
      figures: [
        ...stopped.figures,
        ...recovered.figures,
        ...compacted.figures,
        ...planted.figures,
        ['Java batches refused, codecs', [...folder.refused].join(' ') || 'none'],
      ],
      problems: [
        ...stopped.problems,
        ...recovered.problems,
        ...compacted.problems,
        ...planted.problems,
      ],
    }
  } finally {
    await rm(home, { recursive: true, force: true })
  }
}

/** Two runs of the engine; of the second, an image as kill -9 would leave it is taken. */
async function fill(
  folder: VariedFolder,
  data: string,
  image: string,
  batches: number,
): Promise<void> {
  const part = Math.ceil(batches / 3)
  const first = await openFolder(data)
  await folder.createTopics(first)
  await folder.write(first, part)
  await first.close()
  const second = await openFolder(data)
  await folder.write(second, part)
  await folder.writeForeign(second)
  await second.checkpoint()
  await folder.write(second, part)
  // The lock file must not be opened: closing it again would let go of the lock.
  await cp(data, image, { recursive: true, filter: (path) => basename(path) !== 'LOCK' })
  await second.close()
}

/** Kafka must see in compacted segments what we see there: holes, batches without records, horizons. */
async function lookAtCompacted(
  jars: KafkaJars,
  data: string,
  options: { readonly batches: number; readonly seed: number },
): Promise<ProgrammeReport> {
  const ledger = await writeCompacted(data, new SimRandom(options.seed), options.batches)
  const report = await look(jars, data, ledger, 'after compaction')
  const batches = [...ledger.values()].flat()
  const horizons = batches.filter(({ deleteHorizon }) => deleteHorizon).length
  const reached = batches.filter(({ count, baseOffset, lastOffset }) => {
    return count < lastOffset - baseOffset + 1
  })
  const problems = [...report.problems]
  if (horizons === 0 || reached.length === 0)
    problems.push('after compaction: nothing was compacted')
  return {
    figures: [
      ...report.figures,
      ['Kafka reads, after compaction: batches with a delete horizon', horizons],
      ['Kafka reads, after compaction: batches with holes', reached.length],
    ],
    problems,
  }
}

interface Look extends ProgrammeReport {
  readonly segments: readonly ExpectedSegment[]
}

async function look(
  jars: KafkaJars,
  data: string,
  ledger: ReadonlyMap<string, readonly BatchLine[]>,
  when: string,
): Promise<Look> {
  const { segments, problems } = await segmentsOf(join(data, 'logs'), ledger)
  problems.push(...(await dumpLogs(jars, segments)))
  problems.push(...(await dumpIndexes(jars, segments)))
  problems.push(...(await unlikeLedger(jars, segments)))
  const dumps = await compareDumps(
    jars,
    segments.map(({ path }) => path),
  )
  problems.push(...dumps.problems)
  const batches = segments.flatMap((segment) => segment.batches)
  const entries = async (ending: string, bytes: number): Promise<number> => {
    const files = await Promise.all(segments.map(({ path }) => readFile(`${path}${ending}`)))
    return files.reduce((sum, file) => sum + file.length / bytes, 0)
  }
  const records = batches.flatMap((batch) => batch.records ?? [])
  const packed = batches.filter(({ codec }) => codec !== 'none')
  const figures: Figures = [
    ['segments', segments.length],
    ['batches', batches.length],
    ['batches, compressed', packed.length],
    ['records', records.length],
    ['headers', records.reduce((sum, { headers }) => sum + headers.length, 0)],
    ['.index entries', await entries('.index', 8)],
    ['.timeindex entries', await entries('.timeindex', 12)],
    ['lines that our dump prints alike', dumps.lines],
    ['mismatches', problems.length],
  ]
  return {
    segments,
    figures: figures.map(([name, value]) => [`Kafka reads, ${when}: ${name}`, value]),
    problems: problems.map((problem) => `${when}: ${problem}`),
  }
}

/** Which batches each file should hold, by the offset in its name. */
async function segmentsOf(
  logs: string,
  ledger: ReadonlyMap<string, readonly BatchLine[]>,
): Promise<{ segments: ExpectedSegment[]; problems: string[] }> {
  const segments: ExpectedSegment[] = []
  const problems: string[] = []
  for (const [folder, batches] of ledger) {
    const all = await readdir(join(logs, folder))
    const files = all.filter((name) => name !== 'partition.metadata')
    const names = [...new Set(files.map((file) => file.replace(/\.\w+$/, '')))].sort()
    for (const [i, name] of names.entries()) {
      const end = Number(names[i + 1] ?? Infinity)
      const own = batches.filter((at) => at.baseOffset >= Number(name) && at.baseOffset < end)
      if (own.length === 0) problems.push(`${folder}/${name} should not be there`)
      segments.push({ path: join(logs, folder, name), batches: own })
    }
    const unlike = names.length * 3 - files.length
    if (unlike !== 0) problems.push(`${folder} has ${files.length} files for ${names.length} names`)
    if (Number(names[0]) !== 0) problems.push(`${folder} begins with ${names[0]}`)
  }
  return { segments, problems }
}

/** What the dump does not print: the values of headers, and null beside empty. */
async function unlikeLedger(
  jars: KafkaJars,
  segments: readonly ExpectedSegment[],
): Promise<string[]> {
  const read = await readByKafka(
    jars,
    segments.map(({ path }) => `${path}.log`),
  )
  return segments.flatMap(({ path, batches }) => {
    const found = read.get(`${path}.log`) ?? []
    const at = batches.findIndex((batch, i) => !isDeepStrictEqual(batch, found[i]))
    if (at === -1 && found.length === batches.length) return []
    return [`${path}.log: Kafka reads ${found.length} of ${batches.length} batches, ${at} unlike`]
  })
}

type Plant = [name: string, ending: string, damage: (file: Buffer) => Buffer]

/** Damage that Kafka's eyes must see, so that their silence over our files says something. */
const plants: readonly Plant[] = [
  ['a flipped bit in a record', '.log', (file) => flipped(file, 200)],
  ['a flipped bit in a timestamp', '.log', (file) => flipped(file, 34)],
  ['a tail cut off', '.log', (file) => file.subarray(0, -5)],
  ['a first batch twice', '.log', (file) => Buffer.concat([firstBatch(file), file])],
  ['an index entry one offset late', '.index', (file) => flipped(file, 3)],
  ['an index entry missing', '.index', (file) => file.subarray(8)],
  ['a time entry one millisecond late', '.timeindex', (file) => flipped(file, 7)],
  ['a time entry of another batch', '.timeindex', (file) => flipped(file, 11)],
]

async function plantedFaults(
  jars: KafkaJars,
  home: string,
  segments: readonly ExpectedSegment[],
): Promise<ProgrammeReport> {
  const problems: string[] = []
  const whole = segments.find(({ path }) => /packed-0\/0+$/.test(path))
  if (whole === undefined) throw new Error('There is no segment to plant faults in.')
  for (const [i, [name, ending, damage]] of plants.entries()) {
    const folder = join(home, 'planted', String(i))
    await mkdir(folder, { recursive: true })
    const path = join(folder, basename(whole.path))
    for (const each of ['.log', '.index', '.timeindex']) {
      const bytes = await readFile(`${whole.path}${each}`)
      await writeFile(`${path}${each}`, each === ending ? damage(bytes) : bytes)
    }
    const dump = ending === '.log' ? dumpLogs : dumpIndexes
    const seen = await dump(jars, [{ path, batches: whole.batches }])
    if (seen.length === 0) problems.push(`a planted fault is not seen: ${name}`)
  }
  return {
    figures: [['planted faults seen', `${plants.length - problems.length} of ${plants.length}`]],
    problems,
  }
}

function flipped(file: Buffer, at: number): Buffer {
  const copy = Buffer.from(file)
  copy[at]! ^= 1
  return copy
}

function firstBatch(file: Buffer): Buffer {
  return file.subarray(0, 12 + file.readInt32BE(8))
}
