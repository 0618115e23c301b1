/**
 * kill -9 under load, again and again on one data folder: every acknowledged event is there once at
 * its offset, what was not acknowledged is there once or not at all, nothing else is there, and what
 * a reader or a committed offset has shown is never taken back.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { GatewayProcess } from '../support/gateway-process.ts'
import { startGateway } from '../support/gateway-process.ts'
import type { Placed } from '../support/ledger.ts'
import { Ledger } from '../support/ledger.ts'
import { readBack } from '../support/read-back.ts'
import { V2Consumer } from '../support/v2-consumer.ts'

export interface KillReport {
  readonly kills: number
  readonly acknowledged: number
  readonly unanswered: number
  readonly seenByReaders: number
  readonly commits: number
  readonly slowestReadyMs: number
  readonly problems: readonly string[]
}

export interface KillOptions {
  readonly kills: number
  /** Draws the moments of the kills and the shapes of the load. */
  readonly seed: number
  /** Told after each round. */
  readonly onRound?: (round: number, acknowledged: number) => void
}

const partitions = 3
/** Rounds that write to the same topic; older topics are checked once more at the end. */
const roundsPerTopic = 10

export async function killRounds(options: KillOptions): Promise<KillReport> {
  const data = await mkdtemp(join(tmpdir(), 'ebbgate-kills-'))
  const chance = seededChance(options.seed)
  const run = new KillRun(chance)
  try {
    for (let round = 0; round < options.kills; round++) {
      const gateway = await startGateway({ data })
      await run.checkAndLoad(gateway, round, 50 + Math.floor(chance() * 450))
      options.onRound?.(round + 1, run.ledger.acknowledged)
    }
    const gateway = await startGateway({ data })
    await run.checkEverything(gateway)
    await gateway.stop()
    return run.report(options.kills)
  } finally {
    await rm(data, { recursive: true, force: true })
  }
}

class KillRun {
  readonly ledger = new Ledger()
  readonly #chance: () => number
  readonly #problems: string[] = []
  readonly #committed = new Map<string, number>()
  #sequence = 0
  #seen = 0
  #commits = 0
  #slowestReadyMs = 0

  constructor(chance: () => number) {
    this.#chance = chance
  }

  /** What the last kill left is checked first, then load runs until the next kill. */
  async checkAndLoad(gateway: GatewayProcess, round: number, killAfterMs: number): Promise<void> {
    this.#slowestReadyMs = Math.max(this.#slowestReadyMs, gateway.readyMs)
    const topic = `kills-${Math.floor(round / roundsPerTopic)}`
    if (round % roundsPerTopic === 0) await createTopic(gateway.url, topic)
    else await this.#check(gateway, topic)
    const stop = new AbortController()
    const load = [
      this.#produceSingles(gateway.url, topic, stop.signal),
      this.#produceSingles(gateway.url, topic, stop.signal),
      this.#produceSingles(gateway.url, topic, stop.signal),
      this.#produceLines(gateway.url, topic, stop.signal),
      this.#produceLines(gateway.url, topic, stop.signal),
      this.#produceV2(gateway.url, topic, stop.signal),
      this.#follow(gateway.url, topic, stop.signal),
      this.#consume(gateway.url, topic, `round-${round}`, stop.signal),
    ]
    await new Promise((resolve) => setTimeout(resolve, killAfterMs))
    await gateway.kill()
    stop.abort()
    await Promise.all(load)
  }

  async checkEverything(gateway: GatewayProcess): Promise<void> {
    this.#slowestReadyMs = Math.max(this.#slowestReadyMs, gateway.readyMs)
    for (const topic of this.ledger.topics()) await this.#check(gateway, topic)
  }

  report(kills: number): KillReport {
    return {
      kills,
      acknowledged: this.ledger.acknowledged,
      unanswered: this.ledger.unanswered,
      seenByReaders: this.#seen,
      commits: this.#commits,
      slowestReadyMs: Math.round(this.#slowestReadyMs),
      problems: this.#problems,
    }
  }

  async #check(gateway: GatewayProcess, topic: string): Promise<void> {
    this.#problems.push(...this.ledger.problems(topic, await readBack(gateway.url, topic)))
    const committed = await committedOffsets(gateway.url, topic, `asker-${this.#sequence++}`)
    for (const [place, offset] of this.#committed) {
      const [of, partition] = place.split('/')
      if (of !== topic) continue
      const found = committed.get(Number(partition)) ?? -1
      if (found < offset) {
        this.#problems.push(`${topic} partition ${partition}: committed ${offset}, found ${found}`)
      }
    }
  }

  async #produceSingles(url: string, topic: string, stop: AbortSignal): Promise<void> {
    await this.#produce(topic, stop, 1, async ([value]) => {
      const answer = await fetch(`${url}/v1/topics/${topic}/records`, {
        method: 'POST',
        body: new Uint8Array(value!),
        headers: { 'ebbgate-key': `k${Math.floor(this.#chance() * 50)}` },
        signal: stop,
      })
      return ((await okay(answer)) as { results: Placed[] }).results
    })
  }

  async #produceLines(url: string, topic: string, stop: AbortSignal): Promise<void> {
    await this.#produce(topic, stop, 20, async (values) => {
      const answer = await fetch(`${url}/v1/topics/${topic}/records?keyFrom=/id`, {
        method: 'POST',
        body: values.map((value) => `${value.toString()}\n`).join(''),
        headers: { 'content-type': 'application/x-ndjson' },
        signal: stop,
      })
      return ((await okay(answer)) as { results: Placed[] }).results
    })
  }

  async #produceV2(url: string, topic: string, stop: AbortSignal): Promise<void> {
    await this.#produce(topic, stop, 5, async (values) => {
      const records = values.map((value) => `{"value":${value.toString()}}`).join(',')
      const answer = await fetch(`${url}/topics/${topic}`, {
        method: 'POST',
        body: `{"records":[${records}]}`,
        headers: { 'content-type': 'application/vnd.kafka.json.v2+json' },
        signal: stop,
      })
      return ((await okay(answer)) as { offsets: Placed[] }).offsets
    })
  }

  async #produce(
    topic: string,
    stop: AbortSignal,
    perRequest: number,
    send: (values: readonly Buffer[]) => Promise<readonly Placed[]>,
  ): Promise<void> {
    while (!stop.aborted) {
      const values = Array.from({ length: perRequest }, () => this.#nextValue())
      const acknowledge = this.ledger.sending(topic, values)
      try {
        acknowledge(await send(values))
      } catch (error) {
        if (error instanceof Refused) this.#problems.push(error.message)
        return
      }
    }
  }

  /** Every value names itself, so that a record at a wrong place is seen. */
  #nextValue(): Buffer {
    const id = this.#sequence++
    const filler = 'x'.repeat(Math.floor(this.#chance() * 400))
    return Buffer.from(`{"id":"e${id}","amount":${id}.00,"filler":"${filler}"}`)
  }

  /** A long-polling reader: what it was shown may never be gone. */
  async #follow(url: string, topic: string, stop: AbortSignal): Promise<void> {
    let from = 'latest'
    while (!stop.aborted) {
      try {
        const answer = await fetch(
          `${url}/v1/topics/${topic}/records?from=${from}&waitMs=1000&format=binary`,
          { signal: stop },
        )
        const { records, position } = (await okay(answer)) as {
          records: { partition: number; offset: number; value: string }[]
          position: string
        }
        for (const { partition, offset, value } of records) {
          this.ledger.saw(topic, { partition, offset, value: Buffer.from(value, 'base64') })
          this.#seen++
        }
        from = position
      } catch (error) {
        if (error instanceof Refused) this.#problems.push(error.message)
        return
      }
    }
  }

  /** A group consumer: an answered commit may never go back. */
  async #consume(url: string, topic: string, name: string, stop: AbortSignal): Promise<void> {
    try {
      const consumer = await V2Consumer.join(url, 'workers', name, [topic])
      while (!stop.aborted) {
        const records = await consumer.poll(200)
        const next = new Map<number, number>()
        for (const record of records) {
          this.ledger.saw(topic, record)
          this.#seen++
          next.set(record.partition, record.offset + 1)
        }
        await consumer.commit()
        this.#commits++
        for (const [partition, offset] of next) this.#committed.set(`${topic}/${partition}`, offset)
      }
    } catch {
      // The gateway was killed under the consumer: that is what this run is about.
    }
  }
}

class Refused extends Error {}

async function okay(answer: Response): Promise<unknown> {
  const text = await answer.text()
  if (answer.ok) return JSON.parse(text)
  if (answer.status === 503) throw new Error(text)
  throw new Refused(`${answer.status} from ${answer.url}: ${text}`)
}

async function createTopic(url: string, name: string): Promise<void> {
  const answer = await fetch(`${url}/v1/topics`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name, partitions, ifNotExists: true }),
  })
  await okay(answer)
}

async function committedOffsets(
  url: string,
  topic: string,
  name: string,
): Promise<Map<number, number>> {
  const asker = await V2Consumer.join(url, 'workers', name, [topic])
  const committed = await asker.committed(topic, partitions)
  await asker.leave()
  return committed
}

/** A small generator (mulberry32): the same number gives the same run. */
function seededChance(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000
  }
}
