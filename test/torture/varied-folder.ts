/**
 * A data folder of our real engine on the real disk with everything that a segment can hold, and the
 * ledger of what was acknowledged, batch by batch.
 */
import { readFile, readdir } from 'node:fs/promises'
import { directoryLock } from '../../src/engine/embedded/disk/directory-lock.ts'
import { nodeDisk } from '../../src/engine/embedded/disk/node-disk.ts'
import type { EmbeddedEngine } from '../../src/engine/embedded/embedded-engine.ts'
import { createEmbeddedEngine } from '../../src/engine/embedded/embedded-engine.ts'
import type { AppendEntry } from '../../src/engine/log.ts'
import { systemClock } from '../../src/kit/clock.ts'
import { silentLogger } from '../../src/kit/logger.ts'
import { systemRandom } from '../../src/kit/random.ts'
import type { Codec } from '../../src/model/record-batch.ts'
import { codecOf, codecs, maxTimestampOf, setBaseOffset } from '../../src/model/record-batch.ts'
import type { NewRecord, RecordHeader } from '../../src/model/record.ts'
import { packedBatch } from '../support/packed-batch.ts'
import type { BatchLine, RecordLine } from '../support/segment-batches.ts'
import { batchesIn, recordLine } from '../support/segment-batches.ts'
import type { SimRandom } from '../support/sim-random.ts'

const MiB = 1024 * 1024
const foreign = new URL('../fixtures/kafka-segments/', import.meta.url)
const timeoutMs = 30_000
const startMs = 1_700_000_000_000
/** Small, so that there are many. */
const segmentBytes = 65_536

interface TopicShape {
  readonly name: string
  readonly partitions: number
  readonly config?: Readonly<Record<string, string>>
}

const topics: readonly TopicShape[] = [
  { name: 'plain', partitions: 2 },
  { name: 'packed', partitions: 2 },
  { name: 'append-time', partitions: 1, config: { 'message.timestamp.type': 'LogAppendTime' } },
  // Its times jump by years, which would begin a segment with nearly every batch.
  { name: 'Wild._-times', partitions: 1, config: { 'segment.ms': '9007199254740991' } },
  { name: 'large', partitions: 1 },
  { name: 'single', partitions: 1 },
  { name: 'foreign', partitions: 1 },
  { name: 'nothing', partitions: 1 },
]

const headerNames = [
  'plain',
  'plain',
  '',
  'naïve, "odd"',
  'two\nlines',
  '键 🎉',
  ' ',
  'a'.repeat(300),
]

/** Opens the engine of a data folder. */
export async function openFolder(data: string): Promise<EmbeddedEngine> {
  const engine = createEmbeddedEngine({
    disk: nodeDisk(data),
    lock: directoryLock(data, systemClock),
    clock: systemClock,
    random: systemRandom,
    logger: silentLogger,
    members: 'memory',
    journalSizes: { firstFileBytes: 20 * MiB, fileBytes: 20 * MiB },
  })
  await engine.open()
  return engine
}

export class VariedFolder {
  /** What was acknowledged, in offset order, by the name of the partition's folder. */
  readonly ledger = new Map<string, BatchLine[]>()
  /** Codecs of foreign batches that the engine does not take. */
  readonly refused = new Set<string>()
  readonly #random: SimRandom
  #step = 0

  constructor(random: SimRandom) {
    this.#random = random
  }

  async createTopics(engine: EmbeddedEngine): Promise<void> {
    const wanted = topics.map(({ name, partitions, config }) => ({
      name,
      partitions,
      config: { 'segment.bytes': String(segmentBytes), ...config },
    }))
    for (const { error } of await engine.topics.create(wanted, { timeoutMs })) {
      if (error !== undefined) throw error
    }
  }

  /** One batch to each partition of the topics that grow, `times` over. */
  async write(engine: EmbeddedEngine, times: number): Promise<void> {
    for (let i = 0; i < times; i++) {
      this.#step++
      const wild = this.#records((at) => this.#wildTime(at))
      const batches: [topic: string, partition: number, batch: Uint8Array, records: NewRecord[]][] =
        []
      const add = (topic: string, partition: number, codec: Codec, records: NewRecord[]): void =>
        void batches.push([topic, partition, packedBatch(records, codec), records])
      for (const partition of [0, 1]) {
        add('plain', partition, 'none', this.#records())
        add('packed', partition, this.#random.pick(codecs), this.#records())
      }
      add('append-time', 0, this.#random.pick(codecs), this.#records())
      add('Wild._-times', 0, this.#random.pick(codecs), wild)
      if (this.#step % 20 === 0) add('large', 0, 'none', this.#largeRecord())
      if (this.#step === 1) add('single', 0, 'none', [this.#record(startMs)])
      await this.#append(engine, batches)
    }
  }

  /** Batches that a Java producer made; those in a codec that is not supported are noted. */
  async writeForeign(engine: EmbeddedEngine): Promise<void> {
    for (const name of (await readdir(foreign)).filter((each) => /^codec-.*\.log$/.test(each))) {
      const reading = await readFile(new URL(name.replace('.log', '.jsonl'), foreign), 'utf8')
      const lines = reading.trimEnd().split('\n')
      const batches = batchesIn(await readFile(new URL(name, foreign)))
      for (const [i, stored] of batches.entries()) {
        const line = JSON.parse(lines[i]!) as BatchLine
        const batch = Uint8Array.from(stored)
        setBaseOffset(batch, 0)
        const tp = { topic: 'foreign', partition: 0 }
        const [result] = await engine.log.append([{ tp, batch }], { timeoutMs })
        if (result?.error?.code === 'UNSUPPORTED') this.refused.add(String(codecOf(batch)))
        else if (result?.offsets === undefined) throw result?.error ?? new Error('No answer.')
        else {
          const by = result.offsets.base - line.baseOffset
          const records = line.records!.map((each) => ({ ...each, offset: each.offset + by }))
          this.#note('foreign-0', batch, result.offsets.base, records, false)
        }
      }
    }
  }

  async #append(
    engine: EmbeddedEngine,
    batches: readonly (readonly [string, number, Uint8Array, readonly NewRecord[]])[],
  ): Promise<void> {
    const entries = batches.map(([topic, partition, batch]): AppendEntry => {
      // Ours come as ours now and then, so that both ways into the log are taken.
      const trusted = topic === 'plain' && this.#random.chance(0.5)
      return { tp: { topic, partition }, batch, ...(trusted ? { trusted } : {}) }
    })
    const results = await engine.log.append(entries, { timeoutMs })
    for (const [i, { offsets, logAppendTime, error }] of results.entries()) {
      if (offsets === undefined) throw error ?? new Error('No answer.')
      const [topic, partition, batch, records] = batches[i]!
      const lines = records.map((record, n) =>
        recordLine(record, offsets.base + n, logAppendTime ?? record.timestamp!),
      )
      const isAppendTime = logAppendTime !== undefined
      this.#note(`${topic}-${partition}`, batch, offsets.base, lines, isAppendTime)
    }
  }

  #note(
    folder: string,
    batch: Uint8Array,
    baseOffset: number,
    records: readonly RecordLine[],
    logAppendTime: boolean,
  ): void {
    const lines = this.ledger.get(folder) ?? []
    this.ledger.set(folder, lines)
    lines.push({
      baseOffset,
      lastOffset: baseOffset + records.length - 1,
      count: records.length,
      bytes: batch.length,
      codec: codecOf(batch),
      logAppendTime,
      maxTimestamp: logAppendTime ? maxTimestampOf(batch) : maxTimeOf(records),
      producerId: -1,
      transactional: false,
      control: false,
      deleteHorizon: false,
      records,
    })
  }

  /** Times rise, with a step back now and then as from clients whose clocks differ. */
  #records(time = (at: number) => at - this.#random.below(50)): NewRecord[] {
    const count = this.#random.chance(0.2) ? 1 : 1 + this.#random.below(25)
    return Array.from({ length: count }, (_, i) =>
      this.#record(time(startMs + this.#step * 1000 + i)),
    )
  }

  #largeRecord(): NewRecord[] {
    const value = this.#random.bytes(segmentBytes + this.#random.below(segmentBytes))
    return [{ key: null, value, headers: [], timestamp: startMs + this.#step }]
  }

  #record(timestamp: number): NewRecord {
    const random = this.#random
    const field = (most: number): Uint8Array | null =>
      random.chance(0.15) ? null : random.bytes(random.below(most))
    const headers = Array.from(
      { length: random.chance(0.7) ? 0 : random.below(5) },
      (): RecordHeader => ({ name: random.pick(headerNames), value: field(20) }),
    )
    return { key: field(16), value: field(200), headers, timestamp }
  }

  #wildTime(at: number): number {
    const random = this.#random
    return random.pick([at, at, 0, 1, random.below(at), Date.now() + random.below(3_000_000)])
  }
}

function maxTimeOf(records: readonly RecordLine[]): number {
  return Math.max(...records.map(({ timestamp }) => timestamp))
}
