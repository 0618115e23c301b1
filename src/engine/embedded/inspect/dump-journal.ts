/** A journal file as text: its header, the frames of its present use, their entries. */
import { formatIsoTime } from '../../../kit/clock.ts'
import { readUint32 } from '../../../model/offset.ts'
import { lastOffsetOf } from '../../../model/record-batch.ts'
import { JournalFile } from '../journal/journal-file.ts'
import type { Frame, JournalEntry } from '../journal/journal-frame.ts'
import { blockBytes, paddedBytes } from '../journal/journal-frame.ts'
import { entryKinds } from '../journal/state-machine.ts'
import type { Dump, DumpOptions, DumpSource } from './dump-source.ts'

const kindNames = new Map<number, string>(
  Object.entries(entryKinds).map(([name, kind]) => [kind, name]),
)
const stateShownMax = 500

export async function* dumpJournal({ disk, folder, name }: DumpSource, options: DumpOptions): Dump {
  const file = await JournalFile.open(disk, name, folder)
  try {
    yield* fileLines(file, options)
  } finally {
    await file.close()
  }
}

async function* fileLines(file: JournalFile, options: DumpOptions): Dump {
  const { header, bytes } = file
  if (header === undefined) {
    yield `bytes: ${bytes}`
    yield 'There is no readable header: the file was never used, or both copies are damaged.'
    return
  }
  const { fileSeq, generation, firstFrameSeq } = header
  yield `fileSeq: ${fileSeq} generation: ${generation} firstFrameSeq: ${firstFrameSeq} bytes: ${bytes}`
  let at = blockBytes
  let seq = firstFrameSeq
  for (;;) {
    const frame = await file.frameAt(at)
    if (frame === undefined) break
    yield frameLine(frame, at)
    if (options.detail !== 'batches') for (const entry of frame.entries) yield entryLine(entry)
    at += paddedBytes(frame.bytes.length)
    seq = frame.seq + 1
  }
  // One frame may be torn by a crash; a whole one further on proves that what is between was durable.
  const later = await file.laterFrame(at, seq)
  if (later !== undefined) {
    yield `DAMAGE position: ${at}: frame ${seq} cannot be read, but frame ${later.seq} follows in this file.`
  }
  yield `The frames end at byte ${at}.`
}

function frameLine({ seq, timeMs, entries, bytes }: Frame, position: number): string {
  return (
    `frame: ${seq} position: ${position} size: ${bytes.length} time: ${formatIsoTime(timeMs)}` +
    ` entries: ${entries.length} crc: ${readUint32(bytes, 4)} isvalid: true`
  )
}

function entryLine({ kind, partitionRef, payload, ...place }: JournalEntry): string {
  const name = kindNames.get(kind) ?? kind
  if (kind !== entryKinds.BATCH) {
    return `| kind: ${name} size: ${payload.length} payload: ${stateText(payload)}`
  }
  return (
    `| kind: ${name} partitionRef: ${partitionRef} baseOffset: ${place.baseOffset}` +
    ` lastOffset: ${lastOffsetOf(payload)} segmentBase: ${place.segmentBase}` +
    ` position: ${place.segmentPos} size: ${payload.length}`
  )
}

/** State entries are JSON or short binary; what does not print is left as its bytes in base64. */
export function stateText(payload: Uint8Array): string {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length)
  const isJson = payload[0] === 0x7b || payload[0] === 0x5b
  const text = bytes.toString(isJson ? 'utf8' : 'base64')
  return text.length > stateShownMax ? `${text.slice(0, stateShownMax)}…` : text
}
