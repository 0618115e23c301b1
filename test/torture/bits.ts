/**
 * Flipped bits, one at a time, in everything that a data folder is made of. After each flip the engine
 * opens the folder and every record is read: it is the record that was acknowledged, or it is said to
 * be damaged. Nothing else may be lost but what torture row 3 excepts: the last frame of the journal,
 * which looks like a torn write.
 */
import type { EmbeddedEngine } from '../../src/engine/embedded/embedded-engine.ts'
import { readRecords } from '../../src/model/batch-reader.ts'
import { GatewayError } from '../../src/model/errors.ts'
import { openTestEngine } from '../support/engine.ts'
import { append, call, newTopic, tp } from '../support/one-partition.ts'
import { seededRandom } from '../support/seeded-random.ts'
import type { SimDisk } from '../support/sim-disk.ts'
import type { Programme, ProgrammeReport } from './programme.ts'

const journalSizes = { firstFileBytes: 65_536, fileBytes: 65_536 }
const blockBytes = 4096
const batchHeaderBytes = 61
/** Frame header, the header of its one entry, and the header of the batch in it. */
const frameHeadBytes = 32 + 32 + batchHeaderBytes
const records = 24
/** Records from this one on are in the journal alone when the folder is opened. */
const checkpointAt = 18

export const bits: Programme = {
  name: 'bits',
  proves:
    'a flipped bit anywhere in a data folder is healed, or found and named, and costs nothing else',
  needs: 'nothing but Node',
  missing: () => undefined,
  flags: {
    bits: { type: 'string', default: '100000' },
    'header-step': { type: 'string', default: '1' },
  },
  short: { bits: '1000', 'header-step': '29' },
  async run({ seed, flag, progress }): Promise<ProgrammeReport> {
    const report = await flipBits({
      seed,
      bodyBits: Number(flag('bits')),
      headerStep: Number(flag('header-step')),
      progress,
    })
    return { figures: [...report.counts].sort(), problems: report.problems }
  },
}

export interface BitsReport {
  readonly counts: Map<string, number>
  readonly problems: readonly string[]
}

interface Place {
  readonly path: string
  readonly at: number
  /** Where in the folder, for the counts. */
  readonly what: string
}

/** Flips every `headerStep`th bit of all headers, and `bodyBits` bits drawn by chance from all files. */
export async function flipBits(options: {
  readonly seed: number
  readonly bodyBits: number
  readonly headerStep: number
  readonly progress?: (text: string) => void
}): Promise<BitsReport> {
  const made = await folder()
  const chance = seededRandom(options.seed)
  const counts = new Map<string, number>()
  const problems: string[] = []
  const headers = headerPlaces(made)
  let done = 0
  const flip = async (place: Place, bit: number): Promise<void> => {
    const outcome = await judge(made, place, bit)
    const key = `${place.what}: ${outcome.kind}`
    counts.set(key, (counts.get(key) ?? 0) + 1)
    if (outcome.problem !== undefined && problems.length < 20) {
      problems.push(`bit ${bit} of byte ${place.at} of ${place.path}: ${outcome.problem}`)
    }
    if (++done % 100 === 0) options.progress?.(`${done} bits`)
  }
  for (let number = 0; number < headers.length * 8; number += options.headerStep) {
    await flip(headers[number >> 3]!, number & 7)
  }
  const bodies = bodyPlaces(made)
  for (let i = 0; i < options.bodyBits; i++) {
    await flip(bodies[Math.floor(chance() * bodies.length)]!, Math.floor(chance() * 8))
  }
  return { counts, problems }
}

function valueOf(offset: number): string {
  return `record ${offset} `.padEnd(40 + ((offset * 97) % 900), String.fromCharCode(97 + offset))
}

/** Several segments, two snapshots, and records that are in the journal alone. */
async function folder(): Promise<SimDisk> {
  const { engine, disk } = await openTestEngine({ journalSizes })
  await newTopic(engine, { 'segment.bytes': '4000' })
  for (let offset = 0; offset < records; offset++) {
    if (offset === checkpointAt / 2 || offset === checkpointAt) await engine.checkpoint()
    await append(engine, valueOf(offset))
  }
  const made = disk.clone()
  await engine.close()
  return made
}

/** Where the frames behind the newest snapshot begin, in order. */
function framesOf(
  disk: SimDisk,
): { readonly path: string; readonly at: number; readonly offset: number }[] {
  const frames: { path: string; at: number; offset: number }[] = []
  for (let offset = 0; offset < records; offset++) {
    for (const path of pathsOf(disk, /^journal\//)) {
      const at = disk.bytesOf(path).indexOf(valueOf(offset))
      if (at >= 0) frames.push({ path, at: Math.floor(at / blockBytes) * blockBytes, offset })
    }
  }
  return frames
}

function pathsOf(disk: SimDisk, pattern: RegExp): string[] {
  return [...disk.files().keys()].filter((path) => pattern.test(path)).sort()
}

function span(path: string, from: number, to: number, what: string): Place[] {
  return Array.from({ length: to - from }, (_, i) => ({ path, at: from + i, what }))
}

function headerPlaces(disk: SimDisk): Place[] {
  const places: Place[] = []
  for (const path of pathsOf(disk, /^journal\//)) {
    for (const at of [0, 2048]) places.push(...span(path, at, at + 28, 'journal header'))
  }
  for (const { path, at } of framesOf(disk)) {
    places.push(...span(path, at, at + frameHeadBytes, 'frame header'))
  }
  for (const path of pathsOf(disk, /\.snapshot$/)) {
    places.push(...span(path, 0, 40, 'snapshot header'))
  }
  for (const path of pathsOf(disk, /\.log$/)) {
    const bytes = disk.bytesOf(path)
    for (let at = 0; at < bytes.length; at += 12 + bytes.readInt32BE(at + 8)) {
      places.push(...span(path, at, at + batchHeaderBytes, 'batch header'))
    }
  }
  for (const path of pathsOf(disk, /index$/)) {
    places.push(...span(path, 0, disk.bytesOf(path).length, 'index'))
  }
  return places
}

function bodyPlaces(disk: SimDisk): Place[] {
  const places: Place[] = []
  for (const { path, at } of framesOf(disk)) {
    const length = disk.bytesOf(path).readUInt32BE(at)
    places.push(...span(path, at + frameHeadBytes, at + length, 'frame body'))
  }
  for (const path of pathsOf(disk, /\.snapshot$/)) {
    places.push(...span(path, 40, disk.bytesOf(path).length, 'snapshot body'))
  }
  for (const path of pathsOf(disk, /\.log$/)) {
    const bytes = disk.bytesOf(path)
    for (let at = 0; at < bytes.length;) {
      const end = at + 12 + bytes.readInt32BE(at + 8)
      places.push(...span(path, at + batchHeaderBytes, end, 'batch body'))
      at = end
    }
  }
  return places
}

interface Outcome {
  readonly kind: 'healed' | 'batch named' | 'read-only up to it' | 'taken for torn' | 'SILENT'
  readonly problem?: string
}

async function judge(made: SimDisk, { path, at }: Place, bit: number): Promise<Outcome> {
  const disk = made.clone()
  disk.damage(path, at, Uint8Array.of(made.bytesOf(path)[at]! ^ (1 << bit)))
  const silent = (problem: string): Outcome => ({ kind: 'SILENT', problem })
  let engine: EmbeddedEngine
  try {
    engine = (await openTestEngine({ disk, journalSizes, hotTailBytes: 0 })).engine
  } catch (error) {
    return silent(`the start was refused: ${String(error)}`)
  }
  try {
    const [latest] = await engine.log.offsets([{ tp, at: 'latest' }], call)
    const end = latest!.offset
    const named: number[] = []
    for (let offset = 0; offset < end; offset++) {
      const request = { tp, from: offset, bytesMax: 1 }
      const [slice] = await engine.log.fetch([request], { ...call, bytesMax: 1 })
      if (slice!.error !== undefined) {
        if (slice!.error.code !== 'CORRUPT_BATCH') return silent(slice!.error.message)
        named.push(offset)
        continue
      }
      const record = readRecords(slice!.batches[0]!)[0]!
      const value = Buffer.from(record.value!).toString()
      if (record.offset !== offset || value !== valueOf(offset)) return silent(`offset ${offset}`)
    }
    return verdict(engine, { made, path, at, end, named })
  } catch (error) {
    return silent(error instanceof GatewayError ? error.message : String(error))
  } finally {
    await engine.close()
  }
}

function verdict(
  engine: EmbeddedEngine,
  found: {
    readonly made: SimDisk
    readonly path: string
    readonly at: number
    readonly end: number
    readonly named: readonly number[]
  },
): Outcome {
  const { made, path, at, end, named } = found
  const isReadOnly = engine.health().reason?.startsWith('The journal') === true
  if (end === records && named.length === 0 && !isReadOnly) return { kind: 'healed' }
  if (end === records && !isReadOnly) {
    const isOne = named.length === 1 && path.startsWith('logs/') && path.endsWith('.log')
    if (isOne) return { kind: 'batch named' }
    return { kind: 'SILENT', problem: `offsets ${named.join(', ')} cannot be read` }
  }
  const frames = framesOf(made).filter(({ offset }) => offset >= checkpointAt)
  const hit = frames.find(
    (frame) => frame.path === path && frame.at === Math.floor(at / blockBytes) * blockBytes,
  )
  if (hit !== undefined && named.length === 0 && hit.offset === end) {
    if (isReadOnly) return { kind: 'read-only up to it' }
    if (end === records - 1) return { kind: 'taken for torn' }
  }
  return { kind: 'SILENT', problem: `the log ends at ${end} of ${records}` }
}
