/** Consumer groups as people manage them: list, describe, lag, offsets set anew, members put out, delete. */
import type { CallOptions } from '../engine/call.ts'
import type { CommittedOffset, GroupDescription, Groups } from '../engine/groups.ts'
import type { Log, OffsetWord } from '../engine/log.ts'
import type { TopicDescription, Topics } from '../engine/topics.ts'
import { GatewayError } from '../model/errors.ts'
import { adminTimeoutMs, listLimitDefault } from '../model/limits.ts'
import type { Offset } from '../model/offset.ts'
import type { Place } from '../model/place.ts'
import type { Position } from '../model/position.ts'
import type { Principal } from '../model/principal.ts'
import type { TopicPartition } from '../model/topic.ts'
import { isInternalTopic } from '../model/topic.ts'

export interface GroupSummary {
  readonly groupId: string
  readonly type: string
  readonly state: string
}

export interface CountedGroup {
  readonly group: string
  readonly state: string
  readonly members: number
}

export interface GroupPage {
  readonly groups: readonly CountedGroup[]
  /** What `after` takes to go on; null behind the last group. */
  readonly next: string | null
}

/** A partition with a commit. */
export interface PartitionLag {
  readonly topic: string
  readonly partition: number
  /** The next offset to read, as committed. */
  readonly committed: Offset
  /** Where records are safe. */
  readonly end: Offset
  /** Records between the two; never negative, whatever was committed. */
  readonly lag: number
}

/** How far a group is behind in one partition, committed or not. */
export interface GroupLag {
  readonly topic: string
  readonly topicId: string
  readonly partition: number
  /** The next offset to read; null where nothing was committed: reading begins at the log start. */
  readonly committed: Offset | null
  readonly metadata: string
  readonly start: Offset
  /** The durable end: lag is measured to it. */
  readonly end: Offset
  readonly lag: number
  /** The member that reads it now. */
  readonly memberId: string | null
}

export interface GroupFacts extends GroupDescription {
  /** Of all partitions together. */
  readonly lag: number
}

/** Where a group shall go on. Without `topics`: in everything that it has committed. */
export type OffsetReset = {
  readonly topics?: readonly string[]
  readonly partition?: number
  /** Everything is checked and nothing changed. */
  readonly validateOnly: boolean
} & (
  | { readonly to: Place }
  | { readonly shiftBy: number }
  | { readonly positions: ReadonlyMap<string, ReadonlyMap<number, Offset>> }
)

export interface OffsetMove {
  readonly topic: string
  readonly partition: number
  readonly before: Offset | null
  readonly after: Offset
}

export interface GroupAdminParts {
  readonly groups: Groups
  readonly topics: Topics
  readonly log: Log
}

/** One partition with what the log and the group say of it. */
interface Standing {
  readonly tp: TopicPartition
  readonly topicId: string
  readonly committed: CommittedOffset | undefined
  readonly start: Offset
  readonly end: Offset
}

const call: CallOptions = { timeoutMs: adminTimeoutMs }

export class GroupAdmin {
  readonly #parts: GroupAdminParts

  constructor(parts: GroupAdminParts) {
    this.#parts = parts
  }

  /** Every group with members or committed offsets, ordered by id. */
  async list(_principal: Principal): Promise<GroupSummary[]> {
    const all = await this.#parts.groups.list(call)
    return all.sort((left, right) => (left.groupId < right.groupId ? -1 : 1))
  }

  /** Groups ordered by name, at most `limit` of them, behind the one that `after` names. */
  async page(
    principal: Principal,
    { limit = listLimitDefault, after }: { readonly limit?: number; readonly after?: string } = {},
  ): Promise<GroupPage> {
    const all = (await this.list(principal)).filter(
      ({ groupId }) => after === undefined || groupId > after,
    )
    const shown = all.slice(0, limit)
    const counted = await Promise.all(
      shown.map(async ({ groupId, state }): Promise<CountedGroup[]> => {
        const description = await this.#describeIfThere(groupId)
        if (description === undefined) return []
        return [{ group: groupId, state, members: description.members.length }]
      }),
    )
    return { groups: counted.flat(), next: all.length > limit ? shown.at(-1)!.groupId : null }
  }

  /** Throws UNKNOWN_GROUP. */
  async describe(_principal: Principal, group: string): Promise<GroupDescription> {
    return await this.#parts.groups.describe(group, call)
  }

  /** The group with its lag. Throws UNKNOWN_GROUP. */
  async facts(_principal: Principal, group: string): Promise<GroupFacts> {
    const description = await this.#parts.groups.describe(group, call)
    const rows = await this.#lags(description)
    return { ...description, lag: rows.reduce((sum, { lag }) => sum + lag, 0) }
  }

  /**
   * One row for each partition of the topics that the group reads or has committed, ordered by topic
   * and partition. Throws UNKNOWN_GROUP.
   */
  async partitions(_principal: Principal, group: string): Promise<GroupLag[]> {
    return await this.#lags(await this.#parts.groups.describe(group, call))
  }

  /** The partitions with a commit, by topic and number. Throws UNKNOWN_GROUP. */
  async lags(principal: Principal, group: string): Promise<PartitionLag[]> {
    const rows = await this.partitions(principal, group)
    return rows.flatMap(({ topic, partition, committed, end, lag }): PartitionLag[] =>
      committed === null ? [] : [{ topic, partition, committed, end, lag }],
    )
  }

  /** Where the group goes on, as a position; partitions without a commit begin at their log start. */
  positionOf(rows: readonly GroupLag[]): Position {
    const byEpoch = new Map<string, Map<number, Offset>>()
    for (const { topicId, partition, committed } of rows) {
      const offsets = byEpoch.get(topicId) ?? new Map<number, Offset>()
      byEpoch.set(topicId, offsets)
      if (committed !== null) offsets.set(partition, committed)
    }
    return [...byEpoch].map(([epoch, offsets]) => ({ epoch, offsets }))
  }

  /** Throws UNKNOWN_GROUP, GROUP_NOT_EMPTY. */
  async delete(_principal: Principal, group: string): Promise<void> {
    await this.#parts.groups.delete(group, call)
  }

  /**
   * Sets committed offsets anew. Only while the group has no members (GROUP_NOT_EMPTY). A shift stops at
   * the ends of the log; any other offset outside it is refused with OFFSET_OUT_OF_RANGE, and then
   * nothing was changed. Throws UNKNOWN_GROUP where no topic is named and nothing was ever committed.
   */
  async reset(_principal: Principal, group: string, wish: OffsetReset): Promise<OffsetMove[]> {
    const description = await this.#describeIfThere(group)
    if ((description?.members.length ?? 0) > 0) {
      throw new GatewayError(
        'GROUP_NOT_EMPTY',
        `Group '${group}' has ${description!.members.length} members: offsets can be set when all have left.`,
      )
    }
    const topics = await this.#topicsOf(group, description, wish)
    const standings = await this.#standings(group, topics)
    const chosen = await this.#chosen(standings, topics, wish)
    const moves = chosen.map(({ tp, committed, ...at }): OffsetMove => {
      const { topic, partition } = tp
      const before = committed?.offset ?? null
      return { topic, partition, before, after: at.after }
    })
    if (wish.validateOnly || moves.length === 0) return moves
    const commits = chosen.map(({ tp, topicId, after }) => ({ tp, topicId, offset: after }))
    for (const { error } of await this.#parts.groups.commit({ groupId: group }, commits, call)) {
      if (error !== undefined) throw error
    }
    return moves
  }

  /** Puts a member out; its partitions go to the others at once. Throws UNKNOWN_GROUP, UNKNOWN_MEMBER. */
  async removeMember(_principal: Principal, group: string, memberId: string): Promise<void> {
    const { members } = await this.#parts.groups.describe(group, call)
    const member = members.find((each) => each.memberId === memberId)
    if (member === undefined) {
      throw new GatewayError(
        'UNKNOWN_MEMBER',
        `Group '${group}' has no member '${shown(memberId)}'.`,
      )
    }
    const { instanceId, memberEpoch = 0 } = member
    const fence = { groupId: group, memberId, memberEpoch }
    await this.#parts.groups.leave(
      instanceId === undefined ? fence : { ...fence, instanceId },
      call,
    )
  }

  async #describeIfThere(group: string): Promise<GroupDescription | undefined> {
    try {
      return await this.#parts.groups.describe(group, call)
    } catch (error) {
      if (error instanceof GatewayError && error.code === 'UNKNOWN_GROUP') return undefined
      throw error
    }
  }

  async #lags(description: GroupDescription): Promise<GroupLag[]> {
    const { groupId, members } = description
    const readers = new Map<string, string>()
    for (const { memberId, assignment } of members) {
      for (const tp of assignment) readers.set(placeOf(tp), memberId)
    }
    const topics = await this.#topicsOf(groupId, description, {})
    const rows = await this.#standings(groupId, topics)
    return rows.map(({ tp, topicId, committed, start, end }) => ({
      ...tp,
      topicId,
      committed: committed?.offset ?? null,
      metadata: committed?.metadata ?? '',
      start,
      end,
      // What retention took is not waiting for anybody.
      lag: Math.max(0, end - Math.max(start, committed?.offset ?? start)),
      memberId: readers.get(placeOf(tp)) ?? null,
    }))
  }

  /** The topics that are named, or those that the group has to do with; ordered by name. */
  async #topicsOf(
    group: string,
    description: GroupDescription | undefined,
    wish: { readonly topics?: readonly string[] | undefined },
  ): Promise<TopicDescription[]> {
    const named =
      'positions' in wish
        ? [...(wish.positions as ReadonlyMap<string, unknown>).keys()]
        : wish.topics
    if (named !== undefined) {
      return await Promise.all([...new Set(named)].sort().map((name) => this.#find(name)))
    }
    if (description === undefined) {
      throw new GatewayError('UNKNOWN_GROUP', `Group '${shown(group)}' does not exist.`)
    }
    const committed = await this.#parts.groups.committed({ groupId: group }, 'all', call)
    const names = new Set(committed.map(({ tp }) => tp.topic))
    for (const { assignment } of description.members) {
      for (const { topic } of assignment) names.add(topic)
    }
    const found = await this.#parts.topics.list([...names], call)
    return found.sort((left, right) => (left.name < right.name ? -1 : 1))
  }

  async #standings(group: string, topics: readonly TopicDescription[]): Promise<Standing[]> {
    const tps = topics.flatMap(({ name, partitions }) =>
      partitions.map(({ id }) => ({ topic: name, partition: id })),
    )
    if (tps.length === 0) return []
    const queries = tps.flatMap((tp) => [
      { tp, at: 'earliest' as const },
      { tp, at: 'durable' as const },
    ])
    const [ends, commits] = await Promise.all([
      this.#parts.log.offsets(queries, call),
      this.#parts.groups.committed({ groupId: group }, tps, call),
    ])
    const committed = new Map(commits.map((commit) => [placeOf(commit.tp), commit]))
    const ids = new Map(topics.map(({ name, id }) => [name, id]))
    // A topic that is being deleted answers with an error, and is no longer this group's matter.
    return tps.flatMap((tp, i): Standing[] => {
      const [start, end] = [ends[2 * i]!, ends[2 * i + 1]!]
      if (start.error !== undefined || end.error !== undefined) return []
      return [
        {
          tp,
          topicId: ids.get(tp.topic)!,
          committed: committed.get(placeOf(tp)),
          start: start.offset,
          end: end.offset,
        },
      ]
    })
  }

  /** The partitions that a reset moves, with the offset that each of them gets. */
  async #chosen(
    standings: readonly Standing[],
    topics: readonly TopicDescription[],
    wish: OffsetReset,
  ): Promise<(Standing & { readonly after: Offset })[]> {
    if ('positions' in wish) return namedOffsets(standings, wish.positions)
    const { partition, topics: named } = wish
    const chosen = standings.filter(({ tp, committed }) => {
      if (partition !== undefined) return tp.partition === partition
      return named !== undefined || committed !== undefined || 'to' in wish
    })
    if (partition !== undefined && chosen.length < topics.length) {
      const without = topics.find(({ partitions }) => partitions[partition] === undefined)
      throw noPartition(without?.name ?? '', partition)
    }
    if ('shiftBy' in wish) {
      return chosen.map((standing) => {
        const { start, end, committed } = standing
        const after = (committed?.offset ?? start) + wish.shiftBy
        return { ...standing, after: Math.min(Math.max(start, after), end) }
      })
    }
    return await this.#places(chosen, wish.to)
  }

  async #places(
    chosen: readonly Standing[],
    place: Place,
  ): Promise<(Standing & { readonly after: Offset })[]> {
    switch (place.at) {
      case 'earliest':
      case 'latest':
        return await this.#asked(chosen, place.at)
      case 'time':
        return await this.#asked(chosen, { time: place.time })
      case 'last':
        return chosen.map((standing) => {
          const { start, end } = standing
          return { ...standing, after: Math.max(start, end - place.count) }
        })
      case 'offset': {
        const [only, ...others] = chosen
        if (only === undefined || others.length > 0) {
          throw new GatewayError(
            'BAD_REQUEST',
            `'offset:${place.offset}' needs exactly one topic and partition; this covers ${chosen.length} partitions.`,
          )
        }
        return [within(only, place.offset)]
      }
      case 'position': {
        const parts = new Map(place.position.map(({ epoch, offsets }) => [epoch, offsets]))
        const known = new Set(chosen.map(({ topicId }) => topicId))
        const foreign = place.position.find(({ epoch }) => !known.has(epoch))
        if (foreign !== undefined) {
          throw new GatewayError(
            'EPOCH_MISMATCH',
            `The position names a topic that is not covered here, or was made again (epoch ${foreign.epoch}).`,
          )
        }
        return chosen.map((standing) => {
          const { topicId, tp, start } = standing
          return within(standing, parts.get(topicId)?.get(tp.partition) ?? start)
        })
      }
    }
  }

  async #asked(
    chosen: readonly Standing[],
    at: OffsetWord,
  ): Promise<(Standing & { readonly after: Offset })[]> {
    const answers = await this.#parts.log.offsets(
      chosen.map(({ tp }) => ({ tp, at })),
      call,
    )
    return chosen.map((standing, i) => {
      const { offset, error } = answers[i]!
      if (error !== undefined) throw error
      return { ...standing, after: offset }
    })
  }

  async #find(name: string): Promise<TopicDescription> {
    const [topic] = isInternalTopic(name) ? [] : await this.#parts.topics.list([name], call)
    if (topic !== undefined) return topic
    throw new GatewayError('UNKNOWN_TOPIC', `Topic '${shown(name)}' does not exist.`)
  }
}

function namedOffsets(
  standings: readonly Standing[],
  positions: ReadonlyMap<string, ReadonlyMap<number, Offset>>,
): (Standing & { readonly after: Offset })[] {
  const found = new Map(standings.map((standing) => [placeOf(standing.tp), standing]))
  const chosen: (Standing & { readonly after: Offset })[] = []
  for (const [topic, offsets] of positions) {
    for (const [partition, offset] of offsets) {
      const standing = found.get(placeOf({ topic, partition }))
      if (standing === undefined) throw noPartition(topic, partition)
      chosen.push(within(standing, offset))
    }
  }
  return chosen
}

function within(standing: Standing, offset: Offset): Standing & { readonly after: Offset } {
  const { tp, start, end } = standing
  if (offset >= start && offset <= end) return { ...standing, after: offset }
  throw new GatewayError(
    'OFFSET_OUT_OF_RANGE',
    `Partition ${tp.partition} of topic '${tp.topic}' reaches from ${start} to ${end}; ${offset} is outside.`,
  )
}

function noPartition(topic: string, partition: number): GatewayError {
  return new GatewayError('UNKNOWN_PARTITION', `Topic '${topic}' has no partition ${partition}.`)
}

function placeOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`
}

/** Names come from URLs, so they may be anything. */
function shown(name: string): string {
  return name.length > 100 ? `${name.slice(0, 100)}…` : name
}
