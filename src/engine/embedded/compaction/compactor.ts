/**
 * Log compaction in the background: one round at a time in the whole engine, paced, and always on the
 * partition that is most worth it. A full disk puts it off; another failure of the disk ends the
 * engine.
 */
import type { Clock, Timer } from '../../../kit/clock.ts'
import type { Logger } from '../../../kit/logger.ts'
import { compactionBytesPerSecond } from '../../../model/limits.ts'
import type { Offset } from '../../../model/offset.ts'
import { isPassing } from '../disk/disk.ts'
import type { PartitionLog } from '../log/partition-log.ts'
import type { Segment } from '../log/segment.ts'
import { WallDrift } from '../log/wall-drift.ts'
import type { RoundReport } from './compaction-round.ts'
import { compact } from './compaction-round.ts'
import type { CompactionWork } from './compaction-work.ts'
import { nextWork } from './compaction-work.ts'
import { Pace } from './pace.ts'

/** Kafka's `log.cleaner.backoff.ms`. */
const checkMs = 15_000

export interface CompactionMeter {
  /** One round over one partition has ended. */
  compacted(round: {
    readonly seconds: number
    readonly bytesRead: number
    readonly bytesWritten: number
    readonly recordsRemoved: number
  }): void
}

export interface CompactorParts {
  readonly clock: Clock
  readonly logger: Logger
  readonly meter: CompactionMeter
  readonly logs: () => Iterable<PartitionLog>
  readonly logTimeMs: () => number
  /** Whether nothing may be written now: the disk is full or failed. */
  readonly mustWait: () => boolean
  readonly swap: (
    log: PartitionLog,
    old: readonly Segment[],
    fresh: Segment,
    end: Offset,
  ) => Promise<boolean>
  /** Durable when it resolves. */
  readonly note: (log: PartitionLog, end: Offset, tombstonesDueMs: number) => Promise<void>
  readonly onFailure: (cause: unknown) => void
  readonly bytesPerSecond?: number
  readonly mapBytesMax?: number
}

export class Compactor {
  readonly #parts: CompactorParts
  readonly #pace: Pace
  readonly #drift: WallDrift
  #timer: Timer | undefined
  #last: Promise<unknown> = Promise.resolve()

  constructor(parts: CompactorParts) {
    this.#parts = parts
    this.#drift = new WallDrift(parts.clock)
    this.#pace = new Pace(parts.clock, parts.bytesPerSecond ?? compactionBytesPerSecond)
  }

  start(): void {
    this.#timer = this.#parts.clock.after(checkMs, () => {
      void this.run().then(() => {
        if (!this.#pace.isStopped) this.start()
      })
    })
  }

  /** Rounds until nothing is worth one. Never throws. */
  run(): Promise<void> {
    const next = this.#last.then(() => this.#rounds())
    this.#last = next
    return next
  }

  /** The round under way ends with the step it is at; the next start drops what it had written. */
  async close(): Promise<void> {
    this.#timer?.cancel()
    this.#pace.stop()
    await this.#last
  }

  async #rounds(): Promise<void> {
    let work: CompactionWork | undefined
    try {
      while ((work = await this.#next()) !== undefined) if (!(await this.#round(work))) return
    } catch (error) {
      const { logger, onFailure } = this.#parts
      // The files went with their topic, or with the engine.
      if (this.#pace.isStopped || work?.log.isDropped === true) return
      if (!isPassing(error)) return onFailure(error)
      logger.warn({ err: error, folder: work?.log.folder }, 'Compaction waits for the disk.')
    }
  }

  async #next(): Promise<CompactionWork | undefined> {
    const { clock, logger, logs, logTimeMs, mustWait } = this.#parts
    if (this.#pace.isStopped || mustWait()) return undefined
    // A clock that jumped ahead must not make young records look old.
    const wallMs = clock.wallMs() - Math.max(0, this.#drift.aheadMs)
    return await nextWork(logs(), { wallMs, logTimeMs: logTimeMs() }, (log, error) => {
      if (log.deleted || this.#pace.isStopped) return
      logger.warn({ err: error, folder: log.folder }, 'Compaction passed over a partition.')
    })
  }

  /** False when the round was cut short: then it is not tried again at once. */
  async #round(work: CompactionWork): Promise<boolean> {
    const { clock, logger, meter, logTimeMs, swap, note, mapBytesMax } = this.#parts
    const { log } = work
    const startMs = clock.monotonicMs()
    const report = await compact(work, {
      pace: this.#pace,
      logTimeMs,
      swap,
      ...(mapBytesMax === undefined ? {} : { mapBytesMax }),
    })
    const seconds = (clock.monotonicMs() - startMs) / 1000
    meter.compacted({ seconds, ...report })
    logger.info({ folder: log.folder, kind: work.kind, seconds, ...report }, 'Compacted.')
    if (report.compactedEnd === undefined) return false
    await this.#note(log, report, note)
    return true
  }

  async #note(
    log: PartitionLog,
    { compactedEnd, tombstonesDueMs }: RoundReport,
    note: CompactorParts['note'],
  ): Promise<void> {
    if (!this.#pace.isStopped) await note(log, compactedEnd!, tombstonesDueMs)
  }
}
