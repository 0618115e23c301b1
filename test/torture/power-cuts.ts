/**
 * Power cuts under load on a real file system that then has lost what was never synced: every
 * acknowledged event is there once at its offset, what was not acknowledged is there once or not at
 * all, nothing else is there, and what a reader, a commit or a topic's maker was told holds. The
 * gateway that lives through the cut meets EIO: it acknowledges nothing more and ends with 70.
 *
 * Drives that lie about flushes are outside: durable means that the file system sent it down.
 */
import type { ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { exitFailStop } from '../../src/cli/failure.ts'
import type { GatewayProcess } from '../support/gateway-process.ts'
import { GatewayEnded, startGateway } from '../support/gateway-process.ts'
import type { FileSystemKind } from '../support/loop-file-system.ts'
import { LoopFileSystem } from '../support/loop-file-system.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { until } from '../support/until.ts'
import type { LoadReport } from './mixed-load.ts'
import { MixedLoad, partitions } from './mixed-load.ts'
import { createTopic } from './wire.ts'

export interface CutReport extends LoadReport {
  readonly cuts: number
  /** Of them: while the gateway was starting, after a kill -9 and a restart, with the log flushed. */
  readonly cutsInStart: number
  readonly cutsAfterKill: number
  readonly cutsAfterStop: number
  readonly cutsWithLog: number
  /** How the processes ended that were cut under load: exit code to count. */
  readonly exits: ReadonlyMap<string, number>
  readonly exitsInStart: ReadonlyMap<string, number>
  readonly slowestReadyMs: number
  readonly slowestExitMs: number
}

export interface CutOptions {
  readonly cuts: number
  readonly kind: FileSystemKind
  /** Draws the moments and kinds of the cuts and the shapes of the load. */
  readonly seed: number
  /** Of every start: a planted bug, for instance. */
  readonly env?: Readonly<Record<string, string>>
  /** The first problem is enough. */
  readonly stopAtProblem?: boolean
  /** Told after each cut. */
  readonly onCut?: (cut: number, acknowledged: number) => void
}

/** A file system lives through so many cuts before the next one is made. */
const cutsPerLife = 10
/** A gateway whose disk failed under load has ended by then, ms. */
const exitMsMax = 10_000

export async function powerCuts(options: CutOptions): Promise<CutReport> {
  const run = new CutRun(options)
  const onSignal = (signal: NodeJS.Signals): void => {
    run.clearNow()
    process.exit(signal === 'SIGINT' ? 130 : 143)
  }
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal)
  try {
    while (run.cuts < options.cuts && !run.isOver) {
      await run.life(Math.min(cutsPerLife, options.cuts - run.cuts))
    }
    return run.report()
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal)
    await run.clear()
  }
}

class CutRun {
  readonly #options: CutOptions
  readonly #chance: () => number
  readonly #load: MixedLoad
  readonly #exits = new Map<string, number>()
  readonly #exitsInStart = new Map<string, number>()
  #fs: LoopFileSystem | undefined
  #child: ChildProcess | undefined
  #lives = 0
  #cuts = 0
  #cutsInStart = 0
  #cutsAfterKill = 0
  #cutsAfterStop = 0
  #cutsWithLog = 0
  /** What the last start took: a cut in a start falls before that. */
  #usualReadyMs = 600
  #slowestReadyMs = 0
  #slowestExitMs = 0

  constructor(options: CutOptions) {
    this.#options = options
    this.#chance = seededRandom(options.seed)
    this.#load = new MixedLoad(seededRandom(options.seed + 1), { churn: true })
  }

  get cuts(): number {
    return this.#cuts
  }

  get isOver(): boolean {
    return this.#options.stopAtProblem === true && this.#load.report.problems.length > 0
  }

  /** A file system and a data folder, from the first start to the last cut. */
  async life(cuts: number): Promise<void> {
    const fs = (this.#fs = await LoopFileSystem.make(this.#options.kind))
    const cutsBefore = this.#cuts
    try {
      await this.#live(fs, cuts)
      await fs.unmount()
    } catch (error) {
      this.#load.accuse(`After cut ${this.#cuts}: ${messageOf(error)}`)
      this.#child?.kill('SIGKILL')
    }
    await fs.remove()
    this.#load.forgetFolder()
    if (this.#cuts === cutsBefore) throw new Error(this.#load.report.problems.join('\n'))
  }

  async #live(fs: LoopFileSystem, cuts: number): Promise<void> {
    const data = join(fs.directory, 'data')
    const topic = `cuts-${this.#lives++}`
    const end = this.#cuts + cuts
    let isMade = false
    while (this.#cuts < end && !this.isOver) {
      if (this.#cuts === end - 1) await this.#cutAfterStop(fs, data, isMade ? topic : undefined)
      else if (this.#chance() < (isMade ? 0.2 : 0.35)) await this.#cutInStart(fs, data)
      else {
        await this.#cutUnderLoad(fs, data, topic, isMade)
        isMade = true
      }
      this.#options.onCut?.(this.#cuts, this.#load.ledger.acknowledged)
    }
    await this.#liveOn(data, topic)
  }

  /** Behind the last cut everything works again; a log that keeps what it has and takes no more is none. */
  async #liveOn(data: string, topic: string): Promise<void> {
    const gateway = await this.#start(data)
    const { url } = gateway
    await createTopic(url, { name: topic, partitions })
    await this.#check(gateway, topic)
    const { acknowledged, commits } = this.#load.report
    await this.#load.run({
      url,
      topic,
      member: `after-${this.#cuts}`,
      afterMs: 0,
      strike: async () => {
        await until(
          () =>
            this.#load.report.acknowledged > acknowledged && this.#load.report.commits > commits,
          'an acknowledgement and a commit after the last cut',
        )
        await this.#stop(gateway)
      },
    })
  }

  report(): CutReport {
    return {
      ...this.#load.report,
      cuts: this.#cuts,
      cutsInStart: this.#cutsInStart,
      cutsAfterKill: this.#cutsAfterKill,
      cutsAfterStop: this.#cutsAfterStop,
      cutsWithLog: this.#cutsWithLog,
      exits: this.#exits,
      exitsInStart: this.#exitsInStart,
      slowestReadyMs: Math.round(this.#slowestReadyMs),
      slowestExitMs: Math.round(this.#slowestExitMs),
    }
  }

  async clear(): Promise<void> {
    this.#child?.kill('SIGKILL')
    await this.#fs?.remove()
  }

  clearNow(): void {
    this.#child?.kill('SIGKILL')
    this.#fs?.removeNow()
  }

  async #cutUnderLoad(
    fs: LoopFileSystem,
    data: string,
    topic: string,
    isMade: boolean,
  ): Promise<void> {
    let gateway = await this.#start(data)
    if (isMade) await this.#check(gateway, topic)
    // Small segments roll under the load; every other life has them.
    const configs: Record<string, string> =
      this.#lives % 2 === 0 ? { 'segment.bytes': '65536' } : {}
    await createTopic(gateway.url, { name: topic, partitions, configs })
    if (this.#chance() < 0.3) {
      this.#cutsAfterKill++
      await this.#load.run({
        url: gateway.url,
        topic,
        member: `killed-${this.#cuts}`,
        afterMs: this.#between(20, 300),
        strike: () => gateway.kill(),
      })
      // What the page cache alone knew may be shown now, and if it is, the cut may not take it back.
      gateway = await this.#start(data)
      await this.#load.checkContent(gateway.url, topic)
    }
    await this.#load.run({
      url: gateway.url,
      topic,
      member: `cut-${this.#cuts}`,
      afterMs: this.#between(20, 700),
      strike: async (struck) => {
        await this.#cut(fs)
        struck()
        await this.#endOfFailed(gateway)
      },
    })
    await this.#powerOn(fs)
  }

  /** Recovery itself is cut, or what a first start makes. */
  async #cutInStart(fs: LoopFileSystem, data: string): Promise<void> {
    this.#cutsInStart++
    const starting = this.#start(data).then(
      (gateway) => gateway,
      (error: unknown) => error,
    )
    // The first half of a start is Node's own.
    await sleep(this.#between(this.#usualReadyMs / 2, this.#usualReadyMs * 1.1))
    await this.#cut(fs)
    const outcome = await starting
    if (outcome instanceof GatewayEnded) count(this.#exitsInStart, String(outcome.exitCode))
    else if (outcome instanceof Error) throw outcome
    else {
      // It was ready before the cut, and idle: nothing has told it yet that the disk is gone.
      count(this.#exitsInStart, 'ready before the cut')
      await (outcome as GatewayProcess).kill()
    }
    await this.#powerOn(fs)
  }

  /** A clean end leaves nothing for the page cache. */
  async #cutAfterStop(fs: LoopFileSystem, data: string, topic: string | undefined): Promise<void> {
    this.#cutsAfterStop++
    const gateway = await this.#start(data)
    if (topic !== undefined) {
      await this.#check(gateway, topic)
      await this.#load.run({
        url: gateway.url,
        topic,
        member: `stopped-${this.#cuts}`,
        afterMs: this.#between(20, 300),
        strike: () => this.#stop(gateway),
      })
    } else await this.#stop(gateway)
    await this.#cut(fs)
    await this.#powerOn(fs)
  }

  async #cut(fs: LoopFileSystem): Promise<void> {
    const flushLog = this.#chance() < 0.3
    if (flushLog) this.#cutsWithLog++
    await fs.cutPower({ flushLog })
    this.#cuts++
  }

  async #powerOn(fs: LoopFileSystem): Promise<void> {
    await fs.unmount()
    await fs.mount()
  }

  async #start(data: string): Promise<GatewayProcess> {
    const { env = {} } = this.#options
    const gateway = await startGateway({ data, env, onSpawn: (child) => (this.#child = child) })
    this.#usualReadyMs = gateway.readyMs
    this.#slowestReadyMs = Math.max(this.#slowestReadyMs, gateway.readyMs)
    return gateway
  }

  /** What the gateway said of it is the first thing to know when a check cannot be made. */
  async #check(gateway: GatewayProcess, topic: string): Promise<void> {
    try {
      await this.#load.check(gateway.url, topic)
    } catch (error) {
      this.#load.accuse(`After cut ${this.#cuts}: ${messageOf(error)}\n${gateway.stderr()}`)
    }
  }

  async #stop(gateway: GatewayProcess): Promise<void> {
    const code = await gateway.stop()
    if (code !== 0) this.#load.accuse(`A clean stop ended with ${code}: ${gateway.stderr()}`)
  }

  async #endOfFailed(gateway: GatewayProcess): Promise<void> {
    const cutAt = performance.now()
    const giveUp = new AbortController()
    const code = await Promise.race([
      gateway.ended,
      sleep(exitMsMax, 'none', { signal: giveUp.signal }),
    ])
    giveUp.abort()
    this.#slowestExitMs = Math.max(this.#slowestExitMs, performance.now() - cutAt)
    count(this.#exits, String(code))
    if (code === exitFailStop) return
    this.#load.accuse(`Exit ${code} instead of ${exitFailStop} after EIO: ${gateway.stderr()}`)
    await gateway.kill()
  }

  #between(from: number, to: number): number {
    return from + Math.floor(this.#chance() * (to - from))
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1)
}
