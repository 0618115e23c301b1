/**
 * How far a checkpoint reaches in the files of a partition. Encoded in a snapshot, per partition: ref u32 · segmentPos u32 · indexEntries u32 · timeEntries u32 · nextOffset i64 ·
 * segmentBase i64 · firstTimestamp i64 · maxTimestamp i64 · maxTimestampOffset i64 ·
 * bytesSinceEntry u32 · isShort u32, 0 or 1.
 */
import type { Offset } from '../../../model/offset.ts'
import { readInt64, readUint32, writeInt32, writeInt64 } from '../../../model/offset.ts'
import type { SegmentPosition } from './segment.ts'

export interface PartitionPosition {
  readonly nextOffset: Offset
  readonly segmentBase: Offset
  readonly segment: SegmentPosition
  /** A start found its files shorter than a checkpoint had left them; true until an operator mends it. */
  readonly isShort: boolean
}

export const emptyPosition: SegmentPosition = {
  bytes: 0,
  firstTimestamp: -1,
  maxTimestamp: -1,
  maxTimestampOffset: -1,
  bytesSinceEntry: 0,
  indexEntries: 0,
  timeEntries: 0,
}

/** The last segment that a position leaves in place; one below its base when that one is empty. */
export function activeBaseAt(position: PartitionPosition | undefined): Offset {
  if (position === undefined) return -1
  return position.segment.bytes === 0 ? position.segmentBase - 1 : position.segmentBase
}

const positionBytes = 64
const segmentBaseAt = 24

export function encodePositions(positions: ReadonlyMap<number, PartitionPosition>): Uint8Array {
  const bytes = Buffer.alloc(positions.size * positionBytes)
  let at = 0
  for (const [ref, position] of positions) {
    writePosition(bytes, at, ref, position)
    at += positionBytes
  }
  return bytes
}

/** The recovery positions of a snapshot, by the number of their partition. */
export function readPositions(section: Uint8Array): Map<number, PartitionPosition> {
  const positions = new Map<number, PartitionPosition>()
  for (let at = 0; at + positionBytes <= section.length; at += positionBytes) {
    positions.set(readUint32(section, at), readPosition(section, at))
  }
  return positions
}

/**
 * By the number of the partition, where its segment began. Read alone behind each checkpoint: whole
 * positions of 100,000 partitions take 35 ms.
 */
export function* segmentBases(section: Uint8Array): Generator<readonly [ref: number, Offset]> {
  for (let at = 0; at + positionBytes <= section.length; at += positionBytes) {
    yield [readUint32(section, at), readInt64(section, at + segmentBaseAt)]
  }
}

function writePosition(
  bytes: Uint8Array,
  at: number,
  ref: number,
  position: PartitionPosition,
): void {
  const { segment } = position
  writeInt32(bytes, at, ref)
  writeInt32(bytes, at + 4, segment.bytes)
  writeInt32(bytes, at + 8, segment.indexEntries)
  writeInt32(bytes, at + 12, segment.timeEntries)
  writeInt64(bytes, at + 16, position.nextOffset)
  writeInt64(bytes, at + segmentBaseAt, position.segmentBase)
  writeInt64(bytes, at + 32, segment.firstTimestamp)
  writeInt64(bytes, at + 40, segment.maxTimestamp)
  writeInt64(bytes, at + 48, segment.maxTimestampOffset)
  writeInt32(bytes, at + 56, segment.bytesSinceEntry)
  writeInt32(bytes, at + 60, position.isShort ? 1 : 0)
}

function readPosition(bytes: Uint8Array, at: number): PartitionPosition {
  return {
    nextOffset: readInt64(bytes, at + 16),
    segmentBase: readInt64(bytes, at + segmentBaseAt),
    segment: {
      bytes: readUint32(bytes, at + 4),
      indexEntries: readUint32(bytes, at + 8),
      timeEntries: readUint32(bytes, at + 12),
      firstTimestamp: readInt64(bytes, at + 32),
      maxTimestamp: readInt64(bytes, at + 40),
      maxTimestampOffset: readInt64(bytes, at + 48),
      bytesSinceEntry: readUint32(bytes, at + 56),
    },
    isShort: readUint32(bytes, at + 60) === 1,
  }
}
