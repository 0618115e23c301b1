/** Simulated lives of the engine: as many as the minutes allow, each repeated from its number. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import type { SimulationReport } from '../sim/simulation.ts'
import { simulate } from '../sim/simulation.ts'
import type { Programme, ProgrammeCall, ProgrammeReport } from './programme.ts'
import type { LivesReport } from './simulation-worker.ts'

const worker = fileURLToPath(new URL('./simulation-worker.ts', import.meta.url))
/** Lives that a worker takes at a time. */
const livesPerTask = 50
const failuresMax = 5

export const simulation: Programme = {
  name: 'sim',
  proves: 'no crash at any operation of the disk takes what was promised, in simulated lives',
  needs: 'nothing but Node',
  missing: () => undefined,
  flags: {
    minutes: { type: 'string', default: '1' },
    /** One life again, twice: the traces must be equal. */
    run: { type: 'string', default: '' },
  },
  short: { minutes: '5' },
  run: (call) => (call.flag('run') === '' ? runMany(call) : replay(Number(call.flag('run')))),
}

async function replay(number: number): Promise<ProgrammeReport> {
  const problems: string[] = []
  const reports: SimulationReport[] = []
  for (let turn = 0; turn < 2; turn++) {
    await simulate(number).then(
      (report) => reports.push(report),
      (error: unknown) => problems.push(textOf(error)),
    )
  }
  const [first, second] = reports
  if (first?.trace !== second?.trace) problems.push('the same number gave two traces')
  return {
    figures: [
      ['run', number],
      ['crash points', first?.crashes ?? 'none, it failed'],
      ['operations of the disk', first?.operations ?? 'unknown'],
      ['trace', first?.trace ?? 'unknown'],
    ],
    problems,
  }
}

async function runMany(call: ProgrammeCall): Promise<ProgrammeReport> {
  const { seed, progress } = call
  const until = performance.now() + Number(call.flag('minutes')) * 60_000
  const total = { lives: 0, starts: 0, crashes: 0, acked: 0, operations: 0 }
  const problems: string[] = []
  let next = seed
  await Promise.all(
    Array.from({ length: availableParallelism() }, async () => {
      const child = fork(worker, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
      try {
        while (performance.now() < until && problems.length < failuresMax) {
          child.send({ from: next, lives: livesPerTask })
          next += livesPerTask
          const [report] = (await once(child, 'message')) as [LivesReport]
          for (const name of Object.keys(total) as (keyof typeof total)[]) {
            total[name] += report[name]
          }
          problems.push(...report.failures)
          progress(`${total.lives} lives, ${total.crashes} crash points`)
        }
      } finally {
        child.disconnect()
      }
    }),
  )
  return {
    figures: [
      ['simulated lives', `${total.lives}, from run ${seed}`],
      ['crash points', total.crashes],
      ['starts', total.starts],
      ['acknowledged appends', total.acked],
      ['operations of the disk', total.operations],
    ],
    problems,
  }
}

function textOf(error: unknown): string {
  const { message, cause } = error as { message: string; cause?: { message?: string } }
  return `${message} ${cause?.message ?? ''}`.trim()
}
