/**
 * The way of segments out of a partition, for log starts that moved and for whoever replaces segments.
 *
 *   1. The reason is durable first: a log start in the journal, or the replacement on the disk.
 *   2. Only segments wholly below the recovery position of the OLDER kept snapshot are touched
 *      (`PartitionLog.replayFloor`), so no replay meets a file that changed under it.
 *   3. They leave the partition's list in one turn (`PartitionLog.replace`), so no reader comes in any
 *      more; their files are renamed when the last one inside has left (`Segment.retire`).
 *   4. `*.deleted`, folder synced, unlinked after `file.delete.delay.ms`. A start unlinks what an earlier
 *      life left, and takes out again what stands below a log start: any mix of names is harmless.
 *   5. One at a time per partition (`PartitionLog.rearrange`); a topic's delete waits for it, because
 *      a namesake has the same paths.
 */
import type { Clock, Timer } from '../../../kit/clock.ts'
import type { Logger } from '../../../kit/logger.ts'
import type { Disk } from '../disk/disk.ts'
import { isPassing, systemCode } from '../disk/disk.ts'
import type { FileHold } from './file-hold.ts'
import type { PartitionLog } from './partition-log.ts'
import type { Segment } from './segment.ts'
import { deletedSuffix } from './segment.ts'

/** Longest wait that a timer of Node knows, ms. */
const timerMsMax = 2 ** 31 - 1

export interface SegmentRemovalParts {
  readonly disk: Disk
  readonly clock: Clock
  readonly logger: Logger
  readonly hold: FileHold
  readonly onRemoved: (segments: number, bytes: number) => void
  readonly onFailure: (cause: unknown) => void
}

export class SegmentRemoval {
  readonly #parts: SegmentRemovalParts
  /** Partitions to be looked at, in the order of their coming. */
  readonly #due = new Set<PartitionLog>()
  /** Partitions with segments to remove that the older kept snapshot does not cover yet. */
  readonly #waiting = new Set<PartitionLog>()
  readonly #timers = new Set<Timer>()
  #sweeping: Promise<void> | undefined
  #unlinking: Promise<void> = Promise.resolve()
  #closed = false

  constructor(parts: SegmentRemovalParts) {
    this.#parts = parts
  }

  /** Whether one checkpoint more, or two, would let files go. */
  get wantsCheckpoint(): boolean {
    return this.#waiting.size > 0
  }

  /** Removes what lies wholly below the durable log start: soon, or when checkpoints allow it. */
  sweep(log: PartitionLog): void {
    if (this.#closed) return
    this.#due.add(log)
    this.#sweeping ??= this.#sweepAll()
  }

  /** The replay floors moved. */
  resume(): void {
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const log of waiting) this.sweep(log)
  }

  /** The topic of this partition is deleted: its files go with the folder. */
  forget(log: PartitionLog): void {
    this.#due.delete(log)
    this.#waiting.delete(log)
  }

  /**
   * Renames the files of segments that have left the list, and has them unlinked later. Runs inside
   * `rearrange`; durable when it resolves.
   */
  async setAside(log: PartitionLog, segments: readonly Segment[]): Promise<void> {
    for (const segment of segments) await segment.retire()
    const renamed = await this.#parts.hold.whileFree(() => this.renameAll(log, segments))
    this.unlinkLater(log, renamed)
  }

  /**
   * Renames the files of retired segments; the folder is synced when it resolves. For who holds both
   * `rearrange` and `FileHold.whileFree`.
   */
  async renameAll(log: PartitionLog, segments: readonly Segment[]): Promise<string[]> {
    const renamed: string[] = []
    for (const segment of segments) {
      for (const path of segment.filePaths) {
        if (log.isDropped) return []
        if (await this.#rename(path)) renamed.push(path + deletedSuffix)
      }
    }
    if (!log.isDropped) await this.#parts.disk.syncDirectory(log.folder)
    return renamed
  }

  /** The end of files that `renameAll` has named. */
  unlinkLater(log: PartitionLog, renamed: readonly string[]): void {
    if (this.#closed || renamed.length === 0) return
    const { clock } = this.#parts
    const delayMs = Math.min(log.settings.fileDeleteDelayMs, timerMsMax)
    const timer = clock.after(delayMs, () => {
      this.#timers.delete(timer)
      this.#unlinking = this.#unlinking.then(() => this.#unlink(log, renamed))
    })
    this.#timers.add(timer)
  }

  /** What is not unlinked yet waits for the next start. */
  async close(): Promise<void> {
    this.#closed = true
    for (const timer of this.#timers) timer.cancel()
    this.#due.clear()
    await this.#sweeping
    await this.#unlinking
  }

  /** One partition after the other: appends need the disk too. */
  async #sweepAll(): Promise<void> {
    try {
      for (const log of this.#due) {
        this.#due.delete(log)
        await this.#sweepNow(log)
      }
    } finally {
      // In the turn in which nothing more was due: who comes next must not rely on this sweep.
      this.#sweeping = undefined
    }
  }

  async #sweepNow(log: PartitionLog): Promise<void> {
    try {
      await log.rearrange(() => this.#sweepOne(log))
    } catch (error) {
      if (log.isDropped) return
      if (!isPassing(error)) return this.#parts.onFailure(error)
      this.#parts.logger.warn(
        { err: error, folder: log.folder },
        'Files of removed segments stay until the next start.',
      )
    }
  }

  async #sweepOne(log: PartitionLog): Promise<void> {
    const expired = log.expired()
    const segments = expired.filter(({ base }) => base < log.replayFloor)
    if (segments.length < expired.length) this.#waiting.add(log)
    if (segments.length === 0) return
    log.replace(segments, [])
    await this.setAside(log, segments)
    const bytes = segments.reduce((sum, { writtenBytes }) => sum + writtenBytes, 0)
    this.#parts.onRemoved(segments.length, bytes)
  }

  /** False when there is nothing to unlink later. */
  async #rename(path: string): Promise<boolean> {
    const { disk } = this.#parts
    try {
      await disk.rename(path, path + deletedSuffix)
      return true
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return false
      if (!isPassing(error)) throw error
      // A folder without room for the longer name: then the file goes at once.
      await disk.remove(path)
      return false
    }
  }

  async #unlink(log: PartitionLog, paths: readonly string[]): Promise<void> {
    const { disk, logger, hold } = this.#parts
    for (const path of paths) {
      if (this.#closed || log.isDropped) return
      try {
        await hold.whileFree(() => disk.remove(path))
      } catch (error) {
        if (systemCode(error) === 'ENOENT') continue
        logger.warn({ err: error, file: path }, 'A removed file could not be unlinked.')
      }
    }
  }
}
