/**
 * The files of one data folder carried into another, up to the recovery positions of a snapshot. Below
 * them nothing is ever written again, so sealed logs are hard-linked; everything that a start may cut
 * or write again (the last segment, indexes) is copied, because a link would reach the original.
 */
import type { Disk, DiskFile } from '../disk/disk.ts'
import { readWhole, replaceFile, systemCode } from '../disk/disk.ts'
import type { PartitionPosition } from '../log/recovery-position.ts'
import { metadataName, metadataText, topicIdOf } from '../log/partition-folders.ts'

const pieceBytes = 1024 * 1024
/** A log under a `.swap` name is a compacted one that found no room for its own; a start gives it that. */
const segmentName = /^(\d{20})\.(log|index|timeindex)$|^(\d{20})-\d{20}\.(log)\.swap$/

export interface PartitionSource {
  readonly topic: string
  readonly topicId: string
  readonly partition: number
  /** Undefined or without bytes: all that there is stands in the journal. */
  readonly position: PartitionPosition | undefined
}

export class FolderCopy {
  readonly #from: Disk
  readonly #to: Disk
  /** Throws when the work must end. */
  readonly #checkStop: () => void
  bytes = 0
  linkedBytes = 0

  constructor(from: Disk, to: Disk, checkStop: () => void) {
    this.#from = from
    this.#to = to
    this.#checkStop = checkStop
  }

  /** One partition, durable but for the name of its folder. */
  async partition(source: PartitionSource): Promise<void> {
    const { topic, topicId, partition, position } = source
    const target = `logs/${topic}-${partition}`
    await this.#to.makeDirectory(target)
    // A topic that is deleted meanwhile keeps its files for us, under the name of its removal.
    const places = [target, `logs/${topicId}-${partition}-delete`]
    for (const folder of [...places, ...places]) {
      if ((await this.#idOf(folder)) !== topicId) continue
      await this.#empty(target)
      const isWhole = await this.#files(folder, target, position)
      // The same folder before and after, or a namesake's files may be among them.
      if (isWhole && (await this.#idOf(folder)) === topicId) break
    }
    await replaceFile(this.#to, `${target}/${metadataName}`, metadataText(topicId))
    await this.#to.syncDirectory(target)
  }

  /** A file outside of partitions, such as meta.properties. */
  async plain(path: string): Promise<void> {
    const bytes = await readWhole(this.#from, path)
    if (bytes === undefined) return
    await replaceFile(this.#to, path, bytes)
    this.bytes += bytes.length
  }

  /** False when a file was not there any more: the folder was renamed under us. */
  async #files(
    folder: string,
    target: string,
    position: PartitionPosition | undefined,
  ): Promise<boolean> {
    for (const name of await this.#from.list(folder)) {
      const bytes = wantedBytes(name, position)
      if (bytes === 0) continue
      this.#checkStop()
      try {
        const isSealed = bytes === Infinity && name.includes('.log')
        if (isSealed && (await this.#link(`${folder}/${name}`, `${target}/${name}`))) continue
        await this.#copy(`${folder}/${name}`, `${target}/${name}`, bytes)
      } catch (error) {
        if (systemCode(error) === 'ENOENT') return false
        throw error
      }
    }
    return true
  }

  async #link(from: string, to: string): Promise<boolean> {
    if (!(await this.#from.link(from, this.#to, to))) return false
    const file = await this.#to.open(to, { readOnly: true })
    try {
      const size = await file.size()
      this.bytes += size
      this.linkedBytes += size
    } finally {
      await file.close()
    }
    return true
  }

  async #copy(from: string, to: string, bytesMax: number): Promise<void> {
    const source = await this.#from.open(from, { readOnly: true })
    try {
      const target = await this.#to.open(to, { create: true })
      try {
        this.bytes += await this.#carry(source, target, bytesMax)
        await target.sync()
      } finally {
        await target.close()
      }
    } finally {
      await source.close()
    }
  }

  async #carry(source: DiskFile, target: DiskFile, bytesMax: number): Promise<number> {
    let at = 0
    while (at < bytesMax) {
      this.#checkStop()
      const piece = Buffer.allocUnsafe(Math.min(pieceBytes, bytesMax - at))
      const count = await source.read(piece, at)
      if (count > 0) await target.write([piece.subarray(0, count)], at)
      at += count
      if (count < piece.length) break
    }
    return at
  }

  async #empty(folder: string): Promise<void> {
    for (const name of await this.#to.list(folder)) await this.#to.remove(`${folder}/${name}`)
  }

  async #idOf(folder: string): Promise<string | undefined> {
    return topicIdOf(await readWhole(this.#from, `${folder}/${metadataName}`))
  }
}

/** How much of a file belongs to the copy; Infinity: all of it. */
function wantedBytes(name: string, position: PartitionPosition | undefined): number {
  const match = segmentName.exec(name)
  if (match === null || position === undefined) return 0
  const base = Number(match[1] ?? match[3])
  if (base > position.segmentBase) return 0
  if (base < position.segmentBase) return Infinity
  const { bytes, indexEntries, timeEntries } = position.segment
  const ending = match[2] ?? match[4]
  if (bytes === 0 || ending === 'log') return bytes
  return ending === 'index' ? indexEntries * 8 : timeEntries * 12
}
