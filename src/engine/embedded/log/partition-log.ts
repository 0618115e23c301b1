/**
 * One partition: its segments, its two ends, its part of the hot tail.
 *
 *   logStart ≤ … written end ≤ readable end ≤ next offset
 *
 * The next offset rises when a batch joins the journal (applied early), the readable end when its
 * frame is durable (shown late), the written end when its segment write has returned. Between
 * written and readable end the batches are in memory alone, and readers get them from there.
 */
import type { Offset } from '../../../model/offset.ts'
import {
  lastOffsetDeltaOf,
  lastOffsetOf,
  maxTimestampOf,
  setBaseOffset,
  setLeaderEpoch,
} from '../../../model/record-batch.ts'
import type { TopicPartition } from '../../../model/topic.ts'
import type { LentFrame } from '../journal/journal.ts'
import type { JournalEntry } from '../journal/journal-frame.ts'
import type { BatchOwner, EntryCall } from './batch-entry.ts'
import { BatchEntry } from './batch-entry.ts'
import type { SegmentRun } from './batch-ring.ts'
import { BatchRing } from './batch-ring.ts'
import { LentBatches } from './lent-batches.ts'
import { removeBeyond, settledNames } from './partition-files-recovery.ts'
import type { PartitionSettings } from './partition-settings.ts'
import type { PartitionPosition } from './recovery-position.ts'
import { activeBaseAt, emptyPosition } from './recovery-position.ts'
import { unfinishedSwaps } from './segment-swap-recovery.ts'
import type { NewestPlace } from './segment-list.ts'
import { SegmentList } from './segment-list.ts'
import type { SegmentFiles, SegmentPosition, SegmentRead } from './segment.ts'
import { cleanedSuffix, MissingSegmentError, Segment, segmentName, swapSuffix } from './segment.ts'

/** Kafka's index entries hold offsets relative to the segment's base in 31 bits. */
export const offsetsPerSegmentMax = 0x7fff_ffff
/** Beyond so many the count is not the news any more. */
const damageNotedMax = 10_000

export interface PartitionParts {
  readonly tp: TopicPartition
  readonly topicId: string
  readonly ref: number
  readonly settings: PartitionSettings
  readonly files: SegmentFiles
  /** A segment was closed; the next one begins at `base`. */
  readonly onRoll: (log: PartitionLog, base: Offset) => void
}

export class PartitionLog implements BatchOwner {
  readonly tp: TopicPartition
  readonly topicId: string
  readonly ref: number
  readonly settings: PartitionSettings
  readonly folder: string
  /** Applied early: where the next batch goes. */
  nextOffset: Offset = 0
  /** Shown late: where readers stop. */
  readableEnd: Offset = 0
  /** Shown: offsets below are gone. */
  logStart: Offset = 0
  /** Applied: a log start that is on its way to the journal. */
  plannedLogStart: Offset = 0
  /** The topic's delete has joined the journal. */
  deleted = false
  /** Its folder exists; until then durable batches wait in memory. */
  isReady = false
  /** The delete is durable and memory was let go. */
  isDropped = false
  /** Why appends are refused: its files are not what the last checkpoint left. */
  damage: string | undefined
  readonly #damagedOffsets = new Set<Offset>()
  /** The folder has entries that are not durable. */
  folderNeedsSync = false
  /**
   * Where the older kept snapshot would replay from: segments with a lower base are never written,
   * cut or replayed into again. Zero until a checkpoint says more.
   */
  replayFloor: Offset = 0
  /** A round of compaction has looked at everything below. */
  compactedEnd: Offset = 0
  /** When the first tombstone with a delete horizon may go, ms of log time; Infinity without one. */
  tombstonesDueMs = Infinity
  /** Whether the segment writer has it in its queue. */
  isQueued = false
  readonly #files: SegmentFiles
  readonly #onRoll: PartitionParts['onRoll']
  readonly #segments = new SegmentList()
  readonly #ring = new BatchRing()
  #rearranging: Promise<unknown> = Promise.resolve()
  /** Where a damaged journal keeps us from writing: what stands above the segments. */
  #lent: LentBatches | undefined

  constructor(parts: PartitionParts) {
    this.tp = parts.tp
    this.topicId = parts.topicId
    this.ref = parts.ref
    this.settings = parts.settings
    this.#files = parts.files
    this.#onRoll = parts.onRoll
    this.folder = `logs/${parts.tp.topic}-${parts.tp.partition}`
  }

  /** Bytes in segments. */
  get bytes(): number {
    return this.#segments.bytes
  }

  /** Damaged batches that reads have met. */
  get damagedBatches(): number {
    return this.#damagedOffsets.size
  }

  /** Counts damage once; true when it is new. */
  noteDamage(offset: Offset): boolean {
    if (this.#damagedOffsets.size >= damageNotedMax || this.#damagedOffsets.has(offset))
      return false
    this.#damagedOffsets.add(offset)
    return true
  }

  get segments(): readonly Segment[] {
    return this.#segments.all
  }

  get writtenEnd(): Offset {
    return this.#ring.writtenEnd ?? this.readableEnd
  }

  get hasUnwritten(): boolean {
    return this.#ring.hasUnwritten
  }

  /**
   * Gives a batch its offsets and its place and patches them in. In the same turn it must join the
   * journal, because the next batch builds on it.
   */
  stage(
    batch: Uint8Array,
    generation: number,
    call: EntryCall | undefined,
    index: number,
  ): BatchEntry {
    const baseOffset = this.nextOffset
    setBaseOffset(batch, baseOffset)
    setLeaderEpoch(batch, generation)
    const lastOffset = baseOffset + lastOffsetDeltaOf(batch)
    const segment = this.#segmentFor(baseOffset, lastOffset, batch)
    return this.#plan(segment, baseOffset, lastOffset, batch, call, index)
  }

  /** A batch of a recovered frame: its place is what the frame says. */
  restage(entry: JournalEntry): BatchEntry {
    this.#checkGoesOn(entry)
    // A copy, because the payload lies in a large read buffer that must not be kept for it.
    const batch = Buffer.from(entry.payload)
    let segment = this.#segments.active
    if (segment === undefined || segment.base !== entry.segmentBase) {
      segment = this.#roll(entry.segmentBase)
    }
    if (segment.plannedBytes !== entry.segmentPos) {
      throw new Error(
        `${this.folder}: the journal goes on at byte ${entry.segmentPos}, not ${segment.plannedBytes}.`,
      )
    }
    return this.#plan(segment, entry.baseOffset, lastOffsetOf(batch), batch, undefined, 0)
  }

  reveal(batch: BatchEntry): void {
    this.readableEnd = batch.lastOffset + 1
    this.#ring.push(batch)
  }

  evict(batch: BatchEntry): void {
    this.#ring.evict(batch)
  }

  /** What the next segment write takes: unwritten batches in a row, of one segment. */
  nextRun(): SegmentRun | undefined {
    return this.isReady ? this.#ring.nextRun() : undefined
  }

  noteWritten(run: SegmentRun): void {
    this.#ring.noteWritten(run)
  }

  /** Lets go of everything in memory, for a deleted topic. Returns the batches not yet written. */
  drop(): readonly BatchEntry[] {
    this.isDropped = true
    return this.#ring.clear()
  }

  /** Batches in memory from the one that holds `from`; undefined when that is not there. */
  readTail(from: Offset, bytesMax: number): SegmentRead | undefined {
    return this.#ring.read(from, bytesMax)
  }

  /**
   * Batches from the one that holds `from`, which is below the readable end. Never throws for damage:
   * what cannot be read is said, with where to go on.
   */
  async read(from: Offset, bytesMax: number): Promise<SegmentRead> {
    const tail = this.readTail(from, bytesMax)
    if (tail !== undefined) return tail
    const lent = this.#lent
    if (lent !== undefined && from >= lent.from) return lent.read(from, bytesMax)
    const { segment, following } = this.#segments.find(from)
    const writtenEnd = lent?.from ?? this.writtenEnd
    const end = Math.min(following?.base ?? Infinity, writtenEnd)
    if (segment === undefined) {
      const next = following?.base ?? writtenEnd
      return { batches: [], next, damage: `No segment holds offset ${from}.` }
    }
    try {
      return await segment.read(from, bytesMax, end)
    } catch (error) {
      if (error instanceof MissingSegmentError) {
        return { batches: [], next: end, damage: error.message }
      }
      throw error
    }
  }

  /** The first offset that can hold a record at or after `timestamp`, by the time indexes. */
  async firstCandidate(timestamp: number): Promise<Offset> {
    const found = await this.#segments.firstCandidate(timestamp)
    if (found !== undefined) return Math.max(this.logStart, found)
    return this.#lent?.from ?? this.readableEnd
  }

  /** Where the record with the largest timestamp is. */
  async newest(): Promise<NewestPlace> {
    const best = await this.#segments.newest(this)
    const { maxTimestamp = -1, maxTimestampOffset = -1 } = this.#lent ?? {}
    if (maxTimestampOffset < this.logStart || maxTimestamp <= best.timestamp) return best
    return { ...best, timestamp: maxTimestamp, lastOffset: maxTimestampOffset }
  }

  /** Segments wholly below the log start. The newest one stays. */
  expired(): readonly Segment[] {
    return this.segments.slice(0, this.countBelow(this.logStart))
  }

  /** How many segments lie wholly below `offset`; the newest one never counts. */
  countBelow(offset: Offset): number {
    return this.#segments.countBelow(offset)
  }

  /** Closes the active segment; the next batch begins a new one. */
  roll(): void {
    this.#roll(this.nextOffset)
  }

  /**
   * Puts `fresh` in the place of `old`, neighbours in the list, in one turn: who reads next reads
   * `fresh`, and who is inside an old one may finish (`Segment.retire`).
   */
  replace(old: readonly Segment[], fresh: readonly Segment[]): void {
    this.#segments.replace(old, fresh, this.replayFloor)
  }

  /** Work that removes or replaces segments: one at a time, and none on a deleted partition. */
  rearrange(work: () => Promise<void>): Promise<void> {
    const next = this.#rearranging.then(() => (this.isDropped ? undefined : work()))
    this.#rearranging = next.catch(() => undefined)
    return next
  }

  /** A segment that compaction writes, not in the list yet. */
  cleanedSegment(base: Offset): Segment {
    return new Segment(this.folder, base, this.#files, true, cleanedSuffix)
  }

  /** The position of this turn; encoded into a snapshot. */
  position(): PartitionPosition {
    const { active } = this.#segments
    return {
      nextOffset: this.nextOffset,
      segmentBase: active?.base ?? this.nextOffset,
      segment: active?.position ?? emptyPosition,
      isShort: this.damage !== undefined,
    }
  }

  /** The final entries of the time index, before the checkpoint of a clean stop. */
  finish(): void {
    this.#segments.active?.finish()
  }

  /**
   * Brings the files back to a recovery position, without one to nothing: the journal has the rest.
   * Below the position nothing is ever cut.
   */
  async restore(position: PartitionPosition | undefined): Promise<void> {
    const { disk } = this.#files
    const names = await settledNames(disk, this.folder)
    const isGone = (end: Offset): boolean => end <= this.plannedLogStart
    const { bases, hasCut } = await removeBeyond(disk, this.folder, { names, position, isGone })
    if (hasCut) this.folderNeedsSync = true
    await this.#stand(position, this.#segmentsAt(bases), (active, at) => active.truncateTo(at))
    for (const segment of this.segments) {
      // A swap that was cut short at its end leaves them to be made again.
      const hasIndexes = ['index', 'timeindex'].every((ending) =>
        names.has(`${segmentName(segment.base)}.${ending}`),
      )
      if (segment.isSealed && !hasIndexes) await segment.restoreIndexes()
    }
  }

  /** The same without changing anything. A folder that is not ours counts as missing. */
  async restoreReadOnly(position: PartitionPosition | undefined, isOurs: boolean): Promise<void> {
    const names = isOurs ? await this.#files.disk.list(this.folder) : []
    const swaps = unfinishedSwaps(names)
    const bases = names
      .filter((name) => /^\d{20}\.log$/.test(name))
      .map((name) => Number(name.slice(0, 20)))
      .filter((base) => base <= activeBaseAt(position))
      .filter((base) => !swaps.some((swap) => swap.base <= base && base < swap.end))
    const swapped = swaps.map(({ base, end }) => {
      return new Segment(this.folder, base, this.#files, false, swapSuffix, end)
    })
    const sealed = [...this.#segmentsAt(bases), ...swapped].sort((a, b) => a.base - b.base)
    await this.#stand(position, sealed, async (active, at) => {
      return (await active.lookFrom(at)) && isOurs
    })
  }

  /** A batch of a recovered frame that stays in the journal. */
  lend(entry: JournalEntry, frame: LentFrame): void {
    this.#checkGoesOn(entry)
    this.#lent ??= new LentBatches(this.ref, this.nextOffset)
    this.nextOffset = this.readableEnd = this.#lent.add(entry, frame) + 1
  }

  async #stand(
    position: PartitionPosition | undefined,
    sealed: readonly Segment[],
    place: (active: Segment, at: SegmentPosition) => Promise<boolean>,
  ): Promise<void> {
    const activeBase = position?.segmentBase ?? 0
    const isEmpty = position === undefined || position.segment.bytes === 0
    this.nextOffset = position?.nextOffset ?? 0
    this.readableEnd = this.nextOffset
    this.#segments.clear()
    for (const segment of sealed) {
      if (segment.base === activeBase) continue
      await segment.measure()
      this.#segments.push(segment)
    }
    this.isReady = true
    if (position?.isShort === true) {
      // What was replayed since stands behind the gap, so the length does not show it any more.
      this.damage = `A segment of ${this.folder} was shorter than a checkpoint had left it.`
    }
    if (isEmpty) {
      // The segment before it is closed for good: nothing may be appended behind its recorded end.
      if (this.#segments.active !== undefined) this.#roll(activeBase)
      return
    }
    const active = new Segment(this.folder, activeBase, this.#files, false)
    this.#segments.push(active)
    if (!(await place(active, position.segment))) {
      this.damage = `Segment ${activeBase} of ${this.folder} is shorter than the last checkpoint says.`
    }
  }

  /** Whether something on the disk is not durable yet, apart from bytes still to be written. */
  get needsSync(): boolean {
    return this.folderNeedsSync || this.#segments.needsSync
  }

  /** Makes written bytes and indexes durable, then the names of new files. */
  async sync(): Promise<void> {
    await this.#segments.sync(() => (this.folderNeedsSync = true))
    if (!this.folderNeedsSync) return
    const { disk, openFiles } = this.#files
    await openFiles.withRoom(() => disk.syncDirectory(this.folder))
    this.folderNeedsSync = false
  }

  async abandon(): Promise<void> {
    await this.#rearranging
    await this.#segments.abandon()
  }

  #plan(
    segment: Segment,
    baseOffset: Offset,
    lastOffset: Offset,
    payload: Uint8Array,
    call: EntryCall | undefined,
    index: number,
  ): BatchEntry {
    const maxTimestamp = maxTimestampOf(payload)
    const { indexIntervalBytes } = this.settings
    const bytes = payload.length
    const segmentPos = segment.plan(lastOffset, bytes, maxTimestamp, indexIntervalBytes)
    this.nextOffset = lastOffset + 1
    return new BatchEntry(
      this,
      this.ref,
      { segment, segmentPos },
      { baseOffset, lastOffset, maxTimestamp, payload },
      call,
      index,
    )
  }

  #checkGoesOn({ baseOffset }: JournalEntry): void {
    if (baseOffset === this.nextOffset) return
    throw new Error(
      `${this.folder}: the journal goes on at offset ${baseOffset}, not ${this.nextOffset}.`,
    )
  }

  #segmentFor(base: Offset, last: Offset, batch: Uint8Array): Segment {
    const { active } = this.#segments
    if (active === undefined) return this.#roll(base)
    const { segmentBytes, segmentIndexBytes } = this.settings
    const isFull =
      active.plannedBytes + batch.length > segmentBytes ||
      last - active.base > offsetsPerSegmentMax ||
      this.#isTimeUp(active, maxTimestampOf(batch)) ||
      active.nextIndexBytes > segmentIndexBytes
    return isFull && active.plannedBytes > 0 ? this.#roll(base) : active
  }

  /**
   * `segment.ms` less a share of `segment.jitter.ms`, so that partitions filled at the same time do not
   * all roll at the same time. The share follows from partition and segment: a restart changes nothing.
   */
  #isTimeUp({ base, firstTimestamp }: Segment, timestamp: number): boolean {
    const { segmentMs, segmentJitterMs } = this.settings
    if (firstTimestamp < 0) return false
    if (segmentJitterMs === 0) return timestamp - firstTimestamp > segmentMs
    const mixed = Math.imul(this.ref ^ Math.imul(base, 0x9e37_79b1), 0x85eb_ca6b) >>> 0
    const earlierMs = Math.min(segmentJitterMs, segmentMs) * (mixed / 2 ** 32)
    return timestamp - firstTimestamp > segmentMs - earlierMs
  }

  #roll(base: Offset): Segment {
    const { active } = this.#segments
    if (active !== undefined) {
      active.finish()
      active.isSealed = true
    }
    const segment = new Segment(this.folder, base, this.#files, true)
    this.#segments.push(segment)
    if (active !== undefined) this.#onRoll(this, base)
    return segment
  }

  #segmentsAt(bases: readonly Offset[]): Segment[] {
    return bases.map((base) => new Segment(this.folder, base, this.#files, false))
  }
}
