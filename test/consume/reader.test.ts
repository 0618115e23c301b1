import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import fc from 'fast-check'
import type { ReadAnswer, ReadRequest } from '../../src/consume/reader.ts'
import { Reader } from '../../src/consume/reader.ts'
import { systemClock } from '../../src/kit/clock.ts'
import { GatewayError } from '../../src/model/errors.ts'
import { parsePlace } from '../../src/model/place.ts'
import { formatPosition } from '../../src/model/position.ts'
import { anonymous } from '../../src/model/principal.ts'
import { LogFixture } from '../support/log-fixture.ts'
import { WatchedLog } from '../support/watched-log.ts'

let fixture: LogFixture
let reader: Reader

beforeEach(async () => {
  fixture = await LogFixture.open()
  const { log, topics } = fixture.engine
  reader = new Reader({ log, topics, clock: systemClock })
})
afterEach(() => fixture.close())

type Wish = Partial<Omit<ReadRequest, 'topics' | 'from' | 'until'>> & {
  readonly topics?: ReadRequest['topics']
  readonly from?: string
  readonly until?: string
}

async function read(wish: Wish = {}): Promise<ReadAnswer> {
  const { topics, from, until, ...rest } = wish
  const answer = await reader.read(anonymous, {
    topics: topics ?? [{ topic: 't' }],
    from: parsePlace('from', from ?? 'earliest'),
    ...(until === undefined ? {} : { until: parsePlace('until', until) }),
    waitMs: 0,
    onGap: 'continue',
    ...rest,
  })
  answer.release()
  return answer
}

const values = ({ records }: ReadAnswer): string[] => records.map(({ value }) => String(value))
const places = ({ records }: ReadAnswer): string[] =>
  records.map(({ topic, partition, offset }) => `${topic}/${partition}/${offset}`)

async function refusal(wish: Wish): Promise<string> {
  try {
    await read(wish)
  } catch (error) {
    assert.ok(error instanceof GatewayError, String(error))
    return `${error.code}: ${error.message}`
  }
  return 'answered'
}

test('a read from the beginning gives everything in order, and the same again', async () => {
  await fixture.createTopic('t', 1)
  await fixture.write('t', 0, ['a', 'b'])
  await fixture.write('t', 0, ['c'])
  for (let i = 0; i < 2; i++) {
    const answer = await read()
    assert.deepEqual(values(answer), ['a', 'b', 'c'])
    assert.equal(answer.live, true)
    assert.deepEqual(answer.gaps, [])
  }
})

test('every word of the grammar begins where it says', async () => {
  await fixture.createTopic('t', 1)
  const at = (timestamp: number) => ({ value: Buffer.from(String(timestamp)), timestamp })
  const base = Date.UTC(2026, 10, 21)
  await fixture.write('t', 0, [at(base), at(base + 1000), at(base + 2000)])
  assert.deepEqual(places(await read({ from: 'offset:1' })), ['t/0/1', 't/0/2'])
  assert.deepEqual(places(await read({ from: `time:${base + 1}` })), ['t/0/1', 't/0/2'])
  assert.deepEqual(places(await read({ from: 'time:2026-11-21T00:00:02Z' })), ['t/0/2'])
  assert.deepEqual(places(await read({ from: 'time:2036-01-01' })), [])
  assert.deepEqual(places(await read({ from: 'latest' })), [])
  assert.deepEqual(places(await read({ from: 'last:2' })), ['t/0/1', 't/0/2'])
  assert.deepEqual(places(await read({ from: 'earliest', until: 'offset:1' })), ['t/0/0'])
  assert.deepEqual(places(await read({ until: `time:${base + 2000}` })), ['t/0/0', 't/0/1'])
})

test('paging by position visits every record once, whatever the page and the partitions', async () => {
  await fixture.createTopic('t', 3)
  await fixture.createTopic('u', 2)
  const all: string[] = []
  for (let i = 0; i < 40; i++) {
    const topic = i % 3 === 0 ? 'u' : 't'
    const partition = i % (topic === 'u' ? 2 : 3)
    const count = 1 + ((i * 7) % 5)
    const base = await fixture.write(topic, partition, Array<string>(count).fill('x'.repeat(i)))
    for (let n = 0; n < count; n++) all.push(`${topic}/${partition}/${base + n}`)
  }
  const topics = [{ topic: 't' }, { topic: 'u' }]
  const page = fc.record({
    recordsMax: fc.integer({ min: 1, max: 30 }),
    bytesMax: fc.integer({ min: 1, max: 2000 }),
  })
  await fc.assert(
    fc.asyncProperty(page, async (limits) => {
      const seen: string[] = []
      let from = 'earliest'
      for (;;) {
        const answer = await read({ topics, from, ...limits })
        assert.ok(answer.records.length <= limits.recordsMax)
        seen.push(...places(answer))
        from = formatPosition(answer.position)
        if (answer.live) break
        assert.ok(answer.records.length > 0)
      }
      assert.deepEqual([...seen].sort(), [...all].sort())
      for (const topic of ['t', 'u']) {
        for (const partition of [0, 1, 2]) {
          const own = seen.filter((place) => place.startsWith(`${topic}/${partition}/`))
          const offsets = own.map((place) => Number(place.split('/')[2]))
          assert.deepEqual(
            offsets,
            offsets.map((_, i) => i),
          )
        }
      }
    }),
    { numRuns: 15 },
  )
})

test('a busy partition does not keep the others from being read', async () => {
  await fixture.createTopic('t', 3)
  await fixture.write('t', 0, Array<string>(500).fill('busy'))
  await fixture.write('t', 1, ['quiet 1'])
  await fixture.write('t', 2, ['quiet 2'])
  const seen = new Set<number>()
  let from = 'earliest'
  for (let i = 0; i < 6; i++) {
    const answer = await read({ from, recordsMax: 1 })
    for (const { partition } of answer.records) seen.add(partition)
    from = formatPosition(answer.position)
  }
  assert.deepEqual([...seen].sort(), [0, 1, 2])
  const large = await read({ bytesMax: 4_000 })
  assert.equal(new Set(large.records.map(({ partition }) => partition)).size, 3)
})

test('a record larger than the answer is delivered all the same, alone', async () => {
  await fixture.createTopic('t', 1)
  await fixture.write('t', 0, ['x'.repeat(50_000), 'y'])
  const answer = await read({ bytesMax: 100 })
  assert.deepEqual(places(answer), ['t/0/0'])
  assert.equal(answer.live, false)
})

test('the last records are the newest of the whole read, oldest first', async () => {
  await fixture.createTopic('t', 3)
  const base = Date.UTC(2026, 10, 21)
  const all: { place: string; time: number }[] = []
  for (let i = 0; i < 120; i++) {
    // Partition 2 falls silent early, partition 0 gets most.
    const partition = i < 20 ? i % 3 : i % 5 === 0 ? 1 : 0
    const timestamp = base + i * 1000
    const offset = await fixture.write('t', partition, [{ value: Buffer.from('v'), timestamp }])
    all.push({ place: `t/${partition}/${offset}`, time: timestamp })
  }
  for (const count of [1, 2, 10, 50, 119, 120, 5000]) {
    const answer = await read({ from: `last:${count}` })
    assert.deepEqual(
      places(answer),
      all.slice(-count).map(({ place }) => place),
    )
    assert.equal(answer.live, true)
    assert.deepEqual(places(await read({ from: formatPosition(answer.position) })), [])
  }
  const few = await read({ from: 'last:100', bytesMax: 200 })
  assert.ok(few.records.length > 0 && few.records.length < 100)
  assert.equal(places(few).at(-1), all.at(-1)!.place)
})

test('the last records are the newest that fit, whatever their sizes and partitions', async () => {
  await fixture.createTopic('t', 3)
  const base = Date.UTC(2026, 10, 21)
  const all: { place: string; bytes: number }[] = []
  for (let i = 0; i < 150; i++) {
    const partition = (i * 7) % 11 < 6 ? 0 : i % 3
    const size = i % 13 === 0 ? 3000 : (i * 31) % 90
    const record = { value: Buffer.alloc(size, 120), timestamp: base + i }
    all.push({
      place: `t/${partition}/${await fixture.write('t', partition, [record])}`,
      bytes: 16 + size,
    })
  }
  const limits = fc.record({
    count: fc.integer({ min: 1, max: 160 }),
    bytesMax: fc.integer({ min: 1, max: 20_000 }),
  })
  await fc.assert(
    fc.asyncProperty(limits, async ({ count, bytesMax }) => {
      const expected: string[] = []
      let room = bytesMax
      for (const { place, bytes } of all.toReversed()) {
        room -= bytes
        if (expected.length === count || (room < 0 && expected.length > 0)) break
        expected.unshift(place)
      }
      assert.deepEqual(places(await read({ from: `last:${count}`, bytesMax })), expected)
    }),
    // The example: the record that fits exactly lies behind one of another partition that does not.
    { numRuns: 60, examples: [[{ count: 22, bytesMax: 7296 }]] },
  )
})

test('keys leave the others out, and the position moves past them', async () => {
  await fixture.createTopic('t', 1)
  const of = (key: string) => ({ key: Buffer.from(key), value: Buffer.from(`of ${key}`) })
  await fixture.write('t', 0, [of('a'), of('b'), of('a'), of('c'), of('b')])
  const keys = [Buffer.from('a'), Buffer.from('c')]
  const answer = await read({ keys })
  assert.deepEqual(places(answer), ['t/0/0', 't/0/2', 't/0/3'])
  assert.equal(answer.position[0]!.offsets.get(0), 5)
  const nothing = await read({ keys: [Buffer.from('nobody')] })
  assert.deepEqual(places(nothing), [])
  assert.equal(nothing.position[0]!.offsets.get(0), 5)
  assert.deepEqual(places(await read({ keys, from: 'last:2' })), ['t/0/2', 't/0/3'])
})

test('a long poll answers with the first record that is written', async () => {
  await fixture.createTopic('t', 2)
  const waiting = read({ from: 'latest', waitMs: 10_000 })
  await fixture.turns()
  await fixture.write('t', 1, ['new'])
  assert.deepEqual(values(await waiting), ['new'])
})

test('a long poll ends empty when its time is over, with a position', async () => {
  await fixture.createTopic('t', 1)
  const answer = await read({ waitMs: 30 })
  assert.deepEqual(values(answer), [])
  assert.equal(answer.live, true)
  assert.equal(answer.position[0]!.offsets.get(0), 0)
})

test('a long poll whose caller leaves ends at once', async () => {
  await fixture.createTopic('t', 1)
  const abort = new AbortController()
  const waiting = read({ waitMs: 60_000, signal: abort.signal })
  await fixture.turns()
  abort.abort()
  assert.deepEqual(values(await waiting), [])
})

test('records that retention took are a gap, or an error where gaps may not be', async () => {
  await fixture.createTopic('t', 1)
  await fixture.write('t', 0, ['a', 'b'])
  await fixture.write('t', 0, ['c'])
  await fixture.deleteRecords('t', 0, 2)
  const answer = await read({ from: 'offset:1' })
  assert.deepEqual(places(answer), ['t/0/2'])
  const [gap] = answer.gaps
  assert.deepEqual([gap!.from, gap!.to, gap!.why], [1, 2, 'retention'])
  assert.match(await refusal({ from: 'offset:1', onGap: 'fail' }), /^OFFSET_OUT_OF_RANGE: .*2/)
})

test('an offset beyond the end is told, and reading goes on from the end', async () => {
  await fixture.createTopic('t', 1)
  await fixture.write('t', 0, ['a'])
  const answer = await read({ from: 'offset:9' })
  const [gap] = answer.gaps
  assert.deepEqual([gap!.from, gap!.to, gap!.why], [9, 1, 'trimmed'])
  assert.equal(answer.position[0]!.offsets.get(0), 1)
  assert.match(await refusal({ from: 'offset:9', onGap: 'fail' }), /^OFFSET_OUT_OF_RANGE/)
})

test('a topic that was made again is a gap for positions of the old one', async () => {
  await fixture.createTopic('t', 1)
  await fixture.write('t', 0, ['old'])
  const from = formatPosition((await read()).position)
  await fixture.deleteTopic('t')
  await fixture.createTopic('t', 1)
  await fixture.write('t', 0, ['new'])
  const answer = await read({ from })
  assert.deepEqual(values(answer), ['new'])
  assert.equal(answer.gaps[0]!.why, 'recreated')
  assert.notEqual(answer.position[0]!.epoch, from.split('.')[1])
  assert.match(await refusal({ from, onGap: 'fail' }), /^EPOCH_MISMATCH/)
  assert.match(await refusal({ until: from }), /^EPOCH_MISMATCH/)
})

test('partitions that a position does not name are read from their start', async () => {
  await fixture.createTopic('t', 1)
  await fixture.write('t', 0, ['a'])
  const from = formatPosition((await read()).position)
  await fixture.engine.topics.grow([{ name: 't', partitions: 2 }], { timeoutMs: 5000 })
  await fixture.write('t', 1, ['born later'])
  assert.deepEqual(values(await read({ from })), ['born later'])
})

test('what does not fit the read is refused by name', async () => {
  await fixture.createTopic('t', 2)
  await fixture.createTopic('u', 1)
  const ofU = formatPosition((await read({ topics: [{ topic: 'u' }] })).position)
  const { id } = fixture.engine.topics.known('t')!
  assert.match(await refusal({ from: ofU }), /^BAD_REQUEST: .*'u'/)
  assert.match(await refusal({ from: `1.${id}.7-0` }), /^BAD_REQUEST: .*partition 7/)
  assert.match(await refusal({ from: 'offset:1' }), /^BAD_REQUEST: .*exactly one/)
  assert.match(await refusal({ until: 'last:3' }), /^BAD_REQUEST: .*'from' only/)
  assert.match(await refusal({ topics: [] }), /^BAD_REQUEST/)
  assert.match(await refusal({ topics: [{ topic: 't' }, { topic: 't' }] }), /^BAD_REQUEST: .*twice/)
  const twice = [{ topic: 't', partitions: [1, 1] }]
  assert.match(await refusal({ topics: twice }), /^BAD_REQUEST: .*twice/)
  const missing = [{ topic: 't', partitions: [2] }]
  assert.match(await refusal({ topics: missing }), /^UNKNOWN_PARTITION: .*2/)
  assert.match(await refusal({ topics: [{ topic: 'nobody' }] }), /^UNKNOWN_TOPIC: .*'nobody'/)
  assert.match(await refusal({ topics: [{ topic: '__internal' }] }), /^UNKNOWN_TOPIC/)
})

test('one record is a link that lives as long as the record', async () => {
  await fixture.createTopic('t', 1)
  await fixture.write('t', 0, ['a', 'b'])
  await fixture.write('t', 0, ['c'])
  const tp = { topic: 't', partition: 0 }
  const record = await reader.record(anonymous, tp, 1)
  assert.deepEqual([record.topic, record.offset, String(record.value)], ['t', 1, 'b'])
  await fixture.deleteRecords('t', 0, 2)
  const code = (expected: string) => (error: unknown) =>
    error instanceof GatewayError && error.code === expected
  await assert.rejects(reader.record(anonymous, tp, 1), code('OFFSET_OUT_OF_RANGE'))
  await assert.rejects(reader.record(anonymous, tp, 3), code('NOT_FOUND'))
  await assert.rejects(reader.record(anonymous, tp, 99), code('NOT_FOUND'))
  await assert.rejects(
    reader.record(anonymous, { topic: 't', partition: 5 }, 0),
    code('UNKNOWN_PARTITION'),
  )
})

/** A reader that finds one batch of `t/0` damaged. */
function readerOfDamage(base: number): Reader {
  const { log, topics } = fixture.engine
  const damaged = new WatchedLog(log, (partition, first) => partition === 0 && first === base)
  return new Reader({ log: damaged, topics, clock: systemClock })
}

test('a damaged batch is passed and told, or refused', async () => {
  await fixture.createTopic('t', 1)
  for (const value of ['a', 'b', 'c']) await fixture.write('t', 0, [value, value, value])
  reader = readerOfDamage(3)
  const answer = await read({ from: 'offset:1' })
  assert.deepEqual(values(answer), ['a', 'a', 'c', 'c', 'c'])
  assert.deepEqual(
    answer.gaps.map(({ partition, from, to, why }) => [partition, from, to, why]),
    [[0, 3, 6, 'corrupt']],
  )
  assert.match(await refusal({ onGap: 'fail' }), /^CORRUPT_BATCH/)
  // From inside of it, only the rest of it is missing.
  const inside = await read({ from: 'offset:4' })
  assert.deepEqual([inside.gaps[0]!.from, inside.gaps[0]!.to], [4, 6])
  await assert.rejects(
    reader.record(anonymous, { topic: 't', partition: 0 }, 4),
    (error) => error instanceof GatewayError && error.code === 'CORRUPT_BATCH',
  )
})

test('the last records go round a damaged batch and tell it once', async () => {
  await fixture.createTopic('t', 1)
  await fixture.write('t', 0, Array<string>(10).fill('old'))
  await fixture.write('t', 0, Array<string>(100).fill('lost'))
  await fixture.write('t', 0, Array<string>(5).fill('new'))
  reader = readerOfDamage(10)
  const answer = await read({ from: 'last:8' })
  assert.deepEqual(values(answer), ['old', 'old', 'old', 'new', 'new', 'new', 'new', 'new'])
  assert.deepEqual(
    answer.gaps.map(({ from, to, why }) => [from, to, why]),
    [[10, 110, 'corrupt']],
  )
  assert.match(await refusal({ from: 'last:8', onGap: 'fail' }), /^CORRUPT_BATCH/)
  assert.equal((await read({ from: 'last:5', onGap: 'fail' })).gaps.length, 0)
})

test('the last record of many partitions borrows no more than one look at a time', async () => {
  await fixture.createTopic('t', 8)
  const log = new WatchedLog(fixture.log)
  for (let partition = 0; partition < 8; partition++) {
    for (let i = 0; i < 16; i++) await fixture.write('t', partition, ['x'.repeat(100_000)])
  }
  reader = new Reader({ log, topics: fixture.engine.topics, clock: systemClock })
  for (const [from, count] of [
    ['last:1', 1],
    ['last:20', 20],
  ] as const) {
    assert.equal((await read({ from })).records.length, count)
    assert.equal(log.heldBytes, 0)
  }
  assert.ok(log.heldBytesMax < 1_300_000, `${log.heldBytesMax} bytes were borrowed`)
})

test('until cuts the last records, too', async () => {
  await fixture.createTopic('t', 1)
  for (let i = 0; i < 40; i++) await fixture.write('t', 0, [`${i}`])
  const answer = await read({ from: 'last:3', until: 'offset:20' })
  assert.deepEqual(values(answer), ['17', '18', '19'])
  assert.equal(answer.position[0]!.offsets.get(0), 20)
})
