/**
 * Torn tails: the journal is cut at every byte of its last 64 KiB and filled from there with zeros,
 * garbage, or what an earlier lap of the same file had there. Recovery must find exactly the longest
 * valid prefix, and no hole.
 */
import { JournalFile, journalFolder } from '../../src/engine/embedded/journal/journal-file.ts'
import { blockBytes } from '../../src/engine/embedded/journal/journal-frame.ts'
import { readChain } from '../../src/engine/embedded/journal/recovery.ts'
import { SimRandom } from '../support/sim-random.ts'
import { journalFileBytes, TestJournal } from '../support/test-journal.ts'
import type { Programme, ProgrammeReport } from './programme.ts'

const name = '0001.jnl'
const path = `${journalFolder}/${name}`

export const tails: Programme = {
  name: 'tails',
  proves: 'a journal that is torn at any byte is read up to its last whole frame',
  needs: 'nothing but Node',
  missing: () => undefined,
  flags: { 'tail-step': { type: 'string', default: '1' } },
  short: { 'tail-step': '11' },
  async run({ flag, progress }): Promise<ProgrammeReport> {
    const step = Number(flag('tail-step'))
    const { cuts, frames, problems } = await cutTails({ tailBytes: 65_536, step, progress })
    return {
      figures: [
        ['cuts', cuts],
        ['frames in the tail', frames],
      ],
      problems,
    }
  },
}

export interface TailsReport {
  readonly cuts: number
  readonly frames: number
  readonly problems: readonly string[]
}

/** Cuts at every `step`th byte, and beside every end of a frame. */
export async function cutTails(options: {
  readonly tailBytes: number
  readonly step: number
  readonly progress?: (text: string) => void
}): Promise<TailsReport> {
  const problems: string[] = []
  let cuts = 0
  let frames = 0
  for (const fill of ['zeros', 'garbage', 'an earlier lap'] as const) {
    const { journal, earlier, firstSeq } = await twoLaps()
    const whole = journal.disk.bytesOf(path)
    const tail =
      fill === 'zeros'
        ? Buffer.alloc(journalFileBytes)
        : fill === 'garbage'
          ? Buffer.from(new SimRandom(7).bytes(journalFileBytes))
          : earlier
    const end = journal.ends.at(-1)!
    const from = Math.max(blockBytes, end - options.tailBytes)
    frames = journal.ends.filter((frameEnd) => frameEnd > from).length
    // From the back, so that each cut changes a single byte more: whatever lies behind is filled.
    journal.disk.damage(path, end, tail.subarray(end))
    let changedFrom = end
    for (let cut = end - 1; cut >= from; cut--) {
      journal.disk.damage(path, cut, tail.subarray(cut, cut + 1))
      if (tail[cut] !== whole[cut]) changedFrom = cut
      const isNearEnd = journal.ends.some((frameEnd) => Math.abs(frameEnd - cut) <= 1)
      if (cut % options.step !== 0 && !isNearEnd) continue
      const kept = journal.ends.filter((frameEnd) => frameEnd <= changedFrom).length
      const found = await lastSeq(journal, firstSeq)
      if (found !== firstSeq + kept - 1 && problems.length < 20) {
        problems.push(`cut at ${cut}, filled with ${fill}: ${found}, not ${firstSeq + kept - 1}`)
      }
      if (++cuts % 1000 === 0) options.progress?.(`${cuts} cuts`)
    }
  }
  return { cuts, frames, problems }
}

/** A file in its second use, and the bytes of its first. */
async function twoLaps() {
  const journal = new TestJournal()
  await journal.begin(1, 1, 1)
  let seq = 1
  for (; journal.offset < journalFileBytes - 3 * blockBytes; seq++) await journal.frame(seq)
  const earlier = journal.disk.bytesOf(path)
  const firstSeq = seq
  journal.ends.length = 0
  await journal.begin(1, 2, firstSeq)
  for (; journal.offset < journalFileBytes - 3 * blockBytes; seq++) await journal.frame(seq)
  return { journal, earlier, firstSeq }
}

/** The number of the last frame that is found, or what is wrong with the chain. */
async function lastSeq(journal: TestJournal, nextFrameSeq: number): Promise<number | string> {
  const file = await JournalFile.open(journal.disk, name)
  const from = { fileSeq: 2, offset: blockBytes, nextFrameSeq }
  const { lastSeq: last, hole } = await readChain([file], from, () => undefined)
  return hole === undefined ? last : `a hole at ${hole.missingSeq}`
}
