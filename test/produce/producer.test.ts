import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import type { Engine } from '../../src/engine/engine.ts'
import type { AppendEntry, Log } from '../../src/engine/log.ts'
import { systemRandom } from '../../src/kit/random.ts'
import { readRecords } from '../../src/model/batch-reader.ts'
import { singleRecordBatchBytes } from '../../src/model/batch-writer.ts'
import type { ErrorCode } from '../../src/model/errors.ts'
import { GatewayError } from '../../src/model/errors.ts'
import { anonymous } from '../../src/model/principal.ts'
import { codecOf } from '../../src/model/record-batch.ts'
import type { NewRecord, StoredRecord } from '../../src/model/record.ts'
import { partitionOfKey } from '../../src/produce/partitioner.ts'
import type { ProduceRequest, RecordResult } from '../../src/produce/producer.ts'
import { Producer } from '../../src/produce/producer.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { openTestEngine } from '../support/engine.ts'

const call = { timeoutMs: 10_000 }

interface Bench {
  readonly engine: Engine
  readonly producer: Producer
  readonly clock: ManualClock
  /** Entries of each append that reached the log. */
  readonly appends: (readonly AppendEntry[])[]
  readonly meter: string[]
  readonly produce: (request: Partial<ProduceRequest>) => Promise<readonly RecordResult[]>
  /** What a reader finds in a partition, from its beginning. */
  readonly stored: (partition: number, topic?: string) => Promise<StoredRecord[]>
}

/** The real engine and a producer on it; `disturb` stands between the two. */
async function bench(
  t: TestContext,
  topic: { partitions?: number; config?: Record<string, string> } = {},
  disturb: (log: Log) => Partial<Log> = () => ({}),
): Promise<Bench> {
  const clock = new ManualClock()
  const opened = await openTestEngine({ clock })
  t.after(() => opened.close())
  const { engine } = opened
  const { partitions = 1, config = {} } = topic
  const [made] = await engine.topics.create([{ name: 'orders', partitions, config }], call)
  assert.equal(made?.error, undefined)
  const appends: (readonly AppendEntry[])[] = []
  const meter: string[] = []
  const { log } = engine
  const seen: Log = {
    append(entries, options) {
      appends.push(entries)
      return log.append(entries, options)
    },
    fetch: (requests, options) => log.fetch(requests, options),
    watch: (tp, onAdvance) => log.watch(tp, onAdvance),
    offsets: (queries, options) => log.offsets(queries, options),
    deleteRecords: (before, options) => log.deleteRecords(before, options),
    get pressure() {
      return log.pressure
    },
  }
  const producer = new Producer({
    log: Object.defineProperties(seen, Object.getOwnPropertyDescriptors(disturb(log))),
    topics: engine.topics,
    transactions: engine.transactions,
    clock,
    random: systemRandom,
    meter: {
      stored: (name, records, bytes) =>
        meter.push(`stored ${name} ${records} ${bytes > 0 ? 'bytes' : 'nothing'}`),
      failed: (name, records, code) => meter.push(`failed ${name} ${records} ${code}`),
    },
  })
  return {
    engine,
    producer,
    clock,
    appends,
    meter,
    produce: (request) => producer.produce(anonymous, { topic: 'orders', records: [], ...request }),
    async stored(partition, name = 'orders') {
      const tp = { topic: name, partition }
      const [slice] = await engine.log.fetch([{ tp, from: 0, bytesMax: 1e9 }], {
        ...call,
        bytesMax: 1e9,
      })
      assert.equal(slice?.error, undefined)
      const records = slice!.batches.flatMap((batch) => readRecords(Buffer.from(batch)))
      slice!.release()
      return records
    },
  }
}

function record(value: string | Uint8Array, more: Partial<NewRecord> = {}): NewRecord {
  return { key: null, value: Buffer.from(value as string), headers: [], ...more }
}

function keyed(key: string, value = key): NewRecord {
  return record(value, { key: Buffer.from(key) })
}

function texts(records: readonly StoredRecord[]): (string | null)[] {
  return records.map(({ value }) => (value === null ? null : Buffer.from(value).toString()))
}

function offsets(results: readonly RecordResult[]): (number | ErrorCode)[] {
  return results.map((result) => ('error' in result ? result.error.code : result.offset))
}

function partitions(results: readonly RecordResult[]): number[] {
  return results.map((result) => {
    if ('error' in result) throw result.error
    return result.partition
  })
}

function throwsCode(promise: Promise<unknown>, code: ErrorCode, message = /./): Promise<void> {
  return assert.rejects(promise, (error) => {
    assert.ok(error instanceof GatewayError, String(error))
    assert.equal(error.code, code)
    assert.match(error.message, message)
    return true
  })
}

test('a record is stored with its bytes and the answer says where', async (t) => {
  const { produce, stored, clock, meter } = await bench(t)
  const headers = [
    { name: 'trace', value: Buffer.from('x') },
    { name: 'trace', value: null },
  ]
  const sent = record('{"price": 49300.00}', { key: Buffer.from('u1'), headers, timestamp: 5 })
  assert.deepEqual(await produce({ records: [sent] }), [{ partition: 0, offset: 0, timestamp: 5 }])
  const second = await produce({ records: [record('x')] })
  assert.deepEqual(second, [{ partition: 0, offset: 1, timestamp: clock.wallMs() }])
  const [first] = await stored(0)
  assert.deepEqual(texts([first!]), ['{"price": 49300.00}'])
  assert.equal(Buffer.from(first!.key!).toString(), 'u1')
  assert.deepEqual(
    first!.headers.map(({ name, value }) => [name, value && Buffer.from(value).toString()]),
    [
      ['trace', 'x'],
      ['trace', null],
    ],
  )
  assert.deepEqual(meter, ['stored orders 1 bytes', 'stored orders 1 bytes'])
})

test('a null value is stored as a tombstone', async (t) => {
  const { produce, stored } = await bench(t)
  await produce({ records: [{ key: Buffer.from('u1'), value: null, headers: [] }] })
  assert.deepEqual(texts(await stored(0)), [null])
})

test('many records are answered in the order of the request and appended in one call', async (t) => {
  const { produce, stored, appends, meter } = await bench(t, { partitions: 3 })
  const keys = Array.from({ length: 100 }, (_, i) => `k${i}`)
  const results = await produce({ records: keys.map((key) => keyed(key)) })
  assert.deepEqual(
    partitions(results),
    keys.map((key) => partitionOfKey(Buffer.from(key), 3)),
  )
  assert.equal(appends.length, 1)
  assert.equal(appends[0]!.length, 3)
  assert.equal(meter.length, 3)
  for (let partition = 0; partition < 3; partition++) {
    const expected = keys.filter((key) => partitionOfKey(Buffer.from(key), 3) === partition)
    assert.deepEqual(texts(await stored(partition)), expected)
    const found = results.filter((result) => 'offset' in result && result.partition === partition)
    assert.deepEqual(
      offsets(found),
      expected.map((_, offset) => offset),
    )
  }
})

test('records without a key share one partition per request, and requests take turns', async (t) => {
  const { produce } = await bench(t, { partitions: 3 })
  const seen: number[] = []
  for (let i = 0; i < 6; i++) {
    const used = new Set(partitions(await produce({ records: [record('a'), record('b')] })))
    assert.equal(used.size, 1)
    seen.push(...used, ...partitions(await produce({ records: [record('c')] })))
  }
  for (let i = 1; i < seen.length; i++) assert.equal(seen[i], (seen[i - 1]! + 1) % 3)
})

test('a record may name its partition, if there is one', async (t) => {
  const { produce, meter } = await bench(t, { partitions: 2 })
  const at = (partition: number): NewRecord => record('x', { partition, key: Buffer.from('k') })
  const results = await produce({ records: [at(1), at(2), at(0), at(-1), at(0.5)] })
  const unknown = 'UNKNOWN_PARTITION'
  assert.deepEqual(offsets(results), [0, unknown, 0, unknown, unknown])
  assert.deepEqual(offsets(await produce({ records: [at(7)] })), [unknown])
  assert.equal(meter.filter((line) => line === `failed orders 1 ${unknown}`).length, 4)
})

test('a record that can never be stored fails alone', async (t) => {
  const { produce, stored, clock } = await bench(t)
  const now = clock.wallMs()
  const tooMany = Array.from({ length: 1001 }, () => ({ name: 'h', value: null }))
  const door = new GatewayError('INVALID_RECORD', 'Line 3 is not valid JSON.')
  const results = await produce({
    records: [
      record('first'),
      record('late', { timestamp: now + 3_600_001 }),
      record('negative', { timestamp: -1 }),
      record('fraction', { timestamp: 1.5 }),
      record('headers', { headers: tooMany }),
      door,
      record('an hour ahead', { timestamp: now + 3_600_000 }),
      record('last', { headers: tooMany.slice(1) }),
    ],
  })
  const bad = Array<ErrorCode>(5).fill('INVALID_RECORD')
  assert.deepEqual(offsets(results), [0, ...bad, 1, 2])
  assert.deepEqual(results[5], { error: door })
  assert.deepEqual(texts(await stored(0)), ['first', 'an hour ahead', 'last'])
  assert.deepEqual(offsets(await produce({ records: [door] })), ['INVALID_RECORD'])
})

test("a record above the topic's max.message.bytes fails alone, one that just fits is stored", async (t) => {
  const limit = 2000
  const { produce, stored } = await bench(t, { config: { 'max.message.bytes': String(limit) } })
  const room = limit - singleRecordBatchBytes(record(Buffer.alloc(1000))) + 1000
  const fits = record(Buffer.alloc(room, 0x61))
  assert.equal(singleRecordBatchBytes(fits), limit)
  const large = record(Buffer.alloc(room + 1))
  assert.deepEqual(offsets(await produce({ records: [fits] })), [0])
  const [refused] = await produce({ records: [large] })
  assert.ok(refused && 'error' in refused)
  assert.equal(refused.error.code, 'RECORD_TOO_LARGE')
  assert.match(refused.error.message, /2001 bytes.*2000/)
  const results = await produce({ records: [record('a'), large, fits, record('b')] })
  assert.deepEqual(offsets(results), [1, 'RECORD_TOO_LARGE', 2, 3])
  assert.equal((await stored(0)).length, 4)
})

test('what does not fit one batch becomes several, in order, without gaps', async (t) => {
  const config = { 'max.message.bytes': '1000' }
  const { produce, stored, appends } = await bench(t, { partitions: 2, config })
  const values = Array.from({ length: 60 }, (_, i) => `${i}`.padStart(100, '.'))
  const results = await produce({
    records: values.map((value, i) => record(value, { partition: i % 2 })),
  })
  assert.deepEqual(
    offsets(results),
    values.map((_, i) => Math.floor(i / 2)),
  )
  assert.ok(appends.length > 2)
  for (const partition of [0, 1]) {
    assert.deepEqual(
      texts(await stored(partition)),
      values.filter((_, i) => i % 2 === partition),
    )
  }
  for (const entries of appends) {
    assert.equal(new Set(entries.map(({ tp }) => tp.partition)).size, entries.length)
    for (const { batch } of entries) assert.ok(batch.length <= 1000)
  }
})

test('with atomic one bad record refuses all, and nothing is stored', async (t) => {
  const { produce, stored, appends } = await bench(t, { partitions: 2 })
  const door = new GatewayError('INVALID_RECORD', 'Line 2 is not valid JSON.')
  await throwsCode(
    produce({ atomic: true, records: [record('a'), door, record('c')] }),
    'INVALID_RECORD',
    /record 2 of 3.*Line 2/,
  )
  await throwsCode(
    produce({ atomic: true, records: [record('a'), record('b', { partition: 9 })] }),
    'INVALID_RECORD',
    /UNKNOWN_PARTITION/,
  )
  assert.equal(appends.length, 0)
  assert.deepEqual([await stored(0), await stored(1)], [[], []])
})

test('atomic records of several partitions and batches are stored as one', async (t) => {
  const config = { 'max.message.bytes': '1000' }
  const { produce, stored, appends } = await bench(t, { partitions: 2, config })
  const values = Array.from({ length: 40 }, (_, i) => `${i}`.padStart(100, '.'))
  const records = values.map((value, i) => record(value, { partition: i % 2 }))
  const results = await produce({ atomic: true, records })
  assert.equal(appends.length, 0)
  assert.deepEqual(
    offsets(results),
    values.map((_, i) => Math.floor(i / 2)),
  )
  for (const partition of [0, 1]) {
    const expected = values.filter((_, i) => i % 2 === partition)
    assert.deepEqual(texts(await stored(partition)), expected)
  }
})

test('a missing topic is told with the command that makes it', async (t) => {
  const { produce, meter } = await bench(t)
  const records = [record('x'), record('y')]
  await throwsCode(
    produce({ topic: 'clicks', records }),
    'UNKNOWN_TOPIC',
    /'clicks' does not exist.*\/v1\/topics -d '\{"name":"clicks"\}'.*ebbgate topics create clicks/,
  )
  await throwsCode(produce({ topic: '../etc', records }), 'UNKNOWN_TOPIC', /1 to 249 characters/)
  await throwsCode(produce({ topic: 'x'.repeat(300), records }), 'UNKNOWN_TOPIC')
  await throwsCode(produce({ topic: '__ebbgate_settings', records }), 'UNKNOWN_TOPIC')
  assert.deepEqual(meter[0], 'failed clicks 2 UNKNOWN_TOPIC')
})

test('internal topics do not exist, not even to be made', async (t) => {
  const { engine, produce } = await bench(t)
  await engine.topics.create([{ name: '__hidden', partitions: 1 }], call)
  for (const topic of ['__hidden', '__other']) {
    const request = { topic, autoCreate: true, records: [record('x')] }
    await throwsCode(produce(request), 'UNKNOWN_TOPIC')
  }
  assert.equal(engine.topics.known('__other'), undefined)
})

test('a missing topic may be made on the way, once, by everybody at the same time', async (t) => {
  const { engine, produce, stored } = await bench(t)
  const request = { topic: 'clicks', autoCreate: true }
  const results = await Promise.all(
    Array.from({ length: 10 }, (_, i) => produce({ ...request, records: [record(`${i}`)] })),
  )
  const seen = results.flatMap((each) => offsets(each)).sort((a, b) => Number(a) - Number(b))
  assert.deepEqual(
    seen,
    results.map((_, offset) => offset),
  )
  assert.equal((await stored(0, 'clicks')).length, 10)
  assert.equal(engine.topics.known('clicks')?.partitions.length, 1)
  await throwsCode(
    produce({ topic: 'no/name', autoCreate: true, records: [record('x')] }),
    'INVALID_REQUEST',
    /A-Z a-z 0-9/,
  )
})

test('making the topic is part of the time that a request has', async (t) => {
  const left: number[] = []
  const { produce, clock } = await bench(t, {}, (log) => ({
    append(entries, options) {
      left.push(options.timeoutMs)
      return log.append(entries, options)
    },
  }))
  const request = { topic: 'clicks', autoCreate: true, timeoutMs: 1000, records: [record('x')] }
  const made = produce(request)
  clock.advance(300)
  await made
  await produce(request)
  assert.deepEqual(left, [700, 1000])
})

test('a request without records stores nothing, but its topic must exist', async (t) => {
  const { produce, appends } = await bench(t)
  assert.deepEqual(await produce({ records: [] }), [])
  assert.equal(appends.length, 0)
  await throwsCode(produce({ topic: 'clicks', records: [] }), 'UNKNOWN_TOPIC')
})

test('a request with more records than allowed is refused by number', async (t) => {
  const { produce } = await bench(t)
  const records = Array<NewRecord>(100_001).fill(record('x'))
  await throwsCode(produce({ records }), 'BODY_TOO_LARGE', /100000 records.*100001/)
})

test('while the log has too much to do a request is refused before it costs anything', async (t) => {
  let inFlightBytes = 11
  const { produce, appends } = await bench(t, {}, ({ pressure }) => ({
    get pressure() {
      return { ...pressure, inFlightBytes, high: 10 }
    },
  }))
  await throwsCode(produce({ records: [record('x')] }), 'OVERLOADED', /11 bytes.*10/)
  await throwsCode(
    produce({ topic: 'clicks', autoCreate: true, records: [record('x')] }),
    'OVERLOADED',
  )
  assert.equal(appends.length, 0)
  inFlightBytes = 10
  assert.deepEqual(offsets(await produce({ records: [record('x')] })), [0])
})

test('a partition that fails fails its own records', async (t) => {
  const full = new GatewayError('DISK_FULL', 'The disk is full.')
  const { produce, stored } = await bench(t, { partitions: 2 }, (log) => ({
    async append(entries, options) {
      const good = await log.append(
        entries.filter(({ tp }) => tp.partition === 0),
        options,
      )
      return entries.map(({ tp }) => (tp.partition === 0 ? good.shift()! : { tp, error: full }))
    },
  }))
  const records = [1, 0, 1, 0].map((partition, i) => record(`${i}`, { partition }))
  assert.deepEqual(offsets(await produce({ records })), ['DISK_FULL', 0, 'DISK_FULL', 1])
  assert.deepEqual(texts(await stored(0)), ['1', '3'])
  assert.deepEqual(offsets(await produce({ records: [record('x', { partition: 1 })] })), [
    'DISK_FULL',
  ])
})

test('an append that is refused whole refuses the request, or its own round of several', async (t) => {
  let appends = 0
  const config = { 'max.message.bytes': '1000' }
  const { produce, stored } = await bench(t, { config }, (log) => ({
    append(entries, options) {
      appends++
      if (appends === 2) return Promise.reject(new GatewayError('TIMEOUT', 'The disk is slow.'))
      return log.append(entries, options)
    },
  }))
  const values = [400, 400, 400, 400, 400, 400].map((size) => record(Buffer.alloc(size, 0x61)))
  const results = offsets(await produce({ records: values }))
  assert.deepEqual(results, [0, 1, 'TIMEOUT', 'TIMEOUT', 2, 3])
  assert.equal((await stored(0)).length, 4)
  appends = 1
  await throwsCode(produce({ records: [record('x')] }), 'TIMEOUT', /slow/)
  appends = 1
  await throwsCode(produce({ records: [record('x'), record('y')] }), 'TIMEOUT', /slow/)
})

test('a request of several appends is refused whole when none of them was taken', async (t) => {
  const codes = ['OVERLOADED', 'TIMEOUT', 'OVERLOADED'] as const
  let appends = 0
  const { produce } = await bench(t, { config: { 'max.message.bytes': '1000' } }, () => ({
    append: () => Promise.reject(new GatewayError(codes[appends++]!, 'Not now.')),
  }))
  const values = [700, 700, 700].map((size) => record(Buffer.alloc(size, 0x61)))
  // What may have been written decides what the sender is told.
  await throwsCode(produce({ records: values }), 'TIMEOUT', /Not now/)
})

test('an unexpected fault is INTERNAL and keeps its cause', async (t) => {
  const cause = new TypeError('a bug')
  const { produce, meter } = await bench(t, {}, () => ({ append: () => Promise.reject(cause) }))
  await assert.rejects(produce({ records: [record('x')] }), { code: 'INTERNAL', cause })
  assert.deepEqual(meter, ['failed orders 1 INTERNAL'])
})

test('a topic with append time answers with the time of the append', async (t) => {
  const config = { 'message.timestamp.type': 'LogAppendTime' }
  const { produce, stored, clock } = await bench(t, { config })
  const results = await produce({ records: [record('a', { timestamp: 5 }), record('b')] })
  for (const result of results) assert.ok('timestamp' in result && result.timestamp > 5)
  const [single] = await produce({ records: [record('c', { timestamp: 5 })] })
  assert.ok(single && 'timestamp' in single)
  assert.equal(single.timestamp, clock.wallMs())
  assert.deepEqual(
    (await stored(0)).map(({ timestamp }) => timestamp),
    [...results, single].map((result) => ('timestamp' in result ? result.timestamp : -1)),
  )
})

test('a timestamp outside the window of its topic fails alone, at both ends', async (t) => {
  const { produce, stored, clock, engine } = await bench(t, {
    config: {
      'message.timestamp.before.max.ms': '1000',
      'message.timestamp.after.max.ms': '2000',
    },
  })
  const now = clock.wallMs()
  const at = (delta: number): NewRecord => record(`${delta}`, { timestamp: now + delta })
  const results = await produce({ records: [at(-1001), at(-1000), at(2000), at(2001)] })
  const bad = 'INVALID_RECORD'
  assert.deepEqual(offsets(results), [bad, 0, 1, bad])
  const messages = results.map((result) => ('error' in result ? result.error.message : ''))
  assert.match(messages[0]!, /1000 ms \(message\.timestamp\.before\.max\.ms\) behind/)
  assert.match(messages[3]!, /2000 ms \(message\.timestamp\.after\.max\.ms\) ahead/)
  const owner = { type: 'topic', name: 'orders' } as const
  const change = { op: 'set', name: 'message.timestamp.type', value: 'LogAppendTime' } as const
  await engine.topics.alterConfigs(owner, [change], call)
  assert.deepEqual(offsets(await produce({ records: [at(-9e9), at(9e9)] })), [2, 3])
  const times = (await stored(0)).map(({ timestamp }) => timestamp)
  assert.deepEqual(times, [now - 1000, now + 2000, now, now], 'the log sets the last two')
})

for (const codec of ['gzip', 'snappy', 'lz4', 'zstd'] as const) {
  test(`with compression.type=${codec} the gateway's own batches are compressed`, async (t) => {
    const { produce, stored, appends } = await bench(t, { config: { 'compression.type': codec } })
    const values = Array.from({ length: 50 }, (_, i) => `{"name":"value ${i}","same":"same"}`)
    await produce({ records: values.map((value) => record(value)) })
    await produce({ records: [record('{"too":"small"}')] })
    const noise = record(new Uint8Array(400).map((_, i) => Math.imul(i + 1, 0x9e3779b1) >>> 24))
    await produce({ records: [noise] })
    const batches = appends.map(([entry]) => entry!.batch)
    assert.deepEqual(batches.map(codecOf), [codec, 'none', 'none'], 'where it gains something')
    assert.ok(batches[0]!.length < 1200, `${batches[0]!.length} bytes`)
    assert.deepEqual(texts(await stored(0)).slice(0, 51), [...values, '{"too":"small"}'])
    assert.deepEqual((await stored(0))[51]!.value, Buffer.from(noise.value!))
  })
}

test('a compression level that is changed counts from the next batch on', async (t) => {
  const { produce, appends, engine } = await bench(t, {
    config: { 'compression.type': 'gzip', 'compression.gzip.level': '1' },
  })
  const text = readFileSync(
    new URL('../fixtures/github-events/events.jsonl', import.meta.url),
    'utf8',
  )
  const records = text
    .split('\n')
    .slice(0, 40)
    .map((line) => record(line))
  await produce({ records })
  const change = { op: 'set', name: 'compression.gzip.level', value: '9' } as const
  await engine.topics.alterConfigs({ type: 'topic', name: 'orders' }, [change], call)
  await produce({ records })
  const [fast, small] = appends.map(([entry]) => entry!.batch.length)
  assert.ok(small! < fast!, `level 9 makes ${small} bytes, level 1 ${fast}`)
})

test('real events keep every byte, digit and twin', async (t) => {
  const { produce, stored } = await bench(t)
  const sent: string[] = ['{"a":49300.00,"n":12345678901234567890,"a" : 1}']
  for (const name of ['vehicle-trace/trace', 'market-trades/trades-usd', 'github-events/events']) {
    const file = new URL(`../fixtures/${name}.jsonl`, import.meta.url)
    sent.push(...readFileSync(file, 'utf8').trimEnd().split('\n'))
  }
  const results = await produce({ records: sent.map((value) => record(value)) })
  assert.deepEqual(
    offsets(results),
    sent.map((_, offset) => offset),
  )
  assert.deepEqual(texts(await stored(0)), sent)
})

test('a keyed retry gets the first answer after the topic has grown, and is counted once', async (t) => {
  const { producer, engine, meter, stored } = await bench(t, { partitions: 2 })
  const records = ['u1', 'u2', 'u3', 'u4'].map((key): NewRecord => ({
    key: Buffer.from(key),
    value: Buffer.from(key),
    headers: [],
  }))
  const bad = { ...records[0]!, timestamp: -1 }
  const request = { topic: 'orders', records: [...records, bad, ...records] }
  const key = { value: 'k', fingerprint: Buffer.from('f') }
  const first = await producer.produceOnce(anonymous, request, key)
  const counted = [...meter]
  await engine.topics.grow([{ name: 'orders', partitions: 7 }], call)
  const again = await producer.produceOnce(anonymous, request, key)
  assert.deepEqual([first.deduplicated, again.deduplicated], [false, true])
  const shown = (results: readonly RecordResult[]) =>
    results.map((result) => ('error' in result ? result.error.message : result))
  assert.deepEqual(shown(again.results), shown(first.results))
  assert.deepEqual(meter, counted)
  let count = 0
  for (let partition = 0; partition < 7; partition++) count += (await stored(partition)).length
  assert.equal(count, 8)
})
