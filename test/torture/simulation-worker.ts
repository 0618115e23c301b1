/** A process that lives simulated lives for `simulation.ts`, some at a time. */
import { simulate } from '../sim/simulation.ts'

interface LivesTask {
  readonly from: number
  readonly lives: number
}

export interface LivesReport {
  readonly lives: number
  readonly starts: number
  readonly crashes: number
  readonly acked: number
  readonly operations: number
  /** One line for each life that broke a promise, with the command that repeats it. */
  readonly failures: readonly string[]
}

process.on('message', (task: LivesTask) => {
  void live(task).then((report) => process.send?.(report))
})

async function live({ from, lives }: LivesTask): Promise<LivesReport> {
  const report = { lives, starts: 0, crashes: 0, acked: 0, operations: 0, failures: [] as string[] }
  for (let number = from; number < from + lives; number++) {
    try {
      const { starts, crashes, acked, operations } = await simulate(number)
      report.starts += starts
      report.crashes += crashes
      report.acked += acked
      report.operations += operations
    } catch (error) {
      const { message, cause } = error as { message: string; cause?: { message?: string } }
      const again = `npm run torture -- --only sim --run ${number}`
      report.failures.push(`${message} ${cause?.message ?? ''} Again: ${again}`)
    }
  }
  return report
}
