/**
 * Who should own what: the target assignment of a group. Pure functions of members, topics and the
 * previous target, so that a replay or a second look gives the same answer.
 */

export interface AssignableTopic {
  readonly id: string
  readonly name: string
  readonly partitions: number
}

export interface AssignableMember {
  readonly id: string
  /** What `range` sorts by: the instance id of a static member, else the member id. */
  readonly rank: string
  /** Ids of the topics that it subscribes to; all of them are among the topics given. */
  readonly topics: ReadonlySet<string>
}

/** Topic id -> partitions. */
export type Share = Map<string, Set<number>>
/** Member id -> share. Every member has one. */
export type Assignment = Map<string, Share>

export type AssignorName = 'uniform' | 'range'

export function assign(
  name: AssignorName,
  topics: readonly AssignableTopic[],
  members: readonly AssignableMember[],
  previous: Assignment,
): Assignment {
  const ordered = [...topics].sort((a, b) => compare(a.name, b.name) || compare(a.id, b.id))
  return name === 'range'
    ? assignRange(ordered, members)
    : assignUniform(ordered, members, previous)
}

/** Contiguous runs of each topic's partitions, in the order of the members' ranks. */
function assignRange(
  topics: readonly AssignableTopic[],
  members: readonly AssignableMember[],
): Assignment {
  const assignment = emptyShares(members)
  const ranked = [...members].sort((a, b) => compare(a.rank, b.rank) || compare(a.id, b.id))
  for (const topic of topics) {
    const readers = ranked.filter((member) => member.topics.has(topic.id))
    let next = 0
    readers.forEach((member, place) => {
      const rest = topic.partitions - next
      const count = Math.ceil(rest / (readers.length - place))
      for (let i = 0; i < count; i++) give(assignment.get(member.id)!, topic.id, next++)
    })
  }
  return assignment
}

/**
 * Balanced and sticky: a member keeps what it had, what is free goes to who has least, and then one
 * partition after another moves from a fuller to an emptier reader of its topic until none would gain
 * by it. Each such move brings two loads closer together, so it ends, and with equal subscriptions
 * no two members differ by more than one. The widest gap closes first: otherwise a member of middling
 * load would give one away and then get another.
 */
function assignUniform(
  topics: readonly AssignableTopic[],
  members: readonly AssignableMember[],
  previous: Assignment,
): Assignment {
  const assignment = emptyShares(members)
  const ordered = [...members].sort((a, b) => compare(a.id, b.id))
  const load = new Map(ordered.map((member) => [member.id, 0]))
  const plans = topics.map((topic) => keepPrevious(topic, ordered, previous, assignment, load))
  // Topics with the fewest readers go first: their partitions have the least choice.
  const byChoice = [...plans].sort((a, b) => a.readers.length - b.readers.length)
  for (const plan of byChoice) fillLowest(plan, assignment, load)
  for (;;) {
    let widest = 0
    for (const plan of plans) widest = Math.max(widest, gapOf(plan, assignment, load).width)
    if (widest < 2) break
    for (const plan of plans) level(plan, widest, assignment, load)
  }
  return assignment
}

interface TopicPlan {
  readonly topicId: string
  /** Members that subscribe to the topic, by id. */
  readonly readers: readonly string[]
  readonly free: readonly number[]
}

function keepPrevious(
  topic: AssignableTopic,
  members: readonly AssignableMember[],
  previous: Assignment,
  assignment: Assignment,
  load: Map<string, number>,
): TopicPlan {
  const taken = new Set<number>()
  const readers: string[] = []
  for (const member of members) {
    if (!member.topics.has(topic.id)) continue
    readers.push(member.id)
    for (const partition of previous.get(member.id)?.get(topic.id) ?? []) {
      if (partition >= topic.partitions || taken.has(partition)) continue
      taken.add(partition)
      give(assignment.get(member.id)!, topic.id, partition)
      load.set(member.id, load.get(member.id)! + 1)
    }
  }
  const free: number[] = []
  for (let p = 0; p < topic.partitions; p++) if (!taken.has(p)) free.push(p)
  return { topicId: topic.id, readers, free }
}

/** Hands the free partitions out level by level, lowest load first. */
function fillLowest(plan: TopicPlan, assignment: Assignment, load: Map<string, number>): void {
  if (plan.readers.length === 0 || plan.free.length === 0) return
  const readers = [...plan.readers].sort((a, b) => load.get(a)! - load.get(b)! || compare(a, b))
  let next = 0
  while (next < plan.free.length) {
    const lowest = load.get(readers[0]!)!
    for (const reader of readers) {
      if (next >= plan.free.length || load.get(reader)! > lowest) break
      give(assignment.get(reader)!, plan.topicId, plan.free[next++]!)
      load.set(reader, lowest + 1)
    }
  }
}

/** Moves partitions of this topic while its fullest and emptiest readers are this far apart. */
function level(
  plan: TopicPlan,
  width: number,
  assignment: Assignment,
  load: Map<string, number>,
): void {
  for (;;) {
    const gap = gapOf(plan, assignment, load)
    if (gap.width < width) return
    const partition = Math.max(...assignment.get(gap.fullest)!.get(plan.topicId)!)
    takeBack(assignment.get(gap.fullest)!, plan.topicId, partition)
    give(assignment.get(gap.emptiest)!, plan.topicId, partition)
    load.set(gap.fullest, load.get(gap.fullest)! - 1)
    load.set(gap.emptiest, load.get(gap.emptiest)! + 1)
  }
}

interface Gap {
  readonly fullest: string
  readonly emptiest: string
  readonly width: number
}

/** The fullest owner of a partition of this topic against its emptiest reader. */
function gapOf(plan: TopicPlan, assignment: Assignment, load: ReadonlyMap<string, number>): Gap {
  let fullest = ''
  let emptiest = ''
  let most = -1
  let least = Infinity
  for (const reader of plan.readers) {
    const size = load.get(reader)!
    if (size < least) {
      least = size
      emptiest = reader
    }
    if (size > most && assignment.get(reader)!.has(plan.topicId)) {
      most = size
      fullest = reader
    }
  }
  return { fullest, emptiest, width: most < 0 ? 0 : most - least }
}

function emptyShares(members: readonly AssignableMember[]): Assignment {
  return new Map(members.map((member) => [member.id, new Map<string, Set<number>>()]))
}

function give(share: Share, topicId: string, partition: number): void {
  const held = share.get(topicId)
  if (held === undefined) share.set(topicId, new Set([partition]))
  else held.add(partition)
}

function takeBack(share: Share, topicId: string, partition: number): void {
  const held = share.get(topicId)
  held?.delete(partition)
  if (held?.size === 0) share.delete(topicId)
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
