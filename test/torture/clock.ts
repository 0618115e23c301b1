/**
 * The wall clock of the real process jumps ten years, there and back, under load and over kills: what
 * was acknowledged stays, order stays, sessions and commits go on, nothing expires. The clock is
 * libfaketime's, which leaves the monotonic one alone, and the programme sees to it that it moved.
 */
import type { ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { installPackage } from '../support/debian-package.ts'
import type { GatewayProcess } from '../support/gateway-process.ts'
import { startGateway } from '../support/gateway-process.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { until } from '../support/until.ts'
import { MixedLoad, loadFigures, partitions } from './mixed-load.ts'
import type { Programme, ProgrammeCall, ProgrammeReport } from './programme.ts'
import { createTopic } from './wire.ts'

const library = `/usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu/faketime/libfaketime.so.1`
const topic = 'timeless'
const tenYears = '3650d'
const tenYearsMs = 3650 * 86_400_000

export const clock: Programme = {
  name: 'clock',
  proves: 'a wall clock that jumps ten years ahead and back takes and doubles nothing',
  needs: 'Linux, libfaketime (Debian package faketime)',
  provide: () => {
    if (!existsSync(library)) installPackage('faketime')
  },
  missing: () => (existsSync(library) ? undefined : `there is no ${library}`),
  flags: { jumps: { type: 'string', default: '12' } },
  short: { jumps: '4' },
  run: jumps,
}

async function jumps({ seed, flag, progress }: ProgrammeCall): Promise<ProgrammeReport> {
  const home = await mkdtemp(join(tmpdir(), 'ebbgate-clock-'))
  const data = join(home, 'data')
  const chance = seededRandom(seed)
  const load = new MixedLoad(seededRandom(seed + 1))
  const count = Number(flag('jumps'))
  let child: ChildProcess | undefined
  let kills = 0
  const start = (): Promise<GatewayProcess> =>
    startGateway({
      data,
      onSpawn: (spawned) => (child = spawned),
      env: {
        LD_PRELOAD: library,
        FAKETIME_TIMESTAMP_FILE: join(home, 'clock'),
        FAKETIME_NO_CACHE: '1',
        FAKETIME_DONT_FAKE_MONOTONIC: '1',
        DONT_FAKE_MONOTONIC: '1',
        NO_FAKE_STAT: '1',
      },
    })
  try {
    await setClock(home, '+0')
    let gateway = await start()
    await createTopic(gateway.url, { name: topic, partitions })
    for (let jump = 0; jump < count; jump++) {
      const ahead = jump % 2 === 0
      const isKill = chance() < 0.5
      await load.run({
        url: gateway.url,
        topic,
        member: `jump-${jump}`,
        afterMs: 200 + Math.floor(chance() * 500),
        strike: async (struck) => {
          const before = load.report
          await setClock(home, `${ahead ? '+' : '-'}${tenYears}`)
          await until(
            () =>
              load.report.acknowledged > before.acknowledged + 20 &&
              load.report.commits > before.commits,
            'acknowledgements and a commit after the jump',
          )
          await checkMoved(gateway.url, ahead ? tenYearsMs : -tenYearsMs, load)
          if (isKill) {
            struck()
            await gateway.kill()
            kills++
          } else if ((await gateway.stop()) !== 0) load.accuse(gateway.stderr())
        },
      })
      gateway = await start()
      await load.check(gateway.url, topic)
      progress(`jump ${jump + 1} of ${count}`)
    }
    await gateway.stop()
  } finally {
    child?.kill('SIGKILL')
    await rm(home, { recursive: true, force: true })
  }
  return {
    figures: [['jumps', count], ['kills', kills], ...loadFigures(load.report)],
    problems: load.report.problems,
  }
}

/** Renamed into place: the process must never read half of it. */
async function setClock(home: string, offset: string): Promise<void> {
  await writeFile(join(home, 'clock.next'), `${offset}\n`)
  await rename(join(home, 'clock.next'), join(home, 'clock'))
}

/** A record of now carries the time of the process, so it says whether the clock has moved. */
async function checkMoved(url: string, expectedMs: number, load: MixedLoad): Promise<void> {
  const name = 'what-time-is-it'
  await createTopic(url, { name, partitions: 1 })
  const answer = await fetch(`${url}/v1/topics/${name}/records`, { method: 'POST', body: 'now' })
  const { results } = (await answer.json()) as { results: { timestamp: number }[] }
  const movedMs = (results[0]?.timestamp ?? 0) - Date.now()
  if (Math.abs(movedMs - expectedMs) > 86_400_000) {
    load.accuse(`the clock of the process moved by ${movedMs} ms, not by ${expectedMs}`)
  }
}
