/**
 * What a data folder says about itself before any segment is opened: its format, snapshots and journal,
 * and from them which partitions there are and how far their files must reach. It follows recovery step
 * by step, without writing.
 */
import type { Clock } from '../../../kit/clock.ts'
import type { Logger } from '../../../kit/logger.ts'
import { GatewayError } from '../../../model/errors.ts'
import type { Offset } from '../../../model/offset.ts'
import { lastOffsetOf } from '../../../model/record-batch.ts'
import { TopicCatalog } from '../catalog/topic-catalog.ts'
import type { Disk } from '../disk/disk.ts'
import { metaPropertiesPath, openMetaProperties } from '../disk/meta-properties.ts'
import { damageOf } from '../journal/damaged-journal.ts'
import { JournalFile, journalFolder } from '../journal/journal-file.ts'
import type { JournalEntry } from '../journal/journal-frame.ts'
import { blockBytes } from '../journal/journal-frame.ts'
import type { Chain } from '../journal/recovery.ts'
import { noChain, readChain, snapshotBeyond, usableSnapshots } from '../journal/recovery.ts'
import type { StoredSnapshot } from '../journal/snapshot.ts'
import { SnapshotStore, snapshotFolder, snapshotPath } from '../journal/snapshot.ts'
import { entryKinds } from '../journal/state-machine.ts'
import type { PartitionPosition } from '../log/recovery-position.ts'
import { Partitions } from '../log/partitions.ts'
import { readPositions } from '../log/recovery-position.ts'
import type { Report } from './finding.ts'
import { advices } from './finding.ts'

export interface KnownPartition {
  readonly topic: string
  readonly topicId: string
  readonly partition: number
  readonly ref: number
  readonly logStart: Offset
  /** Undefined for one that was made after the last checkpoint. */
  readonly position: PartitionPosition | undefined
  /** The end that a start brings back, from the journal where the files do not have it yet. */
  readonly end: Offset
}

export interface FolderState {
  /** Undefined when nothing can be believed: then only the files themselves speak. */
  readonly partitions: readonly KnownPartition[] | undefined
  readonly snapshot: StoredSnapshot | undefined
  readonly chain: Chain | undefined
  /** Why a gateway would open the folder read-only, or not at all. */
  readonly journalDamage: string | undefined
  readonly files: readonly JournalFile[]
  close(): Promise<void>
}

export interface InspectTools {
  readonly clock: Clock
  readonly logger: Logger
}

/** Reads the state; what is wrong is reported. Close it when done. */
export async function readFolderState(
  disk: Disk,
  tools: InspectTools,
  report: Report,
): Promise<FolderState> {
  await checkMetaProperties(disk, report)
  const files = await openJournal(disk, report)
  const close = async (): Promise<void> => {
    for (const file of files) await file.close()
  }
  try {
    const snapshots = await loadSnapshots(disk, report)
    const nothing = {
      partitions: undefined,
      snapshot: undefined,
      chain: undefined,
      journalDamage: 'There is no snapshot that can be read.',
      files,
      close,
    }
    if (snapshots[0] === undefined) {
      const isNew = (await disk.list('logs')).length === 0
      report({
        severity: isNew ? 'note' : 'damage',
        file: snapshotFolder,
        what: 'There is no snapshot that can be read, so the engine does not know its topics.',
        advice: isNew ? advices.nothing : `${advices.backup} The records can be exported.`,
      })
      return isNew ? { ...nothing, partitions: [] } : nothing
    }
    return await followJournal(disk, tools, report, { snapshots, files, close })
  } catch (error) {
    await close()
    throw error
  }
}

async function followJournal(
  disk: Disk,
  tools: InspectTools,
  report: Report,
  found: {
    readonly snapshots: readonly StoredSnapshot[]
    readonly files: readonly JournalFile[]
    readonly close: () => Promise<void>
  },
): Promise<FolderState> {
  const { snapshots, files, close } = found
  const usable = usableSnapshots(snapshots, files)
  const lost = await lostEnd(files, snapshots, usable[0])
  const snapshot = lost ?? usable[0]!
  const state = new StateReader(disk, tools, snapshot)
  const chain =
    lost === undefined
      ? await readChain(files, snapshot.position, (frame) => {
          for (const entry of frame.entries) state.take(entry)
        })
      : noChain(lost)
  const damage = damageOf(chain, lost)
  if (damage !== undefined) {
    const advice =
      'The gateway opens read-only. Restore from a back-up, or start once with --recover=drop-damaged-journal.'
    report({ severity: 'damage', file: journalFolder, what: damage, advice })
  }
  // The older snapshot is the way out when the newest is damaged: its journal must be whole too.
  const older = usable[1]
  if (lost === undefined && older !== undefined) {
    const fallback = await readChain(files, older.position, () => undefined)
    if (fallback.lastSeq < snapshot.position.nextFrameSeq - 1) {
      report({
        severity: 'damage',
        file: journalFolder,
        what: `Frame ${fallback.lastSeq + 1}, which only the older snapshot needs, cannot be read.`,
        advice: 'Start the gateway and stop it: two checkpoints later nothing needs the frame.',
      })
    }
  }
  for (const what of state.problems) {
    report({ severity: 'damage', file: journalFolder, what, advice: advices.backup })
  }
  const journalDamage = damage ?? state.problems[0]
  return { partitions: state.partitions(), snapshot, chain, journalDamage, files, close }
}

/** The rule of `Journal`: the newest snapshot may know more than the chain that can be read. */
async function lostEnd(
  files: readonly JournalFile[],
  snapshots: readonly StoredSnapshot[],
  usable: StoredSnapshot | undefined,
): Promise<StoredSnapshot | undefined> {
  if (snapshots[0] === usable) return undefined
  if (usable === undefined) return snapshots[0]
  const { lastSeq } = await readChain(files, usable.position, () => undefined)
  return snapshotBeyond(files, snapshots, lastSeq)
}

/** A snapshot's state with the journal behind it, by the rooms that serve the live engine too. */
class StateReader {
  readonly problems: string[] = []
  readonly #catalog: TopicCatalog
  readonly #partitions: Partitions
  readonly #positions: ReadonlyMap<number, PartitionPosition>
  readonly #ends = new Map<number, Offset>()
  #isBroken = false

  constructor(disk: Disk, { clock, logger }: InspectTools, { sections }: StoredSnapshot) {
    const nothing = (): void => undefined
    this.#partitions = new Partitions({
      disk,
      clock,
      logger,
      hotTailBytes: 0,
      openSegments: 1,
      onDiskFull: nothing,
      onFailure: nothing,
      onRoll: nothing,
      onRemoved: nothing,
    })
    this.#catalog = new TopicCatalog(this.#partitions)
    this.#positions = readPositions(sections.get(entryKinds.BATCH) ?? new Uint8Array(0))
    for (const [ref, { nextOffset }] of this.#positions) this.#ends.set(ref, nextOffset)
    const topics = sections.get(entryKinds.META)
    if (topics !== undefined) this.#catalog.restore(topics)
  }

  take(entry: JournalEntry): void {
    if (entry.kind === entryKinds.META) this.#applyMeta(entry)
    if (entry.kind !== entryKinds.BATCH) return
    const { partitionRef: ref, baseOffset, payload } = entry
    const end = this.#ends.get(ref) ?? 0
    if (baseOffset !== end && !this.#isBroken) {
      this.#isBroken = true
      this.problems.push(
        `The journal goes on at offset ${baseOffset} of partition number ${ref}, which ends at ${end}.`,
      )
    }
    this.#ends.set(ref, lastOffsetOf(payload) + 1)
  }

  partitions(): KnownPartition[] {
    return [...this.#partitions.all()].map(({ tp, topicId, ref, plannedLogStart }) => ({
      topic: tp.topic,
      topicId,
      partition: tp.partition,
      ref,
      logStart: plannedLogStart,
      position: this.#positions.get(ref),
      end: this.#ends.get(ref) ?? 0,
    }))
  }

  #applyMeta({ payload }: JournalEntry): void {
    try {
      this.#catalog.apply(payload)
    } catch (error) {
      this.problems.push(`A change of topics cannot be applied (${(error as Error).message}).`)
    }
  }
}

async function checkMetaProperties(disk: Disk, report: Report): Promise<void> {
  const file = metaPropertiesPath
  if (!(await disk.exists(file))) {
    const what = 'The file that names format and cluster is missing; a start would make a new one.'
    report({ severity: 'damage', file, what, advice: 'Copy it from a back-up.' })
    return
  }
  try {
    await openMetaProperties(disk, () => '')
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error
    report({ severity: 'damage', file, what: error.message, advice: 'Copy it from a back-up.' })
  }
}

async function loadSnapshots(disk: Disk, report: Report): Promise<StoredSnapshot[]> {
  const { snapshots } = await new SnapshotStore(disk).load()
  const whole = new Set(snapshots.map(({ number }) => number))
  for (const name of await disk.list(snapshotFolder)) {
    const number = Number(/^(\d{10})\.snapshot$/.exec(name)?.[1] ?? NaN)
    if (Number.isNaN(number) || whole.has(number)) continue
    const hasOther = whole.size > 0
    report({
      severity: 'damage',
      file: snapshotPath(number),
      what: 'The snapshot does not match its CRC.',
      advice: hasOther
        ? 'Another one is whole, and the engine starts with it; --move-damage-aside takes this one away.'
        : advices.backup,
    })
  }
  return snapshots
}

async function openJournal(disk: Disk, report: Report): Promise<JournalFile[]> {
  const files: JournalFile[] = []
  for (const name of await disk.list(journalFolder)) {
    if (!name.endsWith('.jnl')) continue
    const file = await JournalFile.open(disk, name)
    files.push(file)
    if (file.header !== undefined || (await isZero(disk, name))) continue
    report({
      severity: 'damage',
      file: `${journalFolder}/${name}`,
      what: 'Both copies of the header are damaged, so nothing in this file is believed.',
      advice:
        'If the chain of frames misses nothing, as said elsewhere here, the next start uses it anew.',
    })
  }
  return files
}

async function isZero(disk: Disk, name: string): Promise<boolean> {
  const file = await disk.open(`${journalFolder}/${name}`)
  try {
    const block = Buffer.alloc(blockBytes)
    await file.read(block, 0)
    return block.every((byte) => byte === 0)
  } finally {
    await file.close()
  }
}
