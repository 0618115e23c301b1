/**
 * Carries durable batches from memory into their segments, unsynced, in order per partition and a
 * few partitions at a time. A write that met a full disk is tried again each second; meanwhile the
 * batches stay readable in the hot tail. Any other failure ends the engine.
 */
import type { Clock } from '../../../kit/clock.ts'
import type { Logger } from '../../../kit/logger.ts'
import { DiskFullError, isPassing } from '../disk/disk.ts'
import type { BatchEntry, FrameTicket } from './batch-entry.ts'
import type { SegmentRun } from './batch-ring.ts'
import type { PartitionLog } from './partition-log.ts'

/** The journal's own write must always find a free thread of libuv's four. */
const writesAtOnceMax = 2
const retryMs = 1000
/** Batches below this size are copied together: one system call with many buffers costs more. */
const copyBelowBytes = 4096

export interface SegmentWriterParts {
  readonly clock: Clock
  readonly logger: Logger
  readonly onWritten: (batch: BatchEntry) => void
  readonly onDiskFull: () => void
  readonly onFailure: (cause: unknown) => void
}

interface Waiting {
  readonly frameSeq: number
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

export class SegmentWriter {
  readonly #parts: SegmentWriterParts
  #queue: PartitionLog[] = []
  #head = 0
  #busy = 0
  #waitsForSpace = false
  /** A write met a full disk, and none has succeeded since. */
  #hasMetFull = false
  #stopped = false
  #isHurried = false
  /** Frames with outstanding segment writes, in order. */
  #tickets: FrameTicket[] = []
  #waiting: Waiting[] = []
  /** Why no write will return any more. */
  #failure: Error | undefined
  readonly #dirty = new Set<PartitionLog>()

  constructor(parts: SegmentWriterParts) {
    this.#parts = parts
  }

  /** Whether writes are held back because the disk is full. */
  get waitsForSpace(): boolean {
    const isRetrying = this.#busy > 0 || this.#head < this.#queue.length
    return this.#waitsForSpace || (this.#hasMetFull && isRetrying)
  }

  /** Notes the batches of a durable frame, so that `written` can wait for them. */
  expect(batches: readonly BatchEntry[], frameSeq: number): void {
    const ticket: FrameTicket = { seq: frameSeq, left: batches.length }
    for (const batch of batches) batch.ticket = ticket
    this.#tickets.push(ticket)
  }

  enqueue(log: PartitionLog): void {
    if (!log.isQueued) {
      log.isQueued = true
      this.#queue.push(log)
    }
    this.#pump()
  }

  /**
   * Resolves when every segment write of frames up to `frameSeq` has returned. Rejects when one of
   * them never will: the disk failed, or it is full and the engine closes.
   */
  written(frameSeq: number): Promise<void> {
    if ((this.#tickets[0]?.seq ?? Infinity) > frameSeq) return Promise.resolve()
    return new Promise((resolve, reject) => {
      if (this.#failure === undefined) this.#waiting.push({ frameSeq, resolve, reject })
      else reject(this.#failure)
    })
  }

  /** From now on a full disk is not waited for: the journal has what did not reach its segment. */
  hurry(): void {
    this.#isHurried = true
    if (this.#waitsForSpace) this.#giveUp(new DiskFullError('the engine is closing'))
  }

  /** Partitions with bytes that are not synced; forgets them, because they are synced next. */
  takeDirty(): PartitionLog[] {
    const dirty = [...this.#dirty]
    this.#dirty.clear()
    return dirty
  }

  /** A sync that had to be put off. */
  putBack(log: PartitionLog): void {
    this.#dirty.add(log)
  }

  /** Counts batches as done that will never be written, because their topic is deleted. */
  discard(batches: readonly BatchEntry[], log: PartitionLog): void {
    this.#dirty.delete(log)
    for (const batch of batches) this.#finish(batch)
    this.#settle()
  }

  stop(): void {
    this.#stopped = true
  }

  #pump(): void {
    while (this.#busy < writesAtOnceMax && !this.#waitsForSpace && !this.#stopped) {
      const log = this.#queue[this.#head]
      if (log === undefined) {
        this.#queue = []
        this.#head = 0
        return
      }
      this.#head++
      this.#serve(log)
    }
  }

  #serve(log: PartitionLog): void {
    const run = log.nextRun()
    if (run === undefined) {
      log.isQueued = false
      return
    }
    this.#busy++
    const { segment, batches, bytes } = run
    segment.write(joined(batches), batches[0]!.segmentPos, bytes).then(
      () => {
        this.#busy--
        this.#done(log, run)
      },
      (error: unknown) => {
        this.#busy--
        this.#failed(log, error)
      },
    )
  }

  #done(log: PartitionLog, run: SegmentRun): void {
    log.isQueued = false
    this.#hasMetFull = false
    // A topic deleted during the write has let go of its batches in `discard`.
    if (!log.isDropped) {
      // Only now: a checkpoint that took the mark before the write had returned would miss its bytes.
      this.#dirty.add(log)
      log.noteWritten(run)
      for (const batch of run.batches) {
        this.#finish(batch)
        this.#parts.onWritten(batch)
      }
      if (log.hasUnwritten) this.enqueue(log)
    }
    this.#settle()
    this.#pump()
  }

  #failed(log: PartitionLog, error: unknown): void {
    log.isQueued = false
    if (this.#stopped || log.isDropped) return this.#pump()
    if (!isPassing(error)) {
      this.#giveUp(error)
      return this.#parts.onFailure(error)
    }
    if (this.#isHurried) return this.#giveUp(error)
    if (error instanceof DiskFullError) {
      this.#hasMetFull = true
      this.#parts.onDiskFull()
    }
    if (!this.#waitsForSpace) {
      this.#waitsForSpace = true
      this.#parts.logger.warn({ err: error }, 'Segment writes wait; batches stay in memory.')
      this.#parts.clock.after(retryMs, () => {
        this.#waitsForSpace = false
        this.#pump()
      })
    }
    // To the front of nothing: order holds within the partition, which is all that matters.
    this.enqueue(log)
  }

  #giveUp(cause: unknown): void {
    const error = cause instanceof Error ? cause : new Error(String(cause))
    this.#failure = error
    const waiting = this.#waiting
    this.#waiting = []
    for (const { reject } of waiting) reject(error)
  }

  #finish(batch: BatchEntry): void {
    if (batch.ticket !== undefined) batch.ticket.left--
    batch.ticket = undefined
  }

  #settle(): void {
    let done = 0
    while (done < this.#tickets.length && this.#tickets[done]!.left === 0) done++
    if (done === 0) return
    this.#tickets = this.#tickets.slice(done)
    const oldest = this.#tickets[0]?.seq ?? Infinity
    const waiting = this.#waiting
    this.#waiting = waiting.filter(({ frameSeq }) => frameSeq >= oldest)
    for (const { frameSeq, resolve } of waiting) if (frameSeq < oldest) resolve()
  }
}

/** The payloads in order, with neighbours that are small copied together. */
function joined(batches: readonly BatchEntry[]): Uint8Array[] {
  const buffers: Uint8Array[] = []
  for (let i = 0; i < batches.length;) {
    let end = i
    let bytes = 0
    while (end < batches.length && batches[end]!.payload.length < copyBelowBytes) {
      bytes += batches[end++]!.payload.length
    }
    if (end - i > 1) {
      const copy = Buffer.allocUnsafe(bytes)
      for (let at = 0; i < end; i++) {
        copy.set(batches[i]!.payload, at)
        at += batches[i]!.payload.length
      }
      buffers.push(copy)
    } else buffers.push(batches[i++]!.payload)
  }
  return buffers
}
