/** The embedded engine on the real disk of this machine, in a folder of its own. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { EmbeddedEngine } from '../../src/engine/embedded/embedded-engine.ts'
import { createEmbeddedEngine } from '../../src/engine/embedded/embedded-engine.ts'
import { nodeDisk } from '../../src/engine/embedded/disk/node-disk.ts'
import { systemClock } from '../../src/kit/clock.ts'
import { silentLogger } from '../../src/kit/logger.ts'
import { systemRandom } from '../../src/kit/random.ts'
import { writeBatch } from '../../src/model/batch-writer.ts'
import type { NewRecord } from '../../src/model/record.ts'

const call = { timeoutMs: 60_000 }
const valueBytes = 200

export interface EngineSubject {
  readonly engine: EmbeddedEngine
  readonly folder: string
  createTopic(name: string, partitions: number, config?: Record<string, string>): Promise<void>
  append(topic: string, partition: number, batch: Uint8Array): Promise<void>
  close(): Promise<void>
}

export async function openEngine(folder?: string): Promise<EngineSubject> {
  const home = folder ?? (await mkdtemp(join(tmpdir(), 'ebbgate-bench-')))
  const engine = createEmbeddedEngine({
    disk: nodeDisk(home),
    clock: systemClock,
    random: systemRandom,
    logger: silentLogger,
    members: 'memory',
  })
  await engine.open()
  return {
    engine,
    folder: home,
    async createTopic(name, partitions, config = {}) {
      const [outcome] = await engine.topics.create([{ name, partitions, config }], call)
      if (outcome?.error !== undefined) throw outcome.error
    },
    async append(topic, partition, batch) {
      const entry = { tp: { topic, partition }, batch, trusted: true }
      const [result] = await engine.log.append([entry], call)
      if (result?.error !== undefined) throw result.error
    },
    async close() {
      await engine.close()
      if (folder === undefined) await rm(home, { recursive: true, force: true })
    },
  }
}

/** One batch of records with values of 200 bytes. The engine keeps what it is given: each is used once. */
export function batchOf(records: number): Uint8Array {
  return writeBatch(recordsOf(records), Date.now())
}

const records: NewRecord[] = []

function recordsOf(count: number): readonly NewRecord[] {
  while (records.length < count) {
    const value = Buffer.alloc(valueBytes, 'x')
    value.write(String(records.length))
    records.push({ key: null, value, headers: [] })
  }
  return count === records.length ? records : records.slice(0, count)
}
