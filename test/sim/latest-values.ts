/**
 * A compacted topic in a simulated life, with what was promised of it: the newest value of each key is
 * there whatever crashed when, nothing older is shown behind a delete, and an offset never shows two
 * things. One writer, so the values of a key rise; a call without an answer may have been stored.
 */
import assert from 'node:assert/strict'
import type { EmbeddedEngine } from '../../src/engine/embedded/embedded-engine.ts'
import { readRecords } from '../../src/model/batch-reader.ts'
import { writeBatch } from '../../src/model/batch-writer.ts'
import { baseOffsetOf, lastOffsetOf } from '../../src/model/record-batch.ts'
import type { NewRecord } from '../../src/model/record.ts'
import type { SimClock } from '../support/sim-clock.ts'
import type { SimRandom } from '../support/sim-random.ts'

export const latestTopic = 'latest'

const tp = { topic: latestTopic, partition: 0 }
const call = { timeoutMs: 30_000 }
const keys = ['a', 'b', 'c', 'd', 'e']

interface KeyPromise {
  /** What was written, by number; true: a delete. */
  readonly deletes: boolean[]
  /** The highest number that was acknowledged or seen. */
  known: number
}

export class LatestValues {
  readonly #random: SimRandom
  readonly #clock: SimClock
  readonly #promises = new Map<string, KeyPromise>(
    keys.map((key) => [key, { deletes: [true], known: 0 }]),
  )
  /** What each offset has shown. */
  readonly #shown = new Map<number, string>()
  #end = 0
  #isMade = false

  constructor(random: SimRandom, clock: SimClock) {
    this.#random = random
    this.#clock = clock
  }

  /** A write of some keys, or a round of compaction. */
  async step(engine: EmbeddedEngine): Promise<void> {
    if (engine.topics.known(latestTopic) === undefined) await this.#make(engine)
    else if (this.#random.chance(0.2)) await this.#compact(engine)
    else for (let left = this.#random.below(4); left >= 0; left--) await this.#write(engine)
  }

  /** Reads everything and compares it with what was promised. */
  async check(engine: EmbeddedEngine): Promise<void> {
    if (engine.topics.known(latestTopic) === undefined) {
      assert.ok(!this.#isMade, 'the compacted topic is gone')
      return
    }
    this.#isMade = true
    const found = await this.#readAll(engine)
    for (const [key, promise] of this.#promises) this.#checkKey(key, promise, found.get(key) ?? [])
  }

  async #make(engine: EmbeddedEngine): Promise<void> {
    const config = {
      'cleanup.policy': 'compact',
      'segment.bytes': this.#random.pick(['300', '1000']),
      'min.cleanable.dirty.ratio': '0.01',
      'delete.retention.ms': this.#random.pick(['0', '50']),
      'file.delete.delay.ms': this.#random.pick(['0', '20']),
    }
    const topic = { name: latestTopic, partitions: 1, config }
    const [outcome] = await engine.topics.create([topic], call)
    if (outcome!.error !== undefined) throw outcome!.error
    this.#isMade = true
  }

  /** Two checkpoints first: only what the older kept snapshot covers is touched. */
  async #compact(engine: EmbeddedEngine): Promise<void> {
    await engine.checkpoint()
    await engine.checkpoint()
    await engine.compact()
  }

  async #write(engine: EmbeddedEngine): Promise<void> {
    const written = new Map<string, number>()
    const records = Array.from({ length: 1 + this.#random.below(3) }, (): NewRecord => {
      const key = this.#random.pick(keys)
      const { deletes } = this.#promises.get(key)!
      const isDelete = this.#random.chance(0.25)
      const number = deletes.push(isDelete) - 1
      written.set(key, number)
      const text = `${number}`
      return {
        key: Buffer.from(key),
        value: isDelete ? null : Buffer.from(text.padEnd(this.#random.pick([1, 50, 200]), '.')),
        headers: [{ name: 'number', value: Buffer.from(text) }],
      }
    })
    const batch = writeBatch(records, this.#clock.wallMs())
    const [result] = await engine.log.append([{ tp, batch, trusted: true }], call)
    if (result!.error !== undefined) throw result!.error
    this.#end = Math.max(this.#end, result!.offsets!.last + 1)
    for (const [key, number] of written) {
      const promise = this.#promises.get(key)!
      promise.known = Math.max(promise.known, number)
    }
  }

  /** Numbers by key, in the order of their offsets. */
  async #readAll(engine: EmbeddedEngine): Promise<Map<string, number[]>> {
    const found = new Map<string, number[]>()
    const [start] = await engine.log.offsets([{ tp, at: 'earliest' }], call)
    assert.equal(start!.offset, 0, 'compaction moved the log start')
    for (let at = 0, expected = 0; ;) {
      const [slice] = await engine.log.fetch([{ tp, from: at, bytesMax: 500 }], {
        ...call,
        bytesMax: 500,
      })
      if (slice!.error !== undefined) throw slice!.error
      for (const batch of slice!.batches) {
        assert.equal(baseOffsetOf(batch), expected, 'a hole between batches')
        expected = lastOffsetOf(batch) + 1
        for (const { key, headers, offset } of readRecords(batch)) {
          const name = Buffer.from(key!).toString()
          const number = Number(Buffer.from(headers[0]!.value!).toString())
          this.#show(offset, `${name} ${number}`)
          found.set(name, [...(found.get(name) ?? []), number])
        }
      }
      if (slice!.next === slice!.readableEnd) {
        assert.ok(slice!.readableEnd >= this.#end, `the end went back to ${slice!.readableEnd}`)
        this.#end = slice!.readableEnd
        return found
      }
      at = slice!.next
    }
  }

  #show(offset: number, text: string): void {
    assert.equal(this.#shown.get(offset) ?? text, text, `offset ${offset} showed something else`)
    this.#shown.set(offset, text)
  }

  #checkKey(key: string, promise: KeyPromise, numbers: readonly number[]): void {
    const newest = numbers.at(-1)
    for (const [i, number] of numbers.entries()) {
      assert.ok(promise.deletes[number] !== undefined, `phantom ${number} of key ${key}`)
      assert.ok(i === 0 || number > numbers[i - 1]!, `values of key ${key} out of order`)
    }
    if (newest === undefined) {
      const gone = promise.deletes.findLastIndex((isDelete) => isDelete)
      assert.ok(gone >= promise.known, `value ${promise.known} of key ${key} lost`)
      return
    }
    assert.ok(newest >= promise.known, `key ${key} went back from ${promise.known} to ${newest}`)
    promise.known = newest
  }
}
