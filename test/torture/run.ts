/**
 * `npm run torture`: every programme that this machine can run, one after the other.
 * `--only kills,format` chooses, `--list` shows what there is, `--seed` draws a run again, `--short` is
 * the round of every CI run, and with `--require` a programme that cannot run here is a failure instead
 * of a skip.
 */
import type { ParseArgsOptionsConfig } from 'node:util'
import { parseArgs } from 'node:util'
import { clock } from './clock.ts'
import { bits } from './bits.ts'
import { cuts } from './cut-programme.ts'
import { format } from './format.ts'
import { diskFull } from './disk-full.ts'
import { kills } from './kill-programme.ts'
import { partitions } from './partitions.ts'
import { pause } from './pause.ts'
import type { Programme, ProgrammeReport } from './programme.ts'
import { restart } from './restart.ts'
import { simulation } from './simulation.ts'
import { tails } from './tails.ts'

const programmes: readonly Programme[] = [
  simulation,
  kills,
  cuts,
  format,
  diskFull,
  pause,
  partitions,
  clock,
  restart,
  bits,
  tails,
]

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    list: { type: 'boolean', default: false },
    require: { type: 'boolean', default: false },
    short: { type: 'boolean', default: false },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    ...Object.assign({}, ...programmes.map(withoutDefaults)),
  },
})
const flags: Readonly<Record<string, unknown>> = values

if (flags['list'] === true) list()
else await runAll()

function list(): void {
  for (const programme of programmes) {
    const { name, proves, needs } = programme
    const lacks = programme.missing()
    const state = lacks === undefined ? 'can run here' : `is skipped here: ${lacks}`
    console.log(`${name.padEnd(8)} ${proves}\n         needs ${needs}; ${state}`)
  }
}

/** Without `--only`: all of them, or with `--short` those that have a short form. */
function wanted(): string[] {
  if (typeof flags['only'] === 'string') return flags['only'].split(',')
  const isShort = flags['short'] === true
  return programmes.filter(({ short }) => !isShort || short !== undefined).map(({ name }) => name)
}

async function runAll(): Promise<void> {
  for (const name of wanted()) {
    const programme = programmes.find((each) => each.name === name)
    if (programme === undefined) {
      console.error(
        `'${name}' is no programme. There are: ${programmes.map((each) => each.name).join(', ')}.`,
      )
      process.exit(2)
    }
    programme.provide?.()
    const lacks = programme.missing()
    if (lacks === undefined) await run(programme)
    else {
      console.log(`${name}: SKIPPED, ${lacks}`)
      if (flags['require'] === true) process.exitCode = 1
    }
  }
}

async function run(programme: Programme): Promise<void> {
  const seed = Number(flags['seed'])
  console.log(`${programme.name}: ${programme.proves} (--seed ${seed})`)
  const report = await programme.run({
    seed,
    flag: (name) => String(flags[name] ?? valueOf(programme, name)),
    isSet: (name) => flags[name] === true,
    progress: (text) => process.stdout.write(`\r${text.padEnd(70)}`),
  })
  process.stdout.write('\n')
  print(report)
}

/** What a flag is when nobody gave it. */
function valueOf({ flags: known, short }: Programme, name: string): unknown {
  return (flags['short'] === true ? short?.[name] : undefined) ?? known[name]?.default
}

/** So that a flag that was given can be told from one that was not. */
function withoutDefaults({ flags: known }: Programme): ParseArgsOptionsConfig {
  const given = Object.entries(known).map(([name, { type }]) => [name, { type }] as const)
  return Object.fromEntries(given)
}

function print({ figures, problems }: ProgrammeReport): void {
  for (const problem of problems) console.log(`PROBLEM ${problem}`)
  const width = Math.max(...figures.map(([name]) => name.length))
  for (const [name, value] of figures) console.log(`${name.padEnd(width)}  ${value}`)
  console.log(`${'problems'.padEnd(width)}  ${problems.length}\n`)
  if (problems.length > 0) process.exitCode = 1
}
