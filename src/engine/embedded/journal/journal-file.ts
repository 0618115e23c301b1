/**
 * A journal file: preallocated with zeros, opened O_DSYNC, written front to back, recycled. Its name
 * is a slot; fileSeq rises with every use. Block 0 is the header, durable before the first frame of
 * that use; it stands twice, at 0 and at 2,048, so that one bad bit cannot hide a file:
 *
 *   0 magic "EBBJ" · 4 format u32 · 8 fileSeq u32 · 12 generation u32 · 16 firstFrameSeq u64 · 24 crc u32
 */
import { crc32c } from '../../../kit/crc32c.ts'
import { readInt64, readUint32, writeInt32, writeInt64 } from '../../../model/offset.ts'
import type { Disk, DiskFile } from '../disk/disk.ts'
import type { Frame } from './journal-frame.ts'
import {
  blockBytes,
  decodeFrame,
  frameHeaderBytes,
  frameSeed,
  paddedBytes,
  readFrameClaim,
} from './journal-frame.ts'

export const journalFolder = 'journal'

const magic = 0x4542_424a
const format = 1
const secondCopyAt = 2048
const headerBytes = 28
const readAheadBytes = 1024 * 1024

export interface JournalHeader {
  readonly fileSeq: number
  readonly generation: number
  readonly firstFrameSeq: number
}

export class JournalFile {
  readonly name: string
  /** Size of the file, which never changes. */
  readonly bytes: number
  readonly #file: DiskFile
  /** Undefined: never used, or its header cannot be read. */
  #header: JournalHeader | undefined
  #seed = 0
  #window: Uint8Array = new Uint8Array(0)
  #windowAt = 0

  private constructor(name: string, file: DiskFile, bytes: number) {
    this.name = name
    this.#file = file
    this.bytes = bytes
  }

  /** Opens an existing file and reads its header. A copy may lie in another folder. */
  static async open(disk: Disk, name: string, folder = journalFolder): Promise<JournalFile> {
    const file = await disk.open(`${folder}/${name}`, { dsync: true })
    const opened = new JournalFile(name, file, await file.size())
    const block = Buffer.alloc(blockBytes)
    await file.read(block, 0)
    opened.#use(newest(readHeader(block, 0), readHeader(block, secondCopyAt)))
    return opened
  }

  /** Makes a file of zeros under a temporary name, syncs it, renames it, syncs the folder. */
  static async make(disk: Disk, name: string, bytes: number): Promise<JournalFile> {
    const path = `${journalFolder}/${name}`
    const filling = await disk.open(`${path}.tmp`, { create: true })
    try {
      const zeros = Buffer.alloc(Math.min(bytes, readAheadBytes))
      for (let at = 0; at < bytes; at += zeros.length) {
        await filling.write([zeros.subarray(0, Math.min(zeros.length, bytes - at))], at)
      }
      await filling.sync()
    } catch (error) {
      // Half a file would take the last room of a disk that is full.
      await filling.truncate(0).catch(() => undefined)
      throw error
    } finally {
      await filling.close()
    }
    await disk.rename(`${path}.tmp`, path)
    await disk.syncDirectory(journalFolder)
    return new JournalFile(name, await disk.open(path, { dsync: true }), bytes)
  }

  get header(): JournalHeader | undefined {
    return this.#header
  }

  /** Start value for the CRC of frames in the present use. */
  get seed(): number {
    return this.#seed
  }

  /** Begins a new use: durable when it resolves. */
  async begin(header: JournalHeader): Promise<void> {
    const block = Buffer.alloc(blockBytes)
    writeHeader(block, 0, header)
    writeHeader(block, secondCopyAt, header)
    await this.#file.write([block], 0)
    this.#use(header)
  }

  /** Takes the header off, durably: the file counts as never used from now on. */
  async forget(): Promise<void> {
    await this.#file.write([Buffer.alloc(blockBytes)], 0)
    this.#use(undefined)
  }

  /** Writes a whole frame, padding included; durable when it resolves. */
  write(buffers: readonly Uint8Array[], position: number): Promise<void> {
    return this.#file.write(buffers, position)
  }

  /** The valid frame that begins at `position` in the present use of the file, if there is one. */
  async frameAt(position: number): Promise<Frame | undefined> {
    if (this.#header === undefined || position + frameHeaderBytes > this.bytes) return undefined
    const claim = readFrameClaim(await this.#bytesAt(position, frameHeaderBytes))
    // No other limit: whatever was written and acknowledged must be found again.
    if (claim === undefined || position + paddedBytes(claim.bytes) > this.bytes) return undefined
    return decodeFrame(await this.#bytesAt(position, claim.bytes), this.#seed)
  }

  /** The first valid frame at or behind `position` whose number is at least `seqMin`. */
  async laterFrame(
    position: number,
    seqMin: number,
  ): Promise<{ readonly seq: number; readonly offset: number } | undefined> {
    if (this.#header === undefined) return undefined
    // A file of B bytes cannot hold more than B / 4,096 frames: larger numbers are old payload bytes.
    const seqMax = seqMin + this.bytes / blockBytes
    for (let at = position; at + frameHeaderBytes <= this.bytes; at += blockBytes) {
      const claim = readFrameClaim(await this.#bytesAt(at, frameHeaderBytes))
      if (claim === undefined || claim.seq < seqMin || claim.seq > seqMax) continue
      if ((await this.frameAt(at)) !== undefined) return { seq: claim.seq, offset: at }
    }
    return undefined
  }

  /** Lets go of the read buffer that recovery used. */
  forgetReads(): void {
    this.#window = new Uint8Array(0)
  }

  close(): Promise<void> {
    return this.#file.close()
  }

  async #bytesAt(position: number, count: number): Promise<Uint8Array> {
    const from = position - this.#windowAt
    if (from >= 0 && from + count <= this.#window.length) {
      return this.#window.subarray(from, from + count)
    }
    // A new buffer each time: frames lend slices of the old one until they are applied. What the old
    // one has is copied, so that every byte is read once however frames lie in the windows.
    const size = Math.min(Math.max(count, readAheadBytes), this.bytes - position)
    const window = Buffer.allocUnsafeSlow(size)
    const known = from >= 0 ? this.#window.subarray(from) : this.#window.subarray(0, 0)
    window.set(known)
    const read = await this.#file.read(window.subarray(known.length), position + known.length)
    this.#window = window.subarray(0, known.length + read)
    this.#windowAt = position
    return this.#window.subarray(0, count)
  }

  #use(header: JournalHeader | undefined): void {
    this.#header = header
    this.#seed = header === undefined ? 0 : frameSeed(header.fileSeq, header.generation)
  }
}

function writeHeader(block: Uint8Array, at: number, header: JournalHeader): void {
  writeInt32(block, at, magic)
  writeInt32(block, at + 4, format)
  writeInt32(block, at + 8, header.fileSeq)
  writeInt32(block, at + 12, header.generation)
  writeInt64(block, at + 16, header.firstFrameSeq)
  writeInt32(block, at + 24, crc32c(block.subarray(at, at + 24)))
}

function readHeader(block: Uint8Array, at: number): JournalHeader | undefined {
  if (readUint32(block, at) !== magic || readUint32(block, at + 4) !== format) return undefined
  if (readUint32(block, at + headerBytes - 4) !== crc32c(block.subarray(at, at + 24)))
    return undefined
  return {
    fileSeq: readUint32(block, at + 8),
    generation: readUint32(block, at + 12),
    firstFrameSeq: readInt64(block, at + 16),
  }
}

function newest(
  one: JournalHeader | undefined,
  other: JournalHeader | undefined,
): JournalHeader | undefined {
  if (one === undefined || other === undefined) return one ?? other
  return one.fileSeq >= other.fileSeq ? one : other
}
