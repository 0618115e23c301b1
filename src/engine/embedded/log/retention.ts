/**
 * Retention: which records are old enough, or too many, and go.
 *
 *   by time   a segment whose largest record timestamp is older than `retention.ms`
 *   by size   the oldest segment, while at least `retention.bytes` would be left, as in Kafka
 *
 * Only topics whose `cleanup.policy` has `delete`; -1 is unlimited. Segments go from the oldest on
 * without a gap, whole; the active one is closed first when all its records are old. The decision is
 * a log start in the journal, everything else follows from it (segment-removal.ts).
 *
 * Never early: by time nothing goes in the first minutes after a start, nor while the wall clock runs
 * ahead of the time that passed. And not never: records that have no timestamp, or one that lies in
 * the future because a clock was wrong, go with the next segment that is old, or when they were seen
 * unchanged for `retention.ms` in this run.
 */
import type { Clock, Timer } from '../../../kit/clock.ts'
import type { Logger } from '../../../kit/logger.ts'
import {
  adminTimeoutMs,
  retentionFirstPassMs,
  retentionPassMs,
  retentionStep,
  wallAheadMsMax,
} from '../../../model/limits.ts'
import type { Offset } from '../../../model/offset.ts'
import { isInternalTopic } from '../../../model/topic.ts'
import type { PartitionLog } from './partition-log.ts'
import type { Segment } from './segment.ts'
import { WallDrift } from './wall-drift.ts'

export interface RetentionParts {
  readonly clock: Clock
  readonly logger: Logger
  readonly logs: () => Iterable<PartitionLog>
  /** Milliseconds of service: internal topics expire by it. */
  readonly logTimeMs: () => number
  /** Resolves when the new log start is durable. */
  readonly moveLogStart: (log: PartitionLog, before: Offset, timeoutMs: number) => Promise<void>
}

export class Retention {
  readonly #parts: RetentionParts
  readonly #drift: WallDrift
  /** Since when, by the monotonic clock, a segment whose timestamps say nothing has not grown. */
  readonly #seen = new WeakMap<Segment, { readonly bytes: number; readonly fromMs: number }>()
  #startMs = 0
  #timer: Timer | undefined
  #last: Promise<void> = Promise.resolve()
  /** Passes asked for and not done. */
  #passes = 0
  #isOpen = false
  /** Asked for before the start, on a disk that had little room already. */
  #isDue = false

  constructor(parts: RetentionParts) {
    this.#parts = parts
    this.#drift = new WallDrift(parts.clock)
  }

  /** Why nothing goes by time at present although it might be due. */
  get pauseReason(): string | undefined {
    if (!this.#isOpen || !this.#drift.isTooFar) return undefined
    const minutes = Math.round(this.#drift.aheadMs / 60_000)
    return `Retention by time pauses: since the start the wall clock has gained ${minutes} minutes on the time that passed. It goes on when the clock is back, or after a restart.`
  }

  start(): void {
    this.#isOpen = true
    this.#startMs = this.#parts.clock.monotonicMs()
    this.#drift.start()
    this.#schedule(retentionFirstPassMs)
    if (this.#isDue) this.runNow()
  }

  /** Space is short: a pass now, by the same rules. */
  runNow(): void {
    this.#isDue = !this.#isOpen
    if (this.#isOpen && this.#passes === 0) void this.pass()
  }

  /** One look at every partition that begins now, or after the present one. Never rejects. */
  pass(): Promise<void> {
    this.#timer?.cancel()
    const running = this.#last.then(() => this.#pass())
    this.#last = running
    this.#passes++
    return running.finally(() => {
      this.#passes--
      this.#schedule(retentionPassMs)
    })
  }

  async close(): Promise<void> {
    this.#isOpen = false
    this.#timer?.cancel()
    await this.#last
  }

  #schedule(delayMs: number): void {
    if (!this.#isOpen) return
    this.#timer?.cancel()
    this.#timer = this.#parts.clock.after(delayMs, () => void this.pass())
  }

  async #pass(): Promise<void> {
    const { clock, logger, logs } = this.#parts
    let looked = 0
    for (const log of [...logs()]) {
      if (!this.#isOpen) return
      try {
        await this.#apply(log)
      } catch (error) {
        if (!this.#isOpen || log.deleted) continue
        logger.warn({ err: error, folder: log.folder }, 'Retention passed over a partition.')
      }
      // Thousands of partitions in one turn would hold up every append.
      if (++looked % retentionStep === 0) await new Promise<void>((done) => clock.soon(done))
    }
  }

  async #apply(log: PartitionLog): Promise<void> {
    const { hasDelete, retentionMs, retentionBytes } = log.settings
    // What is damaged waits for its operator.
    if (!hasDelete || log.deleted || !log.isReady || log.damage !== undefined) return
    const segments = log.segments.slice(log.countBelow(log.plannedLogStart))
    const bySize = retentionBytes < 0 ? 0 : countBySize(segments, retentionBytes)
    const byTime = retentionMs < 0 ? 0 : await this.#countByTime(log, segments)
    const count = Math.max(bySize, byTime)
    if (count === 0) return
    const before = segments[count]?.base ?? this.#closeActive(log, segments, bySize)
    if (before <= log.plannedLogStart || !this.#isOpen || log.deleted) return
    await this.#parts.moveLogStart(log, before, adminTimeoutMs)
    this.#parts.logger.info(
      { topic: log.tp.topic, partition: log.tp.partition, logStart: before },
      'Retention moved a log start.',
    )
  }

  /**
   * The active segment is to go as well: closes it and answers where the next one begins. If it has
   * grown meanwhile, it stays.
   */
  #closeActive(log: PartitionLog, segments: readonly Segment[], bySize: number): Offset {
    const active = segments.at(-1)!
    const isSame = log.segments.at(-1) === active && log.readableEnd === log.nextOffset
    const isDue = isSame && (bySize === segments.length || this.#isOld(log, active) === true)
    if (isDue) log.roll()
    return isDue ? log.nextOffset : active.base
  }

  async #countByTime(log: PartitionLog, segments: readonly Segment[]): Promise<number> {
    const isInternal = isInternalTopic(log.tp.topic)
    const sinceMs = this.#parts.clock.monotonicMs() - this.#startMs
    if (!isInternal && (sinceMs < retentionFirstPassMs || this.#drift.isTooFar)) return 0
    let count = 0
    for (const [i, segment] of segments.entries()) {
      if (segment.plannedBytes === 0) break
      if (segment.isSealed && !segment.isGone) await segment.loadMaxTimestamp()
      const isOld = this.#isOld(log, segment)
      if (isOld === false) break
      if (isOld === true) count = i + 1
    }
    return count
  }

  /** Undefined: its timestamps say nothing, so it goes with the next one that is old. */
  #isOld(log: PartitionLog, segment: Segment): boolean | undefined {
    const { clock, logTimeMs } = this.#parts
    const { logAppendTime, timestampAfterMsMax } = log.settings
    const isInternal = isInternalTopic(log.tp.topic)
    const nowMs = isInternal ? logTimeMs() : clock.wallMs()
    const aheadMsMax = logAppendTime ? 0 : timestampAfterMsMax
    const latestMs = isInternal ? Infinity : nowMs + Math.max(aheadMsMax, wallAheadMsMax)
    const { maxTimestamp, plannedBytes: bytes } = segment
    if (maxTimestamp >= 0 && maxTimestamp <= latestMs)
      return nowMs - maxTimestamp > log.settings.retentionMs
    const atMs = clock.monotonicMs()
    const seen = this.#seen.get(segment)
    if (seen?.bytes === bytes) return atMs - seen.fromMs > log.settings.retentionMs || undefined
    this.#seen.set(segment, { bytes, fromMs: atMs })
    return undefined
  }
}

function countBySize(segments: readonly Segment[], bytesMin: number): number {
  let left = 0
  for (const segment of segments) left += segment.plannedBytes
  let count = 0
  while (count < segments.length && segments[count]!.plannedBytes > 0) {
    left -= segments[count]!.plannedBytes
    if (left < bytesMin) break
    count++
  }
  return count
}
