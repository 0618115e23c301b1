/**
 * One consumer group by the rules of KIP-848, with the assignment made here. No I/O, no timers, no
 * journal: the coordinator calls, and asks afterwards what changed.
 *
 * Invariants: a place (topic name and partition) has at most one owner, from its assignment until the
 * owner has acknowledged its revocation, left or been removed. A member at the assignment epoch holds
 * nothing outside its target. Epochs never go back. A call that throws has changed nothing.
 */
import { createHash } from 'node:crypto'
import type { Pattern } from '../../../kit/pattern.ts'
import { compilePattern, isPattern } from '../../../kit/pattern.ts'
import { GatewayError } from '../../../model/errors.ts'
import { groupMembersMax, rebalanceTimeoutMsDefault } from '../../../model/limits.ts'
import type { TopicPartition } from '../../../model/topic.ts'
import { isInternalTopic } from '../../../model/topic.ts'
import type { HeartbeatOptions, Member, Subscription } from '../../groups.ts'
import type { AssignorName, Share } from './assignor.ts'
import { assign } from './assignor.ts'
import type { GroupCatalog, GroupTopic } from './group-catalog.ts'
import type { GroupMember, Holding, MemberJson } from './member.ts'
import {
  fenced,
  fromMemberJson,
  isSameShare,
  isSameSubscription,
  placeName,
  toMemberJson,
} from './member.ts'

/** What changed in a group, or all of it, as it stands in the journal. */
export interface GroupJson {
  readonly group: string
  readonly gone?: true
  readonly epoch?: number
  readonly assignmentEpoch?: number
  readonly matched?: string
  readonly removed?: readonly string[]
  readonly members?: readonly MemberJson[]
}

export interface Beat {
  readonly member: GroupMember
  /** Whether the answer must carry the assignment. */
  readonly tells: boolean
}

export class Group {
  readonly id: string
  readonly #catalog: GroupCatalog
  readonly #members = new Map<string, GroupMember>()
  /** Instance id -> member id. */
  readonly #statics = new Map<string, string>()
  /** Place name -> the member that holds it or has not yet given it back. */
  readonly #owners = new Map<string, string>()
  readonly #patterns = new Map<string, Pattern>()
  #epoch = 0
  #assignmentEpoch = 0
  /** Hash of the matching topics and their sizes: tells whether a target is still of this catalog. */
  #matched = ''
  readonly #dirty = new Set<string>()
  readonly #removed = new Set<string>()
  #headerDirty = false
  #stirred = false

  constructor(id: string, catalog: GroupCatalog) {
    this.id = id
    this.#catalog = catalog
  }

  get epoch(): number {
    return this.#epoch
  }

  get assignmentEpoch(): number {
    return this.#assignmentEpoch
  }

  get members(): ReadonlyMap<string, GroupMember> {
    return this.#members
  }

  get assignor(): AssignorName {
    let votes = 0
    for (const { assignor } of this.#members.values()) votes += assignor === 'range' ? 1 : -1
    return votes > 0 ? 'range' : 'uniform'
  }

  get state(): 'EMPTY' | 'RECONCILING' | 'STABLE' {
    if (this.#members.size === 0) return 'EMPTY'
    for (const member of this.#members.values()) {
      if (member.epoch !== this.#assignmentEpoch || member.revoking.size > 0) return 'RECONCILING'
      if (this.#missing(member).length > 0) return 'RECONCILING'
    }
    return 'STABLE'
  }

  /** Whether a subscription's topics can be told from its text, and how many there are. */
  matching(subscription: Subscription): GroupTopic[] {
    if ('topics' in subscription) {
      const found = [...new Set(subscription.topics)].map((name) => this.#catalog.topic(name))
      return found.filter(
        (topic) => topic !== undefined && !isInternalTopic(topic.name),
      ) as GroupTopic[]
    }
    const pattern = this.#patternOf(subscription.pattern)
    return [...this.#catalog.topics()].filter(
      ({ name }) => !isInternalTopic(name) && pattern.matches(name),
    )
  }

  /** Ids of the topics that some member reads. */
  get topicIds(): ReadonlySet<string> {
    return new Set(this.#subscribed().topics.map(({ id }) => id))
  }

  heartbeat(call: Member, options: HeartbeatOptions): Beat {
    const known = call.memberEpoch === 0 ? undefined : this.#fencedMember(call, options)
    const member = known ?? this.#join(call, options)
    const before = new Set(member.assigned.keys())
    const owned = call.memberEpoch === 0 ? [] : options.owned
    const sawPrevious = known !== undefined && call.memberEpoch !== member.epoch
    if (this.#update(member, options)) this.#retarget()
    this.#reconcile(member, owned, call.memberEpoch)
    const isFull =
      options.subscription !== undefined &&
      options.owned !== undefined &&
      options.rebalanceTimeoutMs !== undefined
    const tells =
      call.memberEpoch === 0 ||
      sawPrevious ||
      isFull ||
      !hasSamePlaces(member.assigned, before) ||
      (owned !== undefined && !hasSamePlaces(member.assigned, new Set(owned.map(placeName))))
    return { member, tells }
  }

  /** `keepSlot`: a static member that will come back; its partitions stay reserved. */
  leave(memberId: string, keepSlot: boolean): void {
    const member = this.#members.get(memberId)
    if (member === undefined) return
    if (!keepSlot || member.instanceId === undefined) {
      this.remove(memberId)
      return
    }
    this.#release(member, member.revoking)
    member.revocationEndMs = Infinity
    member.left = true
    this.#dirty.add(memberId)
  }

  remove(memberId: string): void {
    const member = this.#members.get(memberId)
    if (member === undefined) return
    this.#delete(member)
    this.#rise()
    this.#retarget()
  }

  /** Topics came, went or grew. True when that changed the target. */
  refresh(): boolean {
    if (this.#members.size === 0 || hashOf(this.#subscribed().topics) === this.#matched)
      return false
    this.#rise()
    this.#retarget()
    return true
  }

  /** The member that a call with this fence speaks for; its epoch is not compared. */
  memberOf(call: { readonly memberId: string; readonly instanceId?: string }): GroupMember {
    const member = this.#members.get(call.memberId)
    const holder = call.instanceId === undefined ? undefined : this.#statics.get(call.instanceId)
    if (holder !== undefined && holder !== call.memberId) {
      throw new GatewayError(
        'INSTANCE_FENCED',
        `Instance '${call.instanceId}' of group '${this.id}' has been taken over by another member.`,
      )
    }
    if (member === undefined) throw unknownMember(this.id, call.memberId)
    if (call.instanceId !== undefined && call.instanceId !== member.instanceId) {
      throw new GatewayError(
        'INVALID_REQUEST',
        `Member '${call.memberId}' of group '${this.id}' did not join as instance '${call.instanceId}'.`,
      )
    }
    return member
  }

  /** Why this member may not commit for this place under the epoch it sent; undefined: it may. */
  commitProblem(
    member: GroupMember,
    sentEpoch: number,
    tp: TopicPartition,
    topicId: string,
  ): GatewayError | undefined {
    const place = placeName(tp)
    const holding = member.assigned.get(place) ?? member.revoking.get(place)
    if (holding === undefined && sentEpoch === member.epoch) {
      return new GatewayError(
        'NOT_ASSIGNED',
        `Partition ${tp.partition} of topic '${tp.topic}' is not assigned to member '${member.memberId}'.`,
      )
    }
    if (holding === undefined || sentEpoch < holding.epoch || sentEpoch > member.epoch) {
      return new GatewayError(
        'STALE_MEMBER_EPOCH',
        `Partition ${tp.partition} of topic '${tp.topic}' is not member '${member.memberId}'s under epoch ${sentEpoch}.`,
      )
    }
    if (holding.topicId !== topicId) {
      return new GatewayError(
        'EPOCH_MISMATCH',
        `Topic '${tp.topic}' was deleted and made again since partition ${tp.partition} was assigned.`,
      )
    }
    return undefined
  }

  /** Whether somebody else's next heartbeat may bring news, since the last time this was asked. */
  takeStirred(): boolean {
    const stirred = this.#stirred
    this.#stirred = false
    return stirred
  }

  /** What changed since the last call, for the journal. */
  takeChanges(): GroupJson | undefined {
    if (!this.#headerDirty && this.#dirty.size === 0 && this.#removed.size === 0) return undefined
    const changed = [...this.#dirty]
      .map((id) => this.#members.get(id))
      .filter((m) => m !== undefined)
    const changes = {
      ...this.#header(),
      removed: [...this.#removed],
      members: changed.map(toMemberJson),
    }
    this.#headerDirty = false
    this.#dirty.clear()
    this.#removed.clear()
    return changes
  }

  toJson(): GroupJson {
    return { ...this.#header(), members: [...this.#members.values()].map(toMemberJson) }
  }

  /** Replays what `takeChanges` or `toJson` gave. */
  applyJson(json: GroupJson): void {
    this.#epoch = json.epoch ?? this.#epoch
    this.#assignmentEpoch = json.assignmentEpoch ?? this.#assignmentEpoch
    this.#matched = json.matched ?? this.#matched
    for (const memberId of json.removed ?? []) {
      const member = this.#members.get(memberId)
      if (member !== undefined) this.#detach(member)
    }
    const members = (json.members ?? []).map(fromMemberJson)
    // A partition may pass between two members of one entry: all let go before any takes.
    for (const { memberId } of members) {
      const old = this.#members.get(memberId)
      if (old !== undefined) this.#detach(old)
    }
    for (const member of members) {
      this.#attach(member)
      if ('pattern' in member.subscription) this.#restorePattern(member.subscription.pattern)
    }
  }

  #header(): GroupJson {
    const { id, epoch, assignmentEpoch } = this
    return { group: id, epoch, assignmentEpoch, matched: this.#matched }
  }

  #attach(member: GroupMember): void {
    this.#members.set(member.memberId, member)
    if (member.instanceId !== undefined) this.#statics.set(member.instanceId, member.memberId)
    for (const holdings of [member.assigned, member.revoking]) {
      for (const place of holdings.keys()) this.#own(place, member)
    }
  }

  #detach(member: GroupMember): void {
    this.#members.delete(member.memberId)
    if (
      member.instanceId !== undefined &&
      this.#statics.get(member.instanceId) === member.memberId
    ) {
      this.#statics.delete(member.instanceId)
    }
    for (const holdings of [member.assigned, member.revoking]) {
      for (const place of holdings.keys()) this.#owners.delete(place)
    }
  }

  #own(place: string, member: GroupMember): void {
    const owner = this.#owners.get(place)
    if (owner !== undefined && owner !== member.memberId) {
      throw new Error(`Assertion: ${place} of group ${this.id} would get a second owner.`)
    }
    this.#owners.set(place, member.memberId)
  }

  #fencedMember(call: Member, options: HeartbeatOptions): GroupMember {
    const member = this.memberOf(call)
    if (member.left) throw fenced(this.id, member, call.memberEpoch)
    if (call.memberEpoch === member.epoch) return member
    // The answer that carried the bump was lost: good, unless the caller believes that it owns more.
    // What it must give back counts as well, else two lost answers in a row would cost the membership.
    const isTheirs = (tp: TopicPartition): boolean =>
      member.assigned.has(placeName(tp)) || member.revoking.has(placeName(tp))
    const isLostAnswer =
      call.memberEpoch === member.previousEpoch && options.owned?.every(isTheirs) === true
    if (!isLostAnswer) throw fenced(this.id, member, call.memberEpoch)
    return member
  }

  #join(call: Member, options: HeartbeatOptions): GroupMember {
    const { memberId, instanceId } = call
    const holderId = instanceId === undefined ? undefined : this.#statics.get(instanceId)
    const holder = holderId === undefined ? undefined : this.#members.get(holderId)
    if (holder !== undefined && holder.memberId !== memberId && !holder.left) {
      throw new GatewayError(
        'INSTANCE_IN_USE',
        `Instance '${instanceId}' of group '${this.id}' is held by another member.`,
      )
    }
    const known = this.#members.get(memberId)
    if (known !== undefined) {
      if (known.instanceId !== instanceId) {
        throw new GatewayError(
          'INVALID_REQUEST',
          `Member '${memberId}' of group '${this.id}' cannot change its instance id.`,
        )
      }
      this.#release(known, known.assigned)
      this.#release(known, known.revoking)
      known.left = false
      this.#dirty.add(memberId)
      return known
    }
    const subscription = options.subscription ?? { topics: [] }
    const member = newMember(call, subscription)
    if (holder !== undefined) {
      // The slot goes on under a new member id: same target, same group epoch.
      member.subscription = holder.subscription
      member.assignor = holder.assignor
      member.target = holder.target
      member.epoch = holder.epoch
      this.#delete(holder)
    } else {
      if (this.#members.size >= groupMembersMax) {
        throw new GatewayError(
          'GROUP_FULL',
          `Group '${this.id}' has its ${groupMembersMax} members; one more is refused.`,
        )
      }
      this.#rise()
    }
    this.#attach(member)
    this.#dirty.add(memberId)
    return member
  }

  /** Takes over what the call changes. True when a new target is needed. */
  #update(member: GroupMember, options: HeartbeatOptions): boolean {
    const { subscription, assignor, client } = options
    if (subscription !== undefined && !isSameSubscription(subscription, member.subscription)) {
      member.subscription = subscription
      this.#dirty.add(member.memberId)
      this.#rise()
    }
    if (assignor !== undefined && assignor !== member.assignor) {
      const before = this.assignor
      member.assignor = assignor
      this.#dirty.add(member.memberId)
      if (this.assignor !== before) this.#rise()
    }
    const rebalanceTimeoutMs = options.rebalanceTimeoutMs ?? member.rebalanceTimeoutMs
    if (rebalanceTimeoutMs !== member.rebalanceTimeoutMs) {
      member.rebalanceTimeoutMs = rebalanceTimeoutMs
      this.#dirty.add(member.memberId)
    }
    if (
      client !== undefined &&
      (client.id !== member.client.id || client.host !== member.client.host)
    ) {
      member.client = client
      this.#dirty.add(member.memberId)
    }
    return this.#epoch !== this.#assignmentEpoch
  }

  #rise(): void {
    // Two reasons in one call are one change: the epoch rises once above the target's.
    if (this.#epoch === this.#assignmentEpoch) this.#epoch++
    this.#headerDirty = true
  }

  #retarget(): void {
    const { topics, idsOf } = this.#subscribed()
    const assignable = [...this.#members.values()].map((member) => ({
      id: member.memberId,
      rank: member.instanceId ?? member.memberId,
      topics: idsOf(member.subscription),
    }))
    const previous = new Map([...this.#members].map(([id, member]) => [id, member.target]))
    const target = assign(this.assignor, topics, assignable, previous)
    for (const member of this.#members.values()) {
      const share: Share = target.get(member.memberId) ?? new Map<string, Set<number>>()
      if (isSameShare(share, member.target)) continue
      member.target = share
      this.#dirty.add(member.memberId)
    }
    this.#assignmentEpoch = this.#epoch
    this.#matched = hashOf(topics)
    this.#headerDirty = true
    this.#stirred = true
    this.#prunePatterns()
  }

  #reconcile(
    member: GroupMember,
    owned: readonly TopicPartition[] | undefined,
    sentEpoch: number,
  ): void {
    const places = owned === undefined ? undefined : new Set(owned.map(placeName))
    const stillHas = (place: string): boolean => places?.has(place) ?? true
    const epochBefore = member.epoch
    if (member.revoking.size > 0) {
      // What must be given back is fixed until it is acknowledged; newer targets wait.
      if ([...member.revoking.keys()].some(stillHas)) return
      this.#release(member, member.revoking)
      member.revocationEndMs = Infinity
      member.epoch++
    }
    for (const [place, holding] of member.assigned) {
      if (member.target.get(holding.topicId)?.has(holding.partition) === true) continue
      member.assigned.delete(place)
      member.revoking.set(place, holding)
      this.#dirty.add(member.memberId)
    }
    if ([...member.revoking.keys()].some(stillHas)) {
      // The coordinator sets the time limit; the epoch stays.
    } else {
      this.#release(member, member.revoking)
      member.epoch = this.#assignmentEpoch
      this.#grant(member)
    }
    if (member.epoch === epochBefore) return
    member.previousEpoch = sentEpoch
    this.#dirty.add(member.memberId)
  }

  /** Gives every target partition that nobody else still holds. */
  #grant(member: GroupMember): void {
    for (const { topic, topicId, partition } of this.#missing(member)) {
      const place = placeName({ topic, partition })
      if (this.#owners.has(place)) continue
      this.#own(place, member)
      member.assigned.set(place, { topic, topicId, partition, epoch: member.epoch })
      this.#dirty.add(member.memberId)
    }
  }

  /** Target partitions that the member does not hold. */
  #missing(member: GroupMember): Omit<Holding, 'epoch'>[] {
    const missing: Omit<Holding, 'epoch'>[] = []
    for (const [topicId, partitions] of member.target) {
      const topic = this.#catalog.topicById(topicId)?.name
      if (topic === undefined) continue
      for (const partition of partitions) {
        if (member.assigned.get(placeName({ topic, partition }))?.topicId === topicId) continue
        missing.push({ topic, topicId, partition })
      }
    }
    return missing
  }

  /** The holdings are free from now on; `holdings` is one of the member's own and ends up empty. */
  #release(member: GroupMember, holdings: Map<string, Holding>): void {
    if (holdings.size === 0) return
    for (const place of holdings.keys()) this.#owners.delete(place)
    holdings.clear()
    this.#dirty.add(member.memberId)
    this.#stirred = true
  }

  #delete(member: GroupMember): void {
    this.#detach(member)
    this.#dirty.delete(member.memberId)
    this.#removed.add(member.memberId)
    this.#stirred = true
  }

  /** The topics that members read. Equal subscriptions, which most are, are looked up once. */
  #subscribed(): {
    readonly topics: readonly GroupTopic[]
    readonly idsOf: (subscription: Subscription) => ReadonlySet<string>
  } {
    const topics = new Map<string, GroupTopic>()
    const ids = new Map<string, ReadonlySet<string>>()
    for (const { subscription } of this.#members.values()) {
      const text = JSON.stringify(subscription)
      if (ids.has(text)) continue
      const matching = this.matching(subscription)
      for (const topic of matching) topics.set(topic.id, topic)
      ids.set(text, new Set(matching.map(({ id }) => id)))
    }
    return {
      topics: [...topics.values()],
      idsOf: (subscription) => ids.get(JSON.stringify(subscription)) ?? new Set(),
    }
  }

  #patternOf(source: string): Pattern {
    const known = this.#patterns.get(source)
    if (known !== undefined) return known
    const compiled = compilePattern(source)
    if (!isPattern(compiled)) {
      throw new GatewayError('INVALID_REQUEST', `Pattern '${source}': ${compiled.problem}`)
    }
    this.#patterns.set(source, compiled)
    return compiled
  }

  /** What an earlier version took and this one refuses matches nothing: a start must not fail of it. */
  #restorePattern(source: string): void {
    if (this.#patterns.has(source)) return
    const compiled = compilePattern(source)
    this.#patterns.set(source, isPattern(compiled) ? compiled : { matches: () => false })
  }

  #prunePatterns(): void {
    const used = new Set<string>()
    for (const { subscription } of this.#members.values()) {
      if ('pattern' in subscription) used.add(subscription.pattern)
    }
    for (const source of this.#patterns.keys()) if (!used.has(source)) this.#patterns.delete(source)
  }
}

export function unknownMember(groupId: string, memberId: string): GatewayError {
  return new GatewayError('UNKNOWN_MEMBER', `Group '${groupId}' has no member '${memberId}'.`)
}

function newMember(call: Member, subscription: Subscription): GroupMember {
  return {
    memberId: call.memberId,
    instanceId: call.instanceId,
    epoch: 0,
    previousEpoch: 0,
    subscription,
    assignor: undefined,
    rebalanceTimeoutMs: rebalanceTimeoutMsDefault,
    client: { id: '', host: '' },
    assigned: new Map(),
    revoking: new Map(),
    target: new Map(),
    left: false,
    sessionEndMs: Infinity,
    revocationEndMs: Infinity,
  }
}

function hasSamePlaces(
  holdings: ReadonlyMap<string, Holding>,
  places: ReadonlySet<string>,
): boolean {
  if (holdings.size !== places.size) return false
  for (const place of holdings.keys()) if (!places.has(place)) return false
  return true
}

function hashOf(topics: readonly GroupTopic[]): string {
  const lines = topics.map(({ id, partitions }) => `${id} ${partitions}`).sort()
  return createHash('sha256').update(lines.join('\n')).digest('base64url').slice(0, 22)
}
