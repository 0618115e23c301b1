/** A compacted topic `t` with one partition, beside a model of what its keys must read as. */
import assert from 'node:assert/strict'
import type { EmbeddedEngine } from '../../src/engine/embedded/embedded-engine.ts'
import { readRecords } from '../../src/model/batch-reader.ts'
import { baseOffsetOf, lastOffsetOf } from '../../src/model/record-batch.ts'
import type { StoredRecord } from '../../src/model/record.ts'
import type { Codec } from '../../src/model/record-batch.ts'
import { packedBatch } from './packed-batch.ts'
import { call, fetch, tp } from './one-partition.ts'

export const compactedConfig = {
  'cleanup.policy': 'compact',
  'min.cleanable.dirty.ratio': '0',
  'segment.bytes': '600',
}

/** A key and its value; null deletes it. */
export type Write = readonly [key: string, value: string | null]

export interface Written {
  readonly offset: number
  readonly key: string
  readonly value: string | null
}

/** One batch; resolves to what was acknowledged. */
export async function put(
  engine: EmbeddedEngine,
  writes: readonly Write[],
  timestamp: number,
  codec: Codec = 'none',
  to = tp,
): Promise<Written[]> {
  const records = writes.map(([key, value]) => ({
    key: Buffer.from(key),
    value: value === null ? null : Buffer.from(value),
    headers: [],
    timestamp,
  }))
  const [result] = await engine.log.append([{ tp: to, batch: packedBatch(records, codec) }], call)
  if (result!.error !== undefined) throw result!.error
  const { base } = result!.offsets!
  return writes.map(([key, value], i) => ({ offset: base + i, key, value }))
}

/** Everything a reader gets from `from` on, and that no batch begins where the one before did not end. */
export async function readAll(engine: EmbeddedEngine, from = 0, bytesMax = 700) {
  const records: Written[] = []
  let end: number | undefined
  for (let at = from; ;) {
    const { batches, next, error, readableEnd } = await fetch(engine, at, bytesMax)
    if (error !== undefined) throw error
    if (batches.length === 0) {
      assert.equal(at, readableEnd, 'a read stopped before the end')
      return records
    }
    for (const batch of batches) {
      if (end !== undefined) assert.equal(baseOffsetOf(batch), end, 'a batch does not follow')
      end = lastOffsetOf(batch) + 1
      records.push(
        ...readRecords(batch)
          .filter(({ offset }) => offset >= from)
          .map(written),
      )
    }
    assert.ok(next > at, 'a read does not move')
    at = next
  }
}

/** A key's newest value, as a reader who read everything has it. */
export function newest(records: readonly Written[]): Map<string, string> {
  const state = new Map<string, string>()
  for (const { key, value } of records) {
    if (value === null) state.delete(key)
    else state.set(key, value)
  }
  return state
}

/** Two checkpoints: only what the older of two snapshots covers may be compacted. */
export async function settle(engine: EmbeddedEngine): Promise<void> {
  await engine.checkpoint()
  await engine.checkpoint()
}

function written({ offset, key, value }: StoredRecord): Written {
  return {
    offset,
    key: Buffer.from(key ?? []).toString(),
    value: value === null ? null : Buffer.from(value).toString(),
  }
}
