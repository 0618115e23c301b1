/**
 * The folders below `logs/`: made with their `partition.metadata`, renamed when their topic is
 * deleted, and believed after a crash only under the right topic id.
 */
import { forEachOf } from '../../../kit/at-once.ts'
import type { Logger } from '../../../kit/logger.ts'
import type { Disk } from '../disk/disk.ts'
import type { FileHold } from './file-hold.ts'
import { makeDurableDirectory, readWhole, replaceFile, systemCode } from '../disk/disk.ts'
import { quarantineFolder } from '../journal/damaged-journal.ts'
import type { PartitionLog } from './partition-log.ts'

const logsFolder = 'logs'
export const metadataName = 'partition.metadata'
/** Folders made at one time: the journal's own write must always find a free thread of libuv's four. */
const madeAtOnce = 2

export class PartitionFolders {
  readonly #disk: Disk
  readonly #logger: Logger
  readonly #hold: FileHold
  /** Folders renamed for deletion; removed in the background. */
  readonly #doomed: string[] = []
  #removing: Promise<void> | undefined

  constructor(disk: Disk, logger: Logger, hold: FileHold) {
    this.#disk = disk
    this.#logger = logger
    this.#hold = hold
  }

  /** Makes the folders of new partitions, durable when it resolves. */
  async make(logs: readonly PartitionLog[]): Promise<void> {
    await forEachOf(logs, madeAtOnce, async (log) => {
      if (await this.#disk.exists(log.folder)) await this.#setAside(log)
      await this.#disk.makeDirectory(log.folder)
      await this.#writeMetadata(log)
    })
    await this.#disk.syncDirectory(logsFolder)
  }

  /** Renames the folders of a deleted topic, durable when it resolves; their removal follows. */
  async doom(logs: readonly PartitionLog[]): Promise<void> {
    for (const log of logs) {
      await this.#doomOne(log.folder.slice(logsFolder.length + 1), log.topicId)
    }
    await this.#disk.syncDirectory(logsFolder)
    this.removeDoomed()
  }

  /**
   * After a crash: brings `logs/` in line with the catalog. `isKnown` says whether the snapshot has a
   * position for a partition, so that its folder may be believed without readable metadata. Resolves
   * to the partitions whose folder was made or has a new file.
   */
  async settle(
    logs: Iterable<PartitionLog>,
    isKnown: (ref: number) => boolean,
  ): Promise<Set<PartitionLog>> {
    const byName = new Map<string, PartitionLog>()
    const ids = new Set<string>()
    for (const log of logs) {
      byName.set(log.folder.slice(logsFolder.length + 1), log)
      ids.add(log.topicId)
    }
    const changed = new Set<PartitionLog>()
    for (const name of await this.#disk.list(logsFolder)) {
      if (name.endsWith('-delete')) {
        this.#doomed.push(name)
        continue
      }
      const log = byName.get(name)
      const id = await this.#readMetadata(name)
      if (log !== undefined && id === log.topicId) byName.delete(name)
      else if (id !== undefined && !ids.has(id)) await this.#doomOne(name, id)
      else if (log !== undefined && id === undefined) {
        if (!isKnown(log.ref)) await this.#empty(log.folder)
        await this.#writeMetadata(log)
        changed.add(log)
        byName.delete(name)
      } else if (id === undefined && !(await this.#hasBatches(name))) {
        // A topic was deleted before the folder of its partition was whole.
        await this.#empty(`${logsFolder}/${name}`)
        await this.#disk.removeDirectory(`${logsFolder}/${name}`)
      } else {
        this.#logger.warn({ folder: name }, 'No topic explains this folder in logs/; left alone.')
      }
    }
    for (const log of byName.values()) {
      if (await this.#disk.exists(log.folder)) await this.#setAside(log)
      await this.#disk.makeDirectory(log.folder)
      await this.#writeMetadata(log)
      changed.add(log)
    }
    return changed
  }

  /** Whether the folder of a partition is that partition's, as `settle` would judge it. */
  async isFolderOf(log: PartitionLog, isKnown: boolean): Promise<boolean> {
    const id = await this.#readMetadata(log.folder.slice(logsFolder.length + 1))
    return id === undefined ? isKnown : id === log.topicId
  }

  /**
   * Where an operator gives up a part of the journal: what `settle` would remove because no topic of
   * `logs` explains it goes to `folder` instead, and what a delete that is given up had renamed
   * gets its name back.
   */
  async setAsideUnknown(logs: readonly PartitionLog[], folder: string): Promise<void> {
    const ids = new Map(logs.map((log) => [`${log.topicId}-${log.tp.partition}-delete`, log]))
    const names = new Map(logs.map((log) => [log.folder.slice(logsFolder.length + 1), log]))
    for (const name of await this.#disk.list(logsFolder)) {
      const path = `${logsFolder}/${name}`
      const deleted = ids.get(name)
      const id = await this.#readMetadata(name)
      if (deleted !== undefined && !(await this.#disk.exists(deleted.folder))) {
        await this.#disk.rename(path, deleted.folder)
        this.#logger.warn({ folder: deleted.folder }, 'The delete of this folder is given up.')
      } else if (names.get(name)?.topicId !== id && id !== undefined) {
        await makeDurableDirectory(this.#disk, folder)
        await this.#disk.rename(path, `${folder}/${name}`)
        await this.#disk.syncDirectory(folder)
        this.#logger.warn({ folder: path }, 'A folder that no topic explains goes to quarantine/.')
      }
    }
    await this.#disk.syncDirectory(logsFolder)
  }

  /** Starts removing what was renamed. Failures are left for the next start. */
  removeDoomed(): void {
    if (this.#doomed.length > 0) this.#removing ??= this.#removeAll()
  }

  async close(): Promise<void> {
    await this.#removing
  }

  async #removeAll(): Promise<void> {
    for (let name = this.#doomed.shift(); name !== undefined; name = this.#doomed.shift()) {
      try {
        const folder = `${logsFolder}/${name}`
        await this.#hold.whileFree(async () => {
          await this.#empty(folder)
          await this.#disk.removeDirectory(folder)
        })
      } catch (error) {
        this.#logger.warn(
          { err: error, folder: name },
          'A deleted partition could not be removed yet.',
        )
      }
    }
    // In the turn in which nothing was left: who comes next must not rely on this removal.
    this.#removing = undefined
  }

  async #doomOne(name: string, topicId: string): Promise<void> {
    // The id stands first: on a long topic name the suffix would break the 255 bytes of a file name.
    const doomed = `${topicId}-${name.slice(name.lastIndexOf('-') + 1)}-delete`
    try {
      await this.#disk.rename(`${logsFolder}/${name}`, `${logsFolder}/${doomed}`)
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return
      throw error
    }
    this.#doomed.push(doomed)
  }

  /** A folder that stands where a new one belongs and is nobody's: an operator may want it. */
  async #setAside(log: PartitionLog): Promise<void> {
    await this.#disk.makeDirectory(quarantineFolder)
    const name = log.folder.slice(logsFolder.length + 1)
    await this.#disk.rename(log.folder, `${quarantineFolder}/${log.topicId}-${name}`.slice(0, 255))
    await this.#disk.syncDirectory(quarantineFolder)
    this.#logger.warn({ folder: name }, 'A folder that no topic explains was moved to quarantine/.')
  }

  async #empty(folder: string): Promise<void> {
    for (const name of await this.#disk.list(folder)) await this.#disk.remove(`${folder}/${name}`)
  }

  async #hasBatches(name: string): Promise<boolean> {
    const files = await this.#disk.list(`${logsFolder}/${name}`)
    return files.some((file) => file !== metadataName && !file.endsWith('.tmp'))
  }

  async #writeMetadata(log: PartitionLog): Promise<void> {
    await replaceFile(this.#disk, `${log.folder}/${metadataName}`, metadataText(log.topicId))
  }

  async #readMetadata(name: string): Promise<string | undefined> {
    return topicIdOf(await readWhole(this.#disk, `${logsFolder}/${name}/${metadataName}`))
  }
}

export function metadataText(topicId: string): Buffer {
  return Buffer.from(`version: 0\ntopic_id: ${topicId}\n`)
}

/** The topic id in a `partition.metadata`; undefined when the file is missing or unreadable. */
export function topicIdOf(metadata: Buffer | undefined): string | undefined {
  const text = metadata?.toString('latin1') ?? ''
  return /^version: 0\ntopic_id: ([A-Za-z0-9_-]{22})\n$/.exec(text)?.[1]
}
