/**
 * A topic is made, grown, altered, deleted, and deleted and made again, and the machine goes down at
 * every single operation of the disk. Afterwards each step is wholly there or wholly not, what was
 * answered is there, and the folders are those of the topics.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import type { EmbeddedEngine } from '../../../src/engine/embedded/embedded-engine.ts'
import { readRecords } from '../../../src/model/batch-reader.ts'
import type { TestEngine } from '../../support/engine.ts'
import { openTestEngine } from '../../support/engine.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import type { TopicPartition } from '../../../src/model/topic.ts'
import { batchOf } from '../../support/one-partition.ts'
import { seededRandom } from '../../support/seeded-random.ts'
import { SimDisk } from '../../support/sim-disk.ts'
import type { Chance } from '../../support/sim-disk.ts'
import { SimRandom } from '../../support/sim-random.ts'

const call = { timeoutMs: 1_000_000 }
const journalSizes = { firstFileBytes: 65_536, fileBytes: 65_536 }

type Step = (engine: EmbeddedEngine) => Promise<unknown>

const create =
  (name: string, partitions: number, config: Record<string, string> = {}): Step =>
  (engine) =>
    settled(engine.topics.create([{ name, partitions, config }], call))
const grow =
  (name: string, partitions: number): Step =>
  (engine) =>
    settled(engine.topics.grow([{ name, partitions }], call))
const remove =
  (name: string): Step =>
  (engine) =>
    settled(engine.topics.delete([name], call))
const set =
  (topic: string, name: string, value: string): Step =>
  (engine) =>
    engine.topics.alterConfigs({ type: 'topic', name: topic }, [{ op: 'set', name, value }], call)
const append =
  (topic: string, partition: number, value: string): Step =>
  (engine) =>
    settled(engine.log.append([{ tp: { topic, partition }, batch: batchOf(value, 1) }], call))

async function settled(outcomes: Promise<readonly { readonly error?: Error }[]>): Promise<void> {
  for (const { error } of await outcomes) if (error !== undefined) throw error
}

/** What is there before: one topic in a checkpoint, with a record that only the journal has. */
const prepare: readonly Step[] = [
  create('t', 2, { 'retention.ms': '-1' }),
  create('other', 1),
  append('t', 0, 'checkpointed'),
  append('other', 0, 'untouched'),
  (engine) => engine.checkpoint(),
  append('t', 1, 'in the journal'),
]

const changes: Readonly<Record<string, readonly Step[]>> = {
  'made, and written to': [create('new', 3, { 'segment.bytes': '1000' }), append('new', 2, 'a')],
  'grown, and written to': [grow('t', 4), append('t', 3, 'a'), append('t', 0, 'b')],
  altered: [
    set('t', 'segment.bytes', '1000'),
    append('t', 0, 'a'.repeat(900)),
    append('t', 0, 'b'),
  ],
  deleted: [remove('t'), append('other', 0, 'a')],
  'deleted and made again': [remove('t'), create('t', 1), append('t', 0, 'new')],
  'grown, altered and deleted': [grow('t', 3), set('t', 'retention.ms', '5'), remove('t')],
}

const powerCuts: readonly (readonly [what: string, chance: (at: number) => Chance])[] = [
  ['all that was not synced is lost', () => () => 0.99],
  ['all that was not synced survives', () => () => 0],
  ['chance decides what survives', (at) => seededRandom(at)],
]

for (const [title, steps] of Object.entries(changes)) {
  test(`a topic that is ${title} is whole after a power cut at any moment`, async (t) => {
    const states = await statesAfter(steps)
    const base = await preparedDisk()
    let points = 0
    for (const [what, chance] of powerCuts) {
      for (let at = 1; ; at++) {
        const crash = await liveUntil(base.clone(), steps, at, chance(at))
        if (crash === undefined) break
        points++
        const { acked, disk } = crash
        const where = `${what}, operation ${at}, ${acked} steps answered`
        const found = await stateAfterCrash(disk, where)
        const possible = [states[acked]!, states[acked + 1]]
        const isOne = possible.some((state) => isDeepStrictEqual(found, state))
        assert.ok(isOne, `${where}: found ${JSON.stringify(found)} of ${JSON.stringify(possible)}`)
      }
    }
    t.diagnostic(`${points} crash points`)
    // Less would mean that the moments between the operations were not met.
    assert.ok(points > 100, `${points} crash points`)
  })
}

async function open(disk: SimDisk): Promise<TestEngine> {
  const random = new SimRandom(disk.files().size)
  return openTestEngine({ disk, clock: new ManualClock(), random, journalSizes })
}

/** The disk of an engine that was killed behind its last answer. */
async function preparedDisk(): Promise<SimDisk> {
  const disk = new SimDisk()
  const { engine } = await open(disk)
  for (const step of prepare) await step(engine)
  return disk.clone()
}

/** What there is before the first step and after each, when nothing goes wrong. */
async function statesAfter(steps: readonly Step[]): Promise<unknown[]> {
  const { engine, close } = await open(await preparedDisk())
  const states = [await stateOf(engine)]
  for (const step of steps) {
    await step(engine)
    states.push(await stateOf(engine))
  }
  await close()
  return states
}

interface Crash {
  /** Steps that were answered before it. */
  readonly acked: number
  /** What it left, out of reach of the process before. */
  readonly disk: SimDisk
}

/**
 * Opens the engine, takes the steps, makes a checkpoint and stops. The power is cut at operation `at`
 * behind the opening; undefined when there were not so many.
 */
async function liveUntil(
  disk: SimDisk,
  steps: readonly Step[],
  at: number,
  chance: Chance,
): Promise<Crash | undefined> {
  const { engine, close } = await open(disk)
  let acked = 0
  const first = disk.operations
  return new Promise((resolve, reject) => {
    disk.onOperation = () => {
      if (disk.operations - first < at) return
      disk.onOperation = undefined
      resolve({ acked, disk: afterPowerCut(disk, chance) })
    }
    const work = async (): Promise<void> => {
      for (const step of steps) {
        await step(engine)
        acked++
      }
      await engine.checkpoint()
      await close()
      disk.onOperation = undefined
      resolve(undefined)
    }
    // After the power cut the process before may notice that its disk is gone: nobody asks it.
    work().catch(reject)
  })
}

function afterPowerCut(disk: SimDisk, chance: Chance): SimDisk {
  disk.crash(chance)
  return disk.clone()
}

/** What a start finds; it must be found again, the folders must fit, and all must go on. */
async function stateAfterCrash(crashed: SimDisk, where: string): Promise<unknown> {
  const first = await open(crashed)
  const state = await stateOf(first.engine)
  const disk = afterPowerCut(crashed, () => 0.99)
  const { engine, close } = await open(disk)
  assert.deepEqual(await stateOf(engine), state, `${where}: the second start differs`)
  const folders = new Map<string, string>()
  for (const { name, id, partitions } of await engine.topics.list('all', call)) {
    for (const partition of partitions) {
      folders.set(`${name}-${partition.id}`, id)
      await append(name, partition.id, 'goes on')(engine)
    }
  }
  await close()
  assert.deepEqual(await foldersOf(disk), folders, `${where}: folders`)
  return state
}

/** Everything that callers may see: topics with ids, settings, and the values in their partitions. */
async function stateOf(engine: EmbeddedEngine): Promise<unknown> {
  const state: unknown[] = []
  const topics = await engine.topics.list('all', call)
  for (const { name, id, partitions } of topics) {
    const configs = await engine.topics.configs({ type: 'topic', name }, call)
    const own = configs.filter(({ source }) => source === 'topic')
    const values: string[][] = []
    for (const partition of partitions) {
      const tp = { topic: name, partition: partition.id }
      values.push(await valuesOf(engine, tp))
    }
    state.push({ name, id, own: own.map((config) => [config.name, config.value]), values })
  }
  return state
}

async function valuesOf(engine: EmbeddedEngine, tp: TopicPartition): Promise<string[]> {
  const values: string[] = []
  for (let from = 0; ;) {
    const request = { tp, from, bytesMax: 1_000_000 }
    const [slice] = await engine.log.fetch([request], { ...call, bytesMax: 1_000_000 })
    if (slice!.error !== undefined) throw slice!.error
    for (const record of slice!.batches.flatMap((batch) => readRecords(batch))) {
      values.push(Buffer.from(record.value!).toString())
    }
    slice!.release()
    if (slice!.next === from) return values
    from = slice!.next
  }
}

/** Each folder below `logs/` with the topic id that it names. */
async function foldersOf(disk: SimDisk): Promise<Map<string, string>> {
  const folders = new Map<string, string>()
  for (const name of await disk.list('logs')) {
    const metadata = disk.bytesOf(`logs/${name}/partition.metadata`).toString()
    folders.set(name, /topic_id: (\S+)/.exec(metadata)?.[1] ?? metadata)
  }
  return folders
}
