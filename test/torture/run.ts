/** `npm run torture -- --kills 100 --seed 7`: kill -9 under load, with a report at the end. */
import { parseArgs } from 'node:util'
import { killRounds } from './kills.ts'

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '100' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
  },
})

const seed = Number(values.seed)
process.stdout.write(
  `kill -9 under load, ${values.kills} times; --seed ${seed} draws the same moments\n`,
)
const report = await killRounds({
  kills: Number(values.kills),
  seed,
  onRound: (round, acknowledged) => {
    process.stdout.write(`\rround ${round}, ${acknowledged} events acknowledged `)
  },
})
process.stdout.write('\n')
for (const problem of report.problems) process.stdout.write(`PROBLEM ${problem}\n`)
process.stdout.write(
  [
    `kills                       ${report.kills}`,
    `events acknowledged         ${report.acknowledged}`,
    `events without an answer    ${report.unanswered}`,
    `records seen by readers     ${report.seenByReaders}`,
    `commits answered            ${report.commits}`,
    `slowest start, ms           ${report.slowestReadyMs}`,
    `lost, moved, doubled, alien ${report.problems.length}`,
    '',
  ].join('\n'),
)
process.exitCode = report.problems.length === 0 ? 0 : 1
