/** `ebbgate log dump`: the files of a data folder as text. */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { DumpOptions } from '../app/data-folder.ts'
import { dumpLines, isDumpable } from '../app/data-folder.ts'
import { Failure, exitFailed } from './failure.ts'
import { print } from './output.ts'

export interface LogDumpOptions {
  readonly deep?: boolean
  readonly records?: boolean
  readonly base64?: boolean
  readonly verify?: boolean
}

/** Lines are printed in pieces of about so many characters: one write each would be the main work. */
const pieceChars = 64 * 1024

/** Prints every file. Ends with 1 when damage was met, after everything has been shown. */
export async function logDump(paths: readonly string[], options: LogDumpOptions): Promise<void> {
  const how: DumpOptions = {
    detail: options.records === true ? 'payloads' : options.deep === true ? 'records' : 'batches',
    base64: options.base64 === true,
    verify: options.verify === true,
  }
  let damaged = 0
  for (const path of await filesOf(paths)) {
    if (!(await dump(path, how))) damaged++
  }
  if (damaged > 0) process.exitCode = exitFailed
}

/** False when a line told of damage. */
async function dump(path: string, options: DumpOptions): Promise<boolean> {
  let isSound = true
  let piece = `Dumping ${path}\n`
  try {
    for await (const line of dumpLines(path, options)) {
      if (line.startsWith('DAMAGE')) isSound = false
      piece += `${line}\n`
      if (piece.length < pieceChars) continue
      await print(piece)
      piece = ''
    }
  } catch (cause) {
    if (cause instanceof Error && (cause as NodeJS.ErrnoException).syscall !== undefined) {
      // The other files are worth showing.
      piece += `DAMAGE the file cannot be read: ${cause.message}\n`
      isSound = false
    } else throw cause
  }
  await print(piece)
  return isSound
}

/** A folder stands for all its files that have a form, in the order of their names. */
async function filesOf(paths: readonly string[]): Promise<string[]> {
  const files: string[] = []
  for (const path of paths) {
    const found = await stat(path).catch((cause: unknown) => {
      throw new Failure(`${path} cannot be read (${(cause as Error).message}).`, { cause })
    })
    if (!found.isDirectory()) {
      files.push(path)
      continue
    }
    const names = await readdir(path, { recursive: true })
    files.push(
      ...names
        .filter(isDumpable)
        .sort()
        .map((name) => join(path, name)),
    )
  }
  return files
}
