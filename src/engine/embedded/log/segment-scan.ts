/** Reading batches out of a segment file, believing nothing that was not checked. */
import { messageBytesMax } from '../../../model/limits.ts'
import type { Offset } from '../../../model/offset.ts'
import { readInt32 } from '../../../model/offset.ts'
import {
  baseOffsetOf,
  batchBytesOf,
  batchHeaderBytes,
  batchProblem,
  lastOffsetOf,
  maxTimestampOf,
} from '../../../model/record-batch.ts'
import type { DiskFile } from '../disk/disk.ts'

const magicAt = 16
const magic = 2
/** An index entry may stand this far in front of the batch that is wanted. */
const readAheadBytes = 8 * 1024
const windowBytesMin = 16 * 1024
const searchBytes = 64 * 1024
const scanBytes = 256 * 1024
/** What a disk refuses is a sector, so a search goes round it in pieces of this size. */
const sectorBytes = 512
/** Each refused read of a dying disk may take seconds: after so many a search gives up. */
const refusedReadsMax = 64

/** A window that moves over a file, so that many small batches cost one read. */
export class SegmentScan {
  readonly #file: DiskFile
  readonly #end: number
  readonly #readBytes: number
  #window: Uint8Array = new Uint8Array(0)
  #windowAt = 0
  position: number

  constructor(file: DiskFile, position: number, end: number, bytesMax: number) {
    this.#file = file
    this.position = position
    this.#end = end
    this.#readBytes = Math.max(bytesMax + readAheadBytes, windowBytesMin)
  }

  /** Whether the window already has the next `count` bytes. */
  holds(count: number): boolean {
    return this.position + count <= this.#windowAt + this.#window.length
  }

  /** The next `count` bytes; fewer at the end, and where the disk refuses to read them. */
  async peek(count: number): Promise<Uint8Array> {
    const left = this.#end - this.position
    const wanted = Math.min(count, left)
    if (!this.holds(wanted)) {
      const ahead = await this.#readHere(Math.min(Math.max(count, this.#readBytes), left))
      // A bad sector further on must not cost what stands before it.
      this.#window = ahead ?? (await this.#readHere(wanted)) ?? new Uint8Array(0)
      this.#windowAt = this.position
    }
    const from = this.position - this.#windowAt
    return this.#window.subarray(from, from + count)
  }

  async #readHere(size: number): Promise<Uint8Array | undefined> {
    const window = Buffer.allocUnsafeSlow(size)
    try {
      return window.subarray(0, await this.#file.read(window, this.position))
    } catch {
      return undefined
    }
  }

  skip(count: number): void {
    this.position += count
  }

  /** What the header here says about the size of its batch; a claim until it was checked. */
  async claimedBytes(): Promise<number> {
    const head = await this.peek(batchHeaderBytes)
    return head.length < batchHeaderBytes ? 0 : batchBytesOf(head)
  }

  /** What is wrong with the batch here: its header, its place in the row, its CRC; or undefined. */
  async problem(expected: Expected): Promise<string | undefined> {
    const head = await this.peek(batchHeaderBytes)
    const problem = headProblem(head, this.#end - this.position) ?? orderProblem(head, expected)
    if (problem !== undefined) return problem
    const size = batchBytesOf(head)
    const batch = await this.peek(size)
    return batch.length < size ? 'cannot be read' : batchProblem(batch)
  }
}

/** What is known of the next batch: the offset it begins with, or the one its index entry names. */
export type Expected =
  | { readonly base: Offset; readonly last?: undefined }
  | { readonly base?: undefined; readonly last: Offset }

/** The contiguity rule: the CRC does not cover the base offset. */
function orderProblem(head: Uint8Array, { base, last }: Expected): string | undefined {
  if (base !== undefined && baseOffsetOf(head) !== base) {
    return `has base offset ${baseOffsetOf(head)} where ${base} belongs`
  }
  if (last !== undefined && lastOffsetOf(head) !== last) {
    return `ends with offset ${lastOffsetOf(head)} where its index entry says ${last}`
  }
  return undefined
}

/** What forbids believing a batch header, before the batch itself was read. */
export function headProblem(head: Uint8Array, left: number): string | undefined {
  if (head.length < batchHeaderBytes) return 'is cut off or cannot be read'
  if (head[magicAt] !== magic) return `has magic ${head[magicAt]}, not ${magic}`
  const size = batchBytesOf(head)
  if (size < batchHeaderBytes || size > messageBytesMax) return `says it has ${size} bytes`
  if (size > left) return 'runs past the end of its segment'
  // Numbers that are not exact would make the reader throw instead of naming the damage.
  if (!isExact(head, 0) || head[0]! > 0x7f) return 'has a base offset out of range'
  if (!isExact(head, 27) || !isExact(head, 35)) return 'has a timestamp out of range'
  return undefined
}

/** Whether the 64 bits at `at` are a number that JS holds exactly, of either sign. */
function isExact(bytes: Uint8Array, at: number): boolean {
  const high = readInt32(bytes, at)
  return high >= -0x20_0000 && high < 0x20_0000
}

export interface WholeBatch {
  readonly position: number
  readonly bytes: number
  readonly lastOffset: Offset
  readonly maxTimestamp: number
}

/** All undamaged batches among the first `end` bytes of a segment, in order. */
export async function* wholeBatches(
  file: DiskFile,
  segmentBase: Offset,
  end: number,
): AsyncGenerator<WholeBatch> {
  const scan = new SegmentScan(file, 0, end, scanBytes)
  let baseMin = segmentBase
  while (scan.position < end) {
    const bytes = await scan.claimedBytes()
    const { position } = scan
    const head = await scan.peek(batchHeaderBytes)
    const isInOrder =
      headProblem(head, end - position) === undefined && baseOffsetOf(head) >= baseMin
    if (isInOrder && (await scan.problem({ base: baseOffsetOf(head) })) === undefined) {
      const batch = await scan.peek(bytes)
      const lastOffset = lastOffsetOf(batch)
      // The CRC does not cover the base offset: one that is too high would hide what follows.
      if (!(await isAbove(scan, position + bytes, end, lastOffset))) {
        scan.position = position + bytes
        continue
      }
      yield { position, bytes, lastOffset, maxTimestamp: maxTimestampOf(batch) }
      baseMin = lastOffset + 1
      scan.position = position + bytes
      continue
    }
    const behind = await goodBatchBehind(file, position, {
      bytes: end,
      baseMin,
      baseEnd: Infinity,
      claimedEnd: position + bytes,
      hints: [],
    })
    if (behind === undefined) return
    scan.position = behind.position
  }
}

/** Whether the batch at `position`, if one is there, begins above `offset`. */
async function isAbove(
  scan: SegmentScan,
  position: number,
  end: number,
  offset: Offset,
): Promise<boolean> {
  scan.position = position
  const head = await scan.peek(batchHeaderBytes)
  return headProblem(head, end - position) !== undefined || baseOffsetOf(head) > offset
}

export interface SearchRange {
  /** Written bytes of the segment. */
  readonly bytes: number
  /** The base offset must be at least this … */
  readonly baseMin: Offset
  /** … and below this. */
  readonly baseEnd: Offset
  /** Where the damaged batch says it ends. */
  readonly claimedEnd: number
  /** Positions of indexed batches, rising: the search goes from one to the next. */
  readonly hints: Iterable<number>
}

/** The next undamaged batch behind the damaged one at `position`, searched byte by byte if need be. */
export async function goodBatchBehind(
  file: DiskFile,
  position: number,
  range: SearchRange,
): Promise<{ position: number; base: Offset } | undefined> {
  const at = async (found: number | undefined) => {
    const base = found === undefined ? undefined : await goodBatchAt(file, found, range)
    return base === undefined ? undefined : { position: found!, base }
  }
  // Where only the body is damaged, the next batch stands where the damaged one says it ends.
  const claimed = range.claimedEnd > position ? await at(range.claimedEnd) : undefined
  if (claimed !== undefined) return claimed
  const search = { ...range, refusedReads: 0 }
  let searched = position + 1
  for (const hint of range.hints) {
    const found = await at(await searchBatch(file, searched, hint + 1, search))
    if (found !== undefined) return found
    searched = hint + 1
  }
  return at(await searchBatch(file, searched, range.bytes, search))
}

interface Search extends SearchRange {
  /** Counted over the whole search. */
  refusedReads: number
}

/** The first position in [from, to) where an undamaged batch starts. */
async function searchBatch(
  file: DiskFile,
  from: number,
  to: number,
  range: Search,
): Promise<number | undefined> {
  for (let windowAt = from; windowAt < to; windowAt += searchBytes) {
    if (range.refusedReads >= refusedReadsMax) return undefined
    const window = Buffer.alloc(Math.min(searchBytes + batchHeaderBytes, range.bytes - windowAt))
    await readAround(file, window, windowAt, range)
    const end = Math.min(searchBytes, to - windowAt, window.length - batchHeaderBytes + 1)
    for (let i = 0; i < end; i++) {
      // The magic and a zero in front of the offset rule out nearly every byte at once.
      if (window[i + magicAt] !== magic || window[i] !== 0) continue
      if ((await goodBatchAt(file, windowAt + i, range)) !== undefined) return windowAt + i
    }
  }
  return undefined
}

/** Reads what the disk gives; what it refuses stays zero. */
async function readAround(
  file: DiskFile,
  into: Uint8Array,
  position: number,
  search: Search,
): Promise<void> {
  try {
    await file.read(into, position)
    return
  } catch {
    into.fill(0)
  }
  let at = 0
  while (at < into.length && search.refusedReads < refusedReadsMax) {
    const end = Math.min(into.length, at + sectorBytes - ((position + at) % sectorBytes))
    const sector = Buffer.alloc(end - at)
    try {
      await file.read(sector, position + at)
      into.set(sector, at)
    } catch {
      search.refusedReads++
    }
    at = end
  }
}

/** The base offset of the whole and undamaged batch at `position`, if there is one. */
async function goodBatchAt(
  file: DiskFile,
  position: number,
  { bytes, baseMin, baseEnd }: SearchRange,
): Promise<Offset | undefined> {
  if (position + batchHeaderBytes > bytes) return undefined
  const head = Buffer.alloc(batchHeaderBytes)
  if (!(await isRead(file, head, position))) return undefined
  if (headProblem(head, bytes - position) !== undefined) return undefined
  const base = baseOffsetOf(head)
  if (base < baseMin || base >= baseEnd) return undefined
  const batch = Buffer.alloc(batchBytesOf(head))
  if (!(await isRead(file, batch, position))) return undefined
  return batchProblem(batch) === undefined ? base : undefined
}

async function isRead(file: DiskFile, into: Uint8Array, position: number): Promise<boolean> {
  try {
    return (await file.read(into, position)) === into.length
  } catch {
    return false
  }
}
