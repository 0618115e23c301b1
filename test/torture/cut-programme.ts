/** Power cuts as one of the torture's programmes: so many on each file system. */
import { fileURLToPath } from 'node:url'
import type { FileSystemKind } from '../support/loop-file-system.ts'
import { cuttingLacks, fileSystemLacks, provideXfsprogs } from '../support/loop-file-system.ts'
import { loadFigures } from './mixed-load.ts'
import type { CutReport } from './power-cuts.ts'
import { powerCuts } from './power-cuts.ts'
import type { Programme } from './programme.ts'

const kinds: readonly FileSystemKind[] = ['ext4', 'xfs']
/** Gateways that forget to sync, and the cuts within which that must have come out. */
const plants = ['journal', 'segments']
const plantCuts = 20
const plantModule = fileURLToPath(new URL('../support/unsynced.ts', import.meta.url))

export const cuts: Programme = {
  name: 'cuts',
  proves: 'a power cut on ext4 and xfs loses, moves, doubles and invents nothing',
  needs: 'Linux, root, loop devices, e2fsprogs, xfsprogs',
  provide: provideXfsprogs,
  missing: cuttingLacks,
  flags: {
    cuts: { type: 'string', default: '20' },
    fs: { type: 'string', default: kinds.join() },
  },
  short: { cuts: '6' },
  async run({ seed, flag, isSet, progress }) {
    const figures: [string, string | number][] = []
    const problems: string[] = []
    for (const kind of flag('fs').split(',').map(known)) {
      const lacks = await fileSystemLacks(kind)
      if (lacks !== undefined) {
        figures.push([`${kind} SKIPPED`, lacks])
        if (isSet('require')) problems.push(`${kind} could not be cut: ${lacks}`)
        continue
      }
      for (const plant of plants) {
        progress(`${kind}: a gateway that does not sync its ${plant}`)
        const found = await cutsToFind(kind, plant, seed)
        figures.push([`${kind} planted, ${plant} not synced`, found ?? 'NOT FOUND'])
        if (found === undefined) problems.push(`${kind}: ${plant} without a sync went unnoticed`)
      }
      const report = await powerCuts({
        kind,
        cuts: Number(flag('cuts')),
        seed,
        onCut: (cut, acknowledged) => progress(`${kind}: cut ${cut}, ${acknowledged} acknowledged`),
      })
      figures.push(
        ...figuresOf(report).map(([name, n]): [string, string | number] => [`${kind} ${name}`, n]),
      )
      problems.push(...report.problems.map((problem) => `${kind}: ${problem}`))
    }
    return { figures, problems }
  },
}

/** Undefined when the planted bug was not found: then nothing that this programme says counts. */
async function cutsToFind(
  kind: FileSystemKind,
  plant: string,
  seed: number,
): Promise<string | undefined> {
  const env = { UNSYNCED: plant, NODE_OPTIONS: `--import ${plantModule}` }
  const report = await powerCuts({ kind, cuts: plantCuts, seed, env, stopAtProblem: true })
  return report.problems.length === 0 ? undefined : `found at cut ${report.cuts}`
}

function known(name: string): FileSystemKind {
  const kind = kinds.find((each) => each === name)
  if (kind === undefined) throw new Error(`--fs takes ${kinds.join(' and ')}, not '${name}'.`)
  return kind
}

function figuresOf(report: CutReport): [name: string, value: string | number][] {
  return [
    ['cuts', report.cuts],
    ['  while it started', report.cutsInStart],
    ['  after kill -9 and a restart', report.cutsAfterKill],
    ['  after a clean stop', report.cutsAfterStop],
    ['  with the log flushed first', report.cutsWithLog],
    ...loadFigures(report),
    ['topics made, deleted', `${report.topicsMade}, ${report.topicsDeleted}`],
    [
      'asked after the cut, acknowledged',
      `${report.askedInTheDark}, ${report.acknowledgedInTheDark}`,
    ],
    ['exit codes under load', counts(report.exits)],
    ['exit codes while it started', counts(report.exitsInStart)],
    ['slowest start, ms', report.slowestReadyMs],
    ['slowest end after the cut, ms', report.slowestExitMs],
  ]
}

function counts(map: ReadonlyMap<string, number>): string {
  return [...map].map(([name, times]) => `${name} (${times})`).join(', ') || 'none'
}
