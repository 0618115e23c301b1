import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { CommittedOffsets } from '../../../../src/engine/embedded/group/committed-offsets.ts'

const record = (topicId: string, partition: number, offset: number, metadata = '') => ({
  topicId,
  partition,
  offset,
  leaderEpoch: undefined,
  metadata,
})

test('an entry of committed offsets has these bytes', () => {
  const { payload } = new CommittedOffsets().commit('g', 7, [record('t', 1, 300, 'é')])
  // type 1 · "g" · time 7 · 1 place · "t" · partition 1 · offset 300 · no epoch · "é"; numbers zigzag
  assert.equal(
    Buffer.from(payload).toString('hex'),
    '020267' + '0e' + '02' + '0274' + '02' + 'd804' + '01' + '04c3a9',
  )
})

const text = fc.string({ unit: 'grapheme', maxLength: 20 })
const place = fc.record({ topicId: fc.constantFrom('t1', 't2', 't3'), partition: fc.nat(5) })
const stored = fc.record({
  topicId: fc.constantFrom('t1', 't2', 't3'),
  partition: fc.nat(5),
  offset: fc.maxSafeNat(),
  leaderEpoch: fc.option(fc.nat(1_000), { nil: undefined }),
  metadata: text,
})
const group = fc.constantFrom('g', 'with space', 'ünï', '')
const step = fc.oneof(
  fc.record({ verb: fc.constant('commit' as const), group, records: fc.array(stored) }),
  fc.record({ verb: fc.constant('forget' as const), group, places: fc.array(place) }),
  fc.record({ verb: fc.constant('dissolve' as const), group }),
  fc.record({ verb: fc.constant('mark' as const), group, since: fc.option(fc.nat(100)) }),
)

test('replaying the entries, or a snapshot of them, gives the same offsets', () => {
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const live = new CommittedOffsets()
      const replayed = new CommittedOffsets()
      const expected = new Map<string, Map<string, number>>()
      steps.forEach((s, time) => {
        const of = expected.get(s.group) ?? new Map<string, number>()
        expected.set(s.group, of)
        if (s.verb === 'commit') {
          replayed.apply(live.commit(s.group, time, s.records, time % 2 === 0).payload)
          for (const r of s.records) of.set(`${r.topicId}/${r.partition}`, r.offset)
        } else if (s.verb === 'forget') {
          replayed.apply(live.forget(s.group, s.places).payload)
          for (const r of s.places) of.delete(`${r.topicId}/${r.partition}`)
        } else if (s.verb === 'mark') {
          replayed.apply(live.mark(s.group, s.since ?? undefined).payload)
        } else {
          replayed.apply(live.dissolve(s.group).payload)
          of.clear()
        }
      })
      const restored = new CommittedOffsets()
      restored.restore(live.snapshot())
      for (const [id, offsets] of expected) {
        const found = [...live.all(id)]
        assert.equal(found.length, offsets.size)
        assert.equal(live.has(id), offsets.size > 0)
        for (const r of found) assert.equal(r.offset, offsets.get(`${r.topicId}/${r.partition}`))
        assert.deepEqual([...replayed.all(id)], found)
        assert.deepEqual([...restored.all(id)], found)
        for (const time of [-1, 3, 50, 100]) {
          const gone = live.expired(id, time, (topicId) => topicId === 't3')
          assert.deepEqual(
            replayed.expired(id, time, (topicId) => topicId === 't3'),
            gone,
          )
          assert.deepEqual(
            restored.expired(id, time, (topicId) => topicId === 't3'),
            gone,
          )
        }
        assert.equal(replayed.isOccupied(id), live.isOccupied(id))
        assert.equal(restored.isOccupied(id), live.isOccupied(id))
      }
    }),
  )
})

test('offsets of a deleted topic go with it, and a group without any is gone', () => {
  const offsets = new CommittedOffsets()
  offsets.commit('g', 1, [record('t1', 0, 5), record('t2', 0, 6)])
  offsets.commit('h', 1, [record('t1', 0, 7)])
  offsets.dropTopic('t1')
  assert.deepEqual([...offsets.groups()], ['g'])
  assert.equal(offsets.find('g', { topicId: 't1', partition: 0 }), undefined)
  assert.equal(offsets.find('g', { topicId: 't2', partition: 0 })?.offset, 6)
})

test('an entry that is cut off or of an unknown type is refused, not guessed', () => {
  const { payload } = new CommittedOffsets().commit('g', 7, [record('t', 1, 300, 'note')])
  for (let length = 0; length < payload.length; length++) {
    assert.throws(() => new CommittedOffsets().apply(payload.subarray(0, length)), RangeError)
  }
  assert.throws(() => new CommittedOffsets().apply(Buffer.from('120267', 'hex')), RangeError)
  assert.throws(() => new CommittedOffsets().apply(Buffer.concat([payload, payload])), RangeError)
})
