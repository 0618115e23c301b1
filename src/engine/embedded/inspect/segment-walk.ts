/**
 * What stands in a segment file, front to back: whole batches and the damage between them. It goes by
 * the rules of reading, so what is good here can be read and what is damage here cannot. Memory is
 * that of one batch, whatever the size of the file.
 */
import type { Offset } from '../../../model/offset.ts'
import {
  baseOffsetOf,
  batchBytesOf,
  batchHeaderBytes,
  lastOffsetOf,
} from '../../../model/record-batch.ts'
import type { DiskFile } from '../disk/disk.ts'
import { goodBatchBehind, headProblem, SegmentScan } from '../log/segment-scan.ts'

const readBytes = 256 * 1024

export interface WholeBatch {
  readonly kind: 'batch'
  readonly position: number
  /** Valid until the next step of the walk. */
  readonly batch: Uint8Array
  /** The offset behind it. */
  readonly end: Offset
}

export interface DamagedPart {
  readonly kind: 'damage'
  readonly position: number
  /** Where the next whole batch begins, or the end of what was looked at. */
  readonly end: number
  /** Completes "The batch at byte n …". */
  readonly problem: string
  /** The first offset that cannot be read … */
  readonly from: Offset
  /** … and the first behind it that can; undefined when nothing whole follows in this file. */
  readonly next: Offset | undefined
  /** The header as it stands there; shorter than a header where the file ends. */
  readonly head: Uint8Array
}

export interface WalkRange {
  /** Bytes of the file that count. */
  readonly bytes: number
  /** Offset of the first batch. */
  readonly base: Offset
  /** Where the next segment begins; Infinity in the last one. */
  readonly baseEnd: Offset
  /** Offsets may be missing between batches, as compaction leaves them. */
  readonly mayHaveGaps?: boolean
}

export async function* walkSegment(
  file: DiskFile,
  { bytes, base, baseEnd, mayHaveGaps = false }: WalkRange,
): AsyncGenerator<WholeBatch | DamagedPart> {
  const scan = new SegmentScan(file, 0, bytes, readBytes)
  let next = base
  while (scan.position < bytes) {
    const position = scan.position
    const size = await scan.claimedBytes()
    const head = Uint8Array.from((await scan.peek(batchHeaderBytes)).subarray(0, batchHeaderBytes))
    const expected = mayHaveGaps ? await orderlyBase(scan, head, next) : next
    const problem = await scan.problem({ base: expected })
    if (problem === undefined) {
      const batch = await scan.peek(size)
      next = lastOffsetOf(batch) + 1
      yield { kind: 'batch', position, batch, end: next }
      scan.skip(size)
      continue
    }
    const behind = await goodBatchBehind(file, position, {
      bytes,
      baseMin: next + 1,
      baseEnd,
      claimedEnd: position + size,
      hints: [],
    })
    const end = behind?.position ?? bytes
    yield { kind: 'damage', position, end, problem, from: next, next: behind?.base, head }
    if (behind === undefined) return
    next = behind.base
    scan.position = behind.position
  }
}

/**
 * Where gaps are legal, a base above the expected one belongs here if the batch behind keeps the order
 * too: a flipped bit that leads upwards stands above everything that follows.
 */
async function orderlyBase(scan: SegmentScan, head: Uint8Array, next: Offset): Promise<Offset> {
  const isPlausible = headProblem(head, Infinity) === undefined && baseOffsetOf(head) > next
  if (!isPlausible) return next
  const size = batchBytesOf(head)
  const following = (await scan.peek(size + batchHeaderBytes)).subarray(size)
  const isOrderly =
    headProblem(following, Infinity) !== undefined || baseOffsetOf(following) > lastOffsetOf(head)
  return isOrderly ? baseOffsetOf(head) : next
}
