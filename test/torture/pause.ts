/**
 * A process that is stopped for seconds under load, as a laptop that sleeps or a starved machine does
 * to it: what was on its way is answered, group consumers go on, and nothing is lost, doubled or
 * taken back.
 */
import type { ChildProcess } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startGateway } from '../support/gateway-process.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { until } from '../support/until.ts'
import { MixedLoad, loadFigures, partitions } from './mixed-load.ts'
import type { Programme, ProgrammeCall, ProgrammeReport } from './programme.ts'
import { createTopic } from './wire.ts'

const topic = 'paused'
/** The load goes on for so long behind each stop, ms. */
const behindMs = 1_000

export const pause: Programme = {
  name: 'pause',
  proves: 'a process that is stopped for seconds goes on as if nothing had been',
  needs: 'SIGSTOP',
  missing: () => (process.platform === 'win32' ? 'there is no SIGSTOP' : undefined),
  flags: {
    pauses: { type: 'string', default: '3' },
    'pause-ms': { type: 'string', default: '5000' },
  },
  short: { pauses: '1' },
  run: pausedRounds,
}

async function pausedRounds({ seed, flag, progress }: ProgrammeCall): Promise<ProgrammeReport> {
  const data = await mkdtemp(join(tmpdir(), 'ebbgate-pause-'))
  const chance = seededRandom(seed)
  const load = new MixedLoad(seededRandom(seed + 1))
  const pauses = Number(flag('pauses'))
  let child: ChildProcess | undefined
  let slowestMs = 0
  try {
    for (let round = 0; round < pauses; round++) {
      const gateway = await startGateway({ data, onSpawn: (spawned) => (child = spawned) })
      await createTopic(gateway.url, { name: topic, partitions })
      await load.check(gateway.url, topic)
      await load.run({
        url: gateway.url,
        topic,
        member: `round-${round}`,
        afterMs: 200 + Math.floor(chance() * 500),
        strike: async () => {
          // A clean stop at the end of a round may refuse; nothing else may.
          const refusedBefore = sum(load.refusals)
          child?.kill('SIGSTOP')
          await sleep(Number(flag('pause-ms')))
          const before = load.report
          child?.kill('SIGCONT')
          const goesOnAt = performance.now()
          await until(
            () =>
              load.report.acknowledged > before.acknowledged &&
              load.report.commits > before.commits,
            'an acknowledgement and a commit after the stop',
          )
          slowestMs = Math.max(slowestMs, performance.now() - goesOnAt)
          await sleep(behindMs)
          const refused = sum(load.refusals) - refusedBefore
          if (refused > 0) load.accuse(`round ${round}: ${refused} refusals after the stop`)
          if ((await gateway.stop()) !== 0) load.accuse(`round ${round}: ${gateway.stderr()}`)
        },
      })
      progress(`stop ${round + 1} of ${pauses}`)
    }
    const gateway = await startGateway({ data, onSpawn: (spawned) => (child = spawned) })
    await load.check(gateway.url, topic)
    await gateway.stop()
  } finally {
    child?.kill('SIGKILL')
    await rm(data, { recursive: true, force: true })
  }
  return {
    figures: [
      ['stops', pauses],
      ...loadFigures(load.report),
      ['slowest way back to an acknowledgement and a commit, ms', Math.round(slowestMs)],
    ],
    problems: load.report.problems,
  }
}

function sum(counts: ReadonlyMap<string, number>): number {
  return [...counts.values()].reduce((total, count) => total + count, 0)
}
