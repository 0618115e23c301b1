/**
 * The files of one partition after a crash. What a recovery position covers stays, whatever it looks like;
 * what is beyond it goes, because the journal has it.
 */
import type { Offset } from '../../../model/offset.ts'
import type { Disk } from '../disk/disk.ts'
import { copyFile, makeDurableDirectory } from '../disk/disk.ts'
import type { PartitionPosition } from './recovery-position.ts'
import { activeBaseAt } from './recovery-position.ts'
import { finishSwaps } from './segment-swap-recovery.ts'
import { cleanedSuffix, deletedSuffix, segmentName, swapSuffix } from './segment.ts'

/** What is in the folder once swaps of compacted segments are finished or dropped. */
export async function settledNames(disk: Disk, folder: string): Promise<ReadonlySet<string>> {
  const names = await disk.list(folder)
  const isUnfinished = (name: string) => name.endsWith(cleanedSuffix) || name.endsWith(swapSuffix)
  if (!names.some(isUnfinished)) return new Set(names)
  await finishSwaps(disk, folder, names)
  return new Set(await disk.list(folder))
}

export interface Found {
  readonly names: ReadonlySet<string>
  readonly position: PartitionPosition | undefined
  /** Whether everything before this offset is gone for good. */
  readonly isGone: (end: Offset) => boolean
}

/** Removes what is beyond the position; resolves to the bases of the segments that stay, rising. */
export async function removeBeyond(
  disk: Disk,
  folder: string,
  { names, position, isGone }: Found,
): Promise<{ readonly bases: Offset[]; readonly hasCut: boolean }> {
  const activeBase = activeBaseAt(position)
  const all = new Set<Offset>()
  for (const name of names) if (/^\d{20}\.log$/.test(name)) all.add(parseInt(name, 10))
  const bases = [...all].filter((base) => base <= activeBase).sort((a, b) => a - b)
  let hasCut = false
  for (const name of names) {
    const match = /^(\d{20})\.(log|index|timeindex)$/.exec(name)
    const base = Number(match?.[1])
    const isBeyond = base > activeBase
    // The removal of a segment was cut short, and its log alone is gone for good.
    const isOrphan = !all.has(base) && isGone(bases.find((next) => next > base) ?? Infinity)
    // Of a file that was being replaced, or removed.
    const isLeftover = name.endsWith('.tmp') || name.endsWith(deletedSuffix)
    if (!isBeyond && !isOrphan && !isLeftover) continue
    await disk.remove(`${folder}/${name}`)
    hasCut ||= isBeyond
  }
  return { bases, hasCut }
}

/** Copies into `target` what `removeBeyond`, and the cut of the last segment, would take away. */
export async function copyBeyond(
  disk: Disk,
  folder: string,
  position: PartitionPosition | undefined,
  target: string,
): Promise<void> {
  const activeBase = activeBaseAt(position)
  const copy = async (name: string, to: string, from: number): Promise<void> => {
    await makeDurableDirectory(disk, target)
    await copyFile(disk, `${folder}/${name}`, `${target}/${to}`, from)
  }
  for (const name of await disk.list(folder)) {
    const match = /^(\d{20})\.log$/.exec(name)
    const base = match === null ? -1 : Number(match[1])
    if (base > activeBase) await copy(name, name, 0)
    else if (base === activeBase && position !== undefined) {
      const from = position.segment.bytes
      const file = await disk.open(`${folder}/${name}`)
      const isLonger = (await file.size().finally(() => file.close())) > from
      if (isLonger) await copy(name, `${segmentName(position.nextOffset)}.log`, from)
    }
  }
  if (await disk.exists(target)) await disk.syncDirectory(target)
}
