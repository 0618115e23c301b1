/** What a start does with compacted segments whose swap a crash cut short (`segment-swap.ts`). */
import type { Offset } from '../../../model/offset.ts'
import type { Disk } from '../disk/disk.ts'
import { cleanedSuffix, segmentName, swapName, swapSuffix } from './segment.ts'

/** A log under a `.swap` name: it is whole, and what else lies in [base, end) is old. */
export interface UnfinishedSwap {
  readonly base: Offset
  readonly end: Offset
}

export function unfinishedSwaps(names: readonly string[]): UnfinishedSwap[] {
  return names.flatMap((name) => {
    const match = /^(\d{20})-(\d{20})\.log\.swap$/.exec(name)
    return match === null ? [] : [{ base: Number(match[1]), end: Number(match[2]) }]
  })
}

/** Drops what was not complete and finishes the swaps. Indexes of unfinished names are made again. */
export async function finishSwaps(
  disk: Disk,
  folder: string,
  names: readonly string[],
): Promise<void> {
  for (const name of names) {
    const isLeftover = name.endsWith(cleanedSuffix) || /index\.swap$/.test(name)
    if (isLeftover) await disk.remove(`${folder}/${name}`)
  }
  const swaps = unfinishedSwaps(names)
  if (swaps.length === 0) return
  // After a killed process the new name may stand in memory alone: it must be safe before the old go.
  await disk.syncDirectory(folder)
  for (const { base, end } of swaps) {
    for (const name of names) {
      const match = /^(\d{20})\.(?:log|index|timeindex)$/.exec(name)
      const isOld = match !== null && Number(match[1]) >= base && Number(match[1]) < end
      if (isOld) await disk.remove(`${folder}/${name}`)
    }
    await disk.syncDirectory(folder)
    const log = `${folder}/${swapName(base, end)}.log${swapSuffix}`
    await disk.rename(log, `${folder}/${segmentName(base)}.log`)
  }
  await disk.syncDirectory(folder)
}
