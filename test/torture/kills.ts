/**
 * kill -9 under load, again and again on one data folder: every acknowledged event is there once at
 * its offset, what was not acknowledged is there once or not at all, nothing else is there, and what
 * a reader or a committed offset has shown is never taken back.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startGateway } from '../support/gateway-process.ts'
import { seededRandom } from '../support/seeded-random.ts'
import type { LoadReport } from './mixed-load.ts'
import { MixedLoad, partitions } from './mixed-load.ts'
import { createTopic } from './wire.ts'

export interface KillReport extends LoadReport {
  readonly kills: number
  readonly slowestReadyMs: number
}

export interface KillOptions {
  readonly kills: number
  /** Draws the moments of the kills and the shapes of the load. */
  readonly seed: number
  /** Told after each round. */
  readonly onRound?: (round: number, acknowledged: number) => void
}

/** Rounds that write to the same topic; older topics are checked once more at the end. */
const roundsPerTopic = 10

export async function killRounds(options: KillOptions): Promise<KillReport> {
  const data = await mkdtemp(join(tmpdir(), 'ebbgate-kills-'))
  const chance = seededRandom(options.seed)
  const load = new MixedLoad(seededRandom(options.seed + 1))
  let slowestReadyMs = 0
  try {
    for (let round = 0; round < options.kills; round++) {
      const gateway = await startGateway({ data })
      const { url } = gateway
      slowestReadyMs = Math.max(slowestReadyMs, gateway.readyMs)
      const topic = `kills-${Math.floor(round / roundsPerTopic)}`
      if (round % roundsPerTopic === 0) await createTopic(url, { name: topic, partitions })
      else await load.check(url, topic)
      await load.run({
        url,
        topic,
        member: `round-${round}`,
        afterMs: 50 + Math.floor(chance() * 450),
        strike: () => gateway.kill(),
      })
      options.onRound?.(round + 1, load.ledger.acknowledged)
    }
    const gateway = await startGateway({ data })
    slowestReadyMs = Math.max(slowestReadyMs, gateway.readyMs)
    for (const topic of load.ledger.topics()) await load.check(gateway.url, topic)
    await gateway.stop()
    return { kills: options.kills, slowestReadyMs: Math.round(slowestReadyMs), ...load.report }
  } finally {
    await rm(data, { recursive: true, force: true })
  }
}
