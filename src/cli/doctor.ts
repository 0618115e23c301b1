/** `ebbgate doctor`: what is wrong in a data folder, and what can be done about it on command. */
import { mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'
import type { Examination, Finding, RecordExport } from '../app/data-folder.ts'
import { DataFolder } from '../app/data-folder.ts'
import { writeNativeRecord } from '../format/native-record.ts'
import { ByteSink } from '../kit/byte-sink.ts'
import { Failure, exitFailed, exitUsage } from './failure.ts'
import { print } from './output.ts'

export interface DoctorOptions {
  readonly data: string
  readonly readOnly?: boolean
  readonly rebuildIndexes?: boolean
  readonly export?: string
  readonly topic?: readonly string[]
  readonly moveDamageAside?: boolean
}

const pieceBytes = 256 * 1024

/** Ends with 0 when the folder is sound, with 1 when there is damage (left). */
export async function doctor(options: DoctorOptions): Promise<void> {
  const acts = options.rebuildIndexes === true || options.moveDamageAside === true
  if (options.readOnly === true && acts) {
    throw new Failure('--read-only changes nothing, so nothing can be rebuilt or moved with it.', {
      exitCode: exitUsage,
    })
  }
  const folder = new DataFolder(options.data)
  if (options.readOnly !== true) folder.acquire()
  try {
    const damaged = new Set<string>()
    let found = await look(folder, damaged)
    if (options.export !== undefined) {
      const wanted = new Set(options.topic)
      await exportRecords(folder, options.export, (topic, partition) =>
        wanted.size > 0 ? wanted.has(topic) : damaged.has(`${topic}-${partition}`),
      )
    }
    if (!acts) return
    if (options.moveDamageAside === true && !found.isSound) await folder.moveDamageAside(say)
    if (options.rebuildIndexes === true) {
      found = await folder.examine(() => undefined)
      await folder.rebuildIndexes(found, say)
    }
    await print('\nAfterwards:\n')
    await look(folder, damaged)
  } finally {
    folder.release()
  }
}

/** Prints every finding and the sum, and sets the exit code. */
async function look(folder: DataFolder, damaged: Set<string>): Promise<Examination> {
  const found = await folder.examine((finding) => {
    say(findingText(finding))
    if (finding.severity === 'damage' && finding.topic !== undefined) {
      damaged.add(`${finding.topic}-${finding.partition}`)
    }
  })
  const { partitions, segments, batches, damage, notes, isSound } = found
  await print(
    `${partitions.length} partitions, ${segments} segments, ${batches} batches are whole; ` +
      `${damage} findings of damage, ${notes} notes. ` +
      `${folder.path} is ${isSound ? 'sound' : 'damaged'}.\n`,
  )
  process.exitCode = isSound ? 0 : exitFailed
  return found
}

export function findingText(finding: Finding): string {
  const { severity, file, topic, partition, segment, from, to, what, advice } = finding
  const places = [
    topic === undefined ? '' : `topic ${topic}, partition ${partition}`,
    segment === undefined ? '' : `segment ${segment}`,
    from === undefined ? '' : `offsets ${from} to ${to}`,
  ].filter((place) => place !== '')
  const where = places.length === 0 ? '' : ` (${places.join(', ')})`
  return `${severity === 'damage' ? 'DAMAGE' : 'NOTE'} ${file}${where}: ${what} ${advice}`
}

/** One file a partition; existing files are never written over. */
async function exportRecords(
  folder: DataFolder,
  directory: string,
  isWanted: (topic: string, partition: number) => boolean,
): Promise<void> {
  await mkdir(directory, { recursive: true })
  const onLoss = (topic: string, partition: number, what: string): void =>
    say(`topic ${topic}, partition ${partition}: ${what}`)
  for await (const one of folder.exports(isWanted, onLoss)) await exportPartition(one, directory)
}

async function exportPartition(one: RecordExport, directory: string): Promise<void> {
  const { topic, partition, records } = one
  const path = join(directory, `${topic}-${partition}.ndjson`)
  const file = await open(path, 'wx').catch((cause: unknown) => {
    throw new Failure(`${path} cannot be made (${(cause as Error).message}).`, { cause })
  })
  try {
    const sink = new ByteSink(pieceBytes)
    let count = 0
    for await (const record of records) {
      writeNativeRecord(sink, record, 'json', { topic, partition }, { oneLine: true })
      sink.byte(0x0a)
      count++
      if (sink.length >= pieceBytes) await file.write(sink.take())
    }
    await file.write(sink.take())
    await file.sync()
    say(`${path}: ${count} records of topic ${topic}, partition ${partition}.`)
  } finally {
    await file.close()
  }
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
