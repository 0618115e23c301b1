/**
 * Checkpoints: from time to time everything behind the journal is made durable in its own place and
 * a snapshot says so, so that journal files can be used again and a start replays little.
 */
import type { Clock, Timer } from '../../../kit/clock.ts'
import type { Logger } from '../../../kit/logger.ts'
import { GatewayError } from '../../../model/errors.ts'
import { DiskFullError, isPassing } from '../disk/disk.ts'
import type { Committer, JournalPosition } from './committer.ts'
import type { SnapshotStore } from './snapshot.ts'

/** What a start may have to write again takes well under a second on an ordinary disk. */
const bytesBetweenMax = 128 * 1024 * 1024
const timeBetweenMs = 60_000
const idleMs = 5_000
const tickMs = 1_000

/** What a checkpoint needs to know about segments and state. */
export interface CheckpointState {
  /** Encodes everything, in this turn. */
  sections(): ReadonlyMap<number, Uint8Array>
  /** Resolves when every segment write of frames up to `frameSeq` has returned. */
  written(frameSeq: number): Promise<void>
  /** Makes segments, indexes and folders durable. */
  sync(): Promise<void>
  /** The older of the kept snapshots has these recovery positions. */
  kept(positions: Uint8Array): void
  /** Whether another checkpoint is wanted although no frame was written since the last. */
  wantsCheckpoint(): boolean
}

export interface CheckpointParts {
  readonly clock: Clock
  readonly logger: Logger
  readonly committer: Committer
  readonly state: CheckpointState
  readonly snapshots: SnapshotStore
  readonly generation: number
  readonly logTimeMs: () => number
  /** Size of all journal files, bytes. */
  readonly journalBytes: () => number
  /** Appends are refused until journal files are free again. */
  readonly isCrowded: () => boolean
  /** A write of a checkpoint met a full disk. */
  readonly onDiskFull: () => void
  /** Frees the journal before this position. */
  readonly recycle: (before: JournalPosition) => void
  readonly meter: { checkpoint(seconds: number): void }
}

export class Checkpointer {
  readonly #parts: CheckpointParts
  #running: Promise<void> | undefined
  #last: Promise<void> = Promise.resolve()
  #timer: Timer | undefined
  #lastFrameSeq = -1
  #lastMs: number
  #lastWriteMs: number
  #bytesSince = 0
  #stopped = false
  #lacksSpace = false

  constructor(parts: CheckpointParts) {
    this.#parts = parts
    this.#lastMs = this.#lastWriteMs = parts.clock.monotonicMs()
  }

  /** The last one met a full disk. */
  get lacksSpace(): boolean {
    return this.#lacksSpace
  }

  start(): void {
    this.#timer = this.#parts.clock.after(tickMs, () => {
      if (this.#stopped) return
      this.#check()
      this.start()
    })
  }

  /** No further checkpoint begins by itself. */
  halt(): void {
    this.#stopped = true
    this.#timer?.cancel()
  }

  /** Halts, and resolves when the present one is done. */
  async stop(): Promise<void> {
    this.halt()
    await this.#running
  }

  /** A frame of this size became durable. */
  noteFrame(bytes: number): void {
    this.#bytesSince += bytes
    this.#lastWriteMs = this.#parts.clock.monotonicMs()
    if (this.#bytesSince >= Math.min(bytesBetweenMax, this.#parts.journalBytes() / 3))
      this.request()
  }

  /** Begins a checkpoint unless one is running. */
  request(): void {
    if (this.#stopped || this.#running !== undefined) return
    this.#running = this.#attempt().finally(() => {
      this.#running = undefined
    })
  }

  /** One checkpoint, after the one that is running. Throws what went wrong. */
  run(): Promise<void> {
    const next = this.#last.then(() => this.#make()).catch((error: unknown) => this.#failed(error))
    this.#last = next.catch(() => undefined)
    return next
  }

  /** A full disk loses nothing, the journal still holds everything; any other error ends the engine. */
  #failed(error: unknown): never {
    const { logger, committer } = this.#parts
    if (error instanceof DiskFullError) {
      this.#lacksSpace = true
      this.#parts.onDiskFull()
    }
    if (isPassing(error)) logger.warn({ err: error }, 'A checkpoint has to wait for the disk.')
    else if (!(error instanceof GatewayError)) committer.fence(error)
    throw error
  }

  async #make(): Promise<void> {
    const { clock, committer, state, snapshots, generation } = this.#parts
    const startMs = clock.monotonicMs()
    // The line and the state belong to one turn: the snapshot holds exactly the frames up to it.
    const frameSeq = committer.cut()
    const sections = state.sections()
    const logTimeMs = this.#parts.logTimeMs()
    const position = await this.#positionBehindTheLine()
    const bytes = this.#bytesSince
    await state.written(frameSeq)
    await state.sync()
    // After a failure somewhere else a sync may succeed and mean nothing.
    if (committer.fenced) throw new GatewayError('UNAVAILABLE', 'The disk failed meanwhile.')
    await snapshots.save({ generation, logTimeMs, position, sections })
    await snapshots.prune()
    state.kept(snapshots.neededPositions)
    this.#lacksSpace = false
    this.#lastFrameSeq = frameSeq
    this.#lastMs = clock.monotonicMs()
    this.#bytesSince -= bytes
    if (snapshots.neededFrom !== undefined) this.#parts.recycle(snapshots.neededFrom)
    this.#parts.meter.checkpoint((this.#lastMs - startMs) / 1000)
  }

  #check(): void {
    // The journal is kept from the older of two snapshots on: without new frames too, it takes a
    // second one to free what lies between them.
    if (this.#lacksSpace || this.#parts.isCrowded()) return this.request()
    const isNew = this.#parts.committer.durableSeq !== this.#lastFrameSeq
    // Files are removed behind the older of two snapshots only: the last removal takes one more.
    if (!isNew && !this.#parts.state.wantsCheckpoint()) return
    const nowMs = this.#parts.clock.monotonicMs()
    if (nowMs - this.#lastMs >= timeBetweenMs || nowMs - this.#lastWriteMs >= idleMs) this.request()
  }

  #positionBehindTheLine(): Promise<JournalPosition> {
    const { committer } = this.#parts
    return new Promise((resolve, reject) => {
      committer.whenSettled({
        deadlineMs: Infinity,
        settle: (error) => {
          if (error === undefined) resolve(committer.position)
          else reject(error)
        },
      })
    })
  }

  /** Nobody waits for this one: what went wrong was said by `run`, and the next tick tries again. */
  #attempt(): Promise<void> {
    return this.run().catch(() => undefined)
  }
}
