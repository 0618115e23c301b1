/**
 * Reading the journal after a start: which frames follow a snapshot, where they end, and whether
 * they end cleanly. Nothing here writes.
 *
 * Only one journal write is ever in flight. So at most the frame behind the last good one can be
 * torn; a valid frame, or a file that begins, two or more numbers above it proves that a frame in
 * between was durable once and is damaged now: a hole.
 */
import { GatewayError } from '../../../model/errors.ts'
import type { JournalPosition } from './committer.ts'
import type { JournalFile } from './journal-file.ts'
import type { Frame } from './journal-frame.ts'
import { blockBytes, paddedBytes } from './journal-frame.ts'
import type { StoredSnapshot } from './snapshot.ts'

/** Where a frame stands. */
export interface FramePlace {
  readonly file: JournalFile
  readonly offset: number
}

/** A frame that was durable once and cannot be read any more. */
export interface Hole {
  readonly missingSeq: number
  /** The file that goes on behind it, and with which number. */
  readonly file: JournalFile
  readonly laterSeq: number
}

export interface Chain {
  /** Where the snapshot says the journal goes on. */
  readonly start: FramePlace | undefined
  readonly places: readonly FramePlace[]
  /** The last frame of the chain; undefined when nothing follows the snapshot. */
  readonly last: Frame | undefined
  readonly lastSeq: number
  readonly bytes: number
  /** What proves that the chain should have gone on. */
  readonly hole: Hole | undefined
}

/** The newest snapshot whose journal file is there, and those behind it that could replace it. */
export function usableSnapshots(
  snapshots: readonly StoredSnapshot[],
  files: readonly JournalFile[],
): StoredSnapshot[] {
  const present = new Set(files.map((file) => file.header?.fileSeq))
  return snapshots.filter(({ position }) => present.has(position.fileSeq)).slice(0, 2)
}

/**
 * Follows the frames from `from` to their end. Each number is looked for at the start of the files
 * that say they begin with it, newest first, then behind the frame before.
 */
export async function readChain(
  files: readonly JournalFile[],
  from: JournalPosition,
  visit: (frame: Frame) => void,
): Promise<Chain> {
  const places: FramePlace[] = []
  const startFile = files.find((file) => file.header?.fileSeq === from.fileSeq)
  const start = startFile === undefined ? undefined : { file: startFile, offset: from.offset }
  let behind: FramePlace | undefined = start
  let seq = from.nextFrameSeq
  let last: Frame | undefined
  let bytes = 0
  for (;;) {
    const found = await findFrame(files, behind, seq)
    if (found === undefined) break
    visit(found.frame)
    places.push(found.place)
    last = found.frame
    const size = paddedBytes(found.frame.bytes.length)
    bytes += size
    behind = { file: found.place.file, offset: found.place.offset + size }
    seq++
  }
  const hole = await findHole(files, from.fileSeq, seq, behind)
  return { start, places, last, lastSeq: seq - 1, bytes, hole }
}

/** Reads the frames of a chain once more, in order. */
export async function* replayFrames(chain: Chain): AsyncGenerator<Frame> {
  for (const place of chain.places) yield await readFrame(place)
}

/** A frame that was there before. */
export async function readFrame({ file, offset }: FramePlace): Promise<Frame> {
  const frame = await file.frameAt(offset)
  if (frame !== undefined) return frame
  throw new GatewayError('CORRUPT_BATCH', `Journal file ${file.name} changed while it was read.`)
}

async function findFrame(
  files: readonly JournalFile[],
  behind: FramePlace | undefined,
  seq: number,
): Promise<{ frame: Frame; place: FramePlace } | undefined> {
  const starts = files
    .filter((file) => file.header?.firstFrameSeq === seq)
    .sort((left, right) => right.header!.fileSeq - left.header!.fileSeq)
    .map((file) => ({ file, offset: blockBytes }))
  for (const place of behind === undefined ? starts : [...starts, behind]) {
    const frame = await place.file.frameAt(place.offset)
    if (frame?.seq === seq) return { frame, place }
  }
  return undefined
}

/**
 * `missingSeq` is the first number that was not found. Only the file used last can hold frames above
 * it without saying so in a header: every file before it ended where its successor begins.
 */
async function findHole(
  files: readonly JournalFile[],
  fromFileSeq: number,
  missingSeq: number,
  behind: FramePlace | undefined,
): Promise<Hole | undefined> {
  let newest: JournalFile | undefined
  for (const file of files) {
    const { fileSeq = 0, firstFrameSeq = 0 } = file.header ?? {}
    if (fileSeq < fromFileSeq) continue
    if (firstFrameSeq > missingSeq) return { missingSeq, file, laterSeq: firstFrameSeq }
    if (fileSeq > (newest?.header?.fileSeq ?? 0)) newest = file
  }
  if (newest === undefined) return undefined
  const from = behind?.file === newest ? behind.offset : blockBytes
  const later = await newest.laterFrame(from, missingSeq + 1)
  return later === undefined ? undefined : { missingSeq, file: newest, laterSeq: later.seq }
}

/** Every frame above `seq` that can still be read, wherever it stands: what a hole cuts off. */
export async function* framesBeyond(
  files: readonly JournalFile[],
  seq: number,
): AsyncGenerator<Frame> {
  for (const file of files) {
    const seqMin = Math.max(seq + 1, file.header?.firstFrameSeq ?? 0)
    let at = blockBytes
    for (;;) {
      const later = await file.laterFrame(at, seqMin)
      if (later === undefined) break
      const frame = await readFrame({ file, offset: later.offset })
      yield frame
      at = later.offset + paddedBytes(frame.bytes.length)
    }
  }
}

/**
 * A snapshot is saved after the journal it speaks of. So where one knows of a later frame or file than
 * the chain found, the end of the journal is damaged or lost, and what it held was acknowledged. The
 * newest such snapshot tells more than the chain does.
 */
export function snapshotBeyond(
  files: readonly JournalFile[],
  snapshots: readonly StoredSnapshot[],
  lastSeq: number,
): StoredSnapshot | undefined {
  const lastFileSeq = Math.max(0, ...files.map(({ header }) => header?.fileSeq ?? 0))
  return snapshots.find(
    ({ position }) => position.fileSeq > lastFileSeq || position.nextFrameSeq > lastSeq + 1,
  )
}

/** Nothing but a snapshot: what followed it cannot be read. */
export function noChain({ position }: StoredSnapshot): Chain {
  const lastSeq = position.nextFrameSeq - 1
  return { start: undefined, places: [], last: undefined, lastSeq, bytes: 0, hole: undefined }
}

/**
 * Files that a new run may overwrite: never used, wholly before every kept snapshot, or holding
 * nothing but what an interrupted start left, which is a copy of the last frame or no frame at all.
 * The files in which the kept snapshots stand are never among them.
 */
export async function reusableFiles(
  files: readonly JournalFile[],
  kept: readonly StoredSnapshot[],
  chain: Chain,
): Promise<JournalFile[]> {
  const standing = new Set(kept.map(({ position }) => position.fileSeq))
  const neededFrom = Math.min(Infinity, ...standing)
  const reusable: JournalFile[] = []
  const holders: JournalFile[] = []
  for (const file of files) {
    const header = file.header
    if (header === undefined || header.fileSeq < neededFrom) reusable.push(file)
    else if (standing.has(header.fileSeq)) continue
    else if (header.firstFrameSeq > chain.lastSeq) reusable.push(file)
    else if (header.firstFrameSeq === chain.lastSeq && chain.last !== undefined) {
      if ((await file.frameAt(blockBytes))?.seq === chain.lastSeq) holders.push(file)
      else reusable.push(file)
    }
  }
  return [...reusable, ...(await copiesOnly(holders, chain))]
}

/** Of the files that begin with the last frame, those without which it would still be there. */
async function copiesOnly(holders: readonly JournalFile[], chain: Chain): Promise<JournalFile[]> {
  const oldestFirst = [...holders].sort(
    (left, right) => left.header!.fileSeq - right.header!.fileSeq,
  )
  const before = chain.places.at(-2) ?? chain.start
  const original = await before?.file.frameAt(before.offset)
  const behind =
    before === chain.start || original === undefined
      ? original
      : await before!.file.frameAt(before!.offset + paddedBytes(original.bytes.length))
  // The original may stand behind the frame before it; else the oldest holder is the original.
  return behind?.seq === chain.lastSeq ? oldestFirst : oldestFirst.slice(1)
}
