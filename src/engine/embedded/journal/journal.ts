/**
 * The journal: the one commit log of a data folder. It writes opaque entries and knows no topic;
 * state machines and the keeper of the batches plug in. What makes an acknowledgement true is here,
 * everything behind it is written lazily.
 */
import type { Clock } from '../../../kit/clock.ts'
import type { Logger } from '../../../kit/logger.ts'
import { GatewayError } from '../../../model/errors.ts'
import {
  journalAnswersMax,
  journalWaitingBytesMax,
  produceTimeoutMs,
} from '../../../model/limits.ts'
import type { Disk } from '../disk/disk.ts'
import { isPassing } from '../disk/disk.ts'
import { Checkpointer } from './checkpoint.ts'
import {
  copyJournal,
  damageOf,
  dropDamagedJournal,
  lossBehind,
  quarantineFor,
  readOnlyMessage,
} from './damaged-journal.ts'
import type { Answer, CommitterMeter, FrameListener } from './committer.ts'
import { Committer } from './committer.ts'
import type { JournalFile } from './journal-file.ts'
import { journalFolder } from './journal-file.ts'
import type { JournalSizes } from './journal-files.ts'
import { JournalFiles } from './journal-files.ts'
import type { JournalEntry } from './journal-frame.ts'
import { blockBytes, copyFrame, paddedBytes } from './journal-frame.ts'
import type { Chain } from './recovery.ts'
import {
  noChain,
  readChain,
  readFrame,
  replayFrames,
  reusableFiles,
  snapshotBeyond,
  usableSnapshots,
} from './recovery.ts'
import type { StoredSnapshot } from './snapshot.ts'
import { SnapshotStore, snapshotFolder } from './snapshot.ts'
import type { JournalWriter, StateEntry, StateMachine } from './state-machine.ts'
import { entryKinds } from './state-machine.ts'

/** A frame above the recovery positions of a journal with a hole. */
export interface LentFrame {
  /** Reads its entries again. */
  entries(): Promise<readonly JournalEntry[]>
}

/** What the journal asks of the room that keeps the batches. */
export interface BatchKeeper extends FrameListener {
  /** Whether there is no data on disk, so that a folder without a snapshot is a new one. */
  isEmpty(): Promise<boolean>
  /** The generation of this run, before any batch is staged or replayed. */
  begin(generation: number): void
  /** The recovery positions at one frame, encoded in this turn. */
  snapshot(): Uint8Array
  restore(section: Uint8Array): void
  /** After the final catalog is known: brings the files back to the recovery positions. */
  prepare(): Promise<void>
  /** Writes batches of a recovered frame again, in order. */
  replay(entries: readonly JournalEntry[]): Promise<void>
  /** Instead of `prepare` and `replay`: opens the files as they are, to be read and not changed. */
  prepareReadOnly(): Promise<void>
  /** A recovered frame whose batches stay in the journal. */
  lend(entries: readonly JournalEntry[], frame: LentFrame): void
  /** The partition of a number, for people; undefined when no topic has it. */
  nameOf(ref: number): string | undefined
  lastOffsetOf(batch: JournalEntry): number
  /** Puts into `folder` what a recovery would cut off or remove. */
  setAside(folder: string): Promise<void>
  written(frameSeq: number): Promise<void>
  sync(): Promise<void>
  /** The older of the kept snapshots has these recovery positions, as `snapshot()` gave them. */
  kept(section: Uint8Array): void
  /** Whether work waits for later recovery positions to be kept. */
  readonly wantsCheckpoint: boolean
}

export interface JournalMeter extends CommitterMeter {
  checkpoint(seconds: number): void
  recovered(frames: number, bytes: number, seconds: number): void
}

/** A journal that finds no file for its last frames does not hold up the end for longer, ms. */
const closeMsMax = 10_000

export const defaultSizes: JournalSizes = {
  firstFileBytes: 32 * 1024 * 1024,
  fileBytes: 128 * 1024 * 1024,
}

export interface JournalParts {
  readonly disk: Disk
  readonly clock: Clock
  readonly logger: Logger
  readonly meter: JournalMeter
  readonly sizes?: JournalSizes
  /** In the order in which they are restored. */
  readonly machines: readonly StateMachine[]
  readonly batches: BatchKeeper
  /** The disk failed: the process should end. */
  readonly onFence: (cause: unknown) => void
  /** An operator's word to give up what stands behind damage in the journal. */
  readonly recover?: typeof dropDamagedJournal
  /** A write outside of the journal's own files met a full disk. */
  readonly onDiskFull: () => void
  readonly hasSpace: () => boolean
}

export class Journal implements JournalWriter {
  readonly #parts: JournalParts
  readonly #machines: ReadonlyMap<number, StateMachine>
  readonly #snapshots: SnapshotStore
  readonly #files: JournalFiles
  #generation = 0
  #committer: Committer | undefined
  #checkpointer: Checkpointer | undefined
  #timeBaseMs = 0
  #timeFromMs = 0
  #closed = false
  #progress = { done: 0, total: 0 }
  /** Why the engine is read-only. */
  #damage: string | undefined

  constructor(parts: JournalParts) {
    this.#parts = parts
    const { disk, clock, logger, sizes = defaultSizes } = parts
    this.#files = new JournalFiles({
      disk,
      clock,
      logger,
      sizes,
      onFailure: (cause) => this.fence(cause),
      hasSpace: parts.hasSpace,
    })
    this.#machines = new Map(parts.machines.map((machine) => [machine.kind, machine]))
    this.#snapshots = new SnapshotStore(disk)
  }

  /** The number of this run of the data folder. Valid after `open()`. */
  get generation(): number {
    return this.#generation
  }

  get progress(): { readonly done: number; readonly total: number } {
    return this.#progress
  }

  /** Three quarters of the journal cannot be used again: the rest is for metadata, the way out. */
  get crowded(): boolean {
    const reach = this.#committer?.reach
    return reach !== undefined && !this.#files.hasRoomForAppends(reach)
  }

  /** What was written and cannot be written over yet, bytes. */
  get heldBytes(): number {
    return this.#committer === undefined ? 0 : this.#files.heldBytes(this.#committer.reach)
  }

  /** Whether a checkpoint that met a full disk is still to be made. */
  get waitsForSpace(): boolean {
    return this.#checkpointer?.lacksSpace === true
  }

  /** Whether it is for want of space that the journal is crowded. */
  get lacksSpace(): boolean {
    return this.waitsForSpace || this.#files.lacksSpace || !this.#parts.hasSpace()
  }

  /**
   * Why a change of metadata or offsets cannot be taken now; asked before it is applied. The reserve
   * lasts for long, but not for ever, and what waits for the disk waits in memory.
   */
  refusal(bytes: number): GatewayError | undefined {
    const damaged = this.writeRefusal()
    if (damaged !== undefined) return damaged
    const committer = this.#committer
    if (committer === undefined || this.#closed) return undefined
    if (!this.#files.hasRoomFor(committer.reach, bytes)) {
      return this.lacksSpace
        ? new GatewayError('DISK_FULL', 'The disk is full, and so is the reserve of the journal.')
        : new GatewayError('OVERLOADED', 'Checkpoints cannot keep up with the journal.')
    }
    if (committer.waitingBytes + bytes > journalWaitingBytesMax) {
      return new GatewayError(
        'OVERLOADED',
        `${committer.waitingBytes} bytes wait for the journal; the limit is ${journalWaitingBytesMax}.`,
      )
    }
    return this.#crush(committer)
  }

  /** A disk that answers late, or never, must not fill the memory with those who wait for it. */
  #crush({ answers }: Committer): GatewayError | undefined {
    if (answers < journalAnswersMax) return undefined
    return new GatewayError(
      'OVERLOADED',
      `${answers} calls wait for the journal; the limit is ${journalAnswersMax}.`,
    )
  }

  get fenced(): boolean {
    return this.#committer?.fenced === true
  }

  /** Set where the journal has a hole or lost its end: then everything is read-only. */
  get damage(): string | undefined {
    return this.#damage
  }

  /** Why nothing may be written at all. */
  writeRefusal(): GatewayError | undefined {
    if (this.#damage === undefined) return undefined
    return new GatewayError('CORRUPT_BATCH', readOnlyMessage(this.#damage))
  }

  logTimeMs(): number {
    return Math.floor(this.#timeBaseMs + this.#parts.clock.monotonicMs() - this.#timeFromMs)
  }

  /**
   * Recovers: snapshot, chain, replay, a fresh file, a full checkpoint. Nothing was shown before it
   * resolves. A journal with a hole or without its end is opened read-only instead (`damage`). Throws
   * CORRUPT_BATCH when no snapshot can be trusted. In both cases nothing was changed.
   */
  async open(): Promise<void> {
    const { disk, clock } = this.#parts
    this.#timeFromMs = clock.monotonicMs()
    await disk.makeDirectory(journalFolder)
    await disk.makeDirectory(snapshotFolder)
    await disk.syncDirectory('.')
    const files = await this.#files.open()
    this.#generation = this.#files.generation
    const { snapshots, files: snapshotFiles } = await this.#snapshots.load()
    if (snapshots[0] === undefined) await this.#refuseUnlessNew(files, snapshotFiles)
    await this.#recover(files, snapshots)
    if (this.#damage !== undefined) return
    this.#files.growAhead()
    this.#checkpointer!.start()
  }

  /**
   * Before the end: resolves when everything that joined is durable or told that it may be lost.
   * Checkpoints go on meanwhile, because the last frames may be waiting for a journal file.
   */
  async drain(): Promise<void> {
    if (!(await this.#lastFrame())) this.#committer?.stop()
  }

  /** A clean stop is a checkpoint with no frame behind it. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    try {
      await this.drain()
      await this.#checkpointer?.stop()
      if (!this.fenced) await this.#checkpointer?.run()
    } catch (error) {
      // The journal has everything that was acknowledged, so the next start replays it.
      if (!isPassing(error)) throw error
      this.#parts.logger.warn({ err: error }, 'The last checkpoint had no space on the disk.')
    } finally {
      await this.abandon()
    }
  }

  /** Lets go of the files without a checkpoint: the start failed, or the stop did. */
  async abandon(): Promise<void> {
    this.#closed = true
    this.#checkpointer?.halt()
    this.#committer?.stop()
    await this.#files.close()
  }

  write(entries: readonly StateEntry[], timeoutMs: number = produceTimeoutMs): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#running().joinTogether(
        entries.map(stateEntry),
        this.#answer(timeoutMs, resolve, reject),
      )
    })
  }

  settled(timeoutMs: number = produceTimeoutMs): Promise<void> {
    if (this.#damage !== undefined) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const running = this.#running()
      const crush = this.#crush(running)
      if (crush === undefined) running.whenSettled(this.#answer(timeoutMs, resolve, reject))
      else reject(crush)
    })
  }

  /** Calls back when everything that joined before is durable; at once when it is. */
  whenSettled(deadlineMs: number, settle: (error: GatewayError | undefined) => void): void {
    if (this.#damage !== undefined) return settle(undefined)
    const running = this.#running()
    const crush = this.#crush(running)
    if (crush !== undefined) return settle(crush)
    let isSettled = false
    running.whenSettled({
      deadlineMs,
      settle: (error) => {
        if (isSettled) return
        isSettled = true
        settle(error)
      },
    })
  }

  /** One batch: the hot path of `append`. */
  joinOne(entry: JournalEntry, answer: Answer): void {
    this.#running().joinOne(entry, answer)
  }

  /** Batches and state that must share one frame. */
  joinTogether(entries: readonly JournalEntry[], answer: Answer): void {
    this.#running().joinTogether(entries, answer)
  }

  /** Ends all writing, for a disk that failed somewhere else. */
  fence(cause: unknown): void {
    if (this.#committer === undefined) this.#parts.onFence(cause)
    else this.#committer.fence(cause)
  }

  /** A checkpoint now, for tests and for a back-up. */
  async checkpoint(): Promise<void> {
    const refusal = this.writeRefusal()
    if (refusal !== undefined) throw refusal
    await this.#checkpointer!.run()
  }

  /** Whether everything that has joined is settled, durable or failed, within a fair time. */
  #lastFrame(): Promise<boolean> {
    return new Promise((resolve) => {
      if (this.#committer === undefined) return resolve(true)
      this.#committer.whenSettled({
        deadlineMs: this.#parts.clock.monotonicMs() + closeMsMax,
        settle: (error) => resolve(error?.code !== 'TIMEOUT'),
      })
    })
  }

  #running(): Committer {
    const refusal = this.writeRefusal()
    if (refusal !== undefined) throw refusal
    if (this.#committer !== undefined && !this.#closed) return this.#committer
    throw new GatewayError(
      'UNAVAILABLE',
      this.#closed ? 'The engine is closing.' : 'The engine is recovering.',
    )
  }

  #answer(timeoutMs: number, resolve: () => void, reject: (error: Error) => void): Answer {
    return {
      deadlineMs: this.#parts.clock.monotonicMs() + timeoutMs,
      settle: (error) => {
        if (error === undefined) resolve()
        else reject(error)
      },
    }
  }

  /** A folder without a usable snapshot must be new, or an earlier first start that was cut short. */
  async #refuseUnlessNew(files: readonly JournalFile[], snapshotFiles: number): Promise<void> {
    let frames = 0
    for (const file of files) if ((await file.frameAt(blockBytes)) !== undefined) frames++
    if (frames === 0 && snapshotFiles === 0 && (await this.#parts.batches.isEmpty())) return
    throw new GatewayError(
      'CORRUPT_BATCH',
      `The data folder has no usable snapshot: ${snapshotFiles} snapshot files, ${files.length} journal files, ${frames} of them with frames. Nothing was changed. Restore it from a back-up.`,
    )
  }

  async #recover(
    files: readonly JournalFile[],
    snapshots: readonly StoredSnapshot[],
  ): Promise<void> {
    const { clock, batches, logger, meter, recover } = this.#parts
    const startMs = clock.monotonicMs()
    const usable = usableSnapshots(snapshots, files)
    const lost = await this.#lostEnd(files, snapshots, usable[0])
    this.#restore(lost ?? usable[0])
    const chain = lost === undefined ? await this.#readState(files, usable[0]) : noChain(lost)
    const damage = damageOf(chain, lost)
    if (damage !== undefined && recover !== dropDamagedJournal) {
      return this.#openReadOnly(chain, damage)
    }
    if (damage !== undefined) await this.#dropBehind(files, chain, damage)
    else if (recover !== undefined) {
      logger.warn({ recover }, 'The journal is whole, so there is nothing to recover: unset it.')
    }

    // Up to here nothing was written, so a refusal left everything as it was.
    this.#generation += 1
    batches.begin(this.#generation)
    await this.#settleFolders()
    await batches.prepare()
    await this.#replay(chain)
    const kept = lost === undefined ? usable : [lost]
    this.#files.passOver(lost?.position.fileSeq ?? 0)
    this.#snapshots.keep(kept)
    await this.#beginRun(files, kept, chain)
    await this.#checkpointer!.run()

    const seconds = (clock.monotonicMs() - startMs) / 1000
    meter.recovered(chain.places.length, chain.bytes, seconds)
    logger.info(
      {
        generation: this.#generation,
        frames: chain.places.length,
        bytes: chain.bytes,
        milliseconds: Math.round(seconds * 1000),
      },
      'The journal is open.',
    )
  }

  /**
   * The newest snapshot, when it knows of frames that the journal does not have any more. That can only
   * be when the journal file it stands in is gone, so an ordinary start reads the chain once.
   */
  async #lostEnd(
    files: readonly JournalFile[],
    snapshots: readonly StoredSnapshot[],
    usable: StoredSnapshot | undefined,
  ): Promise<StoredSnapshot | undefined> {
    if (snapshots[0] === usable) return undefined
    if (usable === undefined) return snapshots[0]
    const { lastSeq } = await readChain(files, usable.position, () => undefined)
    return snapshotBeyond(files, snapshots, lastSeq)
  }

  async #openReadOnly(chain: Chain, damage: string): Promise<void> {
    const { batches, logger } = this.#parts
    await batches.prepareReadOnly()
    for (const place of chain.places) {
      const { entries } = await readFrame(place)
      batches.lend(entries, { entries: async () => (await readFrame(place)).entries })
    }
    this.#damage = damage
    logger.error({}, readOnlyMessage(damage))
  }

  /**
   * First everything is copied and said, then folders move, and only then the files behind the damage
   * are taken out of the journal: cut short anywhere, the next start finds the damage again, or
   * nothing behind it.
   */
  async #dropBehind(files: readonly JournalFile[], chain: Chain, damage: string): Promise<void> {
    const { disk, batches, logger } = this.#parts
    const loss = await lossBehind(
      files,
      chain,
      (ref) => batches.nameOf(ref),
      (batch) => batches.lastOffsetOf(batch),
    )
    const folder = await quarantineFor(disk)
    logger.warn({ ...loss, folder }, `${damage} What stands behind it is given up, as told.`)
    await copyJournal(disk, folder, loss, logger)
    await batches.setAside(folder)
    // From the back, so that what is still there goes on proving the damage.
    for (const file of [...files].reverse()) {
      if ((file.header?.firstFrameSeq ?? 0) > chain.lastSeq) await file.forget()
    }
  }

  #restore(snapshot: StoredSnapshot | undefined): void {
    this.#timeBaseMs = snapshot?.logTimeMs ?? this.#parts.clock.wallMs()
    if (snapshot === undefined) return
    this.#generation = Math.max(this.#generation, snapshot.generation)
    for (const machine of this.#parts.machines) {
      const section = snapshot.sections.get(machine.kind)
      if (section !== undefined) machine.restore(section)
    }
    const positions = snapshot.sections.get(entryKinds.BATCH)
    if (positions !== undefined) this.#parts.batches.restore(positions)
  }

  /** First pass: checks every frame and applies the state entries, so the final catalog is known. */
  async #readState(
    files: readonly JournalFile[],
    snapshot: StoredSnapshot | undefined,
  ): Promise<Chain> {
    const from = snapshot?.position ?? { fileSeq: 1, offset: blockBytes, nextFrameSeq: 1 }
    return readChain(files, from, (frame) => {
      this.#timeBaseMs = Math.max(this.#timeBaseMs, frame.timeMs)
      for (const entry of frame.entries) {
        if (entry.kind !== entryKinds.BATCH) this.#machines.get(entry.kind)?.apply(entry.payload)
      }
    })
  }

  /** Second pass: the batches go to their segments again. */
  async #replay(chain: Chain): Promise<void> {
    this.#progress = { done: 0, total: chain.bytes }
    for await (const frame of replayFrames(chain)) {
      await this.#parts.batches.replay(frame.entries)
      const done = this.#progress.done + paddedBytes(frame.bytes.length)
      this.#progress = { done, total: chain.bytes }
    }
  }

  /**
   * Tidies both folders and syncs them. A name that a killed process gave may stand in the page cache
   * alone: without the sync a file of this run could vanish with the next power cut.
   */
  async #settleFolders(): Promise<void> {
    const { disk } = this.#parts
    for (const folder of [journalFolder, snapshotFolder]) {
      for (const name of await disk.list(folder)) {
        if (name.endsWith('.tmp')) await disk.remove(`${folder}/${name}`)
      }
      await disk.syncDirectory(folder)
    }
  }

  /** Opens this run's first file; it begins with a copy of the last frame under the same number. */
  async #beginRun(
    files: readonly JournalFile[],
    kept: readonly StoredSnapshot[],
    chain: Chain,
  ): Promise<void> {
    const { clock, logger, batches, meter, onFence } = this.#parts
    this.#files.free(await reusableFiles(files, kept, chain))
    const { last, lastSeq } = chain
    const firstFrameSeq = last?.seq ?? lastSeq + 1
    const file = await this.#files.first(this.#generation, firstFrameSeq, last?.bytes.length ?? 0)
    let offset = blockBytes
    if (last !== undefined) {
      const copy = copyFrame(last, file.seed)
      await file.write([copy], offset)
      offset += copy.length
    }
    this.#committer = new Committer(
      {
        clock,
        meter,
        onFence,
        listener: this.#listener(),
        logTimeMs: () => this.logTimeMs(),
        nextFile: (seq, bytes) => this.#files.next(seq, bytes, () => this.#checkpointer!.request()),
      },
      file,
      offset,
      lastSeq + 1,
    )
    this.#checkpointer = new Checkpointer({
      clock,
      logger,
      meter,
      committer: this.#committer,
      snapshots: this.#snapshots,
      generation: this.#generation,
      logTimeMs: () => this.logTimeMs(),
      journalBytes: () => this.#files.bytes,
      isCrowded: () => this.crowded,
      onDiskFull: this.#parts.onDiskFull,
      recycle: (before) => this.#files.recycle(before.fileSeq),
      state: {
        sections: () => this.#sections(),
        written: (frameSeq) => batches.written(frameSeq),
        sync: () => batches.sync(),
        kept: (section) => batches.kept(section),
        wantsCheckpoint: () => batches.wantsCheckpoint,
      },
    })
  }

  #listener(): FrameListener {
    const { batches } = this.#parts
    return {
      reveal: (entries, frameSeq) => batches.reveal(entries, frameSeq),
      announce: (entries, frameBytes) => {
        batches.announce(entries, frameBytes)
        this.#checkpointer!.noteFrame(frameBytes)
      },
    }
  }

  #sections(): Map<number, Uint8Array> {
    const sections = new Map<number, Uint8Array>([
      [entryKinds.BATCH, this.#parts.batches.snapshot()],
    ])
    for (const machine of this.#parts.machines) sections.set(machine.kind, machine.snapshot())
    return sections
  }
}

/** A state entry as it stands in a frame. */
export function stateEntry(entry: StateEntry): JournalEntry {
  return {
    kind: entry.kind,
    partitionRef: 0,
    baseOffset: 0,
    segmentBase: 0,
    segmentPos: 0,
    payload: entry.payload,
  }
}
