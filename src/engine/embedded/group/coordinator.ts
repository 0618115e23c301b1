/**
 * The embedded group coordinator: KIP-848 membership as data, assignment on the server.
 *
 * Every verb decides in one turn on the newest state and answers when that state is durable, refusals
 * too ("applied early, shown late"). Groups hold the rules (group.ts); here are validation, the
 * journal, time limits and hints.
 */
import type { Clock, Timer } from '../../../kit/clock.ts'
import { withDeadline } from '../../../kit/deadline.ts'
import type { Logger } from '../../../kit/logger.ts'
import { GatewayError, toGatewayError } from '../../../model/errors.ts'
import {
  groupHeartbeatMs,
  groupNameMax,
  groupSessionTimeoutMs,
  groupsMax,
  offsetMetadataBytesMax,
  offsetsPassMs,
  offsetsRetentionMs,
  patternCharsMax,
  patternTopicsMax,
  rebalanceTimeoutMsMax,
  subscriptionTopicsMax,
  transactBytesMax,
} from '../../../model/limits.ts'
import type { TopicPartition } from '../../../model/topic.ts'
import { isTopicName } from '../../../model/topic.ts'
import type { CallOptions, Watch } from '../../call.ts'
import type {
  CommittedOffset,
  GroupDescription,
  GroupRef,
  Groups,
  HeartbeatAnswer,
  HeartbeatOptions,
  Member,
  Subscription,
} from '../../groups.ts'
import type { JournalWriter, StateEntry, StateMachine } from '../journal/state-machine.ts'
import type { OffsetRecord } from './committed-offsets.ts'
import { CommittedOffsets, commitsBytesAtMost } from './committed-offsets.ts'
import { Group, unknownMember } from './group.ts'
import type { GroupCatalog, GroupTopic } from './group-catalog.ts'
import { GroupJournal } from './group-journal.ts'
import type { GroupMember } from './member.ts'

/** What a join adds to the journal, about, bytes. */
const joinBytes = 16 * 1024
/** Groups looked at in one turn of the search for expired offsets. */
const groupsPerStep = 100
/** So many are forgotten by one entry at most. */
const placesPerEntry = 1_000
/** What one forgotten offset or group adds at most, bytes. */
const placeBytes = 512

export interface CoordinatorParts {
  readonly journal: JournalWriter
  /** Why nothing may be written: asked before a verb changes anything. */
  readonly writeRefusal?: () => GatewayError | undefined
  readonly catalog: GroupCatalog
  readonly clock: Clock
  readonly logger: Logger
  /** `journal`: members survive a restart, so that a restart is no rebalance. */
  readonly members: 'memory' | 'journal'
}

interface GroupTimer {
  readonly timer: Timer
  readonly atMs: number
}

export class GroupCoordinator implements Groups {
  readonly machines: readonly StateMachine[]
  readonly #journal: JournalWriter
  readonly #catalog: GroupCatalog
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #groups = new Map<string, Group>()
  readonly #offsets = new CommittedOffsets()
  readonly #members: GroupJournal
  readonly #writeRefusal: () => GatewayError | undefined
  readonly #watchers = new Map<string, Set<() => void>>()
  readonly #hinted = new Set<string>()
  readonly #timers = new Map<string, GroupTimer>()
  /** Journal writes that no caller waits for. */
  readonly #background = new Set<Promise<void>>()
  #topicsWatch: Watch | undefined
  #passTimer: Timer | undefined
  #closed = false

  constructor(parts: CoordinatorParts) {
    const { journal, catalog, clock, logger, members } = parts
    this.#writeRefusal = parts.writeRefusal ?? (() => undefined)
    this.#journal = journal
    this.#catalog = catalog
    this.#clock = clock
    this.#logger = logger
    this.#members = new GroupJournal(this.#groups, catalog, members === 'journal')
    this.machines = [this.#offsets, this.#members]
    catalog.onDelete((topicId) => this.#offsets.dropTopic(topicId))
  }

  /** After recovery: every restored member gets one full session timeout. */
  open(): void {
    const nowMs = this.#clock.monotonicMs()
    for (const group of this.#groups.values()) {
      for (const member of group.members.values()) {
        member.sessionEndMs = nowMs + groupSessionTimeoutMs
        if (member.revoking.size > 0) member.revocationEndMs = nowMs + member.rebalanceTimeoutMs
      }
    }
    this.#refreshAll()
    for (const group of this.#groups.values()) this.#schedule(group)
    this.#markRestored()
    this.#schedulePass()
    this.#topicsWatch = this.#catalog.watch(() => this.#refreshAll())
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#topicsWatch?.close()
    this.#passTimer?.cancel()
    for (const { timer } of this.#timers.values()) timer.cancel()
    this.#timers.clear()
    this.#watchers.clear()
    await Promise.all(this.#background)
  }

  heartbeat(call: Member, options: HeartbeatOptions): Promise<HeartbeatAnswer> {
    return this.#decide(options, (write) => {
      checkHeartbeat(call, options)
      this.#refuseWrite()
      const known = this.#groups.get(call.groupId)
      if (known === undefined && call.memberEpoch !== 0) {
        throw unknownMember(call.groupId, call.memberId)
      }
      if (known === undefined) this.#checkRoom(call.groupId)
      // The heartbeats of those who are members are let through: their changes come to an end.
      if (call.memberEpoch === 0 && this.#members.isKept) this.#checkJournal(joinBytes)
      const group = known ?? new Group(call.groupId, this.#catalog)
      if (options.subscription !== undefined) checkSubscription(options.subscription, group)
      const { member, tells } = group.heartbeat(call, options)
      this.#groups.set(group.id, group)
      this.#renew(member)
      const endMs = Math.min(member.sessionEndMs, member.revocationEndMs)
      this.#after(group, write, group.members.size > 1, endMs)
      const assignment = [...member.assigned.values()].map(toPlace)
      return {
        memberEpoch: member.epoch,
        intervalMs: groupHeartbeatMs,
        ...(tells ? { assignment } : {}),
      }
    })
  }

  watch(groupId: string, onChange: () => void): Watch {
    const watchers = this.#watchers.get(groupId) ?? new Set()
    // A callback of its own, so that one function registered twice is two watches.
    const watcher = (): void => onChange()
    this.#watchers.set(groupId, watchers.add(watcher))
    return {
      close: () => {
        watchers.delete(watcher)
        if (watchers.size === 0 && this.#watchers.get(groupId) === watchers) {
          this.#watchers.delete(groupId)
        }
      },
    }
  }

  leave(call: Member, options: CallOptions & { readonly keepSlot?: boolean }): Promise<void> {
    return this.#decide(options, (write) => {
      this.#refuseWrite()
      const group = this.#groups.get(call.groupId)
      if (group === undefined) throw unknownMember(call.groupId, call.memberId)
      group.memberOf(call)
      group.leave(call.memberId, options.keepSlot === true)
      this.#after(group, write, true)
    })
  }

  commit(
    group: GroupRef,
    offsets: readonly CommittedOffset[],
    options: CallOptions,
  ): Promise<{ tp: TopicPartition; error?: GatewayError }[]> {
    return this.#decide(options, (write) => {
      this.#refuseWrite()
      // One commit is one journal entry, and an entry is never split over frames.
      const bytes = commitsBytesAtMost(offsets)
      if (bytes > transactBytesMax) {
        throw new GatewayError(
          'BODY_TOO_LARGE',
          `A commit of ${offsets.length} offsets takes ${bytes} bytes, above the limit of ${transactBytesMax}.`,
        )
      }
      const member = this.#committer(group)
      const results = offsets.map((commit) => {
        const error = this.#commitProblem(group, member, commit)
        return error === undefined ? { tp: commit.tp } : { tp: commit.tp, error }
      })
      const good = offsets.filter((_, i) => results[i]?.error === undefined)
      if (good.length > 0) this.#checkJournal(bytes)
      if (good.length > 0) write([this.stageCommit(group, good)])
      return results
    })
  }

  /** Whether a transaction may carry these commits: the first reason why not. */
  checkCommit(group: GroupRef, commits: readonly CommittedOffset[]): GatewayError | undefined {
    try {
      const member = this.#committer(group)
      for (const commit of commits) {
        const problem = this.#commitProblem(group, member, commit)
        if (problem !== undefined) return problem
      }
      return undefined
    } catch (error) {
      return toGatewayError(error)
    }
  }

  /** Applies commits that were checked in this same turn; the entry goes into the caller's frame. */
  stageCommit(group: GroupRef, commits: readonly CommittedOffset[]): StateEntry {
    const records = commits.map(({ tp, offset, leaderEpoch, metadata }): OffsetRecord => {
      const topic = this.#catalog.topic(tp.topic)
      if (topic === undefined) throw new Error('Assertion: a staged commit was not checked.')
      const { partition } = tp
      return { topicId: topic.id, partition, offset, leaderEpoch, metadata: metadata ?? '' }
    })
    const isMember = group.memberId !== undefined
    return this.#offsets.commit(group.groupId, this.#journal.logTimeMs(), records, isMember)
  }

  committed(
    { groupId }: GroupRef,
    tps: readonly TopicPartition[] | 'all',
    options: CallOptions,
  ): Promise<CommittedOffset[]> {
    return this.#decide(options, () => {
      const found: CommittedOffset[] = []
      const add = (topic: GroupTopic | undefined, record: OffsetRecord | undefined): void => {
        if (topic === undefined || record === undefined) return
        const { topicId, partition, offset, leaderEpoch, metadata } = record
        const tp = { topic: topic.name, partition }
        found.push({
          tp,
          offset,
          topicId,
          metadata,
          ...(leaderEpoch === undefined ? {} : { leaderEpoch }),
        })
      }
      if (tps === 'all') {
        for (const record of this.#offsets.all(groupId)) {
          add(this.#catalog.topicById(record.topicId), record)
        }
        return found
      }
      for (const { topic: name, partition } of tps) {
        const topic = this.#catalog.topic(name)
        if (topic === undefined) continue
        add(topic, this.#offsets.find(groupId, { topicId: topic.id, partition }))
      }
      return found
    })
  }

  list(options: CallOptions): Promise<{ groupId: string; type: string; state: string }[]> {
    return this.#decide(options, () => {
      const ids = new Set([...this.#groups.keys(), ...this.#offsets.groups()])
      return [...ids].sort().map((groupId) => ({
        groupId,
        type: 'CONSUMER',
        state: this.#groups.get(groupId)?.state ?? 'EMPTY',
      }))
    })
  }

  describe(groupId: string, options: CallOptions): Promise<GroupDescription> {
    return this.#decide(options, () => {
      const group = this.#groups.get(groupId)
      if (group === undefined && !this.#offsets.has(groupId)) throw unknownGroup(groupId)
      return {
        groupId,
        type: 'CONSUMER',
        state: group?.state ?? 'EMPTY',
        assignor: group?.assignor ?? 'uniform',
        groupEpoch: group?.epoch ?? 0,
        assignmentEpoch: group?.assignmentEpoch ?? 0,
        members: [...(group?.members.values() ?? [])].map((member) => ({
          memberId: member.memberId,
          ...(member.instanceId === undefined ? {} : { instanceId: member.instanceId }),
          memberEpoch: member.epoch,
          clientId: member.client.id,
          clientHost: member.client.host,
          assignment: [...member.assigned.values(), ...member.revoking.values()].map(toPlace),
          target: this.#targetOf(member),
        })),
      }
    })
  }

  deleteOffsets(
    groupId: string,
    tps: readonly TopicPartition[],
    options: CallOptions,
  ): Promise<void> {
    return this.#decide(options, (write) => {
      this.#refuseWrite()
      this.#checkDeletable(groupId)
      this.#checkJournal(tps.length * placeBytes)
      const places = tps.flatMap(({ topic, partition }) => {
        const topicId = this.#catalog.topic(topic)?.id
        return topicId === undefined ? [] : [{ topicId, partition }]
      })
      const entries = [this.#offsets.forget(groupId, places)]
      write([...entries, ...this.#dropIfVoid(groupId)])
    })
  }

  delete(groupId: string, options: CallOptions): Promise<void> {
    return this.#decide(options, (write) => {
      this.#refuseWrite()
      this.#checkDeletable(groupId)
      this.#checkJournal(placeBytes)
      const entries = [this.#offsets.dissolve(groupId)]
      write([...entries, ...this.#dropIfVoid(groupId)])
    })
  }

  /** Before anything is applied: memory must not run ahead of a journal that takes nothing. */
  #refuseWrite(): void {
    const refusal = this.#writeRefusal()
    if (refusal !== undefined) throw refusal
  }

  /** Runs a verb in this turn, then waits until all that it saw and did is durable. */
  async #decide<T>(
    options: CallOptions,
    verb: (write: (entries: readonly StateEntry[]) => void) => T,
  ): Promise<T> {
    let written: Promise<void> | undefined
    let outcome: { value: T } | { error: unknown }
    try {
      if (this.#closed) throw new GatewayError('UNAVAILABLE', 'The engine is closing.')
      const value = verb((entries) => {
        written = this.#journal.write(entries)
      })
      outcome = { value }
    } catch (error) {
      outcome = { error }
    }
    const isWrite = written !== undefined
    await withDeadline(this.#clock, written ?? this.#journal.settled(), options, () =>
      isWrite
        ? new GatewayError('TIMEOUT', `The group's change is not durable yet; it may become so.`)
        : new GatewayError('UNAVAILABLE', `The journal did not settle in ${options.timeoutMs} ms.`),
    )
    if ('error' in outcome) throw outcome.error
    return outcome.value
  }

  /** What every change of a group ends with: journal, hints, time limits. */
  #after(
    group: Group,
    write: (entries: readonly StateEntry[]) => void,
    concernsOthers: boolean,
    endMs = earliestEnd(group),
  ): void {
    if (group.members.size === 0 && !this.#offsets.has(group.id)) this.#groups.delete(group.id)
    const entries = [...this.#members.changesOf(group), ...this.#marksOf(group.id)]
    if (entries.length > 0) write(entries)
    if (group.takeStirred() && concernsOthers) this.#hint(group.id)
    this.#schedule(group, endMs)
  }

  #renew(member: GroupMember): void {
    const nowMs = this.#clock.monotonicMs()
    member.sessionEndMs = nowMs + groupSessionTimeoutMs
    if (member.revoking.size === 0) member.revocationEndMs = Infinity
    else if (member.revocationEndMs === Infinity) {
      member.revocationEndMs = nowMs + member.rebalanceTimeoutMs
    }
  }

  /**
   * One timer per group, at the earliest limit. A heartbeat moves its member's limit only later, which
   * leaves the timer where it is; it looks around when it fires.
   */
  #schedule(group: Group, atMs = earliestEnd(group)): void {
    const armed = this.#timers.get(group.id)
    if (this.#closed || atMs === Infinity || this.#groups.get(group.id) !== group) {
      armed?.timer.cancel()
      this.#timers.delete(group.id)
      return
    }
    if (armed !== undefined && armed.atMs <= atMs) return
    armed?.timer.cancel()
    const delayMs = Math.max(0, atMs - this.#clock.monotonicMs())
    const timer = this.#clock.after(delayMs, () => {
      this.#timers.delete(group.id)
      this.#expire(group)
    })
    this.#timers.set(group.id, { timer, atMs })
  }

  #expire(group: Group): void {
    const nowMs = this.#clock.monotonicMs()
    const late = [...group.members.values()].filter(
      (member) => member.sessionEndMs <= nowMs || member.revocationEndMs <= nowMs,
    )
    for (const { memberId, revocationEndMs } of late) {
      const reason = revocationEndMs <= nowMs ? 'kept revoked partitions' : 'stopped heartbeats'
      this.#logger.info({ group: group.id, memberId, reason }, 'A group member was removed.')
      group.remove(memberId)
    }
    this.#after(group, (entries) => this.#writeBehind(entries), true)
  }

  /** Says in the journal whether a group with offsets has members: expiry counts from their end. */
  #marksOf(groupId: string): StateEntry[] {
    const isOccupied = (this.#groups.get(groupId)?.members.size ?? 0) > 0
    if (!this.#offsets.has(groupId) || this.#offsets.isOccupied(groupId) === isOccupied) return []
    return [this.#offsets.mark(groupId, isOccupied ? undefined : this.#journal.logTimeMs())]
  }

  /** Members that lived in memory have ended with their process. */
  #markRestored(): void {
    const entries = [...this.#offsets.groups()].flatMap((groupId) => this.#marksOf(groupId))
    if (entries.length > 0) this.#writeBehind(entries)
  }

  #schedulePass(): void {
    if (this.#closed) return
    this.#passTimer = this.#clock.after(offsetsPassMs, () => {
      void this.#expireOffsets().finally(() => this.#schedulePass())
    })
  }

  /** Removes expired offsets, some groups at a time; the next ones wait until those are durable. */
  async #expireOffsets(): Promise<void> {
    const groupIds = [...this.#offsets.groups()]
    for (let at = 0; at < groupIds.length && !this.#closed; at += groupsPerStep) {
      const entries = groupIds.slice(at, at + groupsPerStep).flatMap((id) => this.#expiredOf(id))
      if (entries.length > 0) this.#writeBehind(entries)
      await this.#journal.settled().catch(() => undefined)
    }
  }

  #expiredOf(groupId: string): StateEntry[] {
    const beforeMs = this.#journal.logTimeMs() - offsetsRetentionMs
    const read = this.#groups.get(groupId)?.topicIds
    const places = this.#offsets.expired(groupId, beforeMs, (id) => read?.has(id) === true)
    if (places.length === 0) return []
    // Nobody waits for it: where there is no room, the next pass finds the same.
    if (this.#journal.refusal(places.length * placeBytes) !== undefined) return []
    this.#logger.info({ group: groupId, offsets: places.length }, 'Committed offsets have expired.')
    const entries: StateEntry[] = []
    for (let from = 0; from < places.length; from += placesPerEntry) {
      entries.push(this.#offsets.forget(groupId, places.slice(from, from + placesPerEntry)))
    }
    return [...entries, ...this.#dropIfVoid(groupId)]
  }

  /** Topics or partitions came or went. */
  #refreshAll(): void {
    for (const group of [...this.#groups.values()]) {
      group.refresh()
      this.#after(group, (entries) => this.#writeBehind(entries), true)
    }
  }

  #writeBehind(entries: readonly StateEntry[]): void {
    const write = this.#journal
      .write(entries)
      .catch((error: unknown) => {
        // The engine is fenced then and says so itself; nobody waits for this write.
        this.#logger.error({ err: error }, 'A change of groups could not be written.')
      })
      .finally(() => this.#background.delete(write))
    this.#background.add(write)
  }

  /** Asynchronous and coalesced: however much happens in a turn, watchers are told once. */
  #hint(groupId: string): void {
    if (this.#hinted.has(groupId) || !this.#watchers.has(groupId)) return
    this.#hinted.add(groupId)
    this.#clock.soon(() => {
      this.#hinted.delete(groupId)
      for (const watcher of [...(this.#watchers.get(groupId) ?? [])]) watcher()
    })
  }

  /** The member that a commit speaks for; undefined: none, and the group is empty. */
  #committer(ref: GroupRef): GroupMember | undefined {
    const group = this.#groups.get(ref.groupId)
    if (ref.memberId !== undefined) {
      if (group === undefined) throw unknownMember(ref.groupId, ref.memberId)
      return group.memberOf(ref)
    }
    if (group !== undefined && group.members.size > 0) {
      throw new GatewayError(
        'GROUP_NOT_EMPTY',
        `Group '${ref.groupId}' has ${group.members.size} members; only they commit.`,
      )
    }
    this.#checkRoom(ref.groupId)
    return undefined
  }

  #commitProblem(
    ref: GroupRef,
    member: GroupMember | undefined,
    { tp, topicId, offset, metadata }: CommittedOffset,
  ): GatewayError | undefined {
    const topic = this.#catalog.topic(tp.topic)
    if (topic === undefined) {
      return new GatewayError('UNKNOWN_TOPIC', `Topic '${tp.topic}' does not exist.`)
    }
    if (topicId !== undefined && topicId !== topic.id) {
      return new GatewayError('EPOCH_MISMATCH', `Topic '${tp.topic}' was deleted and made again.`)
    }
    if (!Number.isInteger(tp.partition) || tp.partition < 0 || tp.partition >= topic.partitions) {
      return new GatewayError(
        'UNKNOWN_PARTITION',
        `Topic '${tp.topic}' has ${topic.partitions} partitions, not number ${tp.partition}.`,
      )
    }
    if (!Number.isSafeInteger(offset) || offset < 0) {
      return new GatewayError('INVALID_REQUEST', `${offset} is not an offset.`)
    }
    if (metadata !== undefined && Buffer.byteLength(metadata) > offsetMetadataBytesMax) {
      return new GatewayError(
        'INVALID_REQUEST',
        `Offset metadata has ${Buffer.byteLength(metadata)} bytes; ${offsetMetadataBytesMax} are allowed.`,
      )
    }
    if (member === undefined || ref.memberId === undefined) return undefined
    return this.#groups.get(ref.groupId)?.commitProblem(member, ref.memberEpoch, tp, topic.id)
  }

  #checkRoom(groupId: string): void {
    if (groupId.length === 0 || groupId.length > groupNameMax) {
      throw new GatewayError(
        'INVALID_REQUEST',
        `A group id has 1 to ${groupNameMax} characters, this one ${groupId.length}.`,
      )
    }
    if (this.#groups.has(groupId) || this.#offsets.has(groupId)) return
    if (Math.max(this.#groups.size, this.#offsets.groupCount) < groupsMax) return
    throw new GatewayError('OVERLOADED', `There are ${groupsMax} groups; one more is refused.`)
  }

  #checkJournal(bytes: number): void {
    const refusal = this.#journal.refusal(bytes)
    if (refusal !== undefined) throw refusal
  }

  #checkDeletable(groupId: string): void {
    const group = this.#groups.get(groupId)
    if (group === undefined && !this.#offsets.has(groupId)) throw unknownGroup(groupId)
    if (group !== undefined && group.members.size > 0) {
      throw new GatewayError(
        'GROUP_NOT_EMPTY',
        `Group '${groupId}' has ${group.members.size} members.`,
      )
    }
  }

  /** Forgets a group that has neither members nor offsets. */
  #dropIfVoid(groupId: string): StateEntry[] {
    const group = this.#groups.get(groupId)
    if (group === undefined || group.members.size > 0 || this.#offsets.has(groupId)) return []
    this.#groups.delete(groupId)
    return this.#members.changesOf(group)
  }

  #targetOf(member: GroupMember): TopicPartition[] {
    const places: TopicPartition[] = []
    for (const [topicId, partitions] of member.target) {
      const topic = this.#catalog.topicById(topicId)?.name
      if (topic === undefined) continue
      for (const partition of partitions) places.push({ topic, partition })
    }
    return places
  }
}

function checkHeartbeat(call: Member, options: HeartbeatOptions): void {
  const { memberId, memberEpoch, instanceId } = call
  const { subscription, owned, rebalanceTimeoutMs } = options
  if (memberId.length === 0 || memberId.length > groupNameMax) {
    throw new GatewayError('INVALID_REQUEST', `A member id has 1 to ${groupNameMax} characters.`)
  }
  if (instanceId !== undefined && (instanceId.length === 0 || instanceId.length > groupNameMax)) {
    throw new GatewayError('INVALID_REQUEST', `An instance id has 1 to ${groupNameMax} characters.`)
  }
  if (!Number.isSafeInteger(memberEpoch) || memberEpoch < 0) {
    throw new GatewayError('INVALID_REQUEST', `${memberEpoch} is no member epoch.`)
  }
  if (memberEpoch === 0 && subscription === undefined) {
    throw new GatewayError('INVALID_REQUEST', 'A member joins with a subscription.')
  }
  if (memberEpoch === 0 && owned !== undefined && owned.length > 0) {
    throw new GatewayError('INVALID_REQUEST', 'A member that joins owns nothing yet.')
  }
  if (
    rebalanceTimeoutMs !== undefined &&
    !(rebalanceTimeoutMs > 0 && rebalanceTimeoutMs <= rebalanceTimeoutMsMax)
  ) {
    throw new GatewayError(
      'INVALID_REQUEST',
      `A rebalance timeout is above 0 and at most ${rebalanceTimeoutMsMax} ms, not ${rebalanceTimeoutMs}.`,
    )
  }
}

function checkSubscription(subscription: Subscription, group: Group): void {
  if ('topics' in subscription) {
    if (subscription.topics.length > subscriptionTopicsMax) {
      throw new GatewayError(
        'INVALID_REQUEST',
        `A subscription names at most ${subscriptionTopicsMax} topics, not ${subscription.topics.length}.`,
      )
    }
    const bad = subscription.topics.find((name) => !isTopicName(name))
    if (bad === undefined) return
    throw new GatewayError('INVALID_REQUEST', `'${bad.slice(0, 80)}' is no topic name.`)
  }
  if (subscription.pattern.length > patternCharsMax) {
    throw new GatewayError(
      'INVALID_REQUEST',
      `A pattern has at most ${patternCharsMax} characters, not ${subscription.pattern.length}.`,
    )
  }
  const count = group.matching(subscription).length
  if (count > patternTopicsMax) {
    throw new GatewayError(
      'INVALID_REQUEST',
      `A pattern matches at most ${patternTopicsMax} topics, this one ${count}.`,
    )
  }
}

function earliestEnd(group: Group): number {
  let atMs = Infinity
  for (const { sessionEndMs, revocationEndMs } of group.members.values()) {
    atMs = Math.min(atMs, sessionEndMs, revocationEndMs)
  }
  return atMs
}

function toPlace({ topic, partition }: TopicPartition): TopicPartition {
  return { topic, partition }
}

function unknownGroup(groupId: string): GatewayError {
  return new GatewayError('UNKNOWN_GROUP', `Group '${groupId}' does not exist.`)
}
