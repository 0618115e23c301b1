/**
 * Puts a compacted segment in the place of old ones, so that a crash at any moment leaves either. `end`
 * is where the next segment begins; it stands in the name, because it says what is replaced.
 *
 *   1. `<base>.*.cleaned`      complete and synced. A start drops them.
 *   2. `<base>-<end>.*.swap`   the log last; folder synced. From here on a start finishes the work.
 *   3. readers move over; the old segments become `*.deleted`; folder synced.
 *   4. `<base>.*`              the log last; folder synced.
 *
 * Without the sync of 3 an old segment could come back beside the new one; a rename over an old file
 * would destroy it too early.
 */
import type { Offset } from '../../../model/offset.ts'
import type { Disk } from '../disk/disk.ts'
import { isPassing } from '../disk/disk.ts'
import type { FileHold } from './file-hold.ts'
import type { PartitionLog } from './partition-log.ts'
import type { SegmentRemoval } from './segment-removal.ts'
import type { Segment } from './segment.ts'
import { segmentName, swapName, swapSuffix } from './segment.ts'

export interface SwapParts {
  readonly disk: Disk
  readonly hold: FileHold
  readonly removal: SegmentRemoval
}

export interface Swap {
  /** Neighbours in the partition. */
  readonly old: readonly Segment[]
  /** Complete and synced, under `.cleaned` names. */
  readonly fresh: Segment
  readonly end: Offset
}

/** False when the old segments are not all in the partition any more: then nothing was changed. */
export async function swapSegments(
  parts: SwapParts,
  log: PartitionLog,
  swap: Swap,
): Promise<boolean> {
  let isDone = false
  await log.rearrange(async () => {
    const renamed = await parts.hold.whileFree(async () => {
      if (log.isDropped || !swap.old.every((segment) => log.segments.includes(segment))) return []
      // Its file stays open and its indexes in memory, so readers do not mind its names meanwhile.
      const unpin = await swap.fresh.pin()
      try {
        await announce(parts, log, swap)
        log.replace(swap.old, [swap.fresh])
        isDone = true
        return await settle(parts, log, swap)
      } finally {
        unpin()
      }
    })
    parts.removal.unlinkLater(log, renamed)
  })
  return isDone
}

/** Step 2: from now on a start finishes the work. */
async function announce({ disk }: SwapParts, log: PartitionLog, swap: Swap): Promise<void> {
  const { fresh, end } = swap
  await fresh.moveTo(swapName(fresh.base, end), swapSuffix)
  await disk.syncDirectory(log.folder)
}

/** Steps 3 and 4. Resolves to the names under which the old files wait for their end. */
async function settle(
  { disk, removal }: SwapParts,
  log: PartitionLog,
  { old, fresh }: Swap,
): Promise<readonly string[]> {
  for (const segment of old) await segment.retire()
  const renamed = await removal.renameAll(log, old)
  // A deleted topic's folder goes whole.
  if (log.isDropped) return []
  try {
    await fresh.moveTo(segmentName(fresh.base), '')
    await disk.syncDirectory(log.folder)
  } catch (error) {
    // A folder without room for a name: the segment is read under the one it has, and the next
    // start gives it its own.
    if (!isPassing(error)) throw error
  }
  return renamed
}
