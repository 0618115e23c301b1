/**
 * A journal frame: one write to the journal, holding entries. All integers are big-endian.
 *
 *    0 length u32      whole frame without padding; 0 = nothing here
 *    4 crc u32         CRC-32C, seeded by the file's fileSeq and generation, of all other bytes
 *    8 frameSeq u64    +1 per frame, across files and runs
 *   16 time i64        log time, ms
 *   24 entryCount u32
 *   28 reserved u32
 *   32 entries, 32 bytes each:
 *        kind u8 · flags u8 · reserved u16 · partitionRef u32 · baseOffset i64 · segmentBase i64 ·
 *        segmentPos u32 · length u32
 *    … payloads in entry order
 *
 * A frame begins on a block boundary and is padded with zeros to the next one: so a journal write
 * stays away from every page that holds an acknowledged frame. The seed makes frames of an earlier
 * lap of a recycled file invalid.
 */
import { crc32c } from '../../../kit/crc32c.ts'
import type { Offset } from '../../../model/offset.ts'
import { readInt32, readInt64, readUint32, writeInt32, writeInt64 } from '../../../model/offset.ts'
import type { EntryKind } from './state-machine.ts'
import { entryKinds } from './state-machine.ts'

export const blockBytes = 4096
export const frameHeaderBytes = 32
export const entryHeaderBytes = 32

/** Payloads from here on are written from where they are; smaller ones are copied together. */
const copyBelowBytes = 16_384

export interface JournalEntry {
  readonly kind: EntryKind
  /** The number of the partition; 0 where an entry belongs to none. */
  readonly partitionRef: number
  readonly baseOffset: Offset
  readonly segmentBase: Offset
  readonly segmentPos: number
  readonly payload: Uint8Array
}

export interface Frame {
  readonly seq: number
  readonly timeMs: number
  readonly entries: readonly JournalEntry[]
  /** Without padding. */
  readonly bytes: Uint8Array
}

/** Size in the journal, padding included. */
export function paddedBytes(frameBytes: number): number {
  return Math.ceil(frameBytes / blockBytes) * blockBytes
}

/** The start value of the CRC of every frame in one use of a file. */
export function frameSeed(fileSeq: number, generation: number): number {
  const bytes = Buffer.allocUnsafe(8)
  writeInt32(bytes, 0, fileSeq)
  writeInt32(bytes, 4, generation)
  return crc32c(bytes)
}

/**
 * The frame as buffers ready to be written, padding included. `frameBytes` is its size without it.
 * One allocation holds headers and small payloads, so a frame of many small batches is one buffer.
 */
export function encodeFrame(
  entries: readonly JournalEntry[],
  frameBytes: number,
  frame: { readonly seq: number; readonly timeMs: number; readonly seed: number },
): Uint8Array[] {
  const total = paddedBytes(frameBytes)
  const headBytes = frameHeaderBytes + entryHeaderBytes * entries.length
  let borrowed = 0
  for (const { payload } of entries)
    if (payload.length >= copyBelowBytes) borrowed += payload.length
  const own = Buffer.allocUnsafe(total - borrowed)
  writeInt32(own, 0, frameBytes)
  writeInt64(own, 8, frame.seq)
  writeInt64(own, 16, frame.timeMs)
  writeInt32(own, 24, entries.length)
  writeInt32(own, 28, 0)

  const buffers: Uint8Array[] = []
  let runFrom = 0
  let at = headBytes
  let head = frameHeaderBytes
  for (const entry of entries) {
    const payload = entry.payload
    writeEntryHeader(own, head, entry)
    head += entryHeaderBytes
    if (payload.length < copyBelowBytes) {
      own.set(payload, at)
      at += payload.length
    } else {
      if (at > runFrom) buffers.push(own.subarray(runFrom, at))
      buffers.push(payload)
      runFrom = at
    }
  }
  const contentEnd = at
  own.fill(0, contentEnd)
  buffers.push(own.subarray(runFrom))

  writeInt32(own, 4, frameCrc(buffers, total - frameBytes, frame.seed))
  return buffers[buffers.length - 1]!.length === 0 ? buffers.slice(0, -1) : buffers
}

/** CRC of everything but its own field and the `padding` bytes at the end. */
function frameCrc(buffers: readonly Uint8Array[], padding: number, seed: number): number {
  const first = buffers[0]!
  const last = buffers.length - 1
  let crc = crc32c(first.subarray(0, 4), seed)
  for (let i = 0; i <= last; i++) {
    const buffer = buffers[i]!
    const end = i === last ? buffer.length - padding : buffer.length
    crc = crc32c(buffer.subarray(i === 0 ? 8 : 0, end), crc)
  }
  return crc
}

function writeEntryHeader(bytes: Uint8Array, at: number, entry: JournalEntry): void {
  writeInt32(bytes, at, entry.kind << 24)
  writeInt32(bytes, at + 4, entry.partitionRef)
  writeInt64(bytes, at + 8, entry.baseOffset)
  writeInt64(bytes, at + 16, entry.segmentBase)
  writeInt32(bytes, at + 24, entry.segmentPos)
  writeInt32(bytes, at + 28, entry.payload.length)
}

export interface FrameClaim {
  readonly bytes: number
  readonly seq: number
}

/** What the first 32 bytes of a frame claim, before anything was checked; undefined: no frame. */
export function readFrameClaim(head: Uint8Array): FrameClaim | undefined {
  const bytes = readUint32(head, 0)
  if (bytes < frameHeaderBytes + entryHeaderBytes) return undefined
  // A number that is not exact is garbage, not an error: this looks at whatever the disk holds.
  if (readInt32(head, 8) >>> 21 !== 0) return undefined
  return { bytes, seq: readInt64(head, 8) }
}

/** The frame that fills `bytes` exactly; undefined when it does not match its CRC or itself. */
export function decodeFrame(bytes: Uint8Array, seed: number): Frame | undefined {
  const claim = readFrameClaim(bytes)
  if (claim === undefined || claim.bytes !== bytes.length) return undefined
  if (frameCrc([bytes], 0, seed) !== readUint32(bytes, 4)) return undefined
  const count = readUint32(bytes, 24)
  let payloadAt = frameHeaderBytes + entryHeaderBytes * count
  if (payloadAt > bytes.length) return undefined
  const entries: JournalEntry[] = []
  for (let i = 0; i < count; i++) {
    const at = frameHeaderBytes + entryHeaderBytes * i
    const length = readUint32(bytes, at + 28)
    const kind = bytes[at]!
    if (!isEntryKind(kind) || payloadAt + length > bytes.length) return undefined
    entries.push({
      kind,
      partitionRef: readUint32(bytes, at + 4),
      baseOffset: readInt64(bytes, at + 8),
      segmentBase: readInt64(bytes, at + 16),
      segmentPos: readUint32(bytes, at + 24),
      payload: bytes.subarray(payloadAt, payloadAt + length),
    })
    payloadAt += length
  }
  if (payloadAt !== bytes.length) return undefined
  return { seq: claim.seq, timeMs: readInt64(bytes, 16), entries, bytes }
}

/** The same frame under the seed of another file, padded: the copy that begins a run. */
export function copyFrame(frame: Frame, seed: number): Uint8Array {
  const copy = Buffer.alloc(paddedBytes(frame.bytes.length))
  copy.set(frame.bytes)
  writeInt32(copy, 4, frameCrc([copy.subarray(0, frame.bytes.length)], 0, seed))
  return copy
}

const knownKinds = new Set<number>(Object.values(entryKinds))

function isEntryKind(kind: number): kind is EntryKind {
  return knownKinds.has(kind)
}
