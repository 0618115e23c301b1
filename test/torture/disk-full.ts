/**
 * A disk that others fill and free again under load: appends are answered DISK_FULL and nothing else,
 * reads, commits and deletions go on, and appends come back within two seconds of the room. Every
 * other time the gateway is killed while the disk is full, and must start on it. On a tmpfs, which
 * has an end; what a disk keeps through a power cut is proved elsewhere.
 */
import type { ChildProcess } from 'node:child_process'
import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { mkdtemp, open, rm, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { GatewayProcess } from '../support/gateway-process.ts'
import { GatewayEnded, startGateway } from '../support/gateway-process.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { until } from '../support/until.ts'
import { V2Consumer } from '../support/v2-consumer.ts'
import { MixedLoad, loadFigures, partitions } from './mixed-load.ts'
import type { Programme, ProgrammeReport } from './programme.ts'
import { createTopic, deleteTopic } from './wire.ts'

const MiB = 1024 ** 2
const diskMiB = 1024
const healMsMax = 2_000
const residentBytesMax = 1024 * MiB
const topic = 'filling'
/** What the two surfaces call a full disk, of requests and of records. */
const fullCodes = new Set(['DISK_FULL', '50302', '50003'])

export const diskFull: Programme = {
  name: 'full',
  proves: 'a full disk refuses appends, serves the rest, loses nothing and heals by itself',
  needs: 'Linux, root (a tmpfs)',
  missing: () =>
    process.platform === 'linux' && process.getuid?.() === 0 ? undefined : 'it wants root on Linux',
  flags: { fills: { type: 'string', default: '6' } },
  short: { fills: '2' },
  run: async ({ seed, flag, progress }) => {
    const disk = await SmallDisk.mount()
    const run = new FullRun(disk, seed)
    const onSignal = (): void => {
      run.killNow()
      disk.remove()
      process.exit(130)
    }
    process.once('SIGINT', onSignal).once('SIGTERM', onSignal)
    try {
      const fills = Number(flag('fills'))
      for (let fill = 0; fill < fills; fill++) {
        await run.fill(fill)
        progress(`fill ${fill + 1} of ${fills}`)
      }
      return await run.report(fills)
    } finally {
      process.off('SIGINT', onSignal).off('SIGTERM', onSignal)
      run.killNow()
      disk.remove()
    }
  },
}

class FullRun {
  readonly #disk: SmallDisk
  readonly #chance: () => number
  readonly #load: MixedLoad
  #child: ChildProcess | undefined
  #slowestHealMs = 0
  #slowestReadyMs = 0
  #residentBytes = 0
  #readsWhileFull = 0
  #killsWhileFull = 0
  #startsRefused = 0

  constructor(disk: SmallDisk, seed: number) {
    this.#disk = disk
    this.#chance = seededRandom(seed)
    this.#load = new MixedLoad(seededRandom(seed + 1))
  }

  async fill(round: number): Promise<void> {
    const toTheEnd = round % 2 === 0
    const kill = round % 4 >= 2
    const gateway = await this.#start()
    await createTopic(gateway.url, { name: topic, partitions })
    await createTopic(gateway.url, { name: 'probe', partitions: 1 })
    await createTopic(gateway.url, { name: `leaving-${round}`, partitions: 1 })
    await this.#load.check(gateway.url, topic)
    await this.#load.run({
      url: gateway.url,
      topic,
      member: `full-${round}`,
      afterMs: 100 + Math.floor(this.#chance() * 900),
      strike: async () => {
        // Below the mark, or to the last block, so that a write meets the end.
        await this.#disk.fill(toTheEnd ? 0 : 100 * MiB)
        await until(() => isFull(gateway.url), 'DISK_FULL')
        await this.#whileFull(gateway, round)
        if (kill) {
          this.#killsWhileFull++
          await gateway.kill()
        } else {
          await this.#heal(gateway)
          await this.#stop(gateway)
        }
      },
    })
    if (kill && toTheEnd) await this.#refusedOnFull()
    else if (kill) await this.#startOnFull()
  }

  async report(fills: number): Promise<ProgrammeReport> {
    const gateway = await this.#start()
    await this.#load.check(gateway.url, topic)
    await this.#stop(gateway)
    const refusals = [...this.#load.refusals]
    for (const [code, times] of refusals) {
      if (!fullCodes.has(code)) this.#load.accuse(`${times} refusals with ${code}`)
    }
    const report = this.#load.report
    return {
      figures: [
        ['fills', fills],
        ['kills while full', this.#killsWhileFull],
        ['starts refused on a full disk', this.#startsRefused],
        ...loadFigures(report),
        ['refusals', refusals.map(([code, times]) => `${code} (${times})`).join(', ')],
        ['whole reads while full', this.#readsWhileFull],
        ['slowest way back to writing, ms', Math.round(this.#slowestHealMs)],
        ['slowest start, ms', Math.round(this.#slowestReadyMs)],
        ['most resident memory, MiB', Math.round(this.#residentBytes / MiB)],
      ],
      problems: report.problems,
    }
  }

  killNow(): void {
    this.#child?.kill('SIGKILL')
  }

  /** Reads, commits and deletions go on, with the load asking to append all the time. */
  async #whileFull(gateway: GatewayProcess, round: number): Promise<void> {
    const { url } = gateway
    const consumer = await V2Consumer.join(url, 'full', `reader-${round}`, [topic])
    const fullUntil = performance.now() + 2_000
    while (performance.now() < fullUntil) {
      await this.#load.checkContent(url, topic)
      this.#readsWhileFull++
      await consumer.poll(100)
      await consumer.commit()
      this.#residentBytes = Math.max(this.#residentBytes, residentBytes(gateway.pid))
      await sleep(50)
    }
    await consumer.leave()
    await deleteTopic(url, `leaving-${round}`)
    if (!(await isFull(url))) this.#load.accuse(`fill ${round}: it was full and appends went on`)
    if (this.#residentBytes > residentBytesMax) {
      this.#load.accuse(`${Math.round(this.#residentBytes / MiB)} MiB resident on a full disk`)
    }
  }

  /** A recovery writes. Without a block for it, it says so in a line, and starts over another time. */
  async #refusedOnFull(): Promise<void> {
    await this.#disk.fill(0)
    try {
      const gateway = await this.#start()
      await this.#load.check(gateway.url, topic)
      await gateway.kill()
    } catch (error) {
      if (!(error instanceof GatewayEnded)) throw error
      const said = error.message.split('\n').filter((line) => line.includes('ebbgate: '))
      this.#startsRefused++
      if (!/ is full\. Make room/.test(said.join())) this.#load.accuse(error.message)
    }
    await this.#disk.free()
  }

  async #startOnFull(): Promise<void> {
    const gateway = await this.#start()
    await this.#load.check(gateway.url, topic)
    if (!(await isFull(gateway.url))) this.#load.accuse('it started on a full disk and appended')
    await this.#heal(gateway)
    await this.#stop(gateway)
  }

  async #stop(gateway: GatewayProcess): Promise<void> {
    const code = await gateway.stop()
    if (code !== 0) this.#load.accuse(`A clean stop ended with ${code}: ${gateway.stderr()}`)
  }

  async #heal(gateway: GatewayProcess): Promise<void> {
    await this.#disk.free()
    const freedAt = performance.now()
    await until(async () => !(await isFull(gateway.url)), 'appends after there was room again')
    const ms = performance.now() - freedAt
    this.#slowestHealMs = Math.max(this.#slowestHealMs, ms)
    if (ms > healMsMax) this.#load.accuse(`${Math.round(ms)} ms from room to writing`)
  }

  async #start(): Promise<GatewayProcess> {
    const gateway = await startGateway({
      data: join(this.#disk.directory, 'data'),
      onSpawn: (child) => (this.#child = child),
    })
    this.#slowestReadyMs = Math.max(this.#slowestReadyMs, gateway.readyMs)
    return gateway
  }
}

/** A tmpfs with an end, and a file beside the data folder that takes what it is told to. */
class SmallDisk {
  readonly directory: string

  private constructor(directory: string) {
    this.directory = directory
  }

  static async mount(): Promise<SmallDisk> {
    const directory = await mkdtemp(join(tmpdir(), 'ebbgate-full-'))
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${diskMiB}m`, 'ebbgate-full', directory])
    return new SmallDisk(directory)
  }

  get #filler(): string {
    return join(this.directory, 'filler')
  }

  /** Leaves so many bytes, or what others free meanwhile. */
  async fill(leave: number): Promise<void> {
    const filler = await open(this.#filler, 'a')
    try {
      for (;;) {
        const { bavail, bsize } = await statfs(this.directory)
        const room = bavail * bsize - leave
        if (room <= 0) return
        await filler.write(Buffer.alloc(Math.min(room, 4 * MiB), 1))
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
    } finally {
      await filler.close()
    }
  }

  free(): Promise<void> {
    return rm(this.#filler, { force: true })
  }

  /** At once, for a process that is about to end. */
  remove(): void {
    spawnSync('umount', ['--lazy', this.directory])
    rmSync(this.directory, { recursive: true, force: true })
  }
}

/** Asks to append to a topic of its own, which nobody counts. */
async function isFull(url: string): Promise<boolean> {
  const answer = await fetch(`${url}/v1/topics/probe/records`, { method: 'POST', body: 'room?' })
  const text = await answer.text()
  if (answer.ok) return false
  if (answer.status === 503 && text.includes('"DISK_FULL"')) return true
  throw new Error(`${answer.status}: ${text}`)
}

/** Whole pages of the process that are in memory now. */
function residentBytes(pid: number): number {
  const kib = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kib) * 1024
}
