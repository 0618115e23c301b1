/**
 * What every engine must do, whatever is behind it. A writer of an engine calls `engineSuite` from a
 * test file; abilities that an engine declares it lacks are skipped aloud.
 */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { TestContext } from 'node:test'
import type { Engine } from '../../src/engine/engine.ts'
import type { FetchSlice } from '../../src/engine/log.ts'
import type { OneShot, OneShotResult } from '../../src/engine/transactions.ts'
import { readRecords } from '../../src/model/batch-reader.ts'
import { writeBatch } from '../../src/model/batch-writer.ts'
import { GatewayError } from '../../src/model/errors.ts'
import { packedBatch } from '../support/packed-batch.ts'
import { baseOffsetOf, lastOffsetOf, sealBatch } from '../../src/model/record-batch.ts'
import type { StoredRecord } from '../../src/model/record.ts'
import type { TopicPartition } from '../../src/model/topic.ts'

export interface EngineUnderTest {
  readonly engine: Engine
  close(): Promise<void>
}

export interface EngineSuiteOptions {
  /** Tests that this engine cannot pass, by title, each with its reason. */
  readonly skips?: readonly { readonly test: string; readonly reason: string }[]
}

const call = { timeoutMs: 10_000 }
const mebibyte = 1024 * 1024

/** Registers the suite under `name`. `create` resolves to an open engine of its own. */
export function engineSuite(
  name: string,
  create: () => Promise<EngineUnderTest>,
  options: EngineSuiteOptions = {},
): void {
  describe(name, () => {
    let engine: Engine
    let close: () => Promise<void>
    let topics = 0

    before(async () => {
      const made = await create()
      engine = made.engine
      close = () => made.close()
    })
    after(() => close())

    function it(title: string, work: (t: TestContext) => Promise<void> | void): void {
      const skip = options.skips?.find((one) => one.test === title)
      test(title, { skip: skip?.reason ?? false }, work)
    }

    /** A topic of this test's own. */
    async function topic(partitions = 1, config: Record<string, string> = {}): Promise<string> {
      const made = `suite-${++topics}`
      const [outcome] = await engine.topics.create([{ name: made, partitions, config }], call)
      assert.equal(outcome!.error, undefined)
      return made
    }

    async function append(tp: TopicPartition, ...values: string[]): Promise<number> {
      const [result] = await engine.log.append([{ tp, batch: batchOf(...values) }], call)
      assert.equal(result!.error, undefined)
      return result!.offsets!.base
    }

    async function fetch(
      tp: TopicPartition,
      from: number,
      bytesMax = mebibyte,
    ): Promise<FetchSlice> {
      const [slice] = await engine.log.fetch([{ tp, from, bytesMax }], { ...call, bytesMax })
      return slice!
    }

    async function valuesFrom(tp: TopicPartition, from: number): Promise<string[]> {
      const slice = await fetch(tp, from)
      assert.equal(slice.error, undefined)
      const values = recordsOf(slice)
        .filter(({ offset }) => offset >= from)
        .map(({ value }) => Buffer.from(value!).toString())
      slice.release()
      return values
    }

    describe('topics', () => {
      it('a created topic is known at once, with an id and its partitions', async () => {
        const made = await topic(3)
        const known = engine.topics.known(made)
        assert.equal(known?.partitions.length, 3)
        assert.match(known.id, /^[A-Za-z0-9_][A-Za-z0-9_-]{21}$/)
        assert.equal(known.internal, false)
        assert.equal(known.maxBatchBytes, 1_048_588)
        const [listed] = await engine.topics.list([made, 'suite-not-there'], call)
        assert.equal(listed?.id, known.id)
      })

      it('a name that exists is refused', async () => {
        const made = await topic()
        assert.equal(
          await outcomeOf(engine.topics.create([{ name: made, partitions: 1 }], call)),
          'TOPIC_EXISTS',
        )
      })

      it('a name that differs in dots and underscores alone is refused', async () => {
        const made = `${await topic()}.a_b`
        await engine.topics.create([{ name: made, partitions: 1 }], call)
        const twin = made.replace('.', '_')
        assert.equal(
          await outcomeOf(engine.topics.create([{ name: twin, partitions: 1 }], call)),
          'INVALID_REQUEST',
        )
      })

      for (const bad of ['', '.', '..', 'a b', 'a/b', 'ä', 'x'.repeat(250)]) {
        it(`'${bad.slice(0, 10)}' (${bad.length} characters) is no topic name`, async () => {
          const outcome = engine.topics.create([{ name: bad, partitions: 1 }], call)
          assert.equal(await outcomeOf(outcome), 'INVALID_REQUEST')
        })
      }

      it('partitions must be a whole number from 1 on', async () => {
        for (const partitions of [0, -1, 1.5, 10_001]) {
          const outcome = engine.topics.create([{ name: 'suite-bad', partitions }], call)
          assert.equal(await outcomeOf(outcome), 'INVALID_REQUEST')
        }
      })

      it('a dry run creates nothing and says what would be refused', async () => {
        const dry = { ...call, validateOnly: true }
        const good = [{ name: 'suite-dry', partitions: 1 }]
        assert.equal(await outcomeOf(engine.topics.create(good, dry)), undefined)
        assert.equal(engine.topics.known('suite-dry'), undefined)
        const bad = [{ name: 'suite-dry', partitions: 1, config: { 'retention.ms': 'soon' } }]
        assert.equal(await outcomeOf(engine.topics.create(bad, dry)), 'INVALID_CONFIG')
      })

      it('of two who create the same name at once, one wins', async () => {
        const create = () => engine.topics.create([{ name: 'suite-race', partitions: 1 }], call)
        const outcomes = await Promise.all([outcomeOf(create()), outcomeOf(create())])
        assert.deepEqual(outcomes.sort(), ['TOPIC_EXISTS', undefined])
      })

      it('a deleted topic is gone, and its namesake is another topic', async () => {
        const made = await topic()
        const tp = { topic: made, partition: 0 }
        await append(tp, 'old')
        const oldId = engine.topics.known(made)!.id
        assert.equal(await outcomeOf(engine.topics.delete([made], call)), undefined)
        assert.equal(engine.topics.known(made), undefined)
        assert.equal((await fetch(tp, 0)).error?.code, 'UNKNOWN_TOPIC')
        await engine.topics.create([{ name: made, partitions: 1 }], call)
        assert.notEqual(engine.topics.known(made)!.id, oldId)
        assert.deepEqual(await valuesFrom(tp, 0), [])
      })

      it('deleting what is not there is refused', async () => {
        assert.equal(
          await outcomeOf(engine.topics.delete(['suite-nothing'], call)),
          'UNKNOWN_TOPIC',
        )
      })

      it('a topic grows and never shrinks', async () => {
        const made = await topic(2)
        assert.equal(
          await outcomeOf(engine.topics.grow([{ name: made, partitions: 4 }], call)),
          undefined,
        )
        assert.equal(engine.topics.known(made)!.partitions.length, 4)
        assert.equal(await append({ topic: made, partition: 3 }, 'new'), 0)
        for (const partitions of [4, 2]) {
          const outcome = engine.topics.grow([{ name: made, partitions }], call)
          assert.equal(await outcomeOf(outcome), 'INVALID_REQUEST')
        }
      })

      it('configuration is shown with its source, changed, and checked', async () => {
        const made = await topic(1, { 'retention.ms': '1000' })
        const owner = { type: 'topic', name: made } as const
        const value = async (name: string) =>
          (await engine.topics.configs(owner, call)).find((entry) => entry.name === name)
        assert.equal((await value('retention.ms'))?.value, '1000')
        assert.equal((await value('retention.ms'))?.source, 'topic')
        assert.equal((await value('cleanup.policy'))?.value, 'delete')
        await engine.topics.alterConfigs(
          owner,
          [
            { op: 'delete', name: 'retention.ms' },
            { op: 'append', name: 'cleanup.policy', value: 'compact' },
          ],
          call,
        )
        assert.equal((await value('retention.ms'))?.source, 'default')
        assert.equal((await value('cleanup.policy'))?.value, 'delete,compact')
        for (const change of [
          { op: 'set', name: 'retention.ms', value: 'never' },
          { op: 'set', name: 'no.such.thing', value: '1' },
          { op: 'append', name: 'retention.ms', value: '1' },
          { op: 'set', name: 'retention.ms' },
        ] as const) {
          await assert.rejects(
            engine.topics.alterConfigs(owner, [change], call),
            code('INVALID_CONFIG'),
          )
        }
        const unknown = { type: 'topic', name: 'suite-nothing' } as const
        await assert.rejects(engine.topics.configs(unknown, call), code('UNKNOWN_TOPIC'))
      })

      it('who watches the topics hears of new ones', async () => {
        const heard = new Promise<void>((resolve) => {
          const watch = engine.topics.watch(() => {
            watch.close()
            resolve()
          })
        })
        await topic()
        await heard
      })

      it('the cluster has an id and at least one node', async () => {
        const { clusterId, nodes } = await engine.topics.cluster(call)
        assert.ok(clusterId.length > 0 && nodes.length > 0)
      })
    })

    describe('append and fetch', () => {
      it('records come back with their bytes, at the offsets that were answered', async () => {
        const tp = { topic: await topic(), partition: 0 }
        const base = await append(tp, 'a', 'b')
        const next = await append(tp, 'c')
        assert.equal(next, base + 2)
        assert.deepEqual(await valuesFrom(tp, base), ['a', 'b', 'c'])
        assert.deepEqual(await valuesFrom(tp, base + 1), ['b', 'c'])
      })

      it('keys, headers, timestamps and tombstones are kept', async () => {
        const tp = { topic: await topic(), partition: 0 }
        const record = {
          key: Buffer.from([0, 255]),
          value: null,
          headers: [
            { name: 'h', value: Buffer.from('1') },
            { name: 'h', value: null },
          ],
          timestamp: 1_700_000_000_123,
        }
        await engine.log.append([{ tp, batch: writeBatch([record], Date.now()) }], call)
        const [stored] = recordsOf(await fetch(tp, 0))
        assert.deepEqual(Buffer.from(stored!.key!), record.key)
        assert.equal(stored!.value, null)
        assert.equal(stored!.timestamp, record.timestamp)
        assert.deepEqual(
          stored!.headers.map(({ name, value }) => [name, value && Buffer.from(value)]),
          [
            ['h', Buffer.from('1')],
            ['h', null],
          ],
        )
      })

      it('entries of one call fail one by one', async () => {
        const made = await topic(2)
        const entry = (partition: number) => ({
          tp: { topic: made, partition },
          batch: batchOf('x'),
        })
        const results = await engine.log.append([entry(0), entry(7), entry(1)], call)
        assert.deepEqual(
          results.map(({ error }) => error?.code),
          [undefined, 'UNKNOWN_PARTITION', undefined],
        )
        assert.deepEqual(
          results.map(({ tp }) => tp.partition),
          [0, 7, 1],
        )
        const [nowhere] = await engine.log.append(
          [{ tp: { topic: 'suite-nothing', partition: 0 }, batch: batchOf('x') }],
          call,
        )
        assert.equal(nowhere!.error?.code, 'UNKNOWN_TOPIC')
        assert.equal(nowhere!.error.applied, 'no')
      })

      it('calls for one partition keep their order', async () => {
        const tp = { topic: await topic(), partition: 0 }
        const bases = await Promise.all(Array.from({ length: 50 }, (_, i) => append(tp, `${i}`)))
        assert.deepEqual(
          bases,
          [...bases].sort((left, right) => left - right),
        )
        assert.deepEqual(
          await valuesFrom(tp, 0),
          bases.map((_, i) => `${i}`),
        )
      })

      it('an append that names another topic id is refused', async () => {
        const tp = { topic: await topic(), partition: 0 }
        const topicId = 'A'.repeat(22)
        const [result] = await engine.log.append([{ tp, topicId, batch: batchOf('x') }], call)
        assert.equal(result!.error?.code, 'EPOCH_MISMATCH')
        const [slice] = await engine.log.fetch([{ tp, topicId, from: 0, bytesMax: 1 }], {
          ...call,
          bytesMax: 1,
        })
        assert.equal(slice!.error?.code, 'EPOCH_MISMATCH')
      })

      it('a conditional append happens at the expected end alone', async () => {
        if (!engine.capabilities.conditionalAppend) return
        const tp = { topic: await topic(), partition: 0 }
        const attempt = (expectedEnd: number) =>
          engine.log.append([{ tp, expectedEnd, batch: batchOf('x') }], call)
        assert.equal((await attempt(1))[0]!.error?.code, 'PRECONDITION')
        const raced = await Promise.all([attempt(0), attempt(0), attempt(0)])
        const codes = raced.map(([result]) => result!.error?.code)
        assert.deepEqual(codes, [undefined, 'PRECONDITION', 'PRECONDITION'])
        assert.deepEqual(await valuesFrom(tp, 0), ['x'])
      })

      it('a batch above max.message.bytes is refused', async () => {
        const tp = { topic: await topic(1, { 'max.message.bytes': '200' }), partition: 0 }
        const [result] = await engine.log.append([{ tp, batch: batchOf('x'.repeat(200)) }], call)
        assert.equal(result!.error?.code, 'RECORD_TOO_LARGE')
        await append(tp, 'x')
      })

      it('a timestamp far ahead of the clock is refused', async () => {
        const tp = { topic: await topic(), partition: 0 }
        const batch = writeBatch(
          [{ key: null, value: null, headers: [], timestamp: Date.now() + 7_200_000 }],
          0,
        )
        const [result] = await engine.log.append([{ tp, batch }], call)
        assert.equal(result!.error?.code, 'INVALID_RECORD')
      })

      it('a batch with a record older than its topic takes is refused', async () => {
        const made = await topic(1, { 'message.timestamp.before.max.ms': '60000' })
        const tp = { topic: made, partition: 0 }
        const now = Date.now()
        const at = (timestamp: number) => ({ key: null, value: null, headers: [], timestamp })
        const old = writeBatch([at(now), at(now - 120_000)], 0)
        const [refused] = await engine.log.append([{ tp, batch: old }], call)
        assert.equal(refused!.error?.code, 'INVALID_RECORD')
        const recent = writeBatch([at(now), at(now - 30_000)], 0)
        const [taken] = await engine.log.append([{ tp, batch: recent }], call)
        assert.deepEqual(taken!.offsets, { base: 0, last: 1 })
      })

      it('a whole batch is stored and served in its own codec, whatever compression.type says', async () => {
        for (const codec of engine.capabilities.codecs) {
          const made = await topic(1, { 'compression.type': codec === 'gzip' ? 'zstd' : 'gzip' })
          const tp = { topic: made, partition: 0 }
          const sent = { key: null, value: Buffer.from('as it came'), headers: [], timestamp: 1 }
          const batch = packedBatch([sent, sent], codec)
          const before = Buffer.from(batch)
          const [result] = await engine.log.append([{ tp, batch }], call)
          assert.deepEqual(result!.offsets, { base: 0, last: 1 }, codec)
          const slice = await fetch(tp, 0)
          const [served] = slice.batches
          // All but the base offset and the leader epoch, which are the log's to give.
          assert.deepEqual(Buffer.from(served!).subarray(16), before.subarray(16), codec)
          slice.release()
        }
      })

      for (const [what, spoil] of spoiledBatches) {
        it(`a batch that ${what} is refused`, async () => {
          const tp = { topic: await topic(), partition: 0 }
          const [result] = await engine.log.append([{ tp, batch: spoil(batchOf('a', 'b')) }], call)
          assert.equal(result!.error?.code, 'INVALID_RECORD')
          assert.deepEqual(await valuesFrom(tp, 0), [])
        })
      }

      it('a topic with LogAppendTime stamps records with the time of the append', async () => {
        const made = await topic(1, { 'message.timestamp.type': 'LogAppendTime' })
        const tp = { topic: made, partition: 0 }
        const before = Date.now()
        const batch = writeBatch([{ key: null, value: null, headers: [], timestamp: 1 }], 0)
        const [result] = await engine.log.append([{ tp, batch }], call)
        const [record] = recordsOf(await fetch(tp, 0))
        assert.equal(record!.timestamp, result!.logAppendTime)
        assert.ok(record!.timestamp >= before)
      })

      it('a fetch at the end is empty, beyond it and below the start is out of range', async () => {
        const tp = { topic: await topic(), partition: 0 }
        await append(tp, 'a')
        const atEnd = await fetch(tp, 1)
        assert.deepEqual(
          [atEnd.batches.length, atEnd.next, atEnd.readableEnd, atEnd.error],
          [0, 1, 1, undefined],
        )
        assert.equal((await fetch(tp, 2)).error?.code, 'OFFSET_OUT_OF_RANGE')
        assert.equal((await fetch(tp, -1)).error?.code, 'OFFSET_OUT_OF_RANGE')
      })

      it('a fetch stays within its bytes but always brings one batch', async () => {
        const tp = { topic: await topic(), partition: 0 }
        for (const value of ['a', 'b', 'c']) await append(tp, value.repeat(1000))
        assert.equal((await fetch(tp, 0, 1)).batches.length, 1)
        assert.equal((await fetch(tp, 0, 2500)).batches.length, 2)
        const slice = await fetch(tp, 0, 2500)
        assert.equal(slice.next, 2)
      })

      it('following `next` reads everything once, in order, without holes', async () => {
        const tp = { topic: await topic(1, { 'segment.bytes': '1048576' }), partition: 0 }
        const count = 40
        for (let i = 0; i < count; i++) await append(tp, `${i}`, 'x'.repeat(5000))
        let next = 0
        const offsets: number[] = []
        for (;;) {
          const slice = await fetch(tp, next, 20_000)
          if (slice.batches.length === 0) break
          for (const batch of slice.batches) {
            assert.equal(baseOffsetOf(batch), offsets.length)
            for (let at = baseOffsetOf(batch); at <= lastOffsetOf(batch); at++) offsets.push(at)
          }
          next = slice.next
          slice.release()
        }
        assert.deepEqual(
          offsets,
          Array.from({ length: 2 * count }, (_, i) => i),
        )
      })

      it('several partitions are fetched in one call', async () => {
        const made = await topic(3)
        for (let partition = 0; partition < 3; partition++)
          await append({ topic: made, partition }, `${partition}`)
        const slices = await engine.log.fetch(
          [0, 1, 2].map((partition) => ({
            tp: { topic: made, partition },
            from: 0,
            bytesMax: 1000,
          })),
          { ...call, bytesMax: 10_000 },
        )
        assert.deepEqual(
          slices.map((slice) =>
            recordsOf(slice).map(({ value }) => Buffer.from(value!).toString()),
          ),
          [['0'], ['1'], ['2']],
        )
      })
    })

    describe('watch', () => {
      it('a watch calls soon after registration, and again when records come', async () => {
        const tp = { topic: await topic(), partition: 0 }
        const ends: number[] = []
        const watch = engine.log.watch(tp, (end) => ends.push(end))
        await until(() => ends.length > 0)
        await append(tp, 'a')
        await until(() => ends.at(-1) === 1)
        watch.close()
        await append(tp, 'b')
        assert.equal((await fetch(tp, 1)).readableEnd, 2)
        assert.equal(ends.at(-1), 1)
      })

      it('what a watch announces can be fetched', async () => {
        const tp = { topic: await topic(), partition: 0 }
        const read: string[] = []
        let busy = Promise.resolve()
        const watch = engine.log.watch(tp, () => {
          busy = busy.then(async () => {
            for (const value of await valuesFrom(tp, read.length)) read.push(value)
          })
        })
        const expected = Array.from({ length: 100 }, (_, i) => `${i}`)
        await Promise.all(expected.map((value) => append(tp, value)))
        await until(() => read.length === expected.length)
        watch.close()
        await busy
        assert.deepEqual(read, expected)
      })

      it('a watch of a topic that is deleted calls, and the next fetch says why', async () => {
        const tp = { topic: await topic(), partition: 0 }
        let calls = 0
        const watch = engine.log.watch(tp, () => calls++)
        await until(() => calls > 0)
        calls = 0
        await engine.topics.delete([tp.topic], call)
        await until(() => calls > 0)
        assert.equal((await fetch(tp, 0)).error?.code, 'UNKNOWN_TOPIC')
        watch.close()
      })

      it('closing a watch twice, or inside its own callback, does nothing bad', async () => {
        const tp = { topic: await topic(), partition: 0 }
        let calls = 0
        const watch = engine.log.watch(tp, () => {
          calls++
          watch.close()
        })
        await until(() => calls > 0)
        watch.close()
        await append(tp, 'a')
        assert.equal(calls, 1)
      })
    })

    describe('offsets', () => {
      it('earliest, latest and a time are found to the record', async () => {
        const tp = { topic: await topic(), partition: 0 }
        const times = [1000, 3000, 2000, 5000, 4000]
        for (const timestamp of times) {
          const record = { key: null, value: Buffer.from('x'), headers: [], timestamp }
          const batch = writeBatch([record, { ...record, timestamp: timestamp + 500 }], 0)
          await engine.log.append([{ tp, batch }], call)
        }
        const ask = async (at: Parameters<typeof engine.log.offsets>[0][number]['at']) => {
          const [answer] = await engine.log.offsets([{ tp, at }], call)
          return [answer!.offset, answer!.timestamp]
        }
        assert.deepEqual(await ask('earliest'), [0, -1])
        assert.deepEqual(await ask('latest'), [10, -1])
        assert.deepEqual(await ask({ time: 0 }), [0, 1000])
        assert.deepEqual(await ask({ time: 1001 }), [1, 1500])
        assert.deepEqual(await ask({ time: 2000 }), [2, 3000])
        assert.deepEqual(await ask({ time: 3600 }), [6, 5000])
        assert.deepEqual(await ask({ time: 5501 }), [10, -1])
        assert.deepEqual(await ask('max_timestamp'), [7, 5500])
      })

      it('what is not there is said per query', async () => {
        const tp = { topic: 'suite-nothing', partition: 0 }
        const [answer] = await engine.log.offsets([{ tp, at: 'latest' }], call)
        assert.equal(answer!.error?.code, 'UNKNOWN_TOPIC')
      })

      it('an empty partition has no newest record', async () => {
        const tp = { topic: await topic(), partition: 0 }
        const [answer] = await engine.log.offsets([{ tp, at: 'max_timestamp' }], call)
        assert.deepEqual([answer!.offset, answer!.timestamp], [0, -1])
      })

      it('deleted records are out of range, and the log start never goes back', async () => {
        const tp = { topic: await topic(), partition: 0 }
        for (const value of ['a', 'b', 'c']) await append(tp, value)
        const trim = async (before: number) =>
          (await engine.log.deleteRecords([{ tp, before }], call))[0]!
        assert.equal((await trim(2)).logStart, 2)
        assert.equal((await trim(1)).logStart, 2)
        assert.equal((await fetch(tp, 1)).error?.code, 'OFFSET_OUT_OF_RANGE')
        assert.deepEqual(await valuesFrom(tp, 2), ['c'])
        assert.equal((await trim(4)).error?.code, 'OFFSET_OUT_OF_RANGE')
        const [time] = await engine.log.offsets([{ tp, at: { time: 0 } }], call)
        assert.equal(time!.offset, 2)
      })
    })

    describe('transact', () => {
      it('batches of several partitions become visible together', async () => {
        const made = await topic(2)
        const entry = (partition: number, value: string) => ({
          tp: { topic: made, partition },
          batch: batchOf(value),
        })
        const { results, deduplicated } = await engine.transactions.transact(
          { entries: [entry(0, 'a'), entry(1, 'b'), entry(0, 'c')] },
          call,
        )
        assert.equal(deduplicated, false)
        assert.deepEqual(
          results.map(({ offsets }) => offsets?.base),
          [0, 0, 1],
        )
        assert.deepEqual(await valuesFrom({ topic: made, partition: 0 }, 0), ['a', 'c'])
        assert.deepEqual(await valuesFrom({ topic: made, partition: 1 }, 0), ['b'])
      })

      it('if one part is refused, all of it is', async () => {
        const tp = { topic: await topic(), partition: 0 }
        const good = { tp, batch: batchOf('a') }
        const nowhere = { tp: { topic: 'suite-nothing', partition: 0 }, batch: batchOf('b') }
        await assert.rejects(
          engine.transactions.transact({ entries: [good, nowhere] }, call),
          code('UNKNOWN_TOPIC'),
        )
        const member = { groupId: 'suite-g', memberId: 'nobody', memberEpoch: 3 }
        await assert.rejects(
          engine.transactions.transact(
            {
              entries: [{ tp, batch: batchOf('a') }],
              offsets: { group: member, commits: [{ tp, offset: 1 }] },
            },
            call,
          ),
          code('UNKNOWN_MEMBER'),
        )
        assert.deepEqual(await valuesFrom(tp, 0), [])
      })

      it('offsets are committed with the records', async () => {
        const tp = { topic: await topic(), partition: 0 }
        const group = { groupId: 'suite-transact' }
        await engine.transactions.transact(
          {
            entries: [{ tp, batch: batchOf('a') }],
            offsets: { group, commits: [{ tp, offset: 1 }] },
          },
          call,
        )
        const [committed] = await engine.groups.committed(group, [tp], call)
        assert.equal(committed?.offset, 1)
      })

      it('a transaction above its limit is refused as a whole', async () => {
        const tp = { topic: await topic(1, { 'max.message.bytes': '16777216' }), partition: 0 }
        const half = engine.capabilities.transactBytesMax / 2
        const entry = () => ({ tp, batch: batchOf('x'.repeat(half)), trusted: true })
        await assert.rejects(
          engine.transactions.transact({ entries: [entry(), entry()] }, call),
          code('BODY_TOO_LARGE'),
        )
        assert.deepEqual(await valuesFrom(tp, 0), [])
      })

      it('a key is refused where the engine has no exact keys', async () => {
        if (engine.capabilities.idempotencyKeys === 'exact') return
        const tp = { topic: await topic(), partition: 0 }
        const key = { value: 'k', space: 's', ttlMs: 1000 }
        await assert.rejects(
          engine.transactions.transact({ entries: [{ tp, batch: batchOf('a') }], key }, call),
          code('UNSUPPORTED'),
        )
      })
    })

    describe('idempotency keys', () => {
      let keys = 0

      /** A test that engines without exact keys skip aloud. */
      function keyed(title: string, work: () => Promise<void>): void {
        it(title, async (t) => {
          if (engine.capabilities.idempotencyKeys === 'exact') await work()
          else t.skip('no exact keys')
        })
      }

      const newKey = (fingerprint?: string) => ({
        value: `suite-key-${++keys}`,
        space: 'suite',
        ttlMs: 3_600_000,
        ...(fingerprint === undefined ? {} : { fingerprint: Buffer.from(fingerprint) }),
      })
      const transact = (
        tp: TopicPartition,
        value: string,
        key: NonNullable<OneShot['key']>,
      ): Promise<OneShotResult> =>
        engine.transactions.transact({ entries: [{ tp, batch: batchOf(value) }], key }, call)

      keyed('a repeated call is stored once and answered like the first', async () => {
        const tp = { topic: await topic(2), partition: 1 }
        const key = { ...newKey('f'), memo: Buffer.from('note') }
        const first = await transact(tp, 'a', key)
        assert.deepEqual([first.deduplicated, first.memo], [false, undefined])
        for (let i = 0; i < 5; i++) {
          const again = await transact(tp, 'b', { ...key, memo: Buffer.from('other') })
          assert.equal(again.deduplicated, true)
          assert.deepEqual(again.results, first.results)
          assert.equal(Buffer.from(again.memo!).toString(), 'note')
        }
        assert.deepEqual(await valuesFrom(tp, 0), ['a'])
      })

      keyed('calls under one key at the same time are one call', async () => {
        const tp = { topic: await topic(), partition: 0 }
        const key = newKey()
        const calls = Array.from({ length: 8 }, (_, i) => transact(tp, `v${i}`, key))
        const answers = await Promise.all(calls)
        assert.equal(answers.filter(({ deduplicated }) => !deduplicated).length, 1)
        for (const { results } of answers) assert.deepEqual(results, answers[0]!.results)
        assert.equal((await valuesFrom(tp, 0)).length, 1)
      })

      keyed('another request under the same key is refused and stores nothing', async () => {
        const tp = { topic: await topic(), partition: 0 }
        const key = newKey('one')
        await transact(tp, 'a', key)
        const other = { ...key, fingerprint: Buffer.from('two') }
        await assert.rejects(transact(tp, 'b', other), code('IDEMPOTENCY_MISMATCH'))
        await assert.rejects(engine.transactions.recall(other, call), code('IDEMPOTENCY_MISMATCH'))
        const { fingerprint: _, ...unmarked } = key
        assert.equal((await transact(tp, 'c', unmarked)).deduplicated, true)
        assert.deepEqual(await valuesFrom(tp, 0), ['a'])
      })

      keyed('the same key in another space is another key', async () => {
        const tp = { topic: await topic(), partition: 0 }
        const key = newKey()
        await transact(tp, 'a', key)
        assert.equal((await transact(tp, 'b', { ...key, space: 'other' })).deduplicated, false)
        assert.deepEqual(await valuesFrom(tp, 0), ['a', 'b'])
      })

      keyed('a call that was refused leaves its key free', async () => {
        const made = await topic()
        const tp = { topic: made, partition: 0 }
        const key = newKey('f')
        await assert.rejects(
          transact({ topic: made, partition: 9 }, 'a', key),
          code('UNKNOWN_PARTITION'),
        )
        const entry = { tp, batch: batchOf('a'), expectedEnd: 7 }
        await assert.rejects(
          engine.transactions.transact({ entries: [entry], key }, call),
          code('PRECONDITION'),
        )
        assert.equal(await engine.transactions.recall(key, call), undefined)
        assert.equal((await transact(tp, 'a', key)).deduplicated, false)
        assert.deepEqual(await valuesFrom(tp, 0), ['a'])
      })

      keyed('several partitions, offsets and the key happen together, once', async () => {
        const made = await topic(2)
        const group = { groupId: 'suite-keyed' }
        const key = newKey()
        const run = (offset: number) =>
          engine.transactions.transact(
            {
              entries: [0, 1, 0].map((partition) => ({
                tp: { topic: made, partition },
                batch: batchOf('x', 'y'),
              })),
              offsets: { group, commits: [{ tp: { topic: made, partition: 0 }, offset }] },
              key,
            },
            call,
          )
        const first = await run(5)
        const again = await run(9)
        assert.deepEqual([again.deduplicated, again.results], [true, first.results])
        assert.deepEqual(
          again.results.map(({ offsets }) => [offsets?.base, offsets?.last]),
          [
            [0, 1],
            [0, 1],
            [2, 3],
          ],
        )
        const [committed] = await engine.groups.committed(
          group,
          [{ topic: made, partition: 0 }],
          call,
        )
        assert.equal(committed?.offset, 5)
      })

      keyed('a key holds for a call without records', async () => {
        const tp = { topic: await topic(), partition: 0 }
        const group = { groupId: 'suite-keyed-commit' }
        const key = newKey()
        const run = (offset: number) =>
          engine.transactions.transact(
            { entries: [], offsets: { group, commits: [{ tp, offset }] }, key },
            call,
          )
        await run(3)
        assert.deepEqual(await run(8), { results: [], deduplicated: true })
        assert.equal((await engine.groups.committed(group, [tp], call))[0]?.offset, 3)
      })

      keyed('the first answer outlives its records, its topic and its count', async () => {
        const made = await topic(1, { 'message.timestamp.type': 'LogAppendTime' })
        const tp = { topic: made, partition: 0 }
        const key = newKey()
        const first = await transact(tp, 'a', key)
        assert.equal(typeof first.results[0]!.logAppendTime, 'number')
        const isKept = async (): Promise<void> => {
          const again = await transact(tp, 'a', key)
          assert.deepEqual([again.deduplicated, again.results], [true, first.results])
          assert.deepEqual((await engine.transactions.recall(key, call))?.results, first.results)
        }
        await engine.topics.grow([{ name: made, partitions: 3 }], call)
        await isKept()
        await engine.log.deleteRecords([{ tp, before: 1 }], call)
        await isKept()
        await engine.topics.delete([made], call)
        await isKept()
        await engine.topics.create([{ name: made, partitions: 1 }], call)
        await isKept()
        assert.deepEqual(await valuesFrom(tp, 0), [])
      })

      keyed('a keyed transaction above its limit is refused as a whole', async () => {
        const tp = { topic: await topic(1, { 'max.message.bytes': '16777216' }), partition: 0 }
        const room = engine.capabilities.transactBytesMax
        const key = { ...newKey(), memo: Buffer.alloc(4096) }
        const batch = batchOf('x'.repeat(room - 2048))
        await assert.rejects(
          engine.transactions.transact({ entries: [{ tp, batch, trusted: true }], key }, call),
          code('BODY_TOO_LARGE'),
        )
        assert.equal(await engine.transactions.recall(key, call), undefined)
        assert.deepEqual(await valuesFrom(tp, 0), [])
      })

      keyed('a key is known for a time that the engine can keep', async () => {
        const tp = { topic: await topic(), partition: 0 }
        for (const ttlMs of [0, -1, Number.NaN, Infinity]) {
          await assert.rejects(transact(tp, 'a', { ...newKey(), ttlMs }), code('INVALID_REQUEST'))
        }
      })
    })

    describe('groups', () => {
      it('an empty group takes commits without a member and gives them back', async () => {
        const tp = { topic: await topic(), partition: 0 }
        const group = { groupId: 'suite-alone' }
        const [result] = await engine.groups.commit(group, [{ tp, offset: 7, metadata: 'm' }], call)
        assert.equal(result!.error, undefined)
        const committed = await engine.groups.committed(group, [tp], call)
        assert.deepEqual(
          committed.map(({ offset, metadata }) => [offset, metadata]),
          [[7, 'm']],
        )
      })

      it('a member gets all partitions, commits what it holds, and leaves', async () => {
        const made = await topic(2)
        const member = { groupId: 'suite-member', memberId: 'm-1', memberEpoch: 0 }
        const joined = await engine.groups.heartbeat(member, {
          ...call,
          subscription: { topics: [made] },
          owned: [],
          rebalanceTimeoutMs: 60_000,
        })
        assert.equal(joined.assignment?.length, 2)
        const fence = { ...member, memberEpoch: joined.memberEpoch }
        const tp = { topic: made, partition: 1 }
        const [committed] = await engine.groups.commit(fence, [{ tp, offset: 3 }], call)
        assert.equal(committed!.error, undefined)
        const stale = { ...fence, memberEpoch: joined.memberEpoch + 5 }
        const refused = await engine.groups
          .commit(stale, [{ tp, offset: 9 }], call)
          .catch((error: unknown) => [{ tp, error: error as GatewayError }])
        assert.ok(refused[0]!.error !== undefined)
        await engine.groups.leave(fence, call)
        const [after] = await engine.groups.committed({ groupId: 'suite-member' }, [tp], call)
        assert.equal(after?.offset, 3)
      })

      it('committed offsets die with their topic', async () => {
        const tp = { topic: await topic(), partition: 0 }
        const group = { groupId: 'suite-dies' }
        await engine.groups.commit(group, [{ tp, offset: 5 }], call)
        await engine.topics.delete([tp.topic], call)
        await engine.topics.create([{ name: tp.topic, partitions: 1 }], call)
        assert.deepEqual(await engine.groups.committed(group, [tp], call), [])
      })
    })

    describe('limits and pressure', () => {
      it('a call whose caller gave up is not begun', async () => {
        const tp = { topic: await topic(), partition: 0 }
        const aborted = { ...call, signal: AbortSignal.abort() }
        await assert.rejects(
          engine.log.append([{ tp, batch: batchOf('a') }], aborted),
          code('UNAVAILABLE'),
        )
        assert.deepEqual(await valuesFrom(tp, 0), [])
      })

      it('bytes in flight return to nothing, and relief comes at once then', async () => {
        const tp = { topic: await topic(), partition: 0 }
        await append(tp, 'x'.repeat(10_000))
        await until(() => engine.log.pressure.inFlightBytes === 0)
        await engine.log.pressure.whenRelieved()
        assert.ok(engine.log.pressure.high > engine.log.pressure.low)
      })

      it('a healthy engine says so', () => {
        assert.equal(engine.health().state, 'ok')
        return Promise.resolve()
      })
    })
  })
}

const spoiledBatches: readonly (readonly [string, (batch: Uint8Array) => Uint8Array])[] = [
  ['does not match its CRC', (batch) => changed(batch, batch.length - 1, 1, false)],
  ['is cut off', (batch) => batch.subarray(0, batch.length - 1)],
  ['is shorter than a header', (batch) => batch.subarray(0, 20)],
  ['is of another format', (batch) => changed(batch, 16, 3, false)],
  ['is a control batch', (batch) => changed(batch, 22, 0x20, true)],
  ['is transactional', (batch) => changed(batch, 22, 0x10, true)],
  ['names a producer', (batch) => changed(batch, 43, 0xff, true)],
  ['lies about its number of records', (batch) => changed(batch, 60, 1, true)],
  ['lies about its last offset', (batch) => changed(batch, 26, 4, true)],
  ['has garbage for records', (batch) => changed(batch, 61, 0x55, true)],
  ['names a codec nobody knows', (batch) => changed(batch, 22, 7, true)],
]

/** The batch with one byte changed; with its CRC set right when the header itself shall be the lie. */
function changed(batch: Uint8Array, at: number, mask: number, seal: boolean): Uint8Array {
  batch[at] = batch[at]! ^ mask
  if (seal) sealBatch(batch)
  return batch
}

function batchOf(...values: string[]): Uint8Array {
  const records = values.map((value) => ({ key: null, value: Buffer.from(value), headers: [] }))
  return writeBatch(records, Date.now())
}

function recordsOf(slice: FetchSlice): StoredRecord[] {
  return slice.batches.flatMap((batch) => readRecords(batch))
}

async function outcomeOf(
  outcomes: Promise<readonly { readonly error?: GatewayError }[]>,
): Promise<string | undefined> {
  return (await outcomes)[0]?.error?.code
}

function code(expected: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof GatewayError, String(error))
    assert.equal(error.code, expected)
    return true
  }
}

/** Waits for a condition, for at most five seconds. */
async function until(condition: () => boolean): Promise<void> {
  for (let turns = 0; !condition(); turns++) {
    if (turns > 5000) throw new Error('The condition did not come true within 5 s.')
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
}
