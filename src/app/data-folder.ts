/** A data folder as the commands reach it, without a gateway in between. */
import { existsSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import type { Disk } from '../engine/embedded/disk/disk.ts'
import type { DirectoryLock } from '../engine/embedded/disk/directory-lock.ts'
import { directoryLock } from '../engine/embedded/disk/directory-lock.ts'
import { nodeDisk } from '../engine/embedded/disk/node-disk.ts'
import { readOnlyDisk } from '../engine/embedded/disk/read-only-disk.ts'
import { createEmbeddedEngine } from '../engine/embedded/embedded-engine.ts'
import { moveDamageAside } from '../engine/embedded/inspect/damage-aside.ts'
import { dumpFile, isDumpable } from '../engine/embedded/inspect/dump.ts'
import type { DumpOptions } from '../engine/embedded/inspect/dump-source.ts'
import type { Examination } from '../engine/embedded/inspect/examination.ts'
import { examine } from '../engine/embedded/inspect/examination.ts'
import type { Finding, Report } from '../engine/embedded/inspect/finding.ts'
import type { FolderState } from '../engine/embedded/inspect/folder-state.ts'
import { readFolderState } from '../engine/embedded/inspect/folder-state.ts'
import { exportable, goodRecords } from '../engine/embedded/inspect/good-records.ts'
import { rebuildIndexes } from '../engine/embedded/inspect/rebuilt-indexes.ts'
import { systemClock } from '../kit/clock.ts'
import { silentLogger } from '../kit/logger.ts'
import { randomId, systemRandom } from '../kit/random.ts'
import { GatewayError } from '../model/errors.ts'
import type { StoredRecord } from '../model/record.ts'

export type { DumpOptions, Examination, Finding }
export { isDumpable }

const tools = { clock: systemClock, random: systemRandom, logger: silentLogger }

/** One file as lines of text. Reads alone; a running gateway is not disturbed. */
export function dumpLines(path: string, options: DumpOptions): AsyncGenerator<string, void> {
  const file = resolve(path)
  const folder = dirname(file)
  // The disk is rooted one folder higher: a journal file is told by the folder it lies in.
  const disk = readOnlyDisk(nodeDisk(dirname(folder)))
  const source = { disk, folder: basename(folder) || '.', name: basename(file) }
  return dumpFile(source, options)
}

/** The records of one partition that can be read. */
export interface RecordExport {
  readonly topic: string
  readonly partition: number
  readonly records: AsyncGenerator<StoredRecord>
}

export class DataFolder {
  readonly path: string
  readonly #disk: Disk
  readonly #look: Disk
  readonly #lock: DirectoryLock

  /** Throws INVALID_REQUEST when no data folder is there: a look must not make one. */
  constructor(directory: string) {
    this.path = resolve(directory)
    const isThere = ['meta.properties', 'meta', 'journal', 'logs'].some((name) =>
      existsSync(join(this.path, name)),
    )
    if (!isThere) throw new GatewayError('INVALID_REQUEST', `${this.path} is no data folder.`)
    this.#disk = nodeDisk(this.path)
    this.#look = readOnlyDisk(this.#disk)
    this.#lock = directoryLock(this.path, systemClock)
  }

  /** Keeps every gateway away until `release`. Throws LOCKED, naming the holder. */
  acquire(): void {
    this.#lock.acquire()
  }

  release(): void {
    this.#lock.release()
  }

  examine(report: Report): Promise<Examination> {
    return examine(this.#look, tools, report)
  }

  /** Makes the indexes again that an examination found wrong. */
  async rebuildIndexes({ partitions }: Examination, say: (line: string) => void): Promise<void> {
    for (const { known, verdict } of partitions) {
      for (const segment of verdict.unindexed) {
        if (segment.path === undefined) continue
        const baseEnd = Math.min(segment.baseEnd, known.position?.nextOffset ?? Infinity)
        await rebuildIndexes(this.#disk, segment.path, { ...segment, baseEnd })
        say(`${segment.path}: both indexes were made again.`)
      }
    }
  }

  /** The partitions for which `isWanted`; all of them where no catalog can be read. */
  async *exports(
    isWanted: (topic: string, partition: number) => boolean,
    onLoss: (topic: string, partition: number, what: string) => void,
  ): AsyncGenerator<RecordExport> {
    const state = await readFolderState(this.#look, tools, () => undefined)
    try {
      for (const one of await exportable(this.#look, state)) {
        const { topic, partition } = one
        if (state.partitions !== undefined && !isWanted(topic, partition)) continue
        const lost = (what: string): void => onLoss(topic, partition, what)
        yield { topic, partition, records: goodRecords(this.#look, state, one, lost) }
      }
    } finally {
      await state.close()
    }
  }

  /**
   * Damaged segments and snapshots go to quarantine/. First an ordinary start and stop brings everything
   * that only the journal has into the segments. Throws CORRUPT_BATCH when the folder cannot be started.
   */
  async moveDamageAside(say: (line: string) => void): Promise<void> {
    await (await this.#startable()).close()
    const engine = createEmbeddedEngine({ ...tools, disk: this.#disk, members: 'journal' })
    await engine.open()
    await engine.close()
    const disk = this.#disk
    const examination = await this.examine(() => undefined)
    const state = await this.#startable()
    try {
      const snapshot = state.snapshot!
      const id = `doctor-${randomId(systemRandom, 6)}`
      await moveDamageAside({ disk, snapshot, id, say }, examination.partitions)
    } finally {
      await state.close()
    }
  }

  /** The state of a folder whose journal is whole. Throws CORRUPT_BATCH for any other. */
  async #startable(): Promise<FolderState> {
    const state = await readFolderState(this.#look, tools, () => undefined)
    if (state.journalDamage === undefined) return state
    await state.close()
    throw new GatewayError(
      'CORRUPT_BATCH',
      `${state.journalDamage} Nothing was moved: mend the journal first (docs/operations.md).`,
    )
  }
}
