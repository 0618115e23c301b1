/** A data folder on a simulated disk with several segments a partition, to be damaged and looked at. */
import type { Disk } from '../../src/engine/embedded/disk/disk.ts'
import { readOnlyDisk } from '../../src/engine/embedded/disk/read-only-disk.ts'
import type { EmbeddedEngine } from '../../src/engine/embedded/embedded-engine.ts'
import type { Examination } from '../../src/engine/embedded/inspect/examination.ts'
import { examine } from '../../src/engine/embedded/inspect/examination.ts'
import type { Finding } from '../../src/engine/embedded/inspect/finding.ts'
import { systemClock } from '../../src/kit/clock.ts'
import { silentLogger } from '../../src/kit/logger.ts'
import { readRecords } from '../../src/model/batch-reader.ts'
import { writeBatch } from '../../src/model/batch-writer.ts'
import { openTestEngine } from './engine.ts'
import { SimDisk } from './sim-disk.ts'

const call = { timeoutMs: 10_000 }
export const inspectTools = { clock: systemClock, logger: silentLogger }
const startMs = 1_700_000_000_000
/** Small, so that its zeros are no work. */
const fileBytes = 1024 * 1024
const journalSizes = { firstFileBytes: fileBytes, fileBytes }

export const valueOf = (partition: number, offset: number): string =>
  `${partition}/${offset} ${'.'.repeat(700)}`

export function openFolder(disk: SimDisk) {
  return openTestEngine({ disk, journalSizes })
}

/** One record a batch; `count` more in each of the two partitions of topic `t`. */
export async function fill(engine: EmbeddedEngine, count: number): Promise<void> {
  for (const partition of [0, 1]) {
    const tp = { topic: 't', partition }
    const [end] = await engine.log.offsets([{ tp, at: 'latest' }], call)
    for (let offset = end!.offset; offset < end!.offset + count; offset++) {
      const value = Buffer.from(valueOf(partition, offset))
      const record = { key: null, value, headers: [], timestamp: startMs + offset }
      const batch = writeBatch([record], startMs)
      const [result] = await engine.log.append([{ tp, batch }], call)
      if (result?.error !== undefined) throw result.error
    }
  }
}

/** Sealed segments, a written one, indexes, two snapshots, and frames that only the journal has. */
export async function filledFolder(): Promise<SimDisk> {
  const disk = new SimDisk()
  const { engine, close } = await openFolder(disk)
  const config = { 'segment.bytes': '8192' }
  await engine.topics.create([{ name: 't', partitions: 2, config }], call)
  await fill(engine, 25)
  await engine.checkpoint()
  await fill(engine, 3)
  await engine.checkpoint()
  await fill(engine, 3)
  const image = disk.clone()
  await close()
  return image
}

export async function look(disk: Disk): Promise<{ found: Examination; findings: Finding[] }> {
  const findings: Finding[] = []
  const found = await examine(readOnlyDisk(disk), inspectTools, (one) => findings.push(one))
  return { found, findings }
}

/** Every offset that can be read, and the ranges for which reads answered CORRUPT_BATCH. */
export async function readAll(engine: EmbeddedEngine, partition: number) {
  const tp = { topic: 't', partition }
  const [end] = await engine.log.offsets([{ tp, at: 'latest' }], call)
  const values = new Map<number, string>()
  const corrupt: (readonly [from: number, next: number])[] = []
  for (let from = 0; from < end!.offset;) {
    const options = { ...call, bytesMax: 100_000 }
    const [slice] = await engine.log.fetch([{ tp, from, bytesMax: 100_000 }], options)
    for (const { offset, value } of slice!.batches.flatMap((batch) => readRecords(batch))) {
      if (offset >= from) values.set(offset, Buffer.from(value!).toString())
    }
    if (slice!.error?.code === 'CORRUPT_BATCH') corrupt.push([from, slice!.next])
    else if (slice!.error !== undefined) throw slice!.error
    from = slice!.next
  }
  return { values, corrupt, end: end!.offset }
}
