/** Entries of index files as they stand on disk, read piece by piece; nothing is believed. */
import { readInt32 } from '../../../model/offset.ts'
import type { DiskFile } from '../disk/disk.ts'

export const offsetEntryBytes = 8
export const timeEntryBytes = 12

const entriesAtOnce = 8192

export interface OffsetEntryAt {
  readonly offset: number
  readonly position: number
}

export interface TimeEntryAt {
  readonly timestamp: bigint
  readonly offset: number
}

/** Entries of a `.index`, with offsets that are absolute; a cut last entry is left out. */
export async function* offsetEntries(
  file: DiskFile,
  base: number,
  countMax = Infinity,
): AsyncGenerator<OffsetEntryAt> {
  let count = 0
  for await (const bytes of pieces(file, offsetEntryBytes)) {
    for (let at = 0; at + offsetEntryBytes <= bytes.length; at += offsetEntryBytes) {
      if (count++ >= countMax) return
      yield { offset: base + readInt32(bytes, at), position: readInt32(bytes, at + 4) }
    }
  }
}

/** Entries of a `.timeindex`. */
export async function* timeEntries(
  file: DiskFile,
  base: number,
  countMax = Infinity,
): AsyncGenerator<TimeEntryAt> {
  let count = 0
  for await (const bytes of pieces(file, timeEntryBytes)) {
    for (let at = 0; at + timeEntryBytes <= bytes.length; at += timeEntryBytes) {
      if (count++ >= countMax) return
      yield { timestamp: bytes.readBigInt64BE(at), offset: base + readInt32(bytes, at + 8) }
    }
  }
}

async function* pieces(file: DiskFile, entryBytes: number): AsyncGenerator<Buffer> {
  for (let at = 0; ; at += entriesAtOnce * entryBytes) {
    const piece = Buffer.alloc(entriesAtOnce * entryBytes)
    const count = await file.read(piece, at)
    if (count > 0) yield piece.subarray(0, count)
    if (count < piece.length) return
  }
}
