/**
 * Moves damage out of the way, on an operator's command. A segment with bytes that cannot be read is
 * split: what is whole before and behind the damage stays as segments of its own, the original goes to
 * quarantine/. So exactly the damaged offsets are missing, and reads say so (`CORRUPT_BATCH`, with where
 * to go on). Nothing is deleted.
 *
 * A partition whose end was damaged goes on at its next offset, in a new segment: offsets that were
 * acknowledged once are not given again. That is a new recovery position, hence two new snapshots, so
 * that neither of the two kept ones speaks of files that are not there.
 *
 * The order makes a crash at any step harmless: pieces behind the damage first (a start under the old
 * snapshots drops them, the original is still there), then the snapshots, then the original.
 */
import type { Offset } from '../../../model/offset.ts'
import { baseOffsetOf } from '../../../model/record-batch.ts'
import type { Disk, DiskFile } from '../disk/disk.ts'
import { folderOf, makeDurableDirectory } from '../disk/disk.ts'
import { quarantineFolder } from '../journal/damaged-journal.ts'
import type { StoredSnapshot } from '../journal/snapshot.ts'
import { SnapshotStore, snapshotFolder, snapshotPath } from '../journal/snapshot.ts'
import { entryKinds } from '../journal/state-machine.ts'
import type { PartitionPosition } from '../log/recovery-position.ts'
import { emptyPosition, encodePositions, readPositions } from '../log/recovery-position.ts'
import { segmentName } from '../log/segment.ts'
import type { Examined } from './examination.ts'
import type { KnownPartition } from './folder-state.ts'
import type { SegmentFile } from './partition-files.ts'
import { folderOfPartition } from './partition-files.ts'
import { rebuildIndexes } from './rebuilt-indexes.ts'
import { walkSegment } from './segment-walk.ts'

const pieceBytes = 1024 * 1024

/** Whole batches in a row. */
interface Piece {
  readonly base: Offset
  readonly end: Offset
  readonly from: number
  readonly to: number
  /** It is all that the file holds. */
  readonly isAll: boolean
}

export interface AsideParts {
  readonly disk: Disk
  /** The newest snapshot; nothing may follow it in the journal. */
  readonly snapshot: StoredSnapshot
  /** Names the folder in quarantine/. */
  readonly id: string
  readonly say: (line: string) => void
}

export async function moveDamageAside(
  parts: AsideParts,
  examined: readonly Examined[],
): Promise<void> {
  const { disk, snapshot } = parts
  await moveSnapshots(parts)
  const positions = readPositions(snapshot.sections.get(entryKinds.BATCH) ?? new Uint8Array(0))
  const work: { segment: SegmentFile; known: KnownPartition; pieces: Piece[] }[] = []
  let isMoved = false
  for (const { known, verdict } of examined) {
    for (const segment of verdict.damaged) {
      const pieces = await piecesOf(disk, segment, known)
      // Whole, but shorter than it must be, or out of order: there is nothing to take out of it.
      if (pieces.length === 1 && pieces[0]!.isAll) continue
      for (const piece of pieces)
        if (piece.base !== segment.base) await cutOut(disk, segment, piece)
      work.push({ segment, known, pieces })
    }
    const last = verdict.damaged.find(({ bytesMax }) => bytesMax !== undefined)
    const lastPiece = work.findLast(({ segment }) => segment === last)?.pieces.at(-1)
    if (known.position === undefined || (last === undefined && !verdict.missesEnd)) continue
    positions.set(known.ref, await newPosition(disk, known, lastPiece))
    isMoved = true
  }
  if (isMoved) await saveTwice(parts, encodePositions(positions))
  for (const { segment, known, pieces } of work) await retire(parts, segment, known, pieces)
}

/** What is whole in a segment. */
async function piecesOf(disk: Disk, segment: SegmentFile, known: KnownPartition): Promise<Piece[]> {
  const pieces: Piece[] = []
  if (!(await disk.exists(segment.log))) return pieces
  const file = await disk.open(segment.log)
  try {
    const bytes = Math.min(await file.size(), segment.bytesMax ?? Infinity)
    const baseEnd = Math.min(segment.baseEnd, known.position?.nextOffset ?? Infinity)
    for await (const part of walkSegment(file, { bytes, base: segment.base, baseEnd })) {
      if (part.kind === 'damage') continue
      const { position, batch, end } = part
      const to = position + batch.length
      const last = pieces.at(-1)
      const piece = last?.to === position ? last : { base: baseOffsetOf(batch), from: position }
      if (piece === last) pieces.pop()
      pieces.push({ ...piece, end, to, isAll: piece.from === 0 && to === bytes })
    }
  } finally {
    await file.close()
  }
  return pieces
}

/** A piece under the name of its first offset, with indexes. */
async function cutOut(disk: Disk, segment: SegmentFile, piece: Piece): Promise<void> {
  const folder = folderOf(segment.log)
  const path = `${folder}/${segmentName(piece.base)}`
  await copyRange(disk, segment.log, `${path}.log`, piece)
  await rebuildIndexes(disk, path, { base: piece.base, baseEnd: Infinity, bytesMax: undefined })
}

/** The last piece goes on being written where it reaches the end; else a new segment begins there. */
async function newPosition(
  disk: Disk,
  known: KnownPartition,
  piece: Piece | undefined,
): Promise<PartitionPosition> {
  const nextOffset = known.position!.nextOffset
  const isWritten = piece?.end === nextOffset && piece.base !== known.position!.segmentBase
  if (!isWritten)
    return { nextOffset, segmentBase: nextOffset, segment: emptyPosition, isShort: false }
  const path = `${folderOfPartition(known)}/${segmentName(piece.base)}`
  const range = { base: piece.base, baseEnd: Infinity, bytesMax: undefined }
  const { segment } = await rebuildIndexes(disk, path, range)
  return { nextOffset, segmentBase: piece.base, segment, isShort: false }
}

async function saveTwice({ disk, snapshot }: AsideParts, positions: Uint8Array): Promise<void> {
  const store = new SnapshotStore(disk)
  await store.load()
  const sections = new Map(snapshot.sections).set(entryKinds.BATCH, positions)
  for (let copy = 0; copy < 2; copy++) await store.save({ ...snapshot, sections })
}

/** The original goes to quarantine/; what was whole at its beginning keeps its name. */
async function retire(
  { disk, id, say }: AsideParts,
  segment: SegmentFile,
  known: KnownPartition,
  pieces: readonly Piece[],
): Promise<void> {
  const folder = folderOf(segment.log)
  const aside = `${quarantineFolder}/${id}/${folder}`
  await makeDurableDirectory(disk, aside)
  const first = pieces.find(({ base }) => base === segment.base)
  const temporary = `${segment.log}.tmp`
  if (first !== undefined) await copyRange(disk, segment.log, temporary, first)
  for (const path of [segment.log, `${segment.path}.index`, `${segment.path}.timeindex`]) {
    if (!(await disk.exists(path))) continue
    await disk.rename(path, `${quarantineFolder}/${id}/${path}`)
  }
  if (first !== undefined) await disk.rename(temporary, segment.log)
  await disk.syncDirectory(aside)
  await disk.syncDirectory(folder)
  if (first !== undefined) {
    const range = { base: first.base, baseEnd: Infinity, bytesMax: undefined }
    await rebuildIndexes(disk, `${folder}/${segmentName(first.base)}`, range)
  }
  const kept = pieces.map(({ base, end }) => `${base} to ${end - 1}`).join(', ') || 'none'
  say(
    `${segment.log}: moved to ${aside}; of topic ${known.topic}, partition ${known.partition}, these offsets of it stay: ${kept}.`,
  )
}

/** Snapshots that cannot be read. */
async function moveSnapshots({ disk, id, say }: AsideParts): Promise<void> {
  const { snapshots } = await new SnapshotStore(disk).load()
  const whole = new Set(snapshots.map(({ number }) => snapshotPath(number)))
  for (const name of await disk.list(snapshotFolder)) {
    const path = `${snapshotFolder}/${name}`
    if (!/^\d{10}\.snapshot$/.test(name) || whole.has(path)) continue
    const aside = `${quarantineFolder}/${id}/${snapshotFolder}`
    await makeDurableDirectory(disk, aside)
    await disk.rename(path, `${aside}/${name}`)
    await disk.syncDirectory(aside)
    await disk.syncDirectory(snapshotFolder)
    say(`${path}: moved to ${aside}.`)
  }
}

async function copyRange(
  disk: Disk,
  from: string,
  to: string,
  range: { readonly from: number; readonly to: number },
): Promise<void> {
  const source = await disk.open(from)
  try {
    const target = await disk.open(to, { create: true })
    try {
      await target.truncate(0)
      await carry(source, target, range)
      await target.sync()
    } finally {
      await target.close()
    }
  } finally {
    await source.close()
  }
}

async function carry(
  source: DiskFile,
  target: DiskFile,
  { from, to }: { readonly from: number; readonly to: number },
): Promise<void> {
  for (let at = from; at < to; at += pieceBytes) {
    const piece = Buffer.allocUnsafe(Math.min(pieceBytes, to - at))
    const count = await source.read(piece, at)
    if (count < piece.length) throw new Error(`A file became shorter while it was copied.`)
    await target.write([piece], at - from)
  }
}
