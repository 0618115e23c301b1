/**
 * Group commit. Entries join the open group; exactly one journal write is in flight, and whatever
 * arrives meanwhile forms the next group. When a write has returned, in this order: the readable
 * ends of the whole frame move in one turn, the next write starts, answers leave in the order of
 * joining, watchers are told. Nothing is ever rolled back: a frame becomes durable, or the
 * committer is fenced and the process ends.
 */
import type { Clock, Timer } from '../../../kit/clock.ts'
import { GatewayError } from '../../../model/errors.ts'
import { journalFrameBytes } from '../../../model/limits.ts'
import type { JournalEntry } from './journal-frame.ts'
import {
  blockBytes,
  encodeFrame,
  entryHeaderBytes,
  frameHeaderBytes,
  paddedBytes,
} from './journal-frame.ts'
import type { JournalFile } from './journal-file.ts'

/** Timers cannot be set further ahead than 2^31 ms; a sweep that comes early finds nothing to do. */
const sweepMsMax = 3_600_000

/** One caller who waits for a frame. */
export interface Answer {
  /** On the monotonic clock, ms. */
  readonly deadlineMs: number
  /** Called once or more; only the first call counts. */
  settle(error: GatewayError | undefined): void
}

/** Who is told what became durable. */
export interface FrameListener {
  /** Moves the readable ends of a durable frame; must not call out. */
  reveal(entries: readonly JournalEntry[], frameSeq: number): void
  /** After the answers: wakes watchers and starts the segment writes. */
  announce(entries: readonly JournalEntry[], frameBytes: number): void
}

/** Where the journal goes on. */
export interface JournalPosition {
  readonly fileSeq: number
  readonly offset: number
  readonly nextFrameSeq: number
}

export interface CommitterMeter {
  journalWrite(seconds: number, bytes: number): void
}

export interface CommitterParts {
  readonly clock: Clock
  readonly listener: FrameListener
  readonly logTimeMs: () => number
  /** A file that has begun with `firstFrameSeq`, when a frame does not fit the present one. */
  readonly nextFile: (firstFrameSeq: number, frameBytes: number) => Promise<JournalFile>
  readonly onFence: (cause: unknown) => void
  readonly meter: CommitterMeter
}

interface Group {
  readonly seq: number
  readonly entries: JournalEntry[]
  readonly answers: Answer[]
  bytes: number
}

export class Committer {
  readonly #parts: CommitterParts
  readonly #queue: Group[] = []
  /** The last of the queue, while entries may still join it. */
  #open: Group | undefined
  #writing: Group | undefined
  #file: JournalFile
  #offset: number
  #nextSeq: number
  /** Of the queue and the frame being written, as they will stand in the file. */
  #waitingBytes = 0
  /** Answers that have not been given, or were given early because their time was up. */
  #answers = 0
  #durableSeq: number
  #pumpIsDue = false
  #fenced = false
  #sweep: { readonly atMs: number; readonly timer: Timer } | undefined

  constructor(parts: CommitterParts, file: JournalFile, offset: number, nextSeq: number) {
    this.#parts = parts
    this.#file = file
    this.#offset = offset
    this.#nextSeq = nextSeq
    this.#durableSeq = nextSeq - 1
  }

  get fenced(): boolean {
    return this.#fenced
  }

  /** Number of the last durable frame. */
  get durableSeq(): number {
    return this.#durableSeq
  }

  /** Whether everything that joined is durable. */
  get idle(): boolean {
    return this.#writing === undefined && this.#queue.length === 0
  }

  /** How far the present file is spoken for: by what was written, and by all that waits. */
  get reach(): number {
    return this.#offset + this.#waitingBytes
  }

  /** Bytes that joined and are not durable. */
  get waitingBytes(): number {
    return this.#waitingBytes
  }

  /** How many wait for a frame. */
  get answers(): number {
    return this.#answers
  }

  /** Only when idle or inside an answer: what stands behind the last durable frame. */
  get position(): JournalPosition {
    return {
      fileSeq: this.#file.header!.fileSeq,
      offset: this.#offset,
      nextFrameSeq: this.#durableSeq + 1,
    }
  }

  /** One entry with its answer: the hot path of `append`. */
  joinOne(entry: JournalEntry, answer: Answer): void {
    if (this.#fenced) return answer.settle(stopped())
    const group = this.#groupFor(entryHeaderBytes + entry.payload.length)
    group.entries.push(entry)
    this.#wait(group, answer)
  }

  /** Entries that must share one frame; who checked them sees to it that they fit one file. */
  joinTogether(entries: readonly JournalEntry[], answer: Answer): void {
    if (this.#fenced) return answer.settle(stopped())
    let bytes = 0
    for (const entry of entries) bytes += entryHeaderBytes + entry.payload.length
    const group = this.#groupFor(bytes)
    group.entries.push(...entries)
    this.#wait(group, answer)
  }

  /** Settles when everything that joined before is durable; at once when it is. */
  whenSettled(answer: Answer): void {
    if (this.#fenced) return answer.settle(stopped())
    const last = this.#queue.at(-1) ?? this.#writing
    if (last === undefined) return answer.settle(undefined)
    this.#wait(last, answer)
  }

  /**
   * Draws a line behind everything that has joined: later entries go to a later frame. Returns the
   * number of the frame in front of the line, so that the state of this turn holds exactly the
   * frames up to it.
   */
  cut(): number {
    this.#open = undefined
    return this.#nextSeq - 1
  }

  /** A broken disk: everything waiting is rejected with IO_ERROR, nothing is written any more. */
  fence(cause: unknown): void {
    if (this.#fenced) return
    const message = 'The disk failed while this was being written.'
    this.#end(new GatewayError('IO_ERROR', message, { cause }))
    this.#parts.onFence(cause)
  }

  /** The engine closes: nothing is written any more, and who still waits is told that it may be lost. */
  stop(): void {
    this.#end(new GatewayError('TIMEOUT', 'The engine closed before this became durable.'))
  }

  #end(error: GatewayError): void {
    this.#fenced = true
    this.#sweep?.timer.cancel()
    this.#sweep = undefined
    const waiting = this.#writing === undefined ? this.#queue : [this.#writing, ...this.#queue]
    const answers = waiting.flatMap((group) => group.answers)
    this.#writing = undefined
    this.#queue.length = 0
    this.#open = undefined
    for (const answer of answers) answer.settle(error)
  }

  #groupFor(bytes: number): Group {
    let group = this.#open
    if (group === undefined || group.bytes + bytes > journalFrameBytes) {
      group = { seq: this.#nextSeq++, entries: [], answers: [], bytes: frameHeaderBytes }
      this.#open = group
      this.#queue.push(group)
      this.#waitingBytes += paddedBytes(group.bytes)
    }
    const before = paddedBytes(group.bytes)
    group.bytes += bytes
    this.#waitingBytes += paddedBytes(group.bytes) - before
    if (this.#writing === undefined && !this.#pumpIsDue) {
      // In a microtask, so that calls made in one turn share the first frame.
      this.#pumpIsDue = true
      queueMicrotask(() => {
        this.#pumpIsDue = false
        this.#pump()
      })
    }
    return group
  }

  #pump(): void {
    if (this.#writing !== undefined || this.#fenced) return
    const group = this.#queue.shift()
    if (group === undefined) return
    if (group === this.#open) this.#open = undefined
    this.#writing = group
    if (this.#offset + paddedBytes(group.bytes) <= this.#file.bytes) {
      this.#write(group)
      return
    }
    this.#parts.nextFile(group.seq, group.bytes).then(
      (file) => {
        if (this.#fenced) return
        this.#file = file
        this.#offset = blockBytes
        this.#write(group)
      },
      (cause: unknown) => this.fence(cause),
    )
  }

  #write(group: Group): void {
    const { clock, logTimeMs } = this.#parts
    const startMs = clock.monotonicMs()
    const buffers = encodeFrame(group.entries, group.bytes, {
      seq: group.seq,
      timeMs: logTimeMs(),
      seed: this.#file.seed,
    })
    this.#file.write(buffers, this.#offset).then(
      () => this.#durable(group, (clock.monotonicMs() - startMs) / 1000),
      (cause: unknown) => this.fence(cause),
    )
  }

  #durable(group: Group, seconds: number): void {
    if (this.#fenced) return
    const bytes = paddedBytes(group.bytes)
    this.#offset += bytes
    this.#waitingBytes -= bytes
    this.#durableSeq = group.seq
    this.#writing = undefined
    this.#parts.listener.reveal(group.entries, group.seq)
    // The disk is kept busy first. An answer may still ask for the position behind this frame,
    // because that moves only in a later turn.
    this.#pump()
    // What is asked while answers are given may wait for this group no more.
    this.#answers -= group.answers.length
    for (const answer of group.answers) answer.settle(undefined)
    this.#parts.listener.announce(group.entries, bytes)
    this.#parts.meter.journalWrite(seconds, bytes)
  }

  #wait(group: Group, answer: Answer): void {
    group.answers.push(answer)
    this.#answers++
    this.#watchDeadline(answer.deadlineMs)
  }

  #watchDeadline(deadlineMs: number): void {
    if (deadlineMs === Infinity || (this.#sweep?.atMs ?? Infinity) <= deadlineMs) return
    this.#sweep?.timer.cancel()
    this.#schedule(deadlineMs)
  }

  #schedule(atMs: number): void {
    const { clock } = this.#parts
    const delayMs = Math.min(sweepMsMax, Math.max(0, atMs - clock.monotonicMs()))
    const timer = clock.after(delayMs, () => this.#expire())
    this.#sweep = { atMs, timer }
  }

  /** One timer for all deadlines: a timer per append would cost more than the append. */
  #expire(): void {
    this.#sweep = undefined
    const nowMs = this.#parts.clock.monotonicMs()
    let nextMs = Infinity
    for (const group of this.#writing === undefined
      ? this.#queue
      : [this.#writing, ...this.#queue]) {
      for (const answer of group.answers) {
        if (answer.deadlineMs > nowMs) nextMs = Math.min(nextMs, answer.deadlineMs)
        else answer.settle(timedOut())
      }
    }
    if (nextMs < Infinity) this.#schedule(nextMs)
  }
}

function stopped(): GatewayError {
  return new GatewayError('UNAVAILABLE', 'The engine has stopped because its disk failed.')
}

function timedOut(): GatewayError {
  return new GatewayError('TIMEOUT', 'The deadline passed before this became durable.')
}
