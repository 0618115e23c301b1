/** A segment's two indexes as text, or held against their log. */
import type { DiskFile } from '../disk/disk.ts'
import { systemCode } from '../disk/disk.ts'
import type { Dump, DumpOptions, DumpSource } from './dump-source.ts'
import { baseOf, pathOf, withFile } from './dump-source.ts'
import { OffsetIndexCheck, TimeIndexCheck } from './index-check.ts'
import { offsetEntries, offsetEntryBytes, timeEntries, timeEntryBytes } from './index-entries.ts'
import { walkSegment } from './segment-walk.ts'

export function dumpIndex(source: DumpSource, options: DumpOptions): Dump {
  return withFile(source.disk, pathOf(source), async function* (file, bytes) {
    yield* sizeLines(source, bytes, offsetEntryBytes)
    const entries = offsetEntries(file, baseOf(source))
    if (options.verify) return yield* verified(source, new OffsetIndexCheck(entries))
    for await (const { offset, position } of entries) {
      yield `offset: ${offset} position: ${position}`
    }
  })
}

export function dumpTimeIndex(source: DumpSource, options: DumpOptions): Dump {
  return withFile(source.disk, pathOf(source), async function* (file, bytes) {
    yield* sizeLines(source, bytes, timeEntryBytes)
    const entries = timeEntries(file, baseOf(source))
    if (options.verify) return yield* verified(source, new TimeIndexCheck(entries))
    for await (const { timestamp, offset } of entries) {
      yield `timestamp: ${timestamp} offset: ${offset}`
    }
  })
}

function* sizeLines({ name }: DumpSource, bytes: number, entryBytes: number): Generator<string> {
  if (bytes === 0) yield `${name} is empty.`
  const cut = bytes % entryBytes
  if (cut !== 0) yield `DAMAGE ${cut} bytes stand behind the last entry of ${entryBytes} bytes.`
}

async function* verified(source: DumpSource, check: OffsetIndexCheck | TimeIndexCheck): Dump {
  const log = pathOf(source).replace(/\.\w+$/, '.log')
  let file: DiskFile
  try {
    file = await source.disk.open(log)
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error
    yield `DAMAGE the log of this index is missing.`
    return
  }
  try {
    const range = { base: baseOf(source), baseEnd: Infinity, mayHaveGaps: true }
    for await (const part of walkSegment(file, { ...range, bytes: await file.size() })) {
      for (const problem of await check.see(part)) yield `DAMAGE the index ${problem}.`
    }
    // Whether the segment is sealed cannot be seen here, and an active one may know less.
    for (const problem of await check.end(false)) yield `DAMAGE the index ${problem}.`
  } finally {
    await file.close()
  }
}
