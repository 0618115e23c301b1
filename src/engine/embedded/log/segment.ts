/**
 * A segment: batches back to back in one file, with its two indexes. What is planned here (places,
 * index entries) is applied when a batch joins the journal; the file follows when it is durable.
 */
import type { Offset } from '../../../model/offset.ts'
import {
  batchBytesOf,
  batchHeaderBytes,
  lastOffsetOf,
  maxTimestampOf,
} from '../../../model/record-batch.ts'
import type { Disk, DiskFile } from '../disk/disk.ts'
import { systemCode } from '../disk/disk.ts'
import type { IndexEntry } from './offset-index.ts'
import { OffsetIndex } from './offset-index.ts'
import type { OpenFiles } from './open-files.ts'
import type { Expected } from './segment-scan.ts'
import { goodBatchBehind, headProblem, SegmentScan, wholeBatches } from './segment-scan.ts'
import type { TimeEntry } from './time-index.ts'
import { TimeIndex } from './time-index.ts'

/** How densely a segment is indexed that is not told otherwise: Kafka's default. */
const indexIntervalBytesDefault = 4096
/** Files on their way out: still there for whoever reads them, not part of the log any more. */
export const deletedSuffix = '.deleted'
/** … of one that compaction is writing, and of one on its way into the place of others. */
export const cleanedSuffix = '.cleaned'
export const swapSuffix = '.swap'

/** An offset as it stands in file names. */
export const segmentName = (base: Offset): string => String(base).padStart(20, '0')
/** What is replaced stands in the name of what replaces it: segments of [base, end). */
export const swapName = (base: Offset, end: Offset): string =>
  `${segmentName(base)}-${segmentName(end)}`

/** Batches found in a file, and damage if that is the first thing met. */
export interface SegmentRead {
  readonly batches: readonly Uint8Array[]
  /** Where to go on. */
  readonly next: Offset
  readonly damage?: string
}

/** Where a segment stood at a checkpoint. */
export interface SegmentPosition {
  readonly bytes: number
  readonly firstTimestamp: number
  readonly maxTimestamp: number
  readonly maxTimestampOffset: Offset
  readonly bytesSinceEntry: number
  readonly indexEntries: number
  readonly timeEntries: number
}

export interface SegmentFiles {
  readonly disk: Disk
  readonly openFiles: OpenFiles
}

export class Segment {
  readonly base: Offset
  /** Bytes planned; the next batch goes here. */
  plannedBytes = 0
  /** Bytes that have reached the file. */
  writtenBytes = 0
  /** Largest timestamp of the first batch that has one, ms; else -1. Rolling by time counts from it. */
  firstTimestamp = -1
  maxTimestamp = -1
  /** Last offset of the batch that holds `maxTimestamp`. */
  maxTimestampOffset: Offset = -1
  /** Nothing is appended any more, so its indexes need not stay in memory. */
  isSealed = false
  readonly #folder: string
  readonly #files: SegmentFiles
  #logPath: string
  #index: OffsetIndex
  #timeIndex: TimeIndex
  #indexesLoaded: boolean
  /** Made in this run, from batches that were checked: no reason to doubt them. */
  #indexesTrusted: boolean
  #loading: Promise<void> | undefined
  #bytesSinceEntry = 0
  #file: Promise<DiskFile> | undefined
  #users = 0
  #unsynced = false
  /** Syncs of the log file, one after the other. */
  #syncing: Promise<void> = Promise.resolve()
  #syncsUnderWay = 0
  /** Why a sync failed: none that comes later may look as if it had not. */
  #syncFailure: Error | undefined
  #isNewFile: boolean
  /** There was a file once: only a write makes it again, a read leaves the folder as it is. */
  #isMissing = false
  #hasNewName = false
  #isGone = false
  #whenIdle: (() => void)[] = []

  /** `suffix` and `end` are of the names in which compaction leaves a segment on its way. */
  constructor(
    folder: string,
    base: Offset,
    files: SegmentFiles,
    isNew: boolean,
    suffix = '',
    end?: Offset,
  ) {
    this.base = base
    this.#folder = folder
    this.#files = files
    const path = `${folder}/${end === undefined ? segmentName(base) : swapName(base, end)}`
    this.#logPath = `${path}.log${suffix}`
    this.#index = new OffsetIndex(`${path}.index${suffix}`)
    this.#timeIndex = new TimeIndex(`${path}.timeindex${suffix}`)
    this.#indexesLoaded = this.#indexesTrusted = isNew
    this.#isNewFile = isNew
  }

  get isIdle(): boolean {
    return this.#users === 0 && !this.#unsynced
  }

  /** One that compaction writes keeps its file: by its name it might be found in a namesake's folder. */
  get isMerelyUnsynced(): boolean {
    const isNamed = this.#logPath.endsWith('.log')
    return this.#users === 0 && this.#unsynced && !this.#isGone && isNamed
  }

  /** Of a sealed segment: those of one that grows stay in memory. */
  get indexBytes(): number {
    if (!this.isSealed || !this.#indexesLoaded) return 0
    return this.#index.bytes + this.#timeIndex.bytes
  }

  get needsSync(): boolean {
    if (this.#isGone) return false
    if (this.#unsynced || this.#syncsUnderWay > 0 || this.#syncFailure !== undefined) return true
    return this.#indexesLoaded && !(this.#index.isSynced && this.#timeIndex.isSynced)
  }

  /** Closed for good: nothing here can be read any more. */
  get isGone(): boolean {
    return this.#isGone
  }

  /** All files of the segment, the log last: without it the others mean nothing. */
  get filePaths(): readonly string[] {
    return [this.#index.path, this.#timeIndex.path, this.#logPath]
  }

  /** What the larger of the index files will have after one more entry, and a final one. */
  get nextIndexBytes(): number {
    return Math.max((this.#index.entries + 1) * 8, (this.#timeIndex.entries + 2) * 12)
  }

  get position(): SegmentPosition {
    return {
      bytes: this.plannedBytes,
      firstTimestamp: this.firstTimestamp,
      maxTimestamp: this.maxTimestamp,
      maxTimestampOffset: this.maxTimestampOffset,
      bytesSinceEntry: this.#bytesSinceEntry,
      indexEntries: this.#index.entries,
      timeEntries: this.#timeIndex.entries,
    }
  }

  /** Assigns the place of a batch and its index entries; returns the position in the file. */
  plan(
    last: Offset,
    bytes: number,
    maxTimestamp: number,
    indexIntervalBytes = indexIntervalBytesDefault,
  ): number {
    const position = this.plannedBytes
    if (this.firstTimestamp < 0) this.firstTimestamp = maxTimestamp
    if (maxTimestamp > this.maxTimestamp) {
      this.maxTimestamp = maxTimestamp
      this.maxTimestampOffset = last
    }
    if (this.#bytesSinceEntry > indexIntervalBytes) {
      this.#index.add(last - this.base, position)
      this.finish()
      this.#bytesSinceEntry = 0
    }
    this.plannedBytes += bytes
    this.#bytesSinceEntry += bytes
    return position
  }

  /**
   * Adds a time entry; at roll and at a clean stop it is the final one, so that the index knows the
   * largest timestamp. Records older than 1970 have none.
   */
  finish(): void {
    if (this.maxTimestampOffset >= 0) {
      this.#timeIndex.add(this.maxTimestamp, this.maxTimestampOffset - this.base)
    }
  }

  /** Writes planned bytes, unsynced. */
  async write(buffers: readonly Uint8Array[], position: number, bytes: number): Promise<void> {
    this.#isMissing = false
    await this.#using(async (file) => {
      this.#unsynced = true
      if (this.#isNewFile) this.#hasNewName = true
      this.#isNewFile = false
      await file.write(buffers, position)
      // Once more: a sync that began during the write may have missed its bytes.
      this.#unsynced = true
      this.writtenBytes = Math.max(this.writtenBytes, position + bytes)
    })
  }

  /** Makes what was written and the indexes durable, but not the names of new files. */
  sync(): Promise<void> {
    return this.#busy(async () => {
      await this.syncBytes()
      if (!this.#indexesLoaded) return
      const { disk, openFiles } = this.#files
      for (const index of [this.#index, this.#timeIndex]) {
        if (index.isSynced) continue
        if (await openFiles.withRoom(() => index.sync(disk))) this.#hasNewName = true
      }
    })
  }

  /**
   * Makes what was written durable, and nothing else. Also called between checkpoints, so one after the
   * other: who finds nothing unsynced must not go on before the sync that took the mark has succeeded.
   */
  syncBytes(): Promise<void> {
    this.#syncsUnderWay++
    const syncing = this.#syncing.then(() => this.#syncBytes())
    this.#syncing = syncing.then(
      () => void this.#syncsUnderWay--,
      () => void this.#syncsUnderWay--,
    )
    return syncing
  }

  async #syncBytes(): Promise<void> {
    if (this.#syncFailure !== undefined) throw this.#syncFailure
    if (!this.#unsynced) return
    await this.#using(async (file) => {
      // Bytes written during the sync need another one, so the mark goes first.
      this.#unsynced = false
      try {
        await file.sync()
      } catch (error) {
        this.#syncFailure = error instanceof Error ? error : new Error(String(error))
        throw error
      }
    })
  }

  /** Whether files were made since the last call: then the folder needs a sync. */
  takeNewName(): boolean {
    const has = this.#hasNewName
    this.#hasNewName = false
    return has
  }

  /** Makes the empty file of a segment that is written before it has a place in its partition. */
  async begin(): Promise<void> {
    await this.#using(async (file) => {
      this.#isNewFile = false
      this.#unsynced = true
      await file.truncate(0)
    })
  }

  /** Removes the files of a segment that got no place. */
  async discard(): Promise<void> {
    await this.abandon()
    for (const path of this.filePaths) {
      try {
        await this.#files.disk.remove(path)
      } catch (error) {
        if (systemCode(error) !== 'ENOENT') throw error
      }
    }
  }

  /**
   * Keeps the file open and the indexes in memory until the answer is called, so that readers are
   * served whatever happens to the names meanwhile.
   */
  async pin(): Promise<() => void> {
    let unpin: () => void = () => undefined
    const pinned = new Promise<void>((resolve) => (unpin = resolve))
    await new Promise<void>((resolve, reject) => {
      const hold = this.#busy(async () => {
        await this.#loadIndexes()
        await this.#using(() => Promise.resolve())
        resolve()
        await pinned
      })
      hold.catch(reject)
    })
    return unpin
  }

  /** Gives its files other names in their folder, the log last: without it the others mean nothing. */
  async moveTo(name: string, suffix: string): Promise<void> {
    const { disk } = this.#files
    const path = `${this.#folder}/${name}`
    for (const [index, ending] of [
      [this.#index, '.index'],
      [this.#timeIndex, '.timeindex'],
    ] as const) {
      await disk.rename(index.path, `${path}${ending}${suffix}`)
      index.path = `${path}${ending}${suffix}`
    }
    await disk.rename(this.#logPath, `${path}.log${suffix}`)
    this.#logPath = `${path}.log${suffix}`
  }

  /** Brings the files back to a recovery position. False when the log is shorter than it says. */
  async truncateTo(position: SegmentPosition): Promise<boolean> {
    return this.#standAt(position, await this.#truncateLog(position.bytes))
  }

  /** Stands at a recovery position without changing anything, to be read. False as above. */
  async lookFrom(position: SegmentPosition): Promise<boolean> {
    const isThere = await this.#files.disk.exists(this.#logPath)
    return this.#standAt(position, isThere ? await this.#using((file) => file.size()) : 0)
  }

  async #standAt(position: SegmentPosition, size: number): Promise<boolean> {
    this.plannedBytes = position.bytes
    this.firstTimestamp = position.firstTimestamp
    this.maxTimestamp = position.maxTimestamp
    this.maxTimestampOffset = position.maxTimestampOffset
    this.#bytesSinceEntry = position.bytesSinceEntry
    this.writtenBytes = Math.min(size, position.bytes)
    const { disk, openFiles } = this.#files
    const load = async (): Promise<boolean> =>
      (await this.#index.load(disk, position.indexEntries)) &&
      (await this.#timeIndex.load(disk, position.timeEntries))
    const whole = (await openFiles.withRoom(load)) && this.#standsBelow(position)
    this.#indexesLoaded = true
    if (!whole) await this.#remakeIndexes()
    return size >= position.bytes
  }

  /** Learns the size of a sealed segment from the disk. */
  async measure(): Promise<void> {
    this.isSealed = true
    await this.#using(async (file) => {
      this.plannedBytes = this.writtenBytes = await file.size()
    })
  }

  /** Largest timestamp of the first batch with records, from the log itself. */
  async loadFirstTimestamp(): Promise<void> {
    if (this.firstTimestamp >= 0 || this.writtenBytes === 0) return
    await this.#using(async (file) => {
      const scan = new SegmentScan(file, 0, this.writtenBytes, 0)
      while (scan.position < this.writtenBytes && this.firstTimestamp < 0) {
        const head = await scan.peek(batchHeaderBytes)
        if (headProblem(head, this.writtenBytes - scan.position) !== undefined) return
        this.firstTimestamp = maxTimestampOf(head)
        scan.skip(batchBytesOf(head))
      }
    })
  }

  /** Makes sure that both indexes have their files; missing ones are made again from the log. */
  async restoreIndexes(): Promise<void> {
    await this.#busy(() => this.#loadIndexes())
  }

  /** Largest record timestamp of a sealed segment, from the last entry of its time index. */
  loadMaxTimestamp(): Promise<void> {
    if (this.maxTimestampOffset >= 0) return Promise.resolve()
    return this.#busy(async () => {
      await this.#loadIndexes()
      if (!(await this.#isLastBorneOut())) await this.#remakeIndexes()
      const last = this.#timeIndex.last()
      if (last === undefined) return
      this.maxTimestamp = last.timestamp
      this.maxTimestampOffset = this.base + last.relativeOffset
    })
  }

  /** No record before this offset is at or after `timestamp`. */
  firstCandidate(timestamp: number): Promise<Offset> {
    return this.#busy(async () => {
      await this.#loadIndexes()
      const below = this.#timeIndex.below(timestamp)
      if (below === undefined) return this.base
      if (await this.#isBorneOut(below)) return this.base + below.relativeOffset + 1
      await this.#remakeIndexes()
      const truth = this.#timeIndex.below(timestamp)
      return truth === undefined ? this.base : this.base + truth.relativeOffset + 1
    })
  }

  /**
   * Whole batches from the one that holds `from`, up to about `bytesMax` but at least one. Every
   * batch that is lent was checked: length, magic, CRC, and that it follows the one before. `end` is
   * the offset behind the written part.
   */
  read(from: Offset, bytesMax: number, end: Offset): Promise<SegmentRead> {
    return this.#busy(async () => {
      await this.#loadIndexes()
      return this.#using((file) => this.#read(file, from, bytesMax, end))
    })
  }

  /** Whether a file was open. */
  async closeFile(): Promise<boolean> {
    const file = this.#file
    this.#file = undefined
    if (this.isSealed && this.#index.isSynced && this.#timeIndex.isSynced) {
      this.#index.clear()
      this.#timeIndex.clear()
      this.#indexesLoaded = false
    }
    if (file === undefined) return false
    await (await file).close()
    return true
  }

  /** A segment that left its partition closes for good when the last one inside has come out. */
  async retire(): Promise<void> {
    while (this.#users > 0) await this.#idle()
    this.#isGone = true
    this.#files.openFiles.forget(this)
    await this.closeFile().catch(() => false)
  }

  /**
   * Closes for good, also while bytes are unsynced: the topic is deleted or the engine stops. Resolves
   * when nobody is at work here any more, so that a namesake's files are safe from us.
   */
  async abandon(): Promise<void> {
    this.#isGone = true
    if (this.#users > 0) await this.#idle()
    this.#files.openFiles.forget(this)
    await this.closeFile().catch(() => false)
  }

  async #read(file: DiskFile, from: Offset, bytesMax: number, end: Offset): Promise<SegmentRead> {
    const entry = this.#index.floor(from - this.base)
    const bytes = this.writtenBytes
    const scan = new SegmentScan(file, entry?.position ?? 0, bytes, bytesMax)
    let expected: Expected =
      entry === undefined ? { base: this.base } : { last: this.base + entry.relativeOffset }
    const batches: Uint8Array[] = []
    let taken = 0
    let next = from
    while (scan.position < bytes) {
      const size = await scan.claimedBytes()
      if (batches.length > 0 && (taken + size > bytesMax || !scan.holds(size))) break
      const problem = await scan.problem(expected)
      if (problem !== undefined) {
        if (batches.length > 0) break
        if (expected.last !== undefined && !this.#indexesTrusted) {
          // The index may be what is damaged, and the batches whole.
          await this.#remakeIndexes()
          return this.#read(file, from, bytesMax, end)
        }
        const behind = await goodBatchBehind(file, scan.position, {
          bytes,
          baseMin: expected.base === undefined ? this.base : expected.base + 1,
          baseEnd: end,
          claimedEnd: scan.position + size,
          hints: this.#index.positionsBehind(scan.position),
        })
        if (behind === undefined || from < behind.base) {
          const damage = `The batch at byte ${scan.position} of segment ${this.base} ${problem}.`
          return { batches, next: behind?.base ?? end, damage }
        }
        // The damage lies before the wanted offset: what is behind it stays readable.
        scan.position = behind.position
        expected = { base: behind.base }
        continue
      }
      const batch = await scan.peek(size)
      const last = lastOffsetOf(batch)
      expected = { base: last + 1 }
      scan.skip(size)
      if (last < from) continue
      batches.push(batch)
      taken += size
      next = last + 1
    }
    if (batches.length > 0) return { batches, next }
    return { batches, next: end, damage: `Segment ${this.base} ends before offset ${from}.` }
  }

  async #truncateLog(bytes: number): Promise<number> {
    const { disk } = this.#files
    if (!(await disk.exists(this.#logPath))) {
      this.#isNewFile = true
      this.#isMissing = bytes > 0
      return 0
    }
    return this.#using(async (file) => {
      const size = await file.size()
      if (size > bytes) {
        await file.truncate(bytes)
        this.#unsynced = true
      }
      return size
    })
  }

  /** Whether the last entries, which later ones build on, are not beyond a recovery position. */
  #standsBelow({ bytes, maxTimestamp, maxTimestampOffset }: SegmentPosition): boolean {
    const last = this.#timeIndex.last()
    const end = this.#index.floor(Infinity)?.position ?? 0
    if (end > 0 && end >= bytes) return false
    if (last === undefined) return true
    return last.timestamp <= maxTimestamp && this.base + last.relativeOffset <= maxTimestampOffset
  }

  async #loadIndexes(): Promise<void> {
    if (this.#indexesLoaded) return
    this.#loading ??= this.#busy(() => this.#loadIndexFiles()).finally(() => {
      this.#loading = undefined
    })
    await this.#loading
  }

  async #loadIndexFiles(): Promise<void> {
    const { disk, openFiles } = this.#files
    const load = async (): Promise<boolean> =>
      (await this.#index.load(disk)) && (await this.#timeIndex.load(disk))
    const whole = await openFiles.withRoom(load)
    this.#indexesTrusted = false
    if (!whole) await this.#remakeIndexes()
    this.#indexesLoaded = true
    openFiles.touch(this)
  }

  /**
   * Makes both indexes again from the batches of the log that are whole. Entries of batches that are
   * planned meanwhile, or not written yet, are kept.
   */
  async #remakeIndexes(): Promise<void> {
    const bytes = this.writtenBytes
    const remade = new Segment(this.#folder, this.base, this.#files, true)
    let end = this.base
    if (bytes > 0) {
      await this.#using(async (file) => {
        for await (const batch of wholeBatches(file, this.base, bytes)) {
          remade.plannedBytes = batch.position
          end = batch.lastOffset + 1
          remade.plan(batch.lastOffset, batch.bytes, batch.maxTimestamp)
        }
      })
    }
    remade.finish()
    for (const { relativeOffset, position } of this.#index.entriesFrom(bytes)) {
      remade.#index.add(relativeOffset, position)
    }
    for (const { timestamp, relativeOffset } of this.#timeIndex.entriesFrom(end - this.base)) {
      remade.#timeIndex.add(timestamp, relativeOffset)
    }
    // Compaction may have given the files other names.
    remade.#index.path = this.#index.path
    remade.#timeIndex.path = this.#timeIndex.path
    this.#index = remade.#index
    this.#timeIndex = remade.#timeIndex
    this.#indexesTrusted = true
  }

  /** Whether the batch that a time entry names ends and is as late as it says. */
  async #isBorneOut(entry: TimeEntry): Promise<boolean> {
    if (this.#indexesTrusted) return true
    const last = this.base + entry.relativeOffset
    let isTrue = false
    let seen: Offset = -1
    await this.#walkHeads(this.#index.floor(entry.relativeOffset), (head) => {
      seen = lastOffsetOf(head)
      isTrue = seen === last && maxTimestampOf(head) === entry.timestamp
      return seen < last
    })
    // A batch that is not in the file yet was planned in this run.
    return isTrue || (!this.isSealed && last > seen && this.plannedBytes > this.writtenBytes)
  }

  /** The same for the last time entry, which must also be the latest: an old file is too short. */
  async #isLastBorneOut(): Promise<boolean> {
    if (this.#indexesTrusted) return true
    const last = this.#timeIndex.last()
    if (last !== undefined && !(await this.#isBorneOut(last))) return false
    let isLatest = true
    await this.#walkHeads(this.#index.floor(Infinity), (head) => {
      isLatest = maxTimestampOf(head) <= (last?.timestamp ?? -1)
      return isLatest
    })
    return isLatest
  }

  /** Shows batch headers from an index entry on, while they make sense and `visit` wants more. */
  async #walkHeads(
    entry: IndexEntry | undefined,
    visit: (head: Uint8Array) => boolean,
  ): Promise<void> {
    const bytes = this.writtenBytes
    await this.#using(async (file) => {
      const scan = new SegmentScan(file, entry?.position ?? 0, bytes, 0)
      while (scan.position < bytes) {
        const head = await scan.peek(batchHeaderBytes)
        if (headProblem(head, bytes - scan.position) !== undefined || !visit(head)) return
        scan.skip(batchBytesOf(head))
      }
    })
  }

  /** Work on the open file. */
  #using<T>(work: (file: DiskFile) => Promise<T>): Promise<T> {
    return this.#busy(async () => {
      const { disk, openFiles } = this.#files
      const create = this.#isNewFile && !this.#isMissing
      const opening = (this.#file ??= openFiles.withRoom(() =>
        disk.open(this.#logPath, { create }),
      ))
      openFiles.touch(this)
      let file: DiskFile
      try {
        file = await opening
      } catch (error) {
        if (this.#file === opening) this.#file = undefined
        openFiles.forget(this)
        throw systemCode(error) === 'ENOENT' ? new MissingSegmentError(this.base, error) : error
      }
      return work(file)
    })
  }

  async #busy<T>(work: () => Promise<T>): Promise<T> {
    if (this.#isGone) throw new MissingSegmentError(this.base, undefined)
    this.#users++
    try {
      return await work()
    } finally {
      this.#users--
      if (this.#users === 0) for (const wake of this.#whenIdle.splice(0)) wake()
    }
  }

  #idle(): Promise<void> {
    return new Promise((resolve) => this.#whenIdle.push(resolve))
  }
}

/** The file of a segment is not there. */
export class MissingSegmentError extends Error {
  constructor(base: Offset, cause: unknown) {
    super(`Segment ${base} is missing.`, { cause })
    this.name = 'MissingSegmentError'
  }
}
