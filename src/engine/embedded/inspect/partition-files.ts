/** The segments of one partition as a start would find them, by the rules of `PartitionLog.restore`. */
import type { Offset } from '../../../model/offset.ts'
import type { Disk } from '../disk/disk.ts'
import { unfinishedSwaps } from '../log/segment-swap-recovery.ts'
import { segmentName, swapName } from '../log/segment.ts'
import type { KnownPartition } from './folder-state.ts'

export interface SegmentFile {
  readonly base: Offset
  /** Where the next one begins; Infinity for the last. */
  readonly baseEnd: Offset
  readonly log: string
  /** Paths of the indexes; undefined for a compacted segment on its way, whose indexes are made again. */
  readonly path: string | undefined
  /** Recovery position of the segment that is written; undefined for sealed ones. */
  readonly bytesMax: number | undefined
}

export function folderOfPartition({
  topic,
  partition,
}: {
  readonly topic: string
  readonly partition: number
}): string {
  return `logs/${topic}-${partition}`
}

/** In order. Without a known position every file counts whole. */
export async function segmentsOf(
  disk: Disk,
  folder: string,
  known: KnownPartition | undefined,
): Promise<SegmentFile[]> {
  const names = await disk.list(folder)
  const swaps = unfinishedSwaps(names)
  const position = known?.position
  const isEmpty = position === undefined || position.segment.bytes === 0
  const lastBase = known === undefined ? Infinity : (position?.segmentBase ?? 0) - (isEmpty ? 1 : 0)
  const found = names
    .filter((name) => /^\d{20}\.log$/.test(name))
    .map((name) => Number(name.slice(0, 20)))
    .filter((base) => base <= lastBase && !swaps.some((one) => one.base <= base && base < one.end))
    .map((base) => ({ base, log: `${folder}/${segmentName(base)}.log`, isSwap: false }))
  const swapped = swaps.map(({ base, end }) => ({
    base,
    log: `${folder}/${swapName(base, end)}.log.swap`,
    isSwap: true,
  }))
  const all = [...found, ...swapped].sort((left, right) => left.base - right.base)
  return all.map(({ base, log, isSwap }, i) => ({
    base,
    log,
    baseEnd: all[i + 1]?.base ?? Infinity,
    path: isSwap ? undefined : `${folder}/${segmentName(base)}`,
    bytesMax: !isEmpty && base === position.segmentBase ? position.segment.bytes : undefined,
  }))
}
