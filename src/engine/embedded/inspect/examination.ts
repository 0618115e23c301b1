/**
 * Everything in a data folder held against everything else. It changes nothing, and what it calls sound
 * can be read: whatever a read would answer CORRUPT_BATCH for is a finding here.
 */
import type { Disk } from '../disk/disk.ts'
import { topicIdOf, metadataName } from '../log/partition-folders.ts'
import { readWhole } from '../disk/disk.ts'
import type { Finding, Report } from './finding.ts'
import { advices } from './finding.ts'
import type { FolderState, InspectTools, KnownPartition } from './folder-state.ts'
import { readFolderState } from './folder-state.ts'
import type { PartitionVerdict } from './partition-check.ts'
import { checkPartition } from './partition-check.ts'
import { folderOfPartition } from './partition-files.ts'

export interface Examined {
  readonly known: KnownPartition
  readonly verdict: PartitionVerdict
}

export interface Examination {
  readonly isSound: boolean
  readonly partitions: readonly Examined[]
  readonly segments: number
  readonly batches: number
  readonly damage: number
  readonly notes: number
}

export async function examine(
  disk: Disk,
  tools: InspectTools,
  report: Report,
): Promise<Examination> {
  const counts = { damage: 0, note: 0 }
  const say = (finding: Finding): void => {
    counts[finding.severity]++
    report(finding)
  }
  const state = await readFolderState(disk, tools, say)
  try {
    const partitions: Examined[] = []
    for (const known of state.partitions ?? []) {
      partitions.push({ known, verdict: await checkPartition(disk, known, say) })
    }
    await checkOtherFolders(disk, state, say)
    const sum = (of: (verdict: PartitionVerdict) => number): number =>
      partitions.reduce((total, { verdict }) => total + of(verdict), 0)
    return {
      isSound: counts.damage === 0,
      partitions,
      segments: sum(({ segments }) => segments),
      batches: sum(({ batches }) => batches),
      damage: counts.damage,
      notes: counts.note,
    }
  } finally {
    await state.close()
  }
}

/** Folders in `logs/` that no topic explains. */
async function checkOtherFolders(disk: Disk, state: FolderState, report: Report): Promise<void> {
  if (state.partitions === undefined) return
  const known = new Set(state.partitions.map(folderOfPartition))
  const ids = new Set(state.partitions.map(({ topicId }) => topicId))
  for (const name of await disk.list('logs')) {
    const file = `logs/${name}`
    if (known.has(file)) continue
    const id = topicIdOf(await readWhole(disk, `${file}/${metadataName}`).catch(() => undefined))
    const isDoomed = name.endsWith('-delete') || (id !== undefined && !ids.has(id))
    report({
      severity: 'note',
      file,
      what: isDoomed
        ? 'The folder belongs to a topic that was deleted; the next start removes it.'
        : 'No topic explains this folder; the engine leaves it alone.',
      advice: isDoomed ? advices.nothing : 'Move it away if you know what it is.',
    })
  }
}
