/**
 * What the programmes of the torture have in common: producers of every kind, a reader and a group
 * consumer at work until the gateway is struck, and a ledger that knows afterwards what must be
 * there. Nothing of it lives in the process or on the disk that is struck.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Ledger, faults } from '../support/ledger.ts'
import type { Fault } from '../support/ledger.ts'
import { readBack } from '../support/read-back.ts'
import { V2Consumer } from '../support/v2-consumer.ts'
import { KeyedLoad } from './keyed-load.ts'
import { TopicChurn } from './topic-churn.ts'
import type { Result } from './wire.ts'
import { Refused, okay, placesOf } from './wire.ts'

/** What the load counted. */
export interface LoadReport {
  readonly acknowledged: number
  readonly unanswered: number
  readonly seenByReaders: number
  readonly commits: number
  /** Answers to keyed requests, and how many of them were repetitions that were recognised. */
  readonly keyedAnswers: number
  readonly deduplicated: number
  /** Topics whose making or deletion was answered. */
  readonly topicsMade: number
  readonly topicsDeleted: number
  /** Requests that were sent when nothing could be kept any more. */
  readonly askedInTheDark: number
  readonly acknowledgedInTheDark: number
  readonly faults: ReadonlyMap<Fault, number>
  readonly problems: readonly string[]
}

/** As the programmes print them. */
export function loadFigures(report: LoadReport): [name: string, value: number][] {
  return [
    ['events acknowledged', report.acknowledged],
    ['events without an answer', report.unanswered],
    ['records seen by readers', report.seenByReaders],
    ['commits answered', report.commits],
    ['answers to keyed requests', report.keyedAnswers],
    ['of them recognised repetitions', report.deduplicated],
    ...report.faults,
  ]
}

export interface Blow {
  readonly url: string
  readonly topic: string
  /** Names the group consumer of this time. */
  readonly member: string
  /** The load is on for so long before the blow falls. */
  readonly afterMs: number
  /**
   * Resolves when the gateway is gone. What is asked after `struck` was called can no longer be kept:
   * an acknowledgement would be a lie.
   */
  readonly strike: (struck: () => void) => Promise<void>
}

export interface LoadOptions {
  /** Topics are made and deleted meanwhile. */
  readonly churn?: boolean
}

export const partitions = 3

type Phase = 'calm' | 'striking' | 'dark'

export class MixedLoad {
  readonly ledger = new Ledger()
  readonly #problems: string[] = []
  readonly #chance: () => number
  readonly #churn: TopicChurn | undefined
  readonly #keyed: KeyedLoad
  readonly #committed = new Map<string, number>()
  readonly #refusals = new Map<string, number>()
  #phase: Phase = 'calm'
  #sequence = 0
  #seen = 0
  #commits = 0
  #dark = 0
  #lies = 0

  /** The shapes of the load come from `chance`, which the moments of a run should not share. */
  constructor(chance: () => number, { churn = false }: LoadOptions = {}) {
    this.#chance = chance
    if (churn) this.#churn = new TopicChurn(this.ledger)
    this.#keyed = new KeyedLoad({
      ledger: this.ledger,
      chance,
      nextValue: () => this.#nextValue(),
      partitions,
      isDark: () => this.#isDark(),
      refused: (code, message) => this.#refused(code, message),
    })
  }

  get report(): LoadReport {
    return {
      acknowledged: this.ledger.acknowledged,
      unanswered: this.ledger.unanswered,
      seenByReaders: this.#seen,
      commits: this.#commits,
      keyedAnswers: this.#keyed.requests,
      deduplicated: this.#keyed.deduplicated,
      topicsMade: this.#churn?.made ?? 0,
      topicsDeleted: this.#churn?.deleted ?? 0,
      askedInTheDark: this.#dark,
      acknowledgedInTheDark: this.#lies,
      faults: new Map(faults.map((fault) => [fault, this.ledger.count(fault)])),
      problems: this.#problems,
    }
  }

  /** How often producers were refused, by code. */
  get refusals(): ReadonlyMap<string, number> {
    return this.#refusals
  }

  /** For what a programme finds wrong beyond the content of topics. */
  accuse(problem: string): void {
    this.#problems.push(problem)
  }

  /** Resolves when the blow has fallen and every part of the load has noticed. */
  async run({ url, topic, member, afterMs, strike }: Blow): Promise<void> {
    const stop = new AbortController()
    this.#phase = 'calm'
    const load = [
      this.#produceSingles(url, topic, stop.signal),
      this.#produceSingles(url, topic, stop.signal),
      this.#produceSingles(url, topic, stop.signal),
      this.#produceLines(url, topic, stop.signal),
      this.#produceLines(url, topic, stop.signal),
      this.#produceV2(url, topic, stop.signal),
      this.#produceWholes(url, topic, stop.signal),
      this.#keyed.run(url, topic, stop.signal),
      this.#keyed.run(url, topic, stop.signal),
      this.#follow(url, topic, stop.signal),
      this.#consume(url, topic, member, stop.signal),
      this.#makeAndDelete(url, stop.signal),
    ]
    try {
      await sleep(afterMs)
      this.#phase = 'striking'
      await strike(() => (this.#phase = 'dark'))
    } finally {
      stop.abort()
      await Promise.all(load)
    }
  }

  /** Everything that the ledger knows of `topic`, and the topics that come and go, is held to it. */
  async check(url: string, topic: string): Promise<void> {
    this.#problems.push(...(await this.#keyed.settle(url, topic)))
    await this.checkContent(url, topic)
    const committed = await committedOffsets(url, topic, `asker-${this.#sequence++}`)
    for (const [place, offset] of this.#committed) {
      const [of, partition] = place.split('/')
      if (of !== topic) continue
      const found = committed.get(Number(partition)) ?? -1
      if (found < offset) {
        this.accuse(`${topic} partition ${partition}: committed ${offset}, found ${found}`)
      }
    }
    if (this.#churn !== undefined) this.#problems.push(...(await this.#churn.problems(url)))
  }

  /** What is read here counts as shown: it may never be gone again. */
  async checkContent(url: string, topic: string): Promise<void> {
    const content = await readBack(url, topic)
    this.#problems.push(...this.ledger.problems(topic, content))
    for (const record of content) this.ledger.saw(topic, record)
  }

  /** The data folder is gone, and with it what the topics that came and went held. */
  forgetFolder(): void {
    this.#committed.clear()
    this.#keyed.forgetFolder()
    this.#churn?.forgetFolder()
  }

  async #produceSingles(url: string, topic: string, stop: AbortSignal): Promise<void> {
    await this.#produce(topic, stop, 1, async ([value]) => {
      const answer = await fetch(`${url}/v1/topics/${topic}/records`, {
        method: 'POST',
        body: new Uint8Array(value!),
        headers: { 'ebbgate-key': `k${Math.floor(this.#chance() * 50)}` },
        signal: stop,
      })
      return ((await okay(answer)) as { results: Result[] }).results
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
      return ((await okay(answer)) as { results: Result[] }).results
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
      return ((await okay(answer)) as { offsets: Result[] }).offsets
    })
  }

  /** Transactions over all partitions: all or nothing. */
  async #produceWholes(url: string, topic: string, stop: AbortSignal): Promise<void> {
    const send = async (values: readonly Buffer[]): Promise<readonly Result[]> => {
      const records = values.map((value, i) => {
        return `{"partition":${i % partitions},"value":${value.toString()}}`
      })
      const answer = await fetch(`${url}/v1/topics/${topic}/records?atomic=true`, {
        method: 'POST',
        body: `{"records":[${records.join(',')}]}`,
        headers: { 'content-type': 'application/vnd.ebbgate.records+json' },
        signal: stop,
      })
      return ((await okay(answer)) as { results: Result[] }).results
    }
    await this.#produce(topic, stop, 2 * partitions, send, true)
  }

  /** Asks on in the dark, as long as anybody answers: not one acknowledgement may come from there. */
  async #produce(
    topic: string,
    stop: AbortSignal,
    perRequest: number,
    send: (values: readonly Buffer[]) => Promise<readonly Result[]>,
    isWhole = false,
  ): Promise<void> {
    while (!stop.aborted) {
      const values = Array.from({ length: perRequest }, () => this.#nextValue())
      const acknowledge = this.ledger.sending(topic, values, isWhole)
      const dark = this.#isDark()
      if (dark) this.#dark++
      try {
        const places = placesOf(await send(values), (code) => this.#refused(code, 'of a record'))
        acknowledge(places)
        if (places.includes(undefined)) await sleep(5)
        if (!dark || !places.some((place) => place !== undefined)) continue
        this.#lies++
        this.accuse(`${topic}: acknowledged what was asked after the blow`)
      } catch (error) {
        if (!(error instanceof Refused)) return
        this.#refused(error.code, error.message)
        await sleep(5)
      }
    }
  }

  #refused(code: string, message: string): void {
    this.#refusals.set(code, (this.#refusals.get(code) ?? 0) + 1)
    if (this.#isCalm()) this.accuse(`Refused before the blow, ${code}: ${message}`)
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
        if (error instanceof Refused && this.#isCalm()) this.accuse(error.message)
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
      // The gateway was struck under the consumer: that is what this run is about.
    }
  }

  async #makeAndDelete(url: string, stop: AbortSignal): Promise<void> {
    try {
      await this.#churn?.run(url, stop)
    } catch (error) {
      if (error instanceof Refused && this.#isCalm()) this.accuse(error.message)
    }
  }

  // The phase moves while the load waits, which the compiler cannot see.
  #isCalm(): boolean {
    return this.#phase === 'calm'
  }

  #isDark(): boolean {
    return this.#phase === 'dark'
  }
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
