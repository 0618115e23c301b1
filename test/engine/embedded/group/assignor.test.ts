import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type {
  AssignableMember,
  AssignableTopic,
  Assignment,
} from '../../../../src/engine/embedded/group/assignor.ts'
import { assign } from '../../../../src/engine/embedded/group/assignor.ts'

const topicsOf = (counts: readonly number[]): AssignableTopic[] =>
  counts.map((partitions, i) => ({ id: `id-${i}`, name: `topic-${i}`, partitions }))

/** Topics and members, each member subscribing to a part of the topics (or all of them). */
const groups = (alike: boolean): fc.Arbitrary<[AssignableTopic[], AssignableMember[]]> =>
  fc
    .tuple(
      fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 5 }),
      fc.uniqueArray(fc.string({ minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 8 }),
      fc.infiniteStream(fc.boolean()),
    )
    .map(([counts, ids, choices]) => {
      const topics = topicsOf(counts)
      const wants = (): boolean => alike || choices.next().value === true
      const members = ids.map((id) => ({
        id,
        rank: id,
        topics: new Set(topics.filter(wants).map((topic) => topic.id)),
      }))
      return [topics, members]
    })

const loadOf = (assignment: Assignment, member: string): number =>
  [...assignment.get(member)!.values()].reduce((sum, partitions) => sum + partitions.size, 0)

/** Partition -> owner; fails when a partition has two. */
function owners(assignment: Assignment): Map<string, string> {
  const found = new Map<string, string>()
  for (const [member, share] of assignment) {
    for (const [topicId, partitions] of share) {
      for (const partition of partitions) {
        const name = `${topicId}/${partition}`
        assert.equal(found.get(name), undefined, `${name} has two owners`)
        found.set(name, member)
      }
    }
  }
  return found
}

for (const name of ['uniform', 'range'] as const) {
  test(`${name} gives every subscribed partition exactly one subscriber`, () => {
    fc.assert(
      fc.property(groups(false), ([topics, members]) => {
        const assignment = assign(name, topics, members, new Map())
        const found = owners(assignment)
        for (const topic of topics) {
          const readers = members.filter((member) => member.topics.has(topic.id))
          for (let p = 0; p < topic.partitions; p++) {
            const owner = found.get(`${topic.id}/${p}`)
            if (readers.length === 0) assert.equal(owner, undefined)
            else assert.ok(readers.some((reader) => reader.id === owner))
          }
        }
        assert.equal(assignment.size, members.length)
      }),
    )
  })
}

test('range gives contiguous runs that differ by at most one', () => {
  fc.assert(
    fc.property(groups(true), ([topics, members]) => {
      const assignment = assign('range', topics, members, new Map())
      for (const topic of topics) {
        const sizes = members.map((member) => {
          const held = [...(assignment.get(member.id)!.get(topic.id) ?? [])].sort((a, b) => a - b)
          held.forEach((partition, i) => assert.equal(partition, held[0]! + i))
          return held.length
        })
        assert.ok(Math.max(...sizes) - Math.min(...sizes) <= 1)
      }
    }),
  )
})

test('uniform leaves equal subscribers at most one partition apart', () => {
  fc.assert(
    fc.property(groups(true), ([topics, members]) => {
      const assignment = assign('uniform', topics, members, new Map())
      const loads = members.map((member) => loadOf(assignment, member.id))
      assert.ok(Math.max(...loads) - Math.min(...loads) <= 1)
    }),
  )
})

test('uniform leaves nobody who could take a partition from a reader with two more', () => {
  fc.assert(
    fc.property(groups(false), ([topics, members]) => {
      const assignment = assign('uniform', topics, members, new Map())
      for (const [partition, owner] of owners(assignment)) {
        const topicId = partition.slice(0, partition.lastIndexOf('/'))
        for (const member of members) {
          if (!member.topics.has(topicId)) continue
          assert.ok(loadOf(assignment, owner) - loadOf(assignment, member.id) < 2)
        }
      }
    }),
  )
})

test('uniform moves nothing when nothing changed', () => {
  fc.assert(
    fc.property(groups(false), ([topics, members]) => {
      const first = assign('uniform', topics, members, new Map())
      assert.deepEqual(owners(assign('uniform', topics, members, first)), owners(first))
    }),
  )
})

test('uniform moves only what a new member takes', () => {
  fc.assert(
    fc.property(groups(true), ([topics, members]) => {
      const first = assign('uniform', topics, members.slice(1), new Map())
      const second = assign('uniform', topics, members, first)
      const before = owners(first)
      for (const [partition, owner] of owners(second)) {
        if (owner === members[0]!.id || members.length === 1) continue
        assert.equal(owner, before.get(partition), `${partition} moved between old members`)
      }
    }),
  )
})

test('uniform leaves the others what they had when a member goes', () => {
  fc.assert(
    fc.property(groups(true), ([topics, members]) => {
      fc.pre(members.length > 1)
      const first = assign('uniform', topics, members, new Map())
      const second = assign('uniform', topics, members.slice(1), first)
      const after = owners(second)
      for (const [partition, owner] of owners(first)) {
        if (owner !== members[0]!.id) assert.equal(after.get(partition), owner)
      }
    }),
  )
})

test('uniform assigns ten thousand partitions to a thousand members in a blink', () => {
  const topics = topicsOf([10_000])
  const members = Array.from({ length: 1_000 }, (_, i) => ({
    id: `m${i}`,
    rank: `m${i}`,
    topics: new Set(['id-0']),
  }))
  const all = assign('uniform', topics, members.slice(1), new Map())
  const started = process.cpuUsage().user
  const joined = assign('uniform', topics, members, all)
  assert.ok(process.cpuUsage().user - started < 2_000_000, 'more than 2 s of CPU')
  assert.equal(loadOf(joined, 'm0'), 10)
})
