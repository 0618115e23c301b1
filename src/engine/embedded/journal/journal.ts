/**
 * The journal: the one commit log of a data folder. It writes opaque entries and knows no topic;
 * state machines and the keeper of the batches plug in. What makes an acknowledgement true is here,
 * everything behind it is written lazily.
 */
import type { Clock } from '../../../kit/clock.ts'
import type { Logger } from '../../../kit/logger.ts'
import { GatewayError } from '../../../model/errors.ts'
import { journalFilesMax, produceTimeoutMs } from '../../../model/limits.ts'
import type { Disk } from '../disk/disk.ts'
import { isPassing } from '../disk/disk.ts'
import { Checkpointer } from './checkpoint.ts'
import type { Answer, CommitterMeter, FrameListener, JournalPosition } from './committer.ts'
import { Committer } from './committer.ts'
import { JournalFile, journalFolder } from './journal-file.ts'
import type { Frame, JournalEntry } from './journal-frame.ts'
import { blockBytes, copyFrame, paddedBytes } from './journal-frame.ts'
import type { Chain } from './recovery.ts'
import { readChain, replayFrames, reusableFiles, usableSnapshots } from './recovery.ts'
import type { StoredSnapshot } from './snapshot.ts'
import { SnapshotStore, snapshotFolder } from './snapshot.ts'
import type { JournalWriter, StateEntry, StateMachine } from './state-machine.ts'
import { entryKinds } from './state-machine.ts'

/** Files of the ordinary size that a busy journal grows to before checkpoints fall behind. */
const ordinaryFiles = 4

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
  written(frameSeq: number): Promise<void>
  sync(): Promise<void>
}

export interface JournalMeter extends CommitterMeter {
  checkpoint(seconds: number): void
  recovered(frames: number, bytes: number, seconds: number): void
}

export interface JournalSizes {
  /** Size of the first file of a new folder, bytes. */
  readonly firstFileBytes: number
  /** Size of every further file, bytes. */
  readonly fileBytes: number
}

const defaultSizes: JournalSizes = {
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
}

export class Journal implements JournalWriter {
  readonly #parts: JournalParts
  readonly #sizes: JournalSizes
  readonly #machines: ReadonlyMap<number, StateMachine>
  readonly #snapshots: SnapshotStore
  /** In the order of use; the last one is being written. */
  #used: JournalFile[] = []
  #free: JournalFile[] = []
  #lastFileSeq = 0
  #generation = 0
  #committer: Committer | undefined
  #checkpointer: Checkpointer | undefined
  #growing: Promise<void> | undefined
  #wantFile: (() => void) | undefined
  #timeBaseMs = 0
  #timeFromMs = 0
  #closed = false
  #progress = { done: 0, total: 0 }

  constructor(parts: JournalParts) {
    this.#parts = parts
    this.#sizes = parts.sizes ?? defaultSizes
    this.#machines = new Map(parts.machines.map((machine) => [machine.kind, machine]))
    this.#snapshots = new SnapshotStore(parts.disk)
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
    return this.#used.length >= journalFilesMax * 0.75
  }

  get fenced(): boolean {
    return this.#committer?.fenced === true
  }

  logTimeMs(): number {
    return Math.floor(this.#timeBaseMs + this.#parts.clock.monotonicMs() - this.#timeFromMs)
  }

  /**
   * Recovers: snapshot, chain, replay, a fresh file, a full checkpoint. Nothing was shown before it
   * resolves. Throws CORRUPT_BATCH when the folder cannot be trusted, and then has changed nothing.
   */
  async open(): Promise<void> {
    const { disk, clock } = this.#parts
    this.#timeFromMs = clock.monotonicMs()
    await disk.makeDirectory(journalFolder)
    await disk.makeDirectory(snapshotFolder)
    await disk.syncDirectory('.')
    const files = await this.#openFiles()
    const { snapshots, files: snapshotFiles } = await this.#snapshots.load()
    const usable = usableSnapshots(snapshots, files)
    if (usable[0] === undefined) await this.#refuseUnlessNew(files, snapshotFiles)
    await this.#recover(files, usable)
    void this.#grow(1)
    this.#checkpointer!.start()
  }

  /** A clean stop is a checkpoint with no frame behind it. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#checkpointer?.stop()
    try {
      if (this.#committer !== undefined && !this.fenced) await this.#checkpointer!.run()
    } finally {
      this.#committer?.stop()
      await this.#growing?.catch(() => undefined)
      for (const file of [...this.#used, ...this.#free]) await file.close()
    }
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
    return new Promise((resolve, reject) => {
      this.#running().whenSettled(this.#answer(timeoutMs, resolve, reject))
    })
  }

  /** Calls back when everything that joined before is durable; at once when it is. */
  whenSettled(deadlineMs: number, settle: (error: GatewayError | undefined) => void): void {
    let isSettled = false
    this.#running().whenSettled({
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
    await this.#checkpointer!.run()
  }

  #running(): Committer {
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

  async #openFiles(): Promise<JournalFile[]> {
    const { disk } = this.#parts
    const names = await disk.list(journalFolder)
    const files: JournalFile[] = []
    for (const name of names) {
      if (name.endsWith('.jnl')) files.push(await JournalFile.open(disk, name))
    }
    for (const file of files) {
      this.#lastFileSeq = Math.max(this.#lastFileSeq, file.header?.fileSeq ?? 0)
      this.#generation = Math.max(this.#generation, file.header?.generation ?? 0)
    }
    return files.sort((left, right) => (left.header?.fileSeq ?? 0) - (right.header?.fileSeq ?? 0))
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

  async #recover(files: readonly JournalFile[], usable: readonly StoredSnapshot[]): Promise<void> {
    const { clock, batches, logger, meter } = this.#parts
    const startMs = clock.monotonicMs()
    const snapshot = usable[0]
    this.#restore(snapshot)
    const chain = await this.#readState(files, snapshot)

    // Up to here nothing was written, so a refusal left everything as it was.
    this.#generation += 1
    batches.begin(this.#generation)
    await this.#settleFolders()
    await batches.prepare()
    await this.#replay(chain)
    for (const file of files) file.forgetReads()
    this.#snapshots.keep(usable)
    await this.#beginRun(files, usable, chain)
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
    const reusable = await reusableFiles(files, kept, chain)
    this.#free = reusable
    this.#used = files.filter((file) => !reusable.includes(file))
    const { last, lastSeq } = chain
    const file = await this.#firstFile(last)
    await file.begin({
      fileSeq: ++this.#lastFileSeq,
      generation: this.#generation,
      firstFrameSeq: last?.seq ?? lastSeq + 1,
    })
    this.#used.push(file)
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
        nextFile: (seq, bytes) => this.#nextFile(seq, bytes),
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
      journalBytes: () => this.#allBytes(),
      recycle: (before) => this.#recycle(before),
      state: {
        sections: () => this.#sections(),
        written: (frameSeq) => batches.written(frameSeq),
        sync: () => batches.sync(),
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

  async #firstFile(last: Frame | undefined): Promise<JournalFile> {
    const needed = blockBytes + paddedBytes(last?.bytes.length ?? 0)
    const fits = this.#free.findIndex((file) => file.bytes >= needed)
    if (fits >= 0) return this.#free.splice(fits, 1)[0]!
    const isNew = this.#used.length === 0
    return this.#make(isNew ? this.#sizes.firstFileBytes : this.#sizes.fileBytes)
  }

  async #nextFile(firstFrameSeq: number, frameBytes: number): Promise<JournalFile> {
    const needed = blockBytes + paddedBytes(frameBytes)
    for (;;) {
      // The last file is kept for the next start, which needs a fresh one.
      const fits =
        this.#used.length < journalFilesMax - 1
          ? this.#free.findIndex((file) => file.bytes >= needed)
          : -1
      if (fits >= 0) {
        const file = this.#free.splice(fits, 1)[0]!
        const { generation } = this
        await file.begin({ fileSeq: ++this.#lastFileSeq, generation, firstFrameSeq })
        this.#used.push(file)
        void this.#grow(1)
        return file
      }
      this.#checkpointer!.request()
      void this.#grow(journalFilesMax)
      await new Promise<void>((resolve) => {
        this.#wantFile = resolve
        // A full disk may let us make a file later, without any event to wait for.
        this.#parts.clock.after(1000, resolve)
      })
    }
  }

  /** Makes a file ahead of need, unless enough are free or there are `filesMax` already. */
  #grow(wish: number): Promise<void> {
    const filesMax = wish > 1 ? journalFilesMax : ordinaryFiles
    if (this.#growing !== undefined) return this.#growing
    if (this.#free.length > 0 && wish === 1) return Promise.resolve()
    if (this.#used.length + this.#free.length >= filesMax || this.#closed) return Promise.resolve()
    const first = this.#used.length === 1 && this.#generation === 1
    this.#growing = this.#make(first ? this.#sizes.firstFileBytes : this.#sizes.fileBytes)
      .then(
        (file) => {
          this.#free.push(file)
          this.#wantFile?.()
        },
        (error: unknown) => {
          if (isPassing(error)) {
            this.#parts.logger.warn(
              { err: error },
              'A journal file has to wait for space on the disk.',
            )
          } else this.fence(error)
        },
      )
      .finally(() => {
        this.#growing = undefined
      })
    return this.#growing
  }

  async #make(bytes: number): Promise<JournalFile> {
    const taken = new Set([...this.#used, ...this.#free].map(({ name }) => name))
    for (const name of await this.#parts.disk.list(journalFolder)) taken.add(name)
    let slot = 1
    while (taken.has(slotName(slot))) slot++
    return JournalFile.make(this.#parts.disk, slotName(slot), bytes)
  }

  #recycle(before: JournalPosition): void {
    const free = this.#used.filter((file) => file.header!.fileSeq < before.fileSeq)
    if (free.length === 0) return
    this.#used = this.#used.filter((file) => file.header!.fileSeq >= before.fileSeq)
    this.#free.push(...free)
    this.#wantFile?.()
  }

  #allBytes(): number {
    let bytes = 0
    for (const file of this.#used) bytes += file.bytes
    for (const file of this.#free) bytes += file.bytes
    return bytes
  }
}

function slotName(slot: number): string {
  return `${String(slot).padStart(4, '0')}.jnl`
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
