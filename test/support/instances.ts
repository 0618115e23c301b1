/** Consumer instances over the real embedded engine: what the tests of the consume room start from. */
import { Consumers } from '../../src/consume/consumers.ts'
import type { InstanceOptions, Poll } from '../../src/consume/consumers.ts'
import { MemorySessionStore } from '../../src/consume/memory-session-store.ts'
import type { SessionMeter } from '../../src/consume/session-keeper.ts'
import { SessionKeeper } from '../../src/consume/session-keeper.ts'
import type { SessionStore } from '../../src/consume/session-store.ts'
import type { Engine } from '../../src/engine/engine.ts'
import type { Clock } from '../../src/kit/clock.ts'
import { systemClock } from '../../src/kit/clock.ts'
import { silentLogger } from '../../src/kit/logger.ts'
import { systemRandom } from '../../src/kit/random.ts'
import { writeBatch } from '../../src/model/batch-writer.ts'
import { anonymous } from '../../src/model/principal.ts'

export const v2Instance: InstanceOptions = {
  surface: 'v2',
  format: 'json',
  reset: 'earliest',
  autoCommit: false,
  minBytes: 1,
  waitMs: 1_000,
  ttlMs: 300_000,
}

export interface InstanceNode {
  readonly store: SessionStore
  readonly keeper: SessionKeeper
  readonly consumers: Consumers
  close(): Promise<void>
}

/** One gateway node over an engine that the caller opens and closes. */
export async function openNode(
  engine: Engine,
  options: {
    readonly store?: SessionStore
    readonly node?: string
    readonly clock?: Clock
    readonly meter?: SessionMeter
  } = {},
): Promise<InstanceNode> {
  const clock = options.clock ?? systemClock
  const { groups, topics, log } = engine
  const store = options.store ?? new MemorySessionStore({ clock })
  const keeper = new SessionKeeper({
    store,
    groups,
    topics,
    clock,
    random: systemRandom,
    logger: silentLogger,
    node: options.node ?? 'node-1',
    ...(options.meter === undefined ? {} : { meter: options.meter }),
  })
  await keeper.open()
  const consumers = new Consumers({
    store,
    keeper,
    groups,
    log,
    topics,
    clock,
    random: systemRandom,
  })
  return { store, keeper, consumers, close: () => keeper.close() }
}

export async function createTopic(engine: Engine, name: string, partitions = 1): Promise<void> {
  const [outcome] = await engine.topics.create([{ name, partitions }], { timeoutMs: 5_000 })
  if (outcome?.error !== undefined) throw outcome.error
}

/** Appends these texts as one batch. */
export async function append(
  engine: Engine,
  topic: string,
  partition: number,
  values: readonly string[],
): Promise<void> {
  const records = values.map((value) => ({ key: null, value: Buffer.from(value), headers: [] }))
  const batch = writeBatch(records, systemClock.wallMs())
  const entry = { tp: { topic, partition }, batch, trusted: true }
  const [result] = await engine.log.append([entry], { timeoutMs: 5_000 })
  if (result?.error !== undefined) throw result.error
}

export function textsOf(poll: Poll): string[] {
  return poll.records.map(({ value }) => Buffer.from(value ?? []).toString())
}

/** One poll whose answer arrives whole: its values. */
export async function take(
  consumers: Consumers,
  group: string,
  name: string,
  options: { readonly waitMs?: number; readonly bytesMax?: number } = {},
): Promise<string[]> {
  const poll = await consumers.poll(anonymous, group, name, options)
  const texts = textsOf(poll)
  await poll.delivered(poll.records.length)
  return texts
}

/** Polls until so many records came, or fails after `tries` polls. */
export async function takeCount(
  consumers: Consumers,
  group: string,
  name: string,
  count: number,
  tries = 20,
): Promise<string[]> {
  const all: string[] = []
  for (let i = 0; i < tries && all.length < count; i++) {
    all.push(...(await take(consumers, group, name)))
  }
  if (all.length < count) throw new Error(`Only ${all.length} of ${count} records came.`)
  return all
}
