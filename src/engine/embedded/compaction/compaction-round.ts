/**
 * One round of compaction over one partition.
 *
 *   Pass 1 notes the last offset of each key: of what was written since the last round, or of the
 *   tombstones whose time has come. A full map ends the round earlier.
 *   Pass 2 goes through all segments from the first one on, writes what stays into `.cleaned` files
 *   and swaps them in, lower offsets first: so when a tombstone goes, older values of its key are
 *   gone from the disk already.
 *
 * A segment that cannot be read whole is left as it is, and no tombstone above it goes.
 */
import { compactionMapBytesMax } from '../../../model/limits.ts'
import type { Offset } from '../../../model/offset.ts'
import { deleteHorizonOf, lastOffsetOf } from '../../../model/record-batch.ts'
import { isPassing } from '../disk/disk.ts'
import type { PartitionLog } from '../log/partition-log.ts'
import { offsetsPerSegmentMax } from '../log/partition-log.ts'
import type { Segment, SegmentRead } from '../log/segment.ts'
import { CleanedSegment } from './cleaned-segment.ts'
import { compactedBatch, isDelete, tryOpen } from './compact-batch.ts'
import type { CompactionWork } from './compaction-work.ts'
import { KeyOffsets } from './key-offsets.ts'
import type { Pace } from './pace.ts'

/** Read at once: decoding more would hold up the event loop. */
const stepBytes = 256 * 1024
/** Tombstones above something that cannot be judged are looked at again after so long at the earliest. */
const opaqueWaitMsMin = 60_000

export interface RoundParts {
  readonly pace: Pace
  readonly logTimeMs: () => number
  /** Puts `fresh` in the place of `old`; false when they are not all there any more. */
  readonly swap: (
    log: PartitionLog,
    old: readonly Segment[],
    fresh: Segment,
    end: Offset,
  ) => Promise<boolean>
  /** For the memory of the map; a test makes it small. */
  readonly mapBytesMax?: number
}

export interface RoundReport {
  /** Everything below was compacted; undefined when the round was cut short. */
  readonly compactedEnd: Offset | undefined
  /** When the first tombstone that is left may go, ms of log time; Infinity without one. */
  readonly tombstonesDueMs: number
  readonly keys: number
  readonly bytesRead: number
  readonly bytesWritten: number
  readonly recordsRemoved: number
}

/** The partition was deleted, the engine closes, or retention took segments of the round. */
class RoundCut extends Error {}

interface Stretch {
  readonly segment: Segment
  readonly end: Offset
}

interface Knowledge {
  readonly keys: KeyOffsets
  readonly knownEnd: Offset
}

export async function compact(work: CompactionWork, parts: RoundParts): Promise<RoundReport> {
  const round = new Round(work, parts)
  return await round.run()
}

class Round {
  readonly #log: PartitionLog
  readonly #work: CompactionWork
  readonly #parts: RoundParts
  readonly #stretches: readonly Stretch[]
  #mayPurge = true
  #tombstonesDueMs = Infinity
  #keys = 0
  #bytesRead = 0
  #bytesWritten = 0
  #recordsRemoved = 0

  constructor(work: CompactionWork, parts: RoundParts) {
    this.#work = work
    this.#log = work.log
    this.#parts = parts
    const { segments, end } = work
    this.#stretches = segments.map((segment, i) => ({
      segment,
      end: segments[i + 1]?.base ?? end,
    }))
  }

  async run(): Promise<RoundReport> {
    let compactedEnd: Offset | undefined
    try {
      const knowledge = await this.#learn()
      this.#keys = knowledge.keys.size
      const count = this.#stretches.length
      for (let at = 0; at < count;) at = await this.#rewrite(at, count, knowledge)
      compactedEnd = Math.max(this.#log.compactedEnd, knowledge.knownEnd)
    } catch (error) {
      if (!(error instanceof RoundCut)) throw error
    }
    return {
      compactedEnd,
      tombstonesDueMs: this.#nextTombstoneMs(),
      keys: this.#keys,
      bytesRead: this.#bytesRead,
      bytesWritten: this.#bytesWritten,
      recordsRemoved: this.#recordsRemoved,
    }
  }

  /** What cannot be judged keeps due tombstones where they are: they are not looked at all the time. */
  #nextTombstoneMs(): number {
    if (this.#mayPurge) return this.#tombstonesDueMs
    const waitMs = Math.max(this.#work.settings.deleteRetentionMs, opaqueWaitMsMin)
    const againMs = this.#parts.logTimeMs() + waitMs
    return Math.max(this.#tombstonesDueMs, againMs)
  }

  /** Pass 1. */
  async #learn(): Promise<Knowledge> {
    const { kind, end } = this.#work
    const from = kind === 'dirty' ? this.#log.compactedEnd : 0
    const limit = this.#parts.mapBytesMax ?? compactionMapBytesMax
    const first = Math.max(from, this.#stretches[0]!.segment.base)
    const keys = new KeyOffsets(end - first, limit)
    const nowMs = this.#parts.logTimeMs()
    for (const stretch of this.#stretches) {
      if (stretch.end <= from) continue
      const full = await this.#learnFrom(stretch, from, keys, nowMs)
      if (full !== undefined) return { keys, knownEnd: full }
    }
    return { keys, knownEnd: end }
  }

  /** The offset of the first record whose key had no room; undefined when all had. */
  async #learnFrom(
    stretch: Stretch,
    from: Offset,
    keys: KeyOffsets,
    nowMs: number,
  ): Promise<Offset | undefined> {
    for await (const batch of this.#batches(stretch, from)) {
      // Damage ends what is known of this segment; pass 2 meets it too.
      if (batch === undefined) return undefined
      const isDue = nowMs >= (deleteHorizonOf(batch) ?? Infinity)
      if (this.#work.kind === 'tombstones' && !isDue) continue
      for (const record of tryOpen(batch)?.records ?? []) {
        const { key, offset } = record
        if (key === null || offset < from) continue
        if (this.#work.kind === 'tombstones' && !isDelete(record)) continue
        if (!keys.note(key, offset)) return offset
      }
    }
    return undefined
  }

  /**
   * Pass 2 from segment number `first` on: writes what stays of it, and of its neighbours while that
   * fits one segment, and swaps it in. Resolves to the number behind the last one dealt with.
   */
  async #rewrite(first: number, behindMax: number, knowledge: Knowledge): Promise<number> {
    const removedBefore = this.#recordsRemoved
    const { segment } = this.#stretches[first]!
    const cleaned = await this.#open(segment.base)
    let behind = first
    let isDamaged = false
    let isChanged = false
    let isKept = false
    try {
      while (behind < behindMax && this.#fits(behind, first, cleaned.segment)) {
        for await (const batch of this.#batches(this.#stretches[behind]!, 0)) {
          isDamaged = batch === undefined
          if (batch === undefined) break
          if (await this.#rewriteBatch(batch, knowledge, cleaned)) isChanged = true
        }
        if (isDamaged) break
        behind++
      }
      if (!isDamaged && (isChanged || behind - first > 1)) {
        isKept = await this.#finish(first, behind, cleaned)
        if (!isKept) throw new RoundCut()
      }
    } finally {
      // A swap that failed half-way may have put it in its place already.
      const isPlaced = isKept || this.#log.segments.includes(cleaned.segment)
      if (!isPlaced) await this.#exclusive(() => cleaned.segment.discard()).catch(ignoreCut)
    }
    if (!isDamaged) return behind
    this.#recordsRemoved = removedBefore
    // What stands before the damaged segment once more, without it; or it alone stays as it is.
    if (behind > first) return await this.#rewrite(first, behind, knowledge)
    this.#mayPurge = false
    return first + 1
  }

  #fits(number: number, first: number, cleaned: Segment): boolean {
    if (number === first) return true
    const { segment, end } = this.#stretches[number]!
    const bytes = cleaned.plannedBytes + segment.writtenBytes
    return bytes <= this.#log.settings.segmentBytes && end - cleaned.base <= offsetsPerSegmentMax
  }

  async #finish(first: number, behind: number, cleaned: CleanedSegment): Promise<boolean> {
    const old = this.#stretches.slice(first, behind).map(({ segment }) => segment)
    const { end } = this.#stretches[behind - 1]!
    await this.#exclusive(() => cleaned.finish(end))
    const isKept = await this.#parts.swap(this.#log, old, cleaned.segment, end)
    if (isKept) this.#bytesWritten += cleaned.segment.writtenBytes
    return isKept
  }

  /** True when the batch is not what it was. */
  async #rewriteBatch(
    batch: Uint8Array,
    { keys, knownEnd }: Knowledge,
    cleaned: CleanedSegment,
  ): Promise<boolean> {
    const compacted = compactedBatch(batch, {
      keys,
      knownEnd,
      nowMs: this.#parts.logTimeMs(),
      deleteRetentionMs: this.#work.settings.deleteRetentionMs,
      mayPurge: this.#mayPurge,
    })
    if (compacted.isOpaque) this.#mayPurge = false
    this.#tombstonesDueMs = Math.min(this.#tombstonesDueMs, compacted.tombstonesDueMs)
    this.#recordsRemoved += compacted.removed
    if (compacted.batch !== undefined) await cleaned.add(compacted.batch)
    return compacted.isChanged
  }

  /** The file is made inside the folder that is still this partition's. */
  async #open(base: Offset): Promise<CleanedSegment> {
    const segment = this.#log.cleanedSegment(base)
    await this.#exclusive(() => segment.begin())
    return new CleanedSegment(segment)
  }

  /** A namesake of a deleted topic has the same paths: what touches names waits and is cut. */
  async #exclusive(work: () => Promise<void>): Promise<void> {
    let isDone = false
    await this.#log.rearrange(async () => {
      await work()
      isDone = true
    })
    if (!isDone) throw new RoundCut()
  }

  /** The batches of a segment from `from` on; undefined, and then the end, for one that is damaged. */
  async *#batches({ segment, end }: Stretch, from: Offset): AsyncGenerator<Uint8Array | undefined> {
    let next = Math.max(from, segment.base)
    while (next < end) {
      const { isDropped, deleted } = this.#log
      const isOver = this.#parts.pace.isStopped || isDropped || deleted || segment.isGone
      if (isOver) throw new RoundCut()
      const { batches, damage } = await readStep(segment, next, end)
      let bytes = 0
      for (const batch of batches) {
        bytes += batch.length
        next = lastOffsetOf(batch) + 1
        yield batch
      }
      this.#bytesRead += bytes
      await this.#parts.pace.spend(bytes)
      if (damage !== undefined || batches.length === 0) {
        yield undefined
        return
      }
    }
  }
}

/**
 * A file that is not there, or that the disk refuses to read, is damage like any other; one that was
 * removed meanwhile ends the round.
 */
async function readStep(segment: Segment, from: Offset, end: Offset): Promise<SegmentRead> {
  try {
    return await segment.read(from, stepBytes, end)
  } catch (error) {
    if (isPassing(error)) throw error
    if (segment.isGone) throw new RoundCut()
    return { batches: [], next: end, damage: (error as Error).message }
  }
}

function ignoreCut(error: unknown): void {
  if (!(error instanceof RoundCut)) throw error
}
