/**
 * All partitions of the data folder, as the journal and the catalog see them: found by the number
 * that stands in journal entries, or by name once their topic is shown.
 */
import type { Clock } from '../../../kit/clock.ts'
import { forEachOf } from '../../../kit/at-once.ts'
import type { Logger } from '../../../kit/logger.ts'
import type { Offset } from '../../../model/offset.ts'
import { lastOffsetOf } from '../../../model/record-batch.ts'
import type { TopicPartition } from '../../../model/topic.ts'
import type { Disk } from '../disk/disk.ts'
import type { BatchKeeper, LentFrame } from '../journal/journal.ts'
import type { JournalEntry } from '../journal/journal-frame.ts'
import { entryKinds } from '../journal/state-machine.ts'
import { BatchEntry } from './batch-entry.ts'
import { FileHold } from './file-hold.ts'
import { HotTail } from './hot-tail.ts'
import { OpenFiles } from './open-files.ts'
import type { PartitionSettings } from './partition-settings.ts'
import { copyBeyond } from './partition-files-recovery.ts'
import type { PartitionPosition } from './recovery-position.ts'
import { encodePositions, readPositions, segmentBases } from './recovery-position.ts'
import { PartitionLog } from './partition-log.ts'
import { PartitionFolders } from './partition-folders.ts'
import { LogPressure } from './pressure.ts'
import type { Segment, SegmentFiles } from './segment.ts'
import { swapSegments } from './segment-swap.ts'
import { SegmentRemoval } from './segment-removal.ts'
import { SegmentWriter } from './segment-writer.ts'
import { Watchers } from './watchers.ts'

export const logsFolder = 'logs'

/** Syncs at one time in a checkpoint: appends need the disk too. */
const syncsAtOnce = 2
/** Replayed bytes in memory before their segment writes are awaited. */
const replayBytesMax = 16 * 1024 * 1024

export interface PartitionsParts {
  readonly disk: Disk
  readonly clock: Clock
  readonly logger: Logger
  readonly hotTailBytes: number
  readonly openSegments: number
  readonly onDiskFull: () => void
  /** A partition has begun a new segment. */
  readonly onRoll: () => void
  readonly onRemoved: (segments: number, bytes: number) => void
  readonly onFailure: (cause: unknown) => void
}

export interface PartitionIdentity {
  readonly tp: TopicPartition
  readonly topicId: string
  readonly ref: number
  readonly settings: PartitionSettings
}

export class Partitions implements BatchKeeper {
  readonly pressure = new LogPressure()
  /** Taken by a back-up; whoever removes or replaces segment files respects it. */
  readonly hold = new FileHold()
  readonly watchers: Watchers
  readonly folders: PartitionFolders
  readonly removal: SegmentRemoval
  readonly #disk: Disk
  readonly #files: SegmentFiles
  readonly #onRoll: () => void
  readonly #hotTail: HotTail
  readonly #writer: SegmentWriter
  readonly #byRef = new Map<number, PartitionLog>()
  /** Topics that callers may see, by name. */
  readonly #shown = new Map<string, readonly PartitionLog[]>()
  /** Recovery positions of a snapshot, until `prepare`. */
  #positions = new Map<number, PartitionPosition>()
  #generation = 0
  #replayedBytes = 0

  constructor(parts: PartitionsParts) {
    const { disk, clock, logger, onDiskFull, onRemoved, onFailure } = parts
    this.#disk = disk
    const openFiles = new OpenFiles({ max: parts.openSegments, onFailure })
    this.#files = { disk, openFiles }
    this.#onRoll = parts.onRoll
    this.#hotTail = new HotTail(parts.hotTailBytes)
    this.watchers = new Watchers(clock, logger)
    this.folders = new PartitionFolders(disk, logger, this.hold)
    this.removal = new SegmentRemoval({
      disk,
      clock,
      logger,
      hold: this.hold,
      onRemoved,
      onFailure,
    })
    this.#writer = new SegmentWriter({
      clock,
      logger,
      onDiskFull,
      onFailure,
      onWritten: (batch) => {
        this.pressure.release(batch.memoryBytes)
        this.#hotTail.noteWritten(batch)
      },
    })
  }

  get generation(): number {
    return this.#generation
  }

  /** Whether segment writes are held back because the disk is full. */
  get waitsForSpace(): boolean {
    return this.#writer.waitsForSpace
  }

  /** Partitions with damage that was met. */
  get damagedCount(): number {
    let count = 0
    for (const log of this.#byRef.values()) {
      if (log.damage !== undefined || log.damagedBatches > 0) count++
    }
    return count
  }

  /** Makes a partition known to the journal; the catalog's `apply` calls it. */
  add(identity: PartitionIdentity): PartitionLog {
    const onRoll = (log: PartitionLog, base: Offset): void => this.#rolled(log, base)
    const log = new PartitionLog({ ...identity, files: this.#files, onRoll })
    this.#byRef.set(identity.ref, log)
    return log
  }

  #rolled(log: PartitionLog, base: Offset): void {
    this.#onRoll()
    // All that was in the closed segment is below the log start already: as it grew, it had to stay.
    if (base <= log.logStart) this.removal.sweep(log)
  }

  /** A deleted partition: the journal's batches for it are skipped from now on. */
  forget(ref: number): void {
    const log = this.#byRef.get(ref)
    if (log === undefined) return
    log.deleted = true
    this.#byRef.delete(ref)
  }

  /** The folders of new partitions exist: batches that waited in memory go to their segments. */
  ready(logs: readonly PartitionLog[]): void {
    for (const log of logs) {
      log.isReady = true
      this.#writer.enqueue(log)
    }
  }

  /** Lets callers find the partitions of a topic. */
  show(topic: string, logs: readonly PartitionLog[]): void {
    this.#shown.set(topic, logs)
    for (const log of logs) this.watchers.wake(log.tp, log.readableEnd)
  }

  hide(topic: string): void {
    const logs = this.#shown.get(topic) ?? []
    this.#shown.delete(topic)
    for (const log of logs) this.watchers.wake(log.tp, log.readableEnd)
  }

  shown(topic: string): readonly PartitionLog[] | undefined {
    return this.#shown.get(topic)
  }

  /** Every partition of the newest state, durable or not. */
  all(): Iterable<PartitionLog> {
    return this.#byRef.values()
  }

  /** Puts a compacted segment in the place of `old`. False when they are not all there any more. */
  swap(log: PartitionLog, old: readonly Segment[], fresh: Segment, end: Offset): Promise<boolean> {
    const parts = { disk: this.#disk, hold: this.hold, removal: this.removal }
    return swapSegments(parts, log, { old, fresh, end })
  }

  /** Frees the memory and the descriptors of a deleted partition. */
  async drop(log: PartitionLog): Promise<void> {
    const unwritten = log.drop()
    this.removal.forget(log)
    for (const batch of unwritten) this.pressure.release(batch.memoryBytes)
    this.#writer.discard(unwritten, log)
    await log.abandon()
  }

  // What the journal asks.

  async isEmpty(): Promise<boolean> {
    return (await this.#disk.list(logsFolder)).length === 0
  }

  begin(generation: number): void {
    this.#generation = generation
  }

  snapshot(): Uint8Array {
    const positions = new Map<number, PartitionPosition>()
    for (const log of this.#byRef.values()) positions.set(log.ref, log.position())
    return encodePositions(positions)
  }

  restore(section: Uint8Array): void {
    this.#positions = readPositions(section)
  }

  /**
   * The older kept snapshot has these recovery positions: no replay touches what lies wholly below
   * them any more.
   */
  kept(section: Uint8Array): void {
    for (const [ref, segmentBase] of segmentBases(section)) {
      const log = this.#byRef.get(ref)
      if (log !== undefined) log.replayFloor = segmentBase
    }
    this.removal.resume()
  }

  get wantsCheckpoint(): boolean {
    return this.removal.wantsCheckpoint
  }

  async prepare(): Promise<void> {
    await this.#disk.makeDirectory(logsFolder)
    await this.#disk.syncDirectory('.')
    const made = await this.folders.settle(this.#byRef.values(), (ref) => this.#positions.has(ref))
    const logs = [...this.#byRef.values()]
    await forEachOf(logs, syncsAtOnce, async (log) => {
      if (made.has(log)) log.folderNeedsSync = true
      await log.restore(this.#positions.get(log.ref))
      if (log.needsSync) this.#writer.putBack(log)
    })
    this.#positions = new Map()
  }

  async prepareReadOnly(): Promise<void> {
    await forEachOf([...this.#byRef.values()], syncsAtOnce, async (log) => {
      const position = this.#positions.get(log.ref)
      const isOurs = await this.folders.isFolderOf(log, position !== undefined)
      await log.restoreReadOnly(position, isOurs)
    })
    this.#positions = new Map()
  }

  lend(entries: readonly JournalEntry[], frame: LentFrame): void {
    for (const entry of entries) {
      if (entry.kind === entryKinds.BATCH) this.#byRef.get(entry.partitionRef)?.lend(entry, frame)
    }
  }

  nameOf(ref: number): string | undefined {
    return this.#byRef.get(ref)?.folder.slice(logsFolder.length + 1)
  }

  lastOffsetOf({ payload }: JournalEntry): Offset {
    return lastOffsetOf(payload)
  }

  async setAside(folder: string): Promise<void> {
    const logs = [...this.#byRef.values()]
    await this.folders.setAsideUnknown(logs, `${folder}/${logsFolder}`)
    for (const log of logs) {
      const position = this.#positions.get(log.ref)
      await copyBeyond(this.#disk, log.folder, position, `${folder}/${log.folder}`)
    }
  }

  async replay(entries: readonly JournalEntry[]): Promise<void> {
    const batches: BatchEntry[] = []
    for (const entry of entries) {
      if (entry.kind !== entryKinds.BATCH) continue
      const log = this.#byRef.get(entry.partitionRef)
      if (log === undefined) continue
      const batch = log.restage(entry)
      this.pressure.add(batch.memoryBytes)
      this.#replayedBytes += batch.payload.length
      batches.push(batch)
    }
    this.reveal(batches, 0)
    this.announce(batches)
    if (this.#replayedBytes < replayBytesMax) return
    this.#replayedBytes = 0
    await this.#writer.written(0)
  }

  /** Moves the readable ends of a whole frame in one turn. */
  reveal(entries: readonly JournalEntry[], frameSeq: number): void {
    const batches: BatchEntry[] = []
    for (const entry of entries) {
      if (!(entry instanceof BatchEntry)) continue
      batches.push(entry)
      entry.owner.reveal(entry)
    }
    if (batches.length > 0) this.#writer.expect(batches, frameSeq)
  }

  announce(entries: readonly JournalEntry[]): void {
    for (const entry of entries) {
      if (!(entry instanceof BatchEntry)) continue
      const log = entry.owner as PartitionLog
      if (log.deleted && log.isDropped) continue
      this.watchers.wake(log.tp, log.readableEnd)
      this.#writer.enqueue(log)
    }
  }

  written(frameSeq: number): Promise<void> {
    return this.#writer.written(frameSeq)
  }

  /** Makes everything written durable: segments, indexes, then the folders with new names. */
  async sync(): Promise<void> {
    const dirty = this.#writer.takeDirty()
    try {
      await forEachOf(dirty, syncsAtOnce, syncPartition)
      await this.#disk.syncDirectory(logsFolder)
    } catch (error) {
      for (const log of dirty) this.#writer.putBack(log)
      throw error
    }
  }

  /** Before the last checkpoint: adds the final index entries, and waits for a full disk no more. */
  finish(): void {
    this.#writer.hurry()
    for (const log of this.#byRef.values()) {
      log.finish()
      if (log.needsSync) this.#writer.putBack(log)
    }
  }

  async close(): Promise<void> {
    this.#writer.stop()
    await this.removal.close()
    for (const log of this.#byRef.values()) await log.abandon()
  }
}

/**
 * A topic whose delete is not durable yet belongs to the checkpoint like any other: a crash may bring
 * it back. Once its delete is durable, its files may go at any moment.
 */
async function syncPartition(log: PartitionLog): Promise<void> {
  try {
    if (!log.isDropped) await log.sync()
  } catch (error) {
    if (!log.isDropped) throw error
  }
}
