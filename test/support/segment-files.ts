/** Verbs of tests that watch segments come and go: topic `t`, real engine, simulated disk. */
import type { EmbeddedEngine } from '../../src/engine/embedded/embedded-engine.ts'
import { readRecords } from '../../src/model/batch-reader.ts'
import type { ManualClock } from './manual-clock.ts'
import { batchOf, call, fetch, tp } from './one-partition.ts'
import type { SimDisk } from './sim-disk.ts'

/** Small, because every start fills them. */
export const journalSizes = { firstFileBytes: 65_536, fileBytes: 65_536 }
export const everyBatchASegment = { 'segment.bytes': '14' }

/** Files of the partition, without its metadata. */
export function segmentFiles(disk: SimDisk, partition = 0): string[] {
  const folder = `logs/t-${partition}/`
  return [...disk.files().keys()]
    .filter((path) => path.startsWith(folder) && !path.endsWith('partition.metadata'))
    .map((path) => path.slice(folder.length))
}

/** Bases of the segments whose log is there under this ending. */
export function bases(disk: SimDisk, ending = '.log', partition = 0): number[] {
  return segmentFiles(disk, partition)
    .filter((name) => name.endsWith(ending))
    .map((name) => parseInt(name, 10))
}

/** One batch with one record of this time; resolves to its offset. */
export async function appendAt(
  engine: EmbeddedEngine,
  timestamp: number,
  value = '',
  partition = 0,
): Promise<number> {
  const batch = batchOf(value, timestamp)
  const [result] = await engine.log.append(
    [{ tp: { ...tp, partition }, batch, trusted: true }],
    call,
  )
  if (result!.error !== undefined) throw result!.error
  return result!.offsets!.base
}

/** Values of everything from `from` on: a fetch alone ends with its segment. */
export async function allValues(engine: EmbeddedEngine, from: number): Promise<string[]> {
  const found: string[] = []
  for (let at = from; ;) {
    const { batches, next, error } = await fetch(engine, at)
    if (error !== undefined) throw error
    if (batches.length === 0) return found
    for (const batch of batches) {
      for (const { value } of readRecords(batch)) found.push(Buffer.from(value!).toString())
    }
    at = next
  }
}

export async function logStart(engine: EmbeddedEngine): Promise<number> {
  const [answer] = await engine.log.offsets([{ tp, at: 'earliest' }], call)
  return answer!.offset
}

/** Both kept snapshots stand behind everything there is. */
export async function coverAll(engine: EmbeddedEngine): Promise<void> {
  await engine.checkpoint()
  await engine.checkpoint()
}

/** Lets time pass in steps of at most a second, each with turns enough for the work it starts. */
export async function pass(clock: ManualClock, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 1000) {
    clock.advance(Math.min(left, 1000))
    for (let turns = 0; turns < 40; turns++) await new Promise((resolve) => setImmediate(resolve))
  }
}
