/** Keys over time, restarts, crashes and damage; what they do in one life stands in the engine suite. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { EmbeddedEngine } from '../../../../src/engine/embedded/embedded-engine.ts'
import { keyTopic } from '../../../../src/engine/embedded/transaction/idempotency-keys.ts'
import type { AppendResult } from '../../../../src/engine/log.ts'
import type { OneShot, OneShotResult } from '../../../../src/engine/transactions.ts'
import { readRecords } from '../../../../src/model/batch-reader.ts'
import { GatewayError } from '../../../../src/model/errors.ts'
import { openTestEngine } from '../../../support/engine.ts'
import { HeldDisk } from '../../../support/held-disk.ts'
import { ManualClock } from '../../../support/manual-clock.ts'
import {
  batchOf,
  call,
  code,
  newTopic as makeTopic,
  tp,
  turnsUntil,
} from '../../../support/one-partition.ts'
import { SimDisk } from '../../../support/sim-disk.ts'
import { SimRandom } from '../../../support/sim-random.ts'

const hour = 3_600_000
const year = 365 * 24 * hour
const keyPartition = { topic: keyTopic, partition: 0 }

type Key = NonNullable<OneShot['key']>

function keyOf(value: string, ttlMs = hour, space = 's'): Key {
  return { value, space, ttlMs, fingerprint: Buffer.from(value) }
}

/** Clocks stand where their tests put them, so records bring their own times. */
const batch = (value: string): Uint8Array => batchOf(value, 1000)

/** Those times are long ago, which is no news to retention here. */
function newTopic(engine: EmbeddedEngine, config: Record<string, string> = {}): Promise<void> {
  return makeTopic(engine, { 'retention.ms': '-1', ...config })
}

async function append(engine: EmbeddedEngine, value: string): Promise<void> {
  const [result] = await engine.log.append([{ tp, batch: batch(value) }], call)
  assert.equal(result!.error, undefined)
}

/** All records of a partition of topic `t`. */
async function values(engine: EmbeddedEngine, partition = 0): Promise<string[]> {
  const found: string[] = []
  for (let from = 0; ;) {
    const request = { tp: { topic: 't', partition }, from, bytesMax: 1_000_000 }
    const [slice] = await engine.log.fetch([request], { ...call, bytesMax: 1_000_000 })
    const { batches, next, readableEnd, error } = slice!
    assert.equal(error, undefined)
    const records = batches.flatMap((one) => readRecords(one))
    found.push(...records.map(({ value }) => Buffer.from(value!).toString()))
    if (next >= readableEnd) return found
    from = next
  }
}

/** One record, whose value is the key's. */
function once(engine: EmbeddedEngine, key: Key, timeoutMs = 5000): Promise<OneShotResult> {
  const entries = [{ tp, batch: batch(key.value), trusted: true }]
  return engine.transactions.transact({ entries, key }, { timeoutMs })
}

const isRepeated = async (engine: EmbeddedEngine, key: Key): Promise<boolean> =>
  (await once(engine, key)).deduplicated

/** Where the log of the keys begins and ends. */
async function keyLog(engine: EmbeddedEngine): Promise<[start: number, end: number]> {
  const answers = await engine.log.offsets(
    [
      { tp: keyPartition, at: 'earliest' },
      { tp: keyPartition, at: 'latest' },
    ],
    call,
  )
  return [answers[0]!.offset, answers[1]!.offset]
}

/** Time goes by in steps, so that the sweeps find their turns. */
async function pass(clock: ManualClock, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 60_000) {
    clock.advance(Math.min(left, 60_000))
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
  }
}

describe('the window of a key', () => {
  test('goes by the time of service: wrong clocks and long stops expire nothing early', async () => {
    const disk = new SimDisk()
    const key = keyOf('k')
    let clock = new ManualClock()
    let opened = await openTestEngine({ disk, clock })
    await newTopic(opened.engine)
    await once(opened.engine, key)
    for (const jumpMs of [10 * year, -20 * year, 10 * year]) {
      clock.jumpWall(jumpMs)
      assert.equal(await isRepeated(opened.engine, key), true)
    }
    await pass(clock, 0.5 * hour)
    assert.equal(await isRepeated(opened.engine, key), true)
    await opened.close()
    for (const wallMs of [20 * year, 60 * year, 55 * year]) {
      clock = new ManualClock(wallMs)
      opened = await openTestEngine({ disk, clock })
      assert.equal(await isRepeated(opened.engine, key), true, `a start at ${wallMs}`)
      await opened.close()
    }
    clock = new ManualClock()
    opened = await openTestEngine({ disk, clock })
    await pass(clock, 0.4 * hour)
    assert.equal(await isRepeated(opened.engine, key), true)
    await pass(clock, 0.2 * hour)
    assert.equal(await isRepeated(opened.engine, key), false)
    assert.deepEqual(await values(opened.engine), ['k', 'k'])
    await opened.close()
  })

  test('ends with its record: the log of the keys goes up to the oldest that is known', async () => {
    const clock = new ManualClock()
    const known: number[] = []
    const meter = { idempotencyKeys: (count: number) => void known.push(count) }
    const { engine, close } = await openTestEngine({ clock, meter })
    await newTopic(engine)
    await once(engine, keyOf('long', 3 * hour, 'other'))
    for (let i = 0; i < 5; i++) await once(engine, keyOf(`k${i}`))
    await pass(clock, 2 * hour)
    assert.deepEqual(await keyLog(engine), [0, 6])
    assert.equal(known.at(-1), 1)
    await pass(clock, 2 * hour)
    assert.deepEqual(await keyLog(engine), [6, 6])
    assert.equal(known.at(-1), 0)
    assert.equal(await isRepeated(engine, keyOf('k0')), false)
    await close()
  })

  test('is cut short where a space has more keys than its budget, and the age of the lost one is told', async () => {
    const clock = new ManualClock()
    const disk = new SimDisk()
    const windows: number[] = []
    const meter = { idempotencyWindow: (seconds: number) => void windows.push(seconds) }
    const options = { clock, disk, meter, keysPerSpace: 3 }
    const { engine } = await openTestEngine(options)
    await newTopic(engine)
    await once(engine, keyOf('mine', hour, 'quiet'))
    for (const name of ['a', 'b', 'c']) await once(engine, keyOf(name))
    assert.deepEqual(windows, [])
    await pass(clock, 600_000)
    await once(engine, keyOf('d'))
    assert.deepEqual(windows, [600])
    const again = await openTestEngine({ ...options, disk: disk.clone() })
    for (const one of [engine, again.engine]) {
      assert.equal(await isRepeated(one, keyOf('mine', hour, 'quiet')), true)
      for (const name of ['b', 'c', 'd']) assert.equal(await isRepeated(one, keyOf(name)), true)
      assert.equal(await isRepeated(one, keyOf('a')), false)
    }
    await engine.close()
    await again.close()
  })
})

describe('a key whose first call is still on its way', () => {
  test('waits for it, and both get the same answer', async () => {
    const disk = new HeldDisk()
    const { engine, close } = await openTestEngine({ disk })
    await newTopic(engine)
    await once(engine, keyOf('makes the topic'))
    await turnsUntil(() => engine.log.pressure.inFlightBytes === 0)
    disk.isHeld = (what, path) => what === 'write' && path.endsWith('.jnl')
    const key = keyOf('k')
    const answered: string[] = []
    const calls = ['first', 'second', 'third'].map(async (name) => {
      const answer = await once(engine, key)
      answered.push(name)
      return answer
    })
    await turnsUntil(() => disk.held.length === 1)
    const recalled = engine.transactions.recall(key, call)
    for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve))
    assert.deepEqual(answered, [])
    disk.letGo()
    const [first, second, third] = await Promise.all(calls)
    assert.deepEqual([first!.deduplicated, second!.deduplicated], [false, true])
    assert.deepEqual(second!.results, first!.results)
    assert.deepEqual(third, second)
    assert.deepEqual((await recalled)?.results, first!.results)
    await close()
  })

  test('that lost its patience is settled by the repetition', async () => {
    const disk = new HeldDisk()
    const clock = new ManualClock()
    const { engine, close } = await openTestEngine({ disk, clock })
    await newTopic(engine)
    await once(engine, keyOf('makes the topic'))
    await turnsUntil(() => engine.log.pressure.inFlightBytes === 0)
    disk.isHeld = (what, path) => what === 'write' && path.endsWith('.jnl')
    const key = keyOf('k')
    const first = once(engine, key, 100)
    const refused = assert.rejects(first, code('TIMEOUT'))
    await turnsUntil(() => disk.held.length === 1)
    clock.advance(200)
    await refused
    const impatient = assert.rejects(once(engine, key, 100), code('TIMEOUT'))
    const second = once(engine, key, 60_000)
    await turnsUntil(() => engine.log.pressure.inFlightBytes > 0)
    clock.advance(200)
    await impatient
    disk.letGo()
    const { deduplicated, results } = await second
    assert.deepEqual([deduplicated, results[0]!.offsets], [true, { base: 1, last: 1 }])
    assert.deepEqual(await values(engine), ['makes the topic', 'k'])
    await close()
  })

  test('and is lost with the machine answers nobody, and runs when it is repeated', async () => {
    const disk = new HeldDisk()
    const { engine } = await openTestEngine({ disk })
    await newTopic(engine)
    await once(engine, keyOf('makes the topic'))
    await turnsUntil(() => engine.log.pressure.inFlightBytes === 0)
    disk.isHeld = (what, path) => what === 'write' && path.endsWith('.jnl')
    const key = keyOf('k')
    let answers = 0
    for (let i = 0; i < 2; i++)
      once(engine, key).then(
        () => answers++,
        () => undefined,
      )
    await turnsUntil(() => disk.held.length === 1)
    disk.crash(() => 0.99)
    disk.letGo()
    const again = await openTestEngine({ disk })
    assert.equal(answers, 0)
    assert.equal(await isRepeated(again.engine, key), false)
    assert.deepEqual(await values(again.engine), ['makes the topic', 'k'])
    await again.close()
  })
})

describe('a repetition', () => {
  test('is answered on a disk without room, where a new call is refused', async () => {
    const clock = new ManualClock()
    const disk = new SimDisk()
    const { engine, close } = await openTestEngine({ clock, disk })
    await newTopic(engine)
    await once(engine, keyOf('k'))
    disk.free = 0
    await pass(clock, 2000)
    await assert.rejects(once(engine, keyOf('new')), code('DISK_FULL'))
    assert.equal(await isRepeated(engine, keyOf('k')), true)
    disk.free = 100 * 1024 ** 3
    for (let second = 0; second < 10; second++) await pass(clock, 1000)
    assert.equal(await isRepeated(engine, keyOf('new')), false)
    await close()
  })

  test('is one call, however often, in whatever order and life it comes', async (t) => {
    const seed = Number(process.env['KEYS_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
    t.diagnostic(`KEYS_SEED=${seed}`)
    const random = new SimRandom(seed)
    const disk = new SimDisk()
    let opened = await openTestEngine({ disk, hotTailBytes: random.pick([0, 100_000]) })
    await newTopic(opened.engine, { 'segment.bytes': '500' })
    const names = Array.from({ length: 40 }, (_, i) => `k${i}`)
    const calls = names.flatMap((name) => Array<string>(1 + random.below(5)).fill(name))
    calls.sort(() => random.unit() - 0.5)
    const answers = new Map<string, OneShotResult[]>()
    while (calls.length > 0) {
      const together = calls.splice(0, 1 + random.below(12))
      const { engine } = opened
      const between = random.pick<() => Promise<unknown>>([
        () => engine.checkpoint(),
        () => append(engine, 'other'),
        async () => {
          const partitions = engine.topics.known('t')!.partitions.length + 1
          await engine.topics.grow([{ name: 't', partitions }], call)
        },
      ])()
      const told = await Promise.all(together.map((name) => once(engine, keyOf(name))))
      await between
      for (const [i, name] of together.entries()) {
        answers.set(name, [...(answers.get(name) ?? []), told[i]!])
      }
      if (random.chance(0.3)) {
        if (random.chance(0.5)) await opened.close()
        else disk.crash(() => random.unit())
        opened = await openTestEngine({ disk })
      }
    }
    const stored = new Map<string, number>()
    for (const value of await values(opened.engine)) {
      stored.set(value, (stored.get(value) ?? 0) + 1)
    }
    for (const [name, told] of answers) {
      assert.equal(stored.get(name), 1, name)
      assert.equal(told.filter(({ deduplicated }) => !deduplicated).length, 1, name)
      for (const { results } of told) assert.deepEqual(results, told[0]!.results)
    }
    await opened.close()
  })

  test('after a power cut at any disk operation finds the first call whole or runs itself', async (t) => {
    const keys = ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => keyOf(name))
    const group = { groupId: 'g' }
    /** Resolves when the work is done; `acked` says what had been answered by then. */
    const work = async (engine: EmbeddedEngine, acked: Map<string, AppendResult[]>) => {
      const run = async (key: Key): Promise<void> => {
        acked.set(key.value, [...(await carry(engine, key)).results])
      }
      await engine.topics.create([{ name: 't', partitions: 2 }], call)
      await run(keys[0]!)
      await Promise.all([run(keys[1]!), engine.checkpoint(), run(keys[2]!)])
      await run(keys[3]!)
      await engine.checkpoint()
      await Promise.all([run(keys[4]!), run(keys[5]!)])
    }
    /** Two partitions and a commit under one key. */
    const carry = (engine: EmbeddedEngine, key: Key) =>
      engine.transactions.transact(
        {
          entries: [0, 1].map((partition) => ({
            tp: { topic: 't', partition },
            batch: batch(key.value),
          })),
          offsets: { group, commits: [{ tp, offset: 1, metadata: key.value }] },
          key,
        },
        call,
      )
    const journalSizes = { firstFileBytes: 65_536, fileBytes: 65_536 }
    let points = 0
    for (let cutAt = 1; ; cutAt++) {
      const random = new SimRandom(cutAt)
      const disk = new SimDisk()
      const before = await openTestEngine({ disk, journalSizes, clock: new ManualClock() })
      const acked = new Map<string, AppendResult[]>()
      const cut = new Promise<'cut'>((resolve) => {
        const from = disk.operations
        disk.onOperation = () => {
          if (disk.operations - from !== cutAt) return
          disk.crash(() => random.unit())
          resolve('cut')
        }
      })
      const outcome = await Promise.race([work(before.engine, acked).then(() => 'done'), cut])
      disk.onOperation = undefined
      if (outcome === 'done') break
      points++
      const promised = new Map(acked)
      const after = await openTestEngine({ disk, journalSizes, clock: new ManualClock() })
      if (after.engine.topics.known('t') === undefined) {
        assert.equal(promised.size, 0)
        await after.engine.topics.create([{ name: 't', partitions: 2 }], call)
      }
      for (const key of keys) {
        const answer = await carry(after.engine, key)
        const first = promised.get(key.value)
        if (first === undefined) continue
        assert.equal(answer.deduplicated, true, `operation ${cutAt}, key ${key.value}`)
        assert.deepEqual(answer.results, first, `operation ${cutAt}, key ${key.value}`)
      }
      const [left, right] = [await values(after.engine), await values(after.engine, 1)]
      assert.deepEqual(
        [...left].sort(),
        keys.map(({ value }) => value),
        `operation ${cutAt}`,
      )
      assert.deepEqual(right, left, `operation ${cutAt}`)
      await after.close()
    }
    t.diagnostic(`${points} crash points`)
    assert.ok(points > 50)
  })
})

describe('a damaged key record', () => {
  const folder = `logs/${keyTopic}-0`

  /** Six keys on a disk, after a clean stop; the third has a flipped bit in its record. */
  async function damaged(): Promise<{ disk: SimDisk; clock: ManualClock }> {
    const disk = new SimDisk()
    const clock = new ManualClock()
    const { engine, close } = await openTestEngine({ disk, clock })
    await newTopic(engine)
    for (let i = 0; i < 6; i++) await once(engine, keyOf(`k${i}`, 24 * hour))
    await close()
    flipThird(disk)
    return { disk, clock }
  }

  function flipThird(disk: SimDisk): void {
    const path = `${folder}/${'0'.repeat(20)}.log`
    const bytes = disk.bytesOf(path)
    const at = 2 * (bytes.length / 6) + 120
    disk.damage(path, at, Uint8Array.of(bytes[at]! ^ 4))
  }

  test('is an honest error for its key and for new ones, and the others are answered', async () => {
    const { disk, clock } = await damaged()
    const { engine, close } = await openTestEngine({ disk, clock })
    for (const name of ['k0', 'k1', 'k3', 'k5']) {
      assert.equal(await isRepeated(engine, keyOf(name)), true, name)
    }
    for (const name of ['k2', 'new']) {
      const error = await once(engine, keyOf(name)).catch((thrown: unknown) => thrown)
      assert.ok(error instanceof GatewayError)
      assert.deepEqual([error.code, error.applied], ['CORRUPT_BATCH', 'maybe'])
    }
    await append(engine, 'without a key')
    assert.equal((await values(engine)).length, 7)
    await pass(clock, 24 * hour)
    assert.equal(await isRepeated(engine, keyOf('new')), false)
    await close()
  })

  test('that rots while the engine runs is an honest error for its key alone', async () => {
    const disk = new SimDisk()
    const { engine, close } = await openTestEngine({ disk, hotTailBytes: 0 })
    await newTopic(engine)
    for (let i = 0; i < 6; i++) await once(engine, keyOf(`k${i}`))
    await engine.checkpoint()
    flipThird(disk)
    await assert.rejects(once(engine, keyOf('k2')), code('CORRUPT_BATCH'))
    assert.equal(await isRepeated(engine, keyOf('k3')), true)
    assert.equal(await isRepeated(engine, keyOf('new')), false)
    assert.equal((await values(engine)).length, 7)
    await close()
  })
})

test('keyed calls wait until the keys were read, other calls do not', async () => {
  const disk = new HeldDisk()
  const first = await openTestEngine({ disk })
  await newTopic(first.engine)
  await once(first.engine, keyOf('k'))
  await first.close()
  const clock = new ManualClock()
  disk.isHeld = (what, path) => what === 'read' && path.includes(keyTopic) && path.endsWith('.log')
  const { engine, close } = await openTestEngine({ disk, clock })
  const late = assert.rejects(once(engine, keyOf('k'), 100), code('UNAVAILABLE'))
  const patient = once(engine, keyOf('k'), 60_000)
  await append(engine, 'other')
  clock.advance(200)
  await late
  disk.letGo()
  assert.equal((await patient).deduplicated, true)
  assert.deepEqual(await values(engine), ['k', 'other'])
  await close()
})
