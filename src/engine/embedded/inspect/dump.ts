/**
 * Files of a data folder as text, in the form of Kafka's dump tool where Kafka has such a file. Line by
 * line, in bounded memory; damage is said where it stands, and what is behind it is shown too.
 */
import { GatewayError } from '../../../model/errors.ts'
import { dumpIndex, dumpTimeIndex } from './dump-index.ts'
import { dumpJournal } from './dump-journal.ts'
import { dumpLog } from './dump-log.ts'
import { dumpSnapshot } from './dump-snapshot.ts'
import type { Dump, DumpOptions, DumpSource } from './dump-source.ts'

type Dumper = (source: DumpSource, options: DumpOptions) => Dump

const dumpers: readonly (readonly [ending: string, dump: Dumper])[] = [
  ['.log', dumpLog],
  ['.index', dumpIndex],
  ['.timeindex', dumpTimeIndex],
  ['.jnl', dumpJournal],
  ['.snapshot', dumpSnapshot],
]

/** Whether a file of this name has a form that can be shown. */
export function isDumpable(name: string): boolean {
  return dumperOf(name) !== undefined
}

/** The lines of one file. Throws INVALID_REQUEST for a name that no file of ours has. */
export function dumpFile(source: DumpSource, options: DumpOptions): Dump {
  const dumper = dumperOf(source.name)
  if (dumper !== undefined) return dumper(source, options)
  const endings = dumpers.map(([ending]) => ending).join(', ')
  throw new GatewayError(
    'INVALID_REQUEST',
    `The name '${source.name}' ends with none of ${endings}.`,
  )
}

function dumperOf(name: string): Dumper | undefined {
  return dumpers.find(([ending]) => name.endsWith(ending))?.[1]
}
