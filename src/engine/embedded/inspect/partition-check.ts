/**
 * One partition held against what is known of it: its folder, every batch of every segment, their order
 * without a hole from the log start to the recovery position, and both indexes of each segment. What
 * stands above the recovery position is not looked at: a start writes it again from the journal.
 */
import type { Offset } from '../../../model/offset.ts'
import type { Disk, DiskFile } from '../disk/disk.ts'
import { readWhole, systemCode } from '../disk/disk.ts'
import { metadataName, topicIdOf } from '../log/partition-folders.ts'
import type { Finding, Report } from './finding.ts'
import { advices } from './finding.ts'
import type { KnownPartition } from './folder-state.ts'
import { OffsetIndexCheck, TimeIndexCheck } from './index-check.ts'
import { offsetEntries, offsetEntryBytes, timeEntries, timeEntryBytes } from './index-entries.ts'
import type { SegmentFile } from './partition-files.ts'
import { folderOfPartition, segmentsOf } from './partition-files.ts'
import { walkSegment } from './segment-walk.ts'

export interface PartitionVerdict {
  readonly segments: number
  readonly batches: number
  /** Segments with bytes that cannot be read, or with fewer than they must have. */
  readonly damaged: readonly SegmentFile[]
  /** Segments whose indexes should be made again. */
  readonly unindexed: readonly SegmentFile[]
  /** Where the files end, if that is before the recovery position. */
  readonly missesEnd: boolean
}

export async function checkPartition(
  disk: Disk,
  known: KnownPartition,
  report: Report,
): Promise<PartitionVerdict> {
  return new PartitionCheck(disk, known, report).run()
}

class PartitionCheck {
  readonly #disk: Disk
  readonly #known: KnownPartition
  readonly #report: Report
  readonly #folder: string
  readonly #damaged = new Set<SegmentFile>()
  readonly #unindexed = new Set<SegmentFile>()
  #batches = 0

  constructor(disk: Disk, known: KnownPartition, report: Report) {
    this.#disk = disk
    this.#known = known
    this.#report = report
    this.#folder = folderOfPartition(known)
  }

  async run(): Promise<PartitionVerdict> {
    const { position, logStart } = this.#known
    const isOurs = await this.#checkFolder()
    const segments = isOurs ? await segmentsOf(this.#disk, this.#folder, this.#known) : []
    let next: Offset | undefined
    for (const segment of segments) {
      this.#checkJoint(next ?? Math.min(logStart, segment.base), segment.base, segment)
      next = await this.#checkSegment(segment)
    }
    const end = position?.nextOffset ?? 0
    const reached = next ?? Math.min(logStart, end)
    const missesEnd = reached < end && logStart < end
    if (missesEnd) {
      const last = segments.at(-1)
      this.#say({
        ...(last === undefined ? {} : { segment: last.base }),
        file: last?.log ?? this.#folder,
        from: reached,
        to: end - 1,
        what: `The files end at offset ${reached}; the last checkpoint had synced them up to ${end}.`,
        advice: advices.appends,
      })
    }
    return {
      segments: segments.length,
      batches: this.#batches,
      damaged: [...this.#damaged],
      unindexed: [...this.#unindexed],
      missesEnd,
    }
  }

  /** Whether the folder is believed to be that of the partition. */
  async #checkFolder(): Promise<boolean> {
    const { topicId, position } = this.#known
    const path = `${this.#folder}/${metadataName}`
    if (!(await this.#disk.exists(this.#folder))) return true
    const id = topicIdOf(await readWhole(this.#disk, path))
    if (id === topicId) return true
    if (id === undefined) {
      const advice = position === undefined ? advices.nothing : 'The next start writes it again.'
      const severity = position === undefined ? 'note' : 'damage'
      this.#say({ severity, file: path, what: 'The file cannot be understood.', advice })
      return true
    }
    this.#say({
      file: path,
      what: `The folder says it belongs to topic id ${id}, not to ${topicId}; a start puts it aside.`,
      advice: advices.backup,
    })
    return false
  }

  /** Offsets between two segments are missing, or there twice. */
  #checkJoint(next: Offset, base: Offset, segment: SegmentFile): void {
    const from = Math.max(next, this.#known.logStart)
    if (base > next && base > from) {
      this.#say({
        file: this.#folder,
        from,
        to: base - 1,
        what: `No segment holds offsets ${from} to ${base - 1}.`,
        advice: `Reads of them answer CORRUPT_BATCH and say where to go on. ${advices.backup}`,
      })
    }
    if (base >= next) return
    this.#damaged.add(segment)
    this.#say({
      file: segment.log,
      segment: base,
      what: `The segment begins at offset ${base}, but the one before it ends at ${next}.`,
      advice: advices.batch,
    })
  }

  /** Resolves to the offset behind its last batch. */
  async #checkSegment(segment: SegmentFile): Promise<Offset> {
    let file: DiskFile
    try {
      file = await this.#disk.open(segment.log)
    } catch (error) {
      this.#damaged.add(segment)
      const what = `The file cannot be opened (${systemCode(error) ?? String(error)}).`
      this.#say({ file: segment.log, segment: segment.base, what, advice: advices.backup })
      return segment.base
    }
    try {
      const size = await file.size()
      const bytes = Math.min(size, segment.bytesMax ?? size)
      if (segment.bytesMax !== undefined && size < segment.bytesMax) {
        this.#damaged.add(segment)
        this.#say({
          file: segment.log,
          segment: segment.base,
          what: `The file has ${size} bytes; the last checkpoint had synced ${segment.bytesMax}.`,
          advice: advices.appends,
        })
      }
      return await this.#walk(segment, file, bytes)
    } finally {
      await file.close()
    }
  }

  async #walk(segment: SegmentFile, file: DiskFile, bytes: number): Promise<Offset> {
    const indexes = await this.#openIndexes(segment)
    let next = segment.base
    const { base } = segment
    const baseEnd = Math.min(segment.baseEnd, this.#known.position?.nextOffset ?? Infinity)
    for await (const part of walkSegment(file, { bytes, base, baseEnd })) {
      for (const { check, ending } of indexes.checks) {
        for (const problem of await check.see(part)) this.#index(segment, ending, problem)
      }
      if (part.kind === 'batch') {
        this.#batches++
        next = part.end
        continue
      }
      this.#damaged.add(segment)
      const to = (part.next ?? this.#endOf(segment)) - 1
      this.#say({
        file: segment.log,
        segment: base,
        from: part.from,
        to,
        what: `The batch at byte ${part.position} ${part.problem}; bytes ${part.position} to ${part.end - 1} cannot be read.`,
        advice: advices.batch,
      })
      next = part.next ?? this.#endOf(segment)
    }
    for (const { check, ending } of indexes.checks) {
      const isSealed = segment.bytesMax === undefined
      for (const problem of await check.end(isSealed)) this.#index(segment, ending, problem)
    }
    await indexes.close()
    return next
  }

  /** Where a damaged end of a segment must have led. */
  #endOf({ base, baseEnd }: SegmentFile): Offset {
    const end = Math.min(baseEnd, this.#known.position?.nextOffset ?? Infinity)
    return Number.isFinite(end) ? Math.max(base, end) : base
  }

  async #openIndexes(segment: SegmentFile) {
    const { path, base, bytesMax } = segment
    const position = bytesMax === undefined ? undefined : this.#known.position?.segment
    const files: DiskFile[] = []
    const checks: { check: OffsetIndexCheck | TimeIndexCheck; ending: string }[] = []
    const open = async (ending: string, entryBytes: number, wanted: number | undefined) => {
      let file: DiskFile
      try {
        file = await this.#disk.open(path! + ending)
      } catch {
        // The file of an empty index may be missing; the engine makes the others again.
        if (wanted !== 0) this.#index(segment, ending, 'is missing or cannot be opened')
        return undefined
      }
      files.push(file)
      const size = await file.size()
      const isCut = wanted === undefined ? size % entryBytes !== 0 : size < wanted * entryBytes
      if (isCut) this.#index(segment, ending, `is cut off; it has ${size} bytes`)
      return file
    }
    if (path !== undefined) {
      const index = await open('.index', offsetEntryBytes, position?.indexEntries)
      const time = await open('.timeindex', timeEntryBytes, position?.timeEntries)
      if (index !== undefined) {
        const entries = offsetEntries(index, base, position?.indexEntries)
        checks.push({ check: new OffsetIndexCheck(entries), ending: '.index' })
      }
      if (time !== undefined) {
        const entries = timeEntries(time, base, position?.timeEntries)
        checks.push({ check: new TimeIndexCheck(entries), ending: '.timeindex' })
      }
    }
    const close = async (): Promise<void> => {
      for (const file of files) await file.close()
    }
    return { checks, close }
  }

  /** One sentence for each index: the rest of a wrong file says nothing more. */
  #index(segment: SegmentFile, ending: string, problem: string): void {
    const file = `${segment.path}${ending}`
    if (this.#saidOf.has(file)) return
    this.#saidOf.add(file)
    this.#unindexed.add(segment)
    const what = `The index ${problem}.`
    this.#say({ file, segment: segment.base, what, advice: advices.index })
  }

  readonly #saidOf = new Set<string>()

  #say(finding: Omit<Finding, 'severity' | 'topic' | 'partition'> & Partial<Finding>): void {
    const { topic, partition } = this.#known
    this.#report({ severity: 'damage', topic, partition, ...finding })
  }
}
