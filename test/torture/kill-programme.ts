/** The kill loop as one of the torture's programmes; its short form is a test of `npm test`. */
import { killRounds } from './kills.ts'
import type { Programme } from './programme.ts'

export const kills: Programme = {
  name: 'kills',
  proves: 'kill -9 under load loses, moves, doubles and invents nothing',
  needs: 'nothing but Node',
  missing: () => undefined,
  flags: { kills: { type: 'string', default: '100' } },
  short: { kills: '10' },
  async run({ seed, flag, progress }) {
    const report = await killRounds({
      kills: Number(flag('kills')),
      seed,
      onRound: (round, acknowledged) =>
        progress(`round ${round}, ${acknowledged} events acknowledged`),
    })
    return {
      figures: [
        ['kills', report.kills],
        ['events acknowledged', report.acknowledged],
        ['events without an answer', report.unanswered],
        ['records seen by readers', report.seenByReaders],
        ['commits answered', report.commits],
        ['answers to keyed requests', report.keyedAnswers],
        ['of them recognised repetitions', report.deduplicated],
        ['slowest start, ms', report.slowestReadyMs],
      ],
      problems: report.problems,
    }
  },
}
