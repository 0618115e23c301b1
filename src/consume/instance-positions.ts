/** Where an instance reads by its client's own word: partitions it assigned to itself, and seeks. */
import type { Groups } from '../engine/groups.ts'
import type { Log, OffsetWord } from '../engine/log.ts'
import type { Topics } from '../engine/topics.ts'
import { GatewayError } from '../model/errors.ts'
import { adminTimeoutMs, fetchTimeoutMs, groupCallTimeoutMs } from '../model/limits.ts'
import type { Offset } from '../model/offset.ts'
import type { TopicPartition } from '../model/topic.ts'
import { isInternalTopic } from '../model/topic.ts'
import type { InstanceCommits } from './instance-commits.ts'
import type { OwnedPartition, Reset, Session, SessionKey, SessionPosition } from './session.ts'
import { grantOf, ownedBy, positionsByGrant } from './session.ts'
import type { SessionStore, StoredSession } from './session-store.ts'
import { updateSession } from './session-store.ts'

/** One partition, and where to go on in it: an offset, an end, or the first record at or after a time. */
export interface Seek {
  readonly tp: TopicPartition
  readonly to: Offset | 'earliest' | 'latest' | { readonly time: number }
}

export interface InstancePositionsParts {
  readonly store: SessionStore
  readonly groups: Groups
  readonly log: Log
  readonly topics: Topics
}

export class InstancePositions {
  readonly #parts: InstancePositionsParts
  readonly #commits: InstanceCommits

  constructor(parts: InstancePositionsParts, commits: InstanceCommits) {
    this.#parts = parts
    this.#commits = commits
  }

  /** Positions of partitions that stay are kept; the others begin at the commit, else at the reset. */
  async assign(stored: StoredSession, tps: readonly TopicPartition[]): Promise<void> {
    const { store } = this.#parts
    const { session } = stored
    if (session.subscription !== null) throw mixed(session)
    const places = await this.#placesOf(tps)
    if (session.autoCommit) await this.#commits.commitDelivered(stored)
    const starts = await this.#starts(session.group, places, session.reset)
    await updateSession(store, session, session.owner, ({ session: now }) => {
      if (now.id !== session.id) return undefined
      if (now.subscription !== null) throw mixed(now)
      return assigned(now, places, starts)
    })
  }

  /** Nothing is outstanding behind a seek: what was delivered before it is the client's own affair. */
  async seek(stored: StoredSession, seeks: readonly Seek[]): Promise<void> {
    const { session } = stored
    const wanted = new Map(seeks.map((each) => [nameOf(each.tp), each]))
    refuseOthers(stored, wanted)
    const offsets = await this.#resolved([...wanted.values()])
    await updateSession(this.#parts.store, session, session.owner, (now) => {
      if (now.session.id !== session.id) return undefined
      refuseOthers(now, wanted)
      const positions = positionsByGrant(now.session)
      for (const place of ownedBy(now.session, now.membership)) {
        const next = offsets.get(nameOf(place))
        if (next === undefined) continue
        const { topic, partition, grant } = place
        const known = positions.get(grantOf(place))
        const seen = (known?.seeks ?? 0) + 1
        positions.set(grantOf(place), {
          topic,
          partition,
          grant,
          next,
          committed: next,
          seeks: seen,
        })
      }
      return { ...now.session, positions: [...positions.values()] }
    })
  }

  async #placesOf(tps: readonly TopicPartition[]): Promise<Omit<OwnedPartition, 'grant'>[]> {
    const unique = [...new Map(tps.map((tp) => [nameOf(tp), tp])).values()]
    const names = [...new Set(unique.map(({ topic }) => topic))]
    const found = names.length === 0 ? [] : await this.#listed(names)
    return unique.map(({ topic, partition }) => {
      const known = isInternalTopic(topic) ? undefined : found.find(({ name }) => name === topic)
      if (known === undefined) {
        throw new GatewayError('UNKNOWN_TOPIC', `There is no topic '${topic.slice(0, 249)}'.`)
      }
      if (!known.partitions.some(({ id }) => id === partition)) {
        throw new GatewayError(
          'UNKNOWN_PARTITION',
          `Topic '${topic}' has no partition ${partition}.`,
        )
      }
      return { topic, partition, topicId: known.id }
    })
  }

  #listed(names: readonly string[]): ReturnType<Topics['list']> {
    return this.#parts.topics.list(names, { timeoutMs: adminTimeoutMs })
  }

  /** Without a commit and without a reset a partition has no place to begin: its poll says so. */
  async #starts(
    groupId: string,
    places: readonly TopicPartition[],
    reset: Reset,
  ): Promise<Map<string, Offset>> {
    const tps = places.map(({ topic, partition }) => ({ topic, partition }))
    if (tps.length === 0) return new Map()
    const options = { timeoutMs: groupCallTimeoutMs }
    const committed = await this.#parts.groups.committed({ groupId }, tps, options)
    const starts = new Map(committed.map(({ tp, offset }) => [nameOf(tp), offset]))
    const missing = tps.filter((tp) => !starts.has(nameOf(tp)))
    if (missing.length === 0 || reset === 'none') return starts
    const ends = await this.#resolved(missing.map((tp) => ({ tp, to: reset })))
    return new Map([...starts, ...ends])
  }

  async #resolved(seeks: readonly Seek[]): Promise<Map<string, Offset>> {
    const offsets = new Map<string, Offset>()
    const queries: { tp: TopicPartition; at: OffsetWord }[] = []
    for (const { tp, to } of seeks) {
      if (typeof to === 'number') offsets.set(nameOf(tp), to)
      else queries.push({ tp, at: to })
    }
    if (queries.length === 0) return offsets
    const answers = await this.#parts.log.offsets(queries, { timeoutMs: fetchTimeoutMs })
    for (const { tp, offset, error } of answers) {
      if (error !== undefined) throw error
      offsets.set(nameOf(tp), offset)
    }
    return offsets
  }
}

/** The session with this assignment. An ownership that stays keeps its grant, and so its position. */
function assigned(
  session: Session,
  places: readonly Omit<OwnedPartition, 'grant'>[],
  starts: ReadonlyMap<string, Offset>,
): Session {
  const revision = session.subscriptionRevision + 1
  const before = new Map(session.assignment?.map((place) => [nameOf(place), place]))
  const assignment = places.map((place): OwnedPartition => {
    const old = before.get(nameOf(place))
    return old?.topicId === place.topicId ? old : { ...place, grant: revision }
  })
  const known = positionsByGrant(session)
  const positions = assignment.flatMap((place): SessionPosition[] => {
    const old = known.get(grantOf(place))
    if (old !== undefined) return [old]
    const next = starts.get(nameOf(place))
    const { topic, partition, grant } = place
    return next === undefined ? [] : [{ topic, partition, grant, next, committed: next }]
  })
  const { assignment: _, ...rest } = session
  const changed = { ...rest, subscriptionRevision: revision, positions }
  return assignment.length === 0 ? changed : { ...changed, assignment }
}

function refuseOthers(
  { session, membership }: StoredSession,
  wanted: ReadonlyMap<string, Seek>,
): void {
  const owned = new Set(ownedBy(session, membership).map(nameOf))
  for (const [name, { tp }] of wanted) {
    if (owned.has(name)) continue
    throw new GatewayError(
      'NOT_ASSIGNED',
      `Partition ${tp.partition} of topic '${tp.topic.slice(0, 249)}' is not assigned to instance '${session.name}' of group '${session.group}'.`,
    )
  }
}

/** Kafka's own rule, which clients know by these words. */
export function mixed({ name }: SessionKey): GatewayError {
  return new GatewayError(
    'ILLEGAL_STATE',
    `Subscription to topics, partitions and pattern are mutually exclusive; instance '${name}' has the other one.`,
  )
}

function nameOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`
}
