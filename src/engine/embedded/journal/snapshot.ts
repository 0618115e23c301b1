/**
 * A snapshot: the state of everything at exactly one frame. All integers are big-endian.
 *
 *    0 magic "EBBS"        4 format u32       8 generation u32    12 sectionCount u32
 *   16 logTime i64, ms    24 fileSeq u32     28 offset u32       32 nextFrameSeq i64
 *   40 sections: kind u32 · length u32 · bytes
 *    … crc u32, CRC-32C of everything before it
 *
 * Section kinds are entry kinds: BATCH holds the recovery positions of the partitions, the others
 * the state of their machine. The newest two are kept, with the journal behind the older one.
 */
import { crc32c } from '../../../kit/crc32c.ts'
import { readInt64, readUint32, writeInt32, writeInt64 } from '../../../model/offset.ts'
import type { Disk } from '../disk/disk.ts'
import { readWhole, replaceFile } from '../disk/disk.ts'
import type { JournalPosition } from './committer.ts'
import { entryKinds } from './state-machine.ts'

export const snapshotFolder = 'meta'

const magic = 0x4542_4253
const format = 1
const headBytes = 40
const keptMax = 2

export interface Snapshot {
  readonly generation: number
  readonly logTimeMs: number
  readonly position: JournalPosition
  readonly sections: ReadonlyMap<number, Uint8Array>
}

export interface StoredSnapshot extends Snapshot {
  readonly number: number
}

interface KeptSnapshot {
  readonly number: number
  readonly position: JournalPosition
  /** The recovery positions of the partitions. */
  readonly positions: Uint8Array
}

export function encodeSnapshot(snapshot: Snapshot): Uint8Array {
  let size = headBytes + 4
  for (const section of snapshot.sections.values()) size += 8 + section.length
  const bytes = Buffer.allocUnsafe(size)
  writeInt32(bytes, 0, magic)
  writeInt32(bytes, 4, format)
  writeInt32(bytes, 8, snapshot.generation)
  writeInt32(bytes, 12, snapshot.sections.size)
  writeInt64(bytes, 16, snapshot.logTimeMs)
  writeInt32(bytes, 24, snapshot.position.fileSeq)
  writeInt32(bytes, 28, snapshot.position.offset)
  writeInt64(bytes, 32, snapshot.position.nextFrameSeq)
  let at = headBytes
  for (const [kind, section] of snapshot.sections) {
    writeInt32(bytes, at, kind)
    writeInt32(bytes, at + 4, section.length)
    bytes.set(section, at + 8)
    at += 8 + section.length
  }
  writeInt32(bytes, at, crc32c(bytes.subarray(0, at)))
  return bytes
}

/** Undefined when the bytes are not a whole and undamaged snapshot of a format we know. */
export function decodeSnapshot(bytes: Uint8Array): Snapshot | undefined {
  const end = bytes.length - 4
  if (end < headBytes || readUint32(bytes, 0) !== magic || readUint32(bytes, 4) !== format) {
    return undefined
  }
  if (readUint32(bytes, end) !== crc32c(bytes.subarray(0, end))) return undefined
  const sections = new Map<number, Uint8Array>()
  let at = headBytes
  for (let left = readUint32(bytes, 12); left > 0; left--) {
    if (at + 8 > end) return undefined
    const length = readUint32(bytes, at + 4)
    if (at + 8 + length > end) return undefined
    sections.set(readUint32(bytes, at), bytes.subarray(at + 8, at + 8 + length))
    at += 8 + length
  }
  if (at !== end) return undefined
  return {
    generation: readUint32(bytes, 8),
    logTimeMs: readInt64(bytes, 16),
    position: {
      fileSeq: readUint32(bytes, 24),
      offset: readUint32(bytes, 28),
      nextFrameSeq: readInt64(bytes, 32),
    },
    sections,
  }
}

/** The snapshot files of one data folder: the newest two that are whole. */
export class SnapshotStore {
  readonly #disk: Disk
  /** Oldest first. */
  #kept: KeptSnapshot[] = []
  #lastNumber = 0

  constructor(disk: Disk) {
    this.#disk = disk
  }

  /** All whole snapshots, newest first. Also says how many files there were. */
  async load(): Promise<{ snapshots: StoredSnapshot[]; files: number }> {
    const snapshots: StoredSnapshot[] = []
    const numbers = await this.#numbers()
    for (const number of numbers.reverse()) {
      this.#lastNumber = Math.max(this.#lastNumber, number)
      const bytes = await readWhole(this.#disk, snapshotPath(number))
      const snapshot = bytes === undefined ? undefined : decodeSnapshot(bytes)
      if (snapshot !== undefined) snapshots.push({ number, ...snapshot })
    }
    return { snapshots, files: numbers.length }
  }

  /** Names the snapshots whose journal is there: they count as kept from now on. */
  keep(snapshots: readonly StoredSnapshot[]): void {
    this.#kept = snapshots
      .map((snapshot) => keptSnapshot(snapshot.number, snapshot))
      .sort((left, right) => left.number - right.number)
  }

  /** Durable when it resolves. */
  async save(snapshot: Snapshot): Promise<void> {
    // A try that fails for want of space is repeated under its number, and so leaves one file behind.
    const number = this.#lastNumber + 1
    await replaceFile(this.#disk, snapshotPath(number), encodeSnapshot(snapshot))
    this.#lastNumber = number
    this.#kept = [...this.#kept, keptSnapshot(number, snapshot)].slice(-keptMax)
  }

  /** Where the older of the kept snapshots stands: the journal before it is not needed. */
  get neededFrom(): JournalPosition | undefined {
    return this.#kept[0]?.position
  }

  /** Its recovery positions: nothing below them is replayed any more. */
  get neededPositions(): Uint8Array {
    return this.#kept[0]?.positions ?? new Uint8Array(0)
  }

  /** Removes every snapshot file that is not kept. */
  async prune(): Promise<void> {
    const kept = new Set(this.#kept.map(({ number }) => number))
    for (const number of await this.#numbers()) {
      if (!kept.has(number)) await this.#disk.remove(snapshotPath(number))
    }
  }

  async #numbers(): Promise<number[]> {
    const names = await this.#disk.list(snapshotFolder)
    return names.filter((name) => /^\d{10}\.snapshot$/.test(name)).map((name) => parseInt(name, 10))
  }
}

function keptSnapshot(number: number, { position, sections }: Snapshot): KeptSnapshot {
  return { number, position, positions: sections.get(entryKinds.BATCH) ?? new Uint8Array(0) }
}

export function snapshotPath(number: number): string {
  return `${snapshotFolder}/${String(number).padStart(10, '0')}.snapshot`
}
