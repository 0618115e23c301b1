/** Verbs of tests that look at the embedded engine itself: topic `t`, partition 0, one record a batch. */
import assert from 'node:assert/strict'
import type { EmbeddedEngine } from '../../src/engine/embedded/embedded-engine.ts'
import { readRecords } from '../../src/model/batch-reader.ts'
import { writeBatch } from '../../src/model/batch-writer.ts'
import { GatewayError } from '../../src/model/errors.ts'

export const call = { timeoutMs: 5_000 }
export const tp = { topic: 't', partition: 0 }

export function batchOf(value: string, timestamp?: number): Uint8Array {
  const time = timestamp === undefined ? {} : { timestamp }
  return writeBatch([{ key: null, value: Buffer.from(value), headers: [], ...time }], Date.now())
}

export async function append(engine: EmbeddedEngine, value: string): Promise<number> {
  const [result] = await engine.log.append([{ tp, batch: batchOf(value), trusted: true }], call)
  if (result!.error !== undefined) throw result!.error
  return result!.offsets!.base
}

export async function fetch(engine: EmbeddedEngine, from: number, bytesMax = 1_000_000) {
  const [slice] = await engine.log.fetch([{ tp, from, bytesMax }], { ...call, bytesMax })
  return slice!
}

export async function values(engine: EmbeddedEngine, from = 0): Promise<string[]> {
  const { batches, error } = await fetch(engine, from)
  if (error !== undefined) throw error
  return batches
    .flatMap((batch) => readRecords(batch))
    .map(({ value }) => Buffer.from(value!).toString())
}

export async function newTopic(
  engine: EmbeddedEngine,
  config: Record<string, string> = {},
): Promise<void> {
  const [outcome] = await engine.topics.create([{ name: 't', partitions: 1, config }], call)
  if (outcome!.error !== undefined) throw outcome!.error
}

/** For `assert.rejects`: a GatewayError of this code. */
export function code(expected: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof GatewayError, String(error))
    assert.equal(error.code, expected)
    return true
  }
}

/** Lets turns of the event loop pass until the condition holds; no time need pass for it. */
export async function turnsUntil(condition: () => boolean): Promise<void> {
  for (let turns = 0; !condition(); turns++) {
    assert.ok(turns < 20_000, 'the condition did not come true')
    await new Promise((resolve) => setImmediate(resolve))
  }
}
