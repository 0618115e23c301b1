/**
 * Which partition compaction takes next. It is the one whose oldest record has waited longest beyond
 * `max.compaction.lag.ms`, else the one with the largest share of bytes that were never compacted, if
 * that reaches `min.cleanable.dirty.ratio`, else one with tombstones whose time has come.
 *
 * Compacted are segments from the first on that are not appended to and lie below the recovery position
 * of the older kept snapshot (`PartitionLog.replayFloor`), and no record younger than
 * `min.compaction.lag.ms`.
 */
import type { Offset } from '../../../model/offset.ts'
import { isPassing } from '../disk/disk.ts'
import type { PartitionLog } from '../log/partition-log.ts'
import type { CompactionSettings } from '../log/partition-settings.ts'
import type { Segment } from '../log/segment.ts'

/** One round: these segments, in a row from the first of the partition on. */
export interface CompactionWork {
  readonly log: PartitionLog
  readonly settings: CompactionSettings
  readonly segments: readonly Segment[]
  /** Where the last of them ends. */
  readonly end: Offset
  /** `dirty` looks at what was written since the last round, `tombstones` for those to remove. */
  readonly kind: 'dirty' | 'tombstones'
}

export interface WorkTimes {
  /** Time of day: the timestamps of records are of it. */
  readonly wallMs: number
  /** Log time: delete horizons are of it, so that no jump of the wall clock takes a tombstone early. */
  readonly logTimeMs: number
}

interface Candidate extends CompactionWork {
  /** How far beyond `max.compaction.lag.ms`, ms; not above 0 while within. */
  readonly overdueMs: number
  readonly dirtyRatio: number
}

/**
 * What is most worth a round now; undefined when nothing is. Told to `passOver` is a partition whose
 * files cannot be read: it is no reason to stop, least of all where its topic was deleted meanwhile.
 */
export async function nextWork(
  logs: Iterable<PartitionLog>,
  times: WorkTimes,
  passOver: (log: PartitionLog, error: unknown) => void,
): Promise<CompactionWork | undefined> {
  let best: Candidate | undefined
  for (const log of logs) {
    let candidate: Candidate | undefined
    try {
      candidate = await candidateOf(log, times)
    } catch (error) {
      if (isPassing(error)) throw error
      passOver(log, error)
    }
    if (candidate !== undefined && (best === undefined || isBetter(candidate, best))) {
      best = candidate
    }
  }
  return best
}

function isBetter(one: Candidate, other: Candidate): boolean {
  if (one.overdueMs > 0 || other.overdueMs > 0) return one.overdueMs > other.overdueMs
  if (one.kind !== other.kind) return one.kind === 'dirty'
  return one.dirtyRatio > other.dirtyRatio
}

async function candidateOf(log: PartitionLog, times: WorkTimes): Promise<Candidate | undefined> {
  const settings = log.settings.compaction
  const isReady = log.isReady && !log.deleted && log.damage === undefined
  if (settings === undefined || !isReady) return undefined
  // The list of this moment: while files are read here, others take segments out of it.
  const { segments: all } = log
  const segments = await compactable(log, all, times.wallMs - settings.lagMsMin)
  if (segments.length === 0) return undefined

  const end = endOf(all, segments.length - 1)
  const dirty = segments.filter((_, i) => endOf(all, i) > log.compactedEnd)
  const dirtyRatio = bytesOf(dirty) / Math.max(1, bytesOf(segments))
  const overdueMs = await overdue(dirty, times.wallMs - settings.lagMsMax)
  // Some of them went below the log start: a later look sees what is left.
  if (log.segments[0] !== segments[0] || log.deleted) return undefined
  const candidate = { log, settings, segments, end, overdueMs, dirtyRatio }
  const isDirty = dirty.length > 0 && dirtyRatio >= settings.dirtyRatioMin
  if (isDirty || overdueMs > 0) return { ...candidate, kind: 'dirty' }
  if (log.tombstonesDueMs > times.logTimeMs) return undefined
  const clean = segments.slice(0, segments.length - dirty.length)
  if (clean.length === 0) return undefined
  const cleanEnd = endOf(all, clean.length - 1)
  return { ...candidate, segments: clean, end: cleanEnd, overdueMs: 0, kind: 'tombstones' }
}

/** Segments from the first on that may be replaced and hold no record written after `youngestMs`. */
async function compactable(
  log: PartitionLog,
  segments: readonly Segment[],
  youngestMs: number,
): Promise<readonly Segment[]> {
  const { replayFloor } = log
  let count = 0
  for (const [i, segment] of segments.entries()) {
    if (i === segments.length - 1 || segment.base >= replayFloor || segment.isGone) break
    const isClean = segments[i + 1]!.base <= log.compactedEnd
    if (!isClean) await segment.loadMaxTimestamp()
    if (!isClean && segment.maxTimestamp > youngestMs) break
    count++
  }
  return segments.slice(0, count)
}

/** How long before `oldestMs` the first record was written that no round has looked at, ms. */
async function overdue(dirty: readonly Segment[], oldestMs: number): Promise<number> {
  // The default is the largest number there is: nothing is that old.
  if (oldestMs <= 0) return 0
  for (const segment of dirty) {
    if (segment.isGone) return 0
    await segment.loadFirstTimestamp()
    if (segment.firstTimestamp >= 0) return oldestMs - segment.firstTimestamp
  }
  return 0
}

function endOf(segments: readonly Segment[], index: number): Offset {
  return segments[index + 1]!.base
}

function bytesOf(segments: readonly Segment[]): number {
  let bytes = 0
  for (const { writtenBytes } of segments) bytes += writtenBytes
  return bytes
}
