/**
 * Topics that come and go under load: what was answered as made must be there with what it holds,
 * what was answered as deleted must stay away, and what was not answered is one or the other, whole.
 */
import type { Ledger, Placed } from '../support/ledger.ts'
import { readBack } from '../support/read-back.ts'
import { createTopic, deleteTopic, okay, topicNames } from './wire.ts'

type Fate = 'making' | 'there' | 'deleting' | 'gone'

const prefix = 'churn-'

export class TopicChurn {
  readonly #ledger: Ledger
  readonly #fates = new Map<string, Fate>()
  #sequence = 0
  #made = 0
  #deleted = 0

  constructor(ledger: Ledger) {
    this.#ledger = ledger
  }

  get made(): number {
    return this.#made
  }

  get deleted(): number {
    return this.#deleted
  }

  /** Rejects when the gateway refuses or is gone. */
  async run(url: string, stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      const name = `${prefix}${this.#sequence++}`
      this.#fates.set(name, 'making')
      await createTopic(url, { name, partitions: 2 })
      this.#fates.set(name, 'there')
      this.#made++
      await this.#send(url, name)
      if (this.#sequence % 3 !== 0) continue
      this.#fates.set(name, 'deleting')
      await deleteTopic(url, name)
      this.#fates.set(name, 'gone')
      this.#deleted++
    }
  }

  /** What is wrong now, in words. What the gateway shows settles what was open, once for all. */
  async problems(url: string): Promise<string[]> {
    const problems: string[] = []
    const names = new Set((await topicNames(url)).filter((name) => name.startsWith(prefix)))
    for (const [name, fate] of this.#fates) {
      const isThere = names.delete(name)
      if (isThere && fate === 'gone') problems.push(`${name}: deleted, and it is back`)
      if (!isThere && fate === 'there') problems.push(`${name}: made, and it is gone`)
      if (isThere) problems.push(...this.#ledger.problems(name, await readBack(url, name)))
      this.#fates.set(name, isThere ? 'there' : 'gone')
    }
    for (const name of names) problems.push(`${name}: nobody made this topic`)
    return problems
  }

  forgetFolder(): void {
    this.#fates.clear()
  }

  async #send(url: string, name: string): Promise<void> {
    const value = Buffer.from(`{"holds":"${name}"}`)
    const acknowledge = this.#ledger.sending(name, [value])
    const answer = await fetch(`${url}/v1/topics/${name}/records`, { method: 'POST', body: value })
    acknowledge(((await okay(answer)) as { results: Placed[] }).results)
  }
}
