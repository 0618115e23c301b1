/** What is dumped and how: what all dumps of files share. */
import type { Disk, DiskFile } from '../disk/disk.ts'

export interface DumpOptions {
  /** `records`: what Kafka calls deep iteration; `payloads`: with keys and values too. */
  readonly detail: 'batches' | 'records' | 'payloads'
  /** Keys and values in base64, whatever they hold; else only where they are no text. */
  readonly base64: boolean
  /** Holds indexes against their log instead of printing them. */
  readonly verify: boolean
}

/** Lines without their ends. One that begins with `DAMAGE` names what cannot be read. */
export type Dump = AsyncGenerator<string, void>

export interface DumpSource {
  readonly disk: Disk
  readonly folder: string
  readonly name: string
}

export function pathOf({ folder, name }: DumpSource): string {
  return `${folder}/${name}`
}

/** The base offset that a segment file has in its name; 0 where it has none, as in a copy. */
export function baseOf({ name }: DumpSource): number {
  const base = Number(/^(\d{20})\./.exec(name)?.[1] ?? 0)
  return Number.isSafeInteger(base) ? base : 0
}

/** Lends an open file to a dump and closes it. */
export async function* withFile(
  disk: Disk,
  path: string,
  dump: (file: DiskFile, bytes: number) => Dump,
): Dump {
  const file = await disk.open(path)
  try {
    yield* dump(file, await file.size())
  } finally {
    await file.close()
  }
}
