/** A snapshot as text: its frame, then its sections: topics, recovery positions, the size of others. */
import { formatIsoTime } from '../../../kit/clock.ts'
import { readWhole } from '../disk/disk.ts'
import { decodeSnapshot } from '../journal/snapshot.ts'
import { entryKinds } from '../journal/state-machine.ts'
import { readPositions } from '../log/recovery-position.ts'
import { stateText } from './dump-journal.ts'
import type { Dump, DumpSource } from './dump-source.ts'
import { pathOf } from './dump-source.ts'

export async function* dumpSnapshot(source: DumpSource): Dump {
  const bytes = await readWhole(source.disk, pathOf(source))
  const snapshot = bytes === undefined ? undefined : decodeSnapshot(bytes)
  if (snapshot === undefined) {
    yield `DAMAGE the snapshot does not match its CRC, or is of a format that is not known here.`
    return
  }
  const { generation, logTimeMs, position, sections } = snapshot
  yield `generation: ${generation} logTime: ${formatIsoTime(logTimeMs)} fileSeq: ${position.fileSeq} offset: ${position.offset} nextFrameSeq: ${position.nextFrameSeq}`
  for (const [kind, section] of sections) {
    const name = Object.entries(entryKinds).find(([, known]) => known === kind)?.[0] ?? kind
    yield `section: ${name} size: ${section.length}`
    if (kind === entryKinds.META) yield `| ${stateText(section)}`
    else if (kind === entryKinds.BATCH) yield* positionLines(section)
  }
}

function* positionLines(section: Uint8Array): Generator<string> {
  for (const [ref, { nextOffset, segmentBase, segment }] of readPositions(section)) {
    yield (
      `| partitionRef: ${ref} nextOffset: ${nextOffset} segmentBase: ${segmentBase}` +
      ` position: ${segment.bytes} indexEntries: ${segment.indexEntries}` +
      ` timeEntries: ${segment.timeEntries} maxTimestamp: ${segment.maxTimestamp}`
    )
  }
}
