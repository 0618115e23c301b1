/** The files of a data folder as the commands reach them, without a gateway in between. */
import { basename, dirname, resolve } from 'node:path'
import { nodeDisk } from '../engine/embedded/disk/node-disk.ts'
import { readOnlyDisk } from '../engine/embedded/disk/read-only-disk.ts'
import { dumpFile, isDumpable } from '../engine/embedded/inspect/dump.ts'
import type { DumpOptions } from '../engine/embedded/inspect/dump-source.ts'

export type { DumpOptions }
export { isDumpable }

/** One file as lines of text. Reads alone; a running gateway is not disturbed. */
export function dumpLines(path: string, options: DumpOptions): AsyncGenerator<string, void> {
  const file = resolve(path)
  const folder = dirname(file)
  // The disk is rooted one folder higher: a journal file is told by the folder it lies in.
  const disk = readOnlyDisk(nodeDisk(dirname(folder)))
  const source = { disk, folder: basename(folder) || '.', name: basename(file) }
  return dumpFile(source, options)
}
