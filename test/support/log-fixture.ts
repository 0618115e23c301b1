/** A real engine with a few verbs that tests of readers need. */
import type { Engine } from '../../src/engine/engine.ts'
import type { Log } from '../../src/engine/log.ts'
import { systemClock } from '../../src/kit/clock.ts'
import { writeBatch } from '../../src/model/batch-writer.ts'
import type { NewRecord } from '../../src/model/record.ts'
import { noHeaders } from '../../src/model/record.ts'
import { openTestEngine } from './engine.ts'

const call = { timeoutMs: 10_000 }

export class LogFixture {
  readonly engine: Engine
  readonly #close: () => Promise<void>

  private constructor(engine: Engine, close: () => Promise<void>) {
    this.engine = engine
    this.#close = close
  }

  static async open(): Promise<LogFixture> {
    const opened = await openTestEngine()
    return new LogFixture(opened.engine, () => opened.close())
  }

  get log(): Log {
    return this.engine.log
  }

  async createTopic(name: string, partitions: number): Promise<void> {
    const [outcome] = await this.engine.topics.create([{ name, partitions }], call)
    if (outcome?.error !== undefined) throw outcome.error
  }

  async deleteTopic(name: string): Promise<void> {
    const [outcome] = await this.engine.topics.delete([name], call)
    if (outcome?.error !== undefined) throw outcome.error
  }

  /** One batch; a value that is no string is a whole record. Resolves to the first offset. */
  async write(
    topic: string,
    partition: number,
    values: readonly (string | Partial<NewRecord>)[],
  ): Promise<number> {
    const records = values.map((value): NewRecord => {
      const empty = { key: null, value: null, headers: noHeaders }
      if (typeof value !== 'string') return { ...empty, ...value }
      return { ...empty, value: Buffer.from(value) }
    })
    const batch = writeBatch(records, systemClock.wallMs())
    const [result] = await this.log.append([{ tp: { topic, partition }, batch }], call)
    if (result?.offsets === undefined) throw result?.error ?? new Error('Nothing was appended.')
    return result.offsets.base
  }

  /** Records below this offset are gone. */
  async deleteRecords(topic: string, partition: number, before: number): Promise<void> {
    const [outcome] = await this.log.deleteRecords([{ tp: { topic, partition }, before }], call)
    if (outcome?.error !== undefined) throw outcome.error
  }

  /** Lets everything that is under way come to rest, short of timers. */
  async turns(count = 20): Promise<void> {
    for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve))
  }

  close(): Promise<void> {
    return this.#close()
  }
}
