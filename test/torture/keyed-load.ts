/**
 * Producers that retry under an idempotency key until they have an answer, over as many lives of the
 * gateway as it takes, and that repeat answered requests for good measure: whatever was struck when,
 * each request must be there once, whole where it is a transaction, and be answered alike.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Ledger } from '../support/ledger.ts'
import type { Result } from './wire.ts'
import { Refused, okay, placesOf } from './wire.ts'

/** Answered requests that are kept for another repetition. */
const keptMax = 20
/** A gateway that is well again settles what was left open within this time, ms. */
const settleMs = 20_000

interface KeyedRequest {
  readonly topic: string
  readonly key: string
  readonly path: string
  readonly contentType: string
  readonly body: string
  readonly acknowledge: (placed: ReturnType<typeof placesOf>) => void
}

export interface KeyedLoadParts {
  readonly ledger: Ledger
  readonly chance: () => number
  readonly nextValue: () => Buffer
  readonly partitions: number
  /** Requests of that time can no longer be kept: none is sent. */
  readonly isDark: () => boolean
  readonly refused: (code: string, message: string) => void
}

export class KeyedLoad {
  readonly #parts: KeyedLoadParts
  /** Sent and not answered. */
  #open: KeyedRequest[] = []
  #answered: KeyedRequest[] = []
  #sequence = 0
  requests = 0
  deduplicated = 0

  constructor(parts: KeyedLoadParts) {
    this.#parts = parts
  }

  /** Resolves when the gateway is gone or the load is over. */
  async run(url: string, topic: string, stop: AbortSignal): Promise<void> {
    const { chance, isDark, refused } = this.#parts
    while (!stop.aborted && !isDark()) {
      const request = this.#open.shift() ?? this.#repeatable(chance) ?? this.#newRequest(topic)
      try {
        await this.#send(url, request, stop)
      } catch (error) {
        this.#open.push(request)
        if (!(error instanceof Refused)) return
        refused(error.code, error.message)
        await sleep(5)
      }
    }
  }

  /** The retry must settle what has no answer. Returns what it did not. */
  async settle(url: string, topic: string): Promise<string[]> {
    const problems: string[] = []
    const mine = this.#open.filter((request) => request.topic === topic)
    this.#open = this.#open.filter((request) => request.topic !== topic)
    const stop = AbortSignal.timeout(settleMs)
    for (const request of [...mine, ...this.#answered.filter((one) => one.topic === topic)]) {
      for (;;) {
        try {
          await this.#send(url, request, stop)
          break
        } catch (error) {
          if (error instanceof Refused && !stop.aborted) await sleep(50)
          else {
            problems.push(`${topic}: ${request.key} was not settled: ${String(error)}`)
            break
          }
        }
      }
    }
    return problems
  }

  forgetFolder(): void {
    this.#open = []
    this.#answered = []
  }

  async #send(url: string, request: KeyedRequest, stop: AbortSignal): Promise<void> {
    const { path, contentType, body, key, acknowledge } = request
    const answer = await fetch(`${url}${path}`, {
      method: 'POST',
      body,
      headers: { 'content-type': contentType, 'idempotency-key': key },
      signal: stop,
    })
    const told = (await okay(answer)) as { results?: Result[]; offsets?: Result[] }
    acknowledge(
      placesOf(told.results ?? told.offsets ?? [], (code) => this.#parts.refused(code, key)),
    )
    this.requests++
    if (answer.headers.get('ebbgate-deduplicated') === 'true') this.deduplicated++
    if (!this.#answered.includes(request)) this.#answered.push(request)
    if (this.#answered.length > keptMax) this.#answered.shift()
  }

  #repeatable(chance: () => number): KeyedRequest | undefined {
    if (chance() > 0.2) return undefined
    return this.#answered[Math.floor(chance() * this.#answered.length)]
  }

  /** One event, several on the v2 surface, or a transaction over all partitions. */
  #newRequest(topic: string): KeyedRequest {
    const { chance, ledger, nextValue, partitions } = this.#parts
    const key = `request-${this.#sequence++}`
    const kind = Math.floor(chance() * 3)
    const count = [1, 4, 2 * partitions][kind]!
    const values = Array.from({ length: count }, nextValue)
    const acknowledge = ledger.sending(topic, values, kind > 0)
    const records = values.map((value, i) => {
      const placed = kind === 2 ? `"partition":${i % partitions},` : ''
      return `{${placed}"value":${value.toString()}}`
    })
    const isV2 = kind === 1
    return {
      topic,
      key,
      path: isV2
        ? `/topics/${topic}`
        : `/v1/topics/${topic}/records${kind === 2 ? '?atomic=true' : ''}`,
      contentType: isV2
        ? 'application/vnd.kafka.json.v2+json'
        : 'application/vnd.ebbgate.records+json',
      body: `{"records":[${records.join(',')}]}`,
      acknowledge,
    }
  }
}
