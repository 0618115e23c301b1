/**
 * A journal with a hole, or without its end. By itself the engine changes nothing then: it opens
 * read-only. On command it gives up what stands behind the damage, after all of it was copied to
 * `quarantine/`; here are the words for that and the copies.
 */
import type { Logger } from '../../../kit/logger.ts'
import type { Disk } from '../disk/disk.ts'
import { copyFile, makeDurableDirectory, replaceFile } from '../disk/disk.ts'
import type { JournalFile } from './journal-file.ts'
import { journalFolder } from './journal-file.ts'
import type { JournalEntry } from './journal-frame.ts'
import type { Chain } from './recovery.ts'
import { framesBeyond } from './recovery.ts'
import type { StoredSnapshot } from './snapshot.ts'
import { snapshotFolder } from './snapshot.ts'
import { entryKinds } from './state-machine.ts'

export const quarantineFolder = 'quarantine'

/** The value of the `recover` setting: an operator gives up what stands behind the damage. */
export const dropDamagedJournal = 'drop-damaged-journal'

/** What is wrong, in one sentence; undefined when the journal is whole. */
export function damageOf(chain: Chain, lost: StoredSnapshot | undefined): string | undefined {
  if (lost !== undefined) {
    const last = lost.position.nextFrameSeq - 1
    return `The end of the journal is lost: snapshot ${lost.number} knows of frame ${last} in journal file number ${lost.position.fileSeq}, which cannot be found, and so can nothing behind it.`
  }
  if (chain.hole === undefined) return undefined
  const { missingSeq, file, laterSeq } = chain.hole
  return `The journal has a hole: frame ${missingSeq} cannot be read, but journal file ${file.name} goes on with frame ${laterSeq}.`
}

/** What a write is told while the engine is read-only. */
export function readOnlyMessage(damage: string): string {
  return `${damage} Nothing was changed; what stands before the damage can be read, and nothing can be written. Restore the data folder from a back-up, or start once with --recover=${dropDamagedJournal}: it moves what stands behind the damage to ${quarantineFolder}/ and goes on without it.`
}

/** What goes with the frames that are given up. */
export interface Loss {
  /** Numbers of frames that cannot be read. */
  readonly unreadable: string
  /** Frames that can be read and go too, because one before them is missing. */
  readonly frames: number
  /** Changes of topics, committed offsets and groups among them. */
  readonly changes: number
  readonly partitions: readonly { readonly partition: string; readonly offsets: string }[]
}

/** Reads what is left behind the damage. `nameOf` gives the partition of a number, as in `orders-0`. */
export async function lossBehind(
  files: readonly JournalFile[],
  chain: Chain,
  nameOf: (ref: number) => string | undefined,
  lastOffsetOf: (batch: JournalEntry) => number,
): Promise<Loss> {
  const ranges = new Map<number, { first: number; last: number }>()
  let frames = 0
  let changes = 0
  for await (const frame of framesBeyond(files, chain.lastSeq)) {
    frames++
    for (const entry of frame.entries) {
      if (entry.kind !== entryKinds.BATCH) {
        changes++
        continue
      }
      const { partitionRef: ref, baseOffset } = entry
      const range = ranges.get(ref) ?? { first: baseOffset, last: baseOffset }
      range.first = Math.min(range.first, baseOffset)
      range.last = Math.max(range.last, lastOffsetOf(entry))
      ranges.set(ref, range)
    }
  }
  const partitions = [...ranges].map(([ref, { first, last }]) => ({
    partition: nameOf(ref) ?? `number ${ref}, of a topic that was made behind the damage`,
    offsets: `${first} to ${last}`,
  }))
  const from = chain.lastSeq + 1
  const to = chain.hole === undefined ? undefined : chain.hole.laterSeq - 1
  return {
    unreadable: `from ${from}${to === undefined ? '' : ` to ${to}`}`,
    frames,
    changes,
    partitions,
  }
}

/** Where the copies of this time go: a folder that is not there yet. */
export async function quarantineFor(disk: Disk): Promise<string> {
  for (let number = 1; ; number++) {
    const folder = `${quarantineFolder}/damaged-journal-${number}`
    if (!(await disk.exists(folder))) return folder
  }
}

/** Copies journal and snapshots, and writes down what goes; durable when it resolves. */
export async function copyJournal(
  disk: Disk,
  folder: string,
  loss: Loss,
  logger: Logger,
): Promise<void> {
  for (const source of [journalFolder, snapshotFolder]) {
    await makeDurableDirectory(disk, `${folder}/${source}`)
    for (const name of await disk.list(source)) {
      if (!name.endsWith('.tmp')) {
        await copyFile(disk, `${source}/${name}`, `${folder}/${source}/${name}`)
      }
    }
    await disk.syncDirectory(`${folder}/${source}`)
  }
  await replaceFile(
    disk,
    `${folder}/dropped.json`,
    Buffer.from(`${JSON.stringify(loss, null, 2)}\n`),
  )
  logger.warn({ folder }, 'Journal and snapshots were copied before anything was given up.')
}
