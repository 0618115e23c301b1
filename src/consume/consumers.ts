/**
 * The verbs of consumer instances: create, subscribe, poll, commit, delete. An instance is a session
 * in the store; nothing of it lives here but the order of its reads in this process.
 */
import type { CommittedOffset, Groups, Subscription } from '../engine/groups.ts'
import type { Log } from '../engine/log.ts'
import type { Topics } from '../engine/topics.ts'
import type { Clock } from '../kit/clock.ts'
import { KeyedLock } from '../kit/keyed-lock.ts'
import { compilePattern, isPattern } from '../kit/pattern.ts'
import type { Random } from '../kit/random.ts'
import { randomId, uuid } from '../kit/random.ts'
import { GatewayError } from '../model/errors.ts'
import {
  adminTimeoutMs,
  fetchTimeoutMs,
  groupCallTimeoutMs,
  groupNameMax,
  leaseMs,
  patternCharsMax,
  patternTopicsMax,
  pollBytesInFlightMax,
  sessionsPerPrincipalMax,
  subscriptionTopicsMax,
  waitingPollsMax,
} from '../model/limits.ts'
import type { Principal } from '../model/principal.ts'
import type { TopicPartition } from '../model/topic.ts'
import { isInternalTopic, isTopicName } from '../model/topic.ts'
import { InstanceCommits } from './instance-commits.ts'
import type { Seek } from './instance-positions.ts'
import { InstancePositions, mixed } from './instance-positions.ts'
import type { Poll, PollOptions } from './instance-poll.ts'
import { InstancePoll } from './instance-poll.ts'
import type { Reset, Session, SessionKey, SessionSettings } from './session.ts'
import { keyText, ownedBy } from './session.ts'
import type { SessionKeeper } from './session-keeper.ts'
import { unknownSession } from './session-keeper.ts'
import type { SessionStore, StoredSession } from './session-store.ts'
import { updateSession } from './session-store.ts'

export type { Poll, PollOptions } from './instance-poll.ts'
export type { CommittedOffset } from '../engine/groups.ts'
export type { Seek } from './instance-positions.ts'

export interface InstanceOptions extends SessionSettings {
  /** Absent: `rest-consumer-<uuid>`. */
  readonly name?: string
}

export interface PollMeter {
  /** One poll was answered; `bytes` as they were fetched. */
  read(records: number, bytes: number): void
}

export interface ConsumersParts {
  readonly store: SessionStore
  readonly keeper: SessionKeeper
  readonly groups: Groups
  readonly log: Log
  readonly topics: Topics
  readonly clock: Clock
  readonly random: Random
  readonly meter?: PollMeter
  /** Whose sessions these verbs are for; those of others are not found. Default: v2. */
  readonly surface?: SessionSettings['surface']
}

export class Consumers {
  readonly #parts: ConsumersParts
  readonly #commits: InstanceCommits
  readonly #positions: InstancePositions
  readonly #reads = new KeyedLock()
  /** Positions that are being saved: a commit of what was delivered waits for them. */
  readonly #settling = new Map<string, Promise<void>>()
  #polls = 0
  #bytesOut = 0

  constructor(parts: ConsumersParts) {
    this.#parts = parts
    this.#commits = new InstanceCommits(parts)
    this.#positions = new InstancePositions(parts, this.#commits)
  }

  /** Throws SESSION_EXISTS, RATE_LIMITED above the principal's sessions, INVALID_REQUEST. */
  async create(principal: Principal, group: string, options: InstanceOptions): Promise<Session> {
    const { store, keeper, clock, random } = this.#parts
    const name = options.name ?? `rest-consumer-${uuid(random)}`
    checkName('group', group)
    checkName('instance', name)
    const session: Session = {
      ...options,
      id: `s${randomId(random, 16)}`,
      group,
      name,
      owner: principal.subject,
      subscription: null,
      subscriptionRevision: 0,
      positions: [],
      settled: false,
      isCut: false,
      turn: 0,
    }
    const sinceMs = clock.monotonicMs()
    const stored = await store.create(session, keeper.node, leaseMs, sessionsPerPrincipalMax)
    await keeper.hold(stored, sinceMs)
    return stored.session
  }

  /** Renews the expiry. Throws UNKNOWN_SESSION, for another principal's instance too. */
  async find(principal: Principal, group: string, name: string): Promise<Session> {
    return (await this.#find(principal, { group, name })).session
  }

  /** Joins the group before it resolves; replaces an earlier subscription. */
  async subscribe(
    principal: Principal,
    group: string,
    name: string,
    subscription: Subscription,
  ): Promise<void> {
    const key = { group, name }
    await this.#settling.get(keyText(key))
    const before = await this.#find(principal, key)
    if (before.session.assignment !== undefined) throw mixed(key)
    const topics = await this.#matching(subscription)
    await this.#foundGroup(group, before.session.reset, topics)
    if (before.session.autoCommit) await this.#commits.commitDelivered(before)
    await this.#subscribeTo(principal, key, subscription, topics)
    try {
      await this.#parts.keeper.settle(key)
    } catch (error) {
      // A refusal that repeating does not change: the instance is as it was before.
      const isFinal = error instanceof GatewayError && !error.retriable
      if (isFinal && error.code !== 'UNKNOWN_SESSION') {
        const { subscription: old } = before.session
        const oldTopics = old === null ? [] : await this.#matching(old)
        await this.#subscribeTo(principal, key, old, oldTopics)
        this.#parts.keeper.nudge(key)
      }
      throw error
    }
  }

  /** Leaves the group, or the assignment; what was delivered is committed first where the instance does that. */
  async unsubscribe(principal: Principal, group: string, name: string): Promise<void> {
    const key = { group, name }
    await this.#settling.get(keyText(key))
    const stored = await this.#find(principal, key)
    if (stored.session.assignment !== undefined) {
      await this.#positions.assign(stored, [])
      return
    }
    if (stored.session.subscription === null) return
    if (stored.session.autoCommit) await this.#commits.commitDelivered(stored)
    await this.#subscribeTo(principal, key, null, [])
    await this.#parts.keeper.settle(key)
  }

  /** The topics named, or those that match the pattern now. */
  async subscription(
    principal: Principal,
    group: string,
    name: string,
  ): Promise<readonly string[]> {
    const { session } = await this.#find(principal, { group, name })
    if (session.subscription === null) return []
    if ('topics' in session.subscription) return session.subscription.topics
    return this.#matching(session.subscription)
  }

  /**
   * Makes the instance a stand-alone reader of these partitions; an empty list ends that. Throws
   * ILLEGAL_STATE beside a subscription, UNKNOWN_TOPIC, UNKNOWN_PARTITION.
   */
  async assign(
    principal: Principal,
    group: string,
    name: string,
    tps: readonly TopicPartition[],
  ): Promise<void> {
    const key = { group, name }
    await this.#settling.get(keyText(key))
    await this.#positions.assign(await this.#find(principal, key), tps)
  }

  /** What the instance may read now, chosen by itself or given by its group. */
  async assignment(principal: Principal, group: string, name: string): Promise<TopicPartition[]> {
    const { session, membership } = await this.#find(principal, { group, name })
    return ownedBy(session, membership).map(({ topic, partition }) => ({ topic, partition }))
  }

  /** Moves positions; the last word on a partition counts. Throws NOT_ASSIGNED. */
  async seek(
    principal: Principal,
    group: string,
    name: string,
    seeks: readonly Seek[],
  ): Promise<void> {
    const key = { group, name }
    await this.#settling.get(keyText(key))
    await this.#positions.seek(await this.#find(principal, key), seeks)
  }

  /**
   * The next records of the instance's partitions. One read at a time: a second one waits for the
   * first. The caller ends it by `delivered` or `dropped`. Throws ILLEGAL_STATE without a
   * subscription, OFFSET_OUT_OF_RANGE, CORRUPT_BATCH, OVERLOADED.
   */
  async poll(
    principal: Principal,
    group: string,
    name: string,
    options: PollOptions,
  ): Promise<Poll> {
    const key = { group, name }
    if (this.#polls >= waitingPollsMax || this.#bytesOut > pollBytesInFlightMax) {
      throw new GatewayError('OVERLOADED', 'Too many polls are under way.')
    }
    this.#polls++
    const sinceMs = this.#parts.clock.monotonicMs()
    try {
      const unlock = await this.#reads.acquire(keyText(key), options.signal)
      if (unlock === undefined) throw goneAway()
      let fetched = 0
      const poll = new InstancePoll(this.#parts, this.#commits, principal.subject, key, {
        ended: unlock,
        settling: (work) => this.#settle(keyText(key), work),
        lent: (bytes) => {
          this.#bytesOut += bytes
          if (bytes > 0) fetched = bytes
        },
      })
      const answer = await poll.run(options, sinceMs)
      this.#parts.meter?.read(answer.records.length, fetched)
      return answer
    } finally {
      this.#polls--
    }
  }

  /**
   * Durable when it resolves. `offsets` are next offsets; without them exactly what was delivered is
   * committed. Throws STALE_MEMBER_EPOCH or NOT_ASSIGNED that name lost partitions.
   */
  async commit(
    principal: Principal,
    group: string,
    name: string,
    offsets?: readonly CommittedOffset[],
  ): Promise<void> {
    const key = { group, name }
    await this.#settling.get(keyText(key))
    const stored = await this.#find(principal, key)
    const problem =
      offsets === undefined
        ? await this.#commits.commitDelivered(stored)
        : await this.#commits.commitOffsets(stored, offsets)
    if (problem !== undefined) throw problem
  }

  /** Partitions without a commit are left out. */
  async committed(
    principal: Principal,
    group: string,
    name: string,
    tps: readonly TopicPartition[],
  ): Promise<CommittedOffset[]> {
    await this.#find(principal, { group, name })
    const options = { timeoutMs: groupCallTimeoutMs }
    return this.#parts.groups.committed({ groupId: group }, tps, options)
  }

  /** Leaves the group at once; what was delivered is committed where the instance does that itself. */
  async delete(principal: Principal, group: string, name: string): Promise<void> {
    const key = { group, name }
    await this.#settling.get(keyText(key))
    const stored = await this.#find(principal, key)
    if (stored.session.autoCommit) await this.#commits.commitDelivered(stored)
    if (!(await this.#parts.store.remove(key, stored.session.id))) throw unknownSession(key)
    await this.#parts.keeper.end(stored)
  }

  async #find(principal: Principal, key: SessionKey): Promise<StoredSession> {
    const isName = key.group.isWellFormed() && key.name.isWellFormed()
    const found = isName ? await this.#parts.store.find(key, principal.subject) : undefined
    const { surface = 'v2' } = this.#parts
    if (found?.session.surface !== surface) throw unknownSession(key)
    return found
  }

  /** Who asks for other topics is done with the old ones: nothing waits for a commit of theirs. */
  async #subscribeTo(
    principal: Principal,
    key: SessionKey,
    subscription: Subscription | null,
    topics: readonly string[],
  ): Promise<void> {
    const names = new Set(topics)
    await updateSession(this.#parts.store, key, principal.subject, ({ session }) => {
      if (session.assignment !== undefined) throw mixed(key)
      return {
        ...session,
        subscription,
        subscriptionRevision: session.subscriptionRevision + 1,
        positions: session.positions.filter(({ topic }) => names.has(topic)),
        settled: false,
      }
    })
  }

  /** Names of the topics that a subscription means now. Throws INVALID_REQUEST. */
  async #matching(subscription: Subscription): Promise<string[]> {
    if ('topics' in subscription) {
      const { topics } = subscription
      if (topics.length === 0 || topics.length > subscriptionTopicsMax) {
        throw new GatewayError(
          'INVALID_REQUEST',
          `A subscription names 1 to ${subscriptionTopicsMax} topics, not ${topics.length}.`,
        )
      }
      const bad = topics.find((topic) => !isTopicName(topic) || isInternalTopic(topic))
      if (bad === undefined) return [...topics]
      const shown = bad.slice(0, 80)
      throw new GatewayError('INVALID_REQUEST', `'${shown}' cannot be subscribed to.`)
    }
    const { pattern } = subscription
    if (pattern.length === 0 || pattern.length > patternCharsMax) {
      throw new GatewayError(
        'INVALID_REQUEST',
        `A pattern has 1 to ${patternCharsMax} characters, not ${pattern.length}.`,
      )
    }
    const compiled = compilePattern(pattern)
    if (!isPattern(compiled)) {
      throw new GatewayError('INVALID_REQUEST', `Pattern '${pattern}': ${compiled.problem}`)
    }
    const all = await this.#parts.topics.list('all', { timeoutMs: adminTimeoutMs })
    const names = all.map((topic) => topic.name)
    const found = names.filter((each) => !isInternalTopic(each) && compiled.matches(each))
    if (found.length <= patternTopicsMax) return found
    throw new GatewayError(
      'INVALID_REQUEST',
      `A pattern matches at most ${patternTopicsMax} topics, this one ${found.length}.`,
    )
  }

  /**
   * A group is made by its first member: where it begins is resolved for all partitions and committed
   * before the join, so that `latest` means the moment of this request. A partition without a commit
   * is younger than the group and starts at its log start.
   */
  async #foundGroup(groupId: string, reset: Reset, names: readonly string[]): Promise<void> {
    const { groups, log, topics } = this.#parts
    if (reset === 'none' || (await this.#exists(groupId))) return
    const queries = names.flatMap((topic) => {
      const partitions = topics.known(topic)?.partitions ?? []
      return partitions.map(({ id }) => ({ tp: { topic, partition: id }, at: reset }))
    })
    if (queries.length === 0) return
    const answers = await log.offsets(queries, { timeoutMs: fetchTimeoutMs })
    const offsets = answers.filter(({ error }) => error === undefined)
    try {
      await groups.commit({ groupId }, offsets, { timeoutMs: groupCallTimeoutMs })
    } catch (error) {
      // Somebody else was first.
      if (!(error instanceof GatewayError) || error.code !== 'GROUP_NOT_EMPTY') throw error
    }
  }

  async #exists(groupId: string): Promise<boolean> {
    try {
      await this.#parts.groups.describe(groupId, { timeoutMs: groupCallTimeoutMs })
      return true
    } catch (error) {
      if (error instanceof GatewayError && error.code === 'UNKNOWN_GROUP') return false
      throw error
    }
  }

  #settle(text: string, work: Promise<void>): void {
    const settled = work
      .catch(() => undefined)
      .then(() => {
        if (this.#settling.get(text) === settled) this.#settling.delete(text)
      })
    this.#settling.set(text, settled)
  }
}

function checkName(what: string, name: string): void {
  if (name.length === 0 || name.length > groupNameMax || !name.isWellFormed()) {
    throw new GatewayError(
      'INVALID_REQUEST',
      `The name of ${what === 'group' ? 'a group' : 'an instance'} has 1 to ${groupNameMax} characters.`,
    )
  }
}

function goneAway(): GatewayError {
  return new GatewayError('UNAVAILABLE', 'The client went away while it waited for another read.')
}
