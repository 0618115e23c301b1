/**
 * Both indexes of a segment made again from its batches, by the rule of `Segment.plan`. Batches that are
 * damaged get no entries.
 */
import { baseOffsetOf, lastOffsetOf, maxTimestampOf } from '../../../model/record-batch.ts'
import type { Offset } from '../../../model/offset.ts'
import type { Disk } from '../disk/disk.ts'
import { folderOf } from '../disk/disk.ts'
import { OffsetIndex } from '../log/offset-index.ts'
import type { SegmentPosition } from '../log/segment.ts'
import { TimeIndex } from '../log/time-index.ts'
import { walkSegment } from './segment-walk.ts'

/** Kafka's `index.interval.bytes`. */
const indexIntervalBytes = 4096

/** Where a segment stands, as a checkpoint would say, with the offset behind its last batch. */
export interface RebuiltPosition {
  readonly end: Offset
  readonly segment: SegmentPosition
}

/** `path` is that of the segment without an ending. Durable when it resolves. */
export async function rebuildIndexes(
  disk: Disk,
  path: string,
  range: { readonly base: Offset; readonly baseEnd: Offset; readonly bytesMax: number | undefined },
): Promise<RebuiltPosition> {
  const index = new OffsetIndex(`${path}.index`)
  const time = new TimeIndex(`${path}.timeindex`)
  const { base, baseEnd } = range
  let [since, firstTimestamp, maxTimestamp, maxTimestampOffset] = [0, -1, -1, -1]
  let end = base
  const note = (): void => {
    if (maxTimestampOffset >= 0) time.add(maxTimestamp, maxTimestampOffset - base)
  }
  const file = await disk.open(`${path}.log`)
  let bytes: number
  try {
    bytes = Math.min(await file.size(), range.bytesMax ?? Infinity)
    for await (const part of walkSegment(file, { bytes, base, baseEnd })) {
      if (part.kind === 'damage') continue
      const { batch, position } = part
      const last = lastOffsetOf(batch)
      if (position === 0 && baseOffsetOf(batch) === base) firstTimestamp = maxTimestampOf(batch)
      if (maxTimestampOf(batch) > maxTimestamp) {
        maxTimestamp = maxTimestampOf(batch)
        maxTimestampOffset = last
      }
      if (since > indexIntervalBytes) {
        index.add(last - base, position)
        note()
        since = 0
      }
      since += batch.length
      end = part.end
    }
  } finally {
    await file.close()
  }
  note()
  await index.sync(disk)
  await time.sync(disk)
  await disk.syncDirectory(folderOf(path))
  return {
    end,
    segment: {
      bytes,
      firstTimestamp,
      maxTimestamp,
      maxTimestampOffset,
      bytesSinceEntry: since,
      indexEntries: index.entries,
      timeEntries: time.entries,
    },
  }
}
