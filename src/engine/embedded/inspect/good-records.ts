/**
 * What can be read of a partition, in offset order: the whole batches of its files, then those that only
 * the journal has. Damage is passed over and told.
 */
import { readRecords } from '../../../model/batch-reader.ts'
import { GatewayError } from '../../../model/errors.ts'
import type { Offset } from '../../../model/offset.ts'
import { lastOffsetOf } from '../../../model/record-batch.ts'
import type { StoredRecord } from '../../../model/record.ts'
import type { Disk } from '../disk/disk.ts'
import { replayFrames } from '../journal/recovery.ts'
import { entryKinds } from '../journal/state-machine.ts'
import type { FolderState, KnownPartition } from './folder-state.ts'
import { folderOfPartition, segmentsOf } from './partition-files.ts'
import { walkSegment } from './segment-walk.ts'

export interface ExportedPartition {
  readonly topic: string
  readonly partition: number
  /** Undefined where no snapshot could be read: then its files speak alone. */
  readonly known: KnownPartition | undefined
}

/** All partitions that the folder knows of; without a catalog, by the names of their folders. */
export async function exportable(disk: Disk, state: FolderState): Promise<ExportedPartition[]> {
  if (state.partitions !== undefined) {
    return state.partitions.map((known) => ({
      topic: known.topic,
      partition: known.partition,
      known,
    }))
  }
  const names = await disk.list('logs')
  return names.flatMap((name) => {
    const match = /^(.+)-(\d+)$/.exec(name)
    if (match === null) return []
    return [{ topic: match[1]!, partition: Number(match[2]), known: undefined }]
  })
}

/** Records from the log start on. `onLoss` is told in a sentence what is left out. */
export async function* goodRecords(
  disk: Disk,
  state: FolderState,
  exported: ExportedPartition,
  onLoss: (what: string) => void,
): AsyncGenerator<StoredRecord> {
  const { known } = exported
  let next: Offset = known?.logStart ?? 0
  for await (const batch of goodBatches(disk, state, exported, onLoss)) {
    const last = lastOffsetOf(batch)
    if (last < next) continue
    let records: StoredRecord[]
    try {
      records = readRecords(batch)
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error
      onLoss(error.message)
      continue
    }
    for (const record of records) if (record.offset >= next) yield record
    next = last + 1
  }
}

async function* goodBatches(
  disk: Disk,
  state: FolderState,
  { topic, partition, known }: ExportedPartition,
  onLoss: (what: string) => void,
): AsyncGenerator<Uint8Array> {
  const folder = folderOfPartition({ topic, partition })
  for (const segment of await segmentsOf(disk, folder, known)) {
    const file = await disk.open(segment.log)
    try {
      const bytes = Math.min(await file.size(), segment.bytesMax ?? Infinity)
      const { base, baseEnd } = segment
      for await (const part of walkSegment(file, { bytes, base, baseEnd })) {
        if (part.kind === 'batch') yield part.batch
        else {
          const to = part.next === undefined ? 'the end of the segment' : part.next - 1
          onLoss(`Offsets ${part.from} to ${to} cannot be read: the batch ${part.problem}.`)
        }
      }
    } finally {
      await file.close()
    }
  }
  if (known === undefined || state.chain === undefined) return
  for await (const frame of replayFrames(state.chain)) {
    for (const { kind, partitionRef, payload } of frame.entries) {
      if (kind === entryKinds.BATCH && partitionRef === known.ref) yield payload
    }
  }
}
