/**
 * Sessions as resources: a group consumer that its client names by one id. A poll hands out a batch
 * under a cursor and hands out the same batch again until that cursor is acknowledged. Where the batch
 * lies is saved before it is answered, so neither a lost answer nor a lost gateway loses it.
 *
 * What moves a session runs one after the other in this process; whoever needs its turn ends a poll
 * that is waiting for records.
 */
import type { CommittedOffset, Groups, Member } from '../engine/groups.ts'
import type { Log } from '../engine/log.ts'
import type { Topics } from '../engine/topics.ts'
import type { Transactions } from '../engine/transactions.ts'
import type { Clock } from '../kit/clock.ts'
import { KeyedLock } from '../kit/keyed-lock.ts'
import type { Random } from '../kit/random.ts'
import { GatewayError } from '../model/errors.ts'
import {
  adminTimeoutMs,
  fetchTimeoutMs,
  groupCallTimeoutMs,
  pollBytesInFlightMax,
  pollRecordsDefault,
  waitingPollsMax,
} from '../model/limits.ts'
import type { Offset } from '../model/offset.ts'
import type { Place } from '../model/place.ts'
import type { Position } from '../model/position.ts'
import type { Principal } from '../model/principal.ts'
import type { StoredRecord } from '../model/record.ts'
import type { TopicPartition } from '../model/topic.ts'
import { readAgain } from './batch-again.ts'
import { Consumers } from './consumers.ts'
import type { PollMeter } from './consumers.ts'
import type { Gap } from './gap.ts'
import { InstanceCommits } from './instance-commits.ts'
import { InstancePoll } from './instance-poll.ts'
import { Parking } from './parking.ts'
import type { ParkWish } from './parking.ts'
import type { ReadRecord } from './read-record.ts'
import { recordFilter } from './read-record.ts'
import {
  cursorOf,
  cursorPosition,
  heldPlaces,
  liveSpans,
  placeOf,
  withCommitted,
  withoutBatch,
} from './session-batch.ts'
import type { OutBatch, OwnedPartition, Session, SessionKey, SessionSettings } from './session.ts'
import { grantOf, positionsByGrant, timeToLiveMs } from './session.ts'
import type { SessionKeeper } from './session-keeper.ts'
import { fenceOf } from './session-keeper.ts'
import type { SessionStore, StoredSession } from './session-store.ts'
import { updateSession } from './session-store.ts'

export interface SessionWish {
  readonly topics?: readonly string[]
  /** A glob: `*` is any run of characters. */
  readonly pattern?: string
  readonly reset: SessionSettings['reset']
  readonly format: string
  readonly keys?: readonly string[]
  readonly instanceId?: string
  readonly ttlMs: number
  readonly processingMs: number
}

export interface SessionView {
  readonly session: Session
  readonly memberId: string | null
  readonly memberEpoch: number
  readonly assignment: readonly TopicPartition[]
  /** When it ends unless its client asks for something, ms since 1970. */
  readonly expiresAt: number
  readonly seenAt: number
}

export interface SessionPollOptions {
  /** Null or absent: the batch that is out comes again. */
  readonly ack?: string | null
  readonly waitMs?: number
  readonly recordsMax?: number
  readonly bytesMax?: number
  readonly signal?: AbortSignal
}

export interface SessionPoll<T> {
  /** Null: nothing came. */
  readonly cursor: string | null
  /** What `write` made of the records. */
  readonly written: T
  readonly memberEpoch: number
  readonly gaps: readonly Gap[]
  /** Present when it is not what the client was told last. */
  readonly assignment?: readonly TopicPartition[]
  readonly revoked?: readonly TopicPartition[]
}

/** What of a batch is done: all of it, or up to these next offsets. */
export type SessionCommit =
  | { readonly cursor: string }
  | {
      readonly positions: ReadonlyMap<string, ReadonlyMap<number, Offset>>
      readonly memberEpoch: number
    }

export interface CarriedOffsets {
  readonly group: Member
  readonly commits: readonly CommittedOffset[]
}

export interface SessionsParts {
  readonly store: SessionStore
  readonly keeper: SessionKeeper
  readonly groups: Groups
  readonly log: Log
  readonly topics: Topics
  readonly transactions: Transactions
  readonly clock: Clock
  readonly random: Random
  readonly meter?: PollMeter
}

const groupCall = { timeoutMs: groupCallTimeoutMs }

export class Sessions {
  readonly #parts: SessionsParts
  readonly #consumers: Consumers
  readonly #commits: InstanceCommits
  readonly #parking: Parking
  readonly #turns = new KeyedLock()
  /** Ends the poll of a session that is waiting, by session. */
  readonly #waiting = new Map<string, AbortController>()
  /** How many want their turn now, by session: no poll waits for records meanwhile. */
  readonly #hurried = new Map<string, number>()
  #polls = 0
  #bytesOut = 0

  constructor(parts: SessionsParts) {
    this.#parts = parts
    this.#consumers = new Consumers({ ...parts, surface: 'native' })
    this.#commits = new InstanceCommits(parts)
    this.#parking = new Parking(parts)
  }

  /**
   * Joins the group before it resolves. Throws UNKNOWN_TOPIC, INVALID_REQUEST, RATE_LIMITED,
   * INSTANCE_IN_USE, GROUP_FULL.
   */
  async create(principal: Principal, group: string, wish: SessionWish): Promise<SessionView> {
    const { topics, pattern, keys, instanceId, ...settings } = wish
    if (topics !== undefined) await this.#checkTopics(topics)
    const session = await this.#consumers.create(principal, group, {
      ...settings,
      surface: 'native',
      autoCommit: false,
      minBytes: 1,
      waitMs: 0,
      ...(keys === undefined ? {} : { keys }),
      ...(instanceId === undefined ? {} : { instanceId }),
    })
    try {
      const subscription =
        pattern === undefined ? { topics: topics! } : { pattern: regexOf(pattern) }
      await this.#consumers.subscribe(principal, group, session.name, subscription)
      const stored = await this.#find(principal, session.id)
      const told = ownedNames(stored)
      return this.#view(await this.#update(stored, (now) => ({ ...now, told })))
    } catch (error) {
      await this.#consumers.delete(principal, group, session.name).catch(() => undefined)
      throw error
    }
  }

  /** Does not count as a request of its client. Throws UNKNOWN_SESSION. */
  async describe(principal: Principal, id: string): Promise<SessionView> {
    const key = await this.#parts.store.locate(id)
    const stored = key === undefined ? undefined : await this.#parts.store.find(key)
    if (stored?.session.id !== id || stored.session.owner !== principal.subject) throw unknown(id)
    return this.#view(stored)
  }

  /** Shows life without polling. Throws UNKNOWN_SESSION. */
  async heartbeat(principal: Principal, id: string): Promise<SessionView> {
    return this.#view(await this.#find(principal, id))
  }

  /**
   * The next batch, or the one that is out once more; `write` turns its records into what outlives
   * them. Throws ILLEGAL_STATE for a cursor that is not the last one, OFFSET_OUT_OF_RANGE,
   * CORRUPT_BATCH, OVERLOADED.
   */
  async poll<T>(
    principal: Principal,
    id: string,
    options: SessionPollOptions,
    write: (records: readonly ReadRecord[], format: string) => T,
  ): Promise<SessionPoll<T>> {
    if (this.#polls >= waitingPollsMax || this.#bytesOut > pollBytesInFlightMax) {
      throw new GatewayError('OVERLOADED', 'Too many polls are under way.')
    }
    this.#polls++
    try {
      return await this.#inTurn(principal, id, options.signal, async (found) => {
        const { ack = null } = options
        const { out = null, acked } = found.session
        let stored = found
        if (ack !== null && ack === out?.cursor) stored = await this.#acknowledge(stored)
        else if (ack !== null && ack !== acked) throw staleCursor(id)
        else if (out !== null) {
          const again = await this.#again(stored, out, write)
          if ('answer' in again) return again.answer
          stored = again.stored
        }
        return await this.#next(stored, options, write)
      })
    } finally {
      this.#polls--
    }
  }

  /** Durable when it resolves. Throws ILLEGAL_STATE, INVALID_REQUEST above what was delivered. */
  async commit(principal: Principal, id: string, wish: SessionCommit): Promise<CommittedOffset[]> {
    return await this.#atOnce(principal, id, async (stored) => {
      if ('cursor' in wish) {
        const { out = null, acked } = stored.session
        if (wish.cursor === out?.cursor) await this.#acknowledge(stored)
        else if (wish.cursor !== acked) throw staleCursor(id)
        return await this.#committedBy(stored.session.group, wish.cursor)
      }
      return await this.#commitPositions(stored, wish)
    })
  }

  /**
   * Runs a transaction that carries the commit of a batch, so that both happen or neither. Throws
   * ILLEGAL_STATE for a batch that is committed already, NOT_ASSIGNED when part of it is lost.
   */
  async carry<T>(
    principal: Principal,
    id: string,
    wish: SessionCommit,
    run: (offsets: CarriedOffsets) => Promise<T>,
  ): Promise<{ readonly result: T; readonly committed: readonly CommittedOffset[] }> {
    return await this.#atOnce(principal, id, async (stored) => {
      const memberEpoch = 'cursor' in wish ? undefined : wish.memberEpoch
      const commits =
        'cursor' in wish
          ? await this.#uncommitted(stored, wish.cursor)
          : this.#delivered(stored, wish.positions)
      const result = await this.#fenced(stored, commits, (group) =>
        run({ group: memberEpoch === undefined ? group : { ...group, memberEpoch }, commits }),
      )
      await this.#note(stored, commits)
      return { result, committed: commits }
    })
  }

  /** A transaction that carried this cursor's commit is known to be done: the session knows it then, too. */
  async carried(
    principal: Principal,
    id: string,
    wish: SessionCommit,
  ): Promise<readonly CommittedOffset[]> {
    if (!('cursor' in wish)) return commitsOf(wish.positions)
    const group = await this.#inTurn(principal, id, undefined, async (stored) => {
      if (stored.session.out?.cursor === wish.cursor) {
        await this.#note(stored, spansOf(stored.session.out))
      }
      return stored.session.group
    }).catch((error: unknown) => {
      if (error instanceof GatewayError && error.code === 'UNKNOWN_SESSION') return undefined
      throw error
    })
    return group === undefined ? [] : await this.#committedBy(group, wish.cursor)
  }

  /** The way past a poison record: it goes to `<topic>.parked`, and the group goes on behind it. */
  async park(principal: Principal, id: string, wish: ParkWish): Promise<void> {
    await this.#atOnce(principal, id, async (stored) => {
      const { place, position } = heldPartition(stored, wish)
      if (position === undefined || wish.offset >= position.next) {
        throw notDelivered(wish, wish.offset + 1, position?.next ?? 0)
      }
      const [committed] = await this.#parts.groups.committed(
        { groupId: stored.session.group },
        [{ topic: wish.topic, partition: wish.partition }],
        groupCall,
      )
      const commit = {
        tp: { topic: wish.topic, partition: wish.partition },
        topicId: place.topicId,
        offset: wish.offset + 1,
      }
      if ((committed?.offset ?? 0) <= wish.offset) {
        const parked = await this.#parking.prepare(stored.session.group, place, wish)
        await this.#fenced(stored, [commit], (group) => this.#parking.store(parked, group, commit))
      }
      await this.#note(stored, [commit])
    })
  }

  /** Moves the group's place in partitions that the session owns, durably; drops the batch that is out. */
  async seek(
    principal: Principal,
    id: string,
    wish: { readonly to: Place; readonly topic?: string; readonly partition?: number },
  ): Promise<Position> {
    return await this.#atOnce(principal, id, async (stored) => {
      const places = (stored.membership?.owned ?? []).filter(({ topic, partition }) => {
        const isTopic = wish.topic === undefined || topic === wish.topic
        return isTopic && (wish.partition === undefined || partition === wish.partition)
      })
      if (places.length === 0) {
        throw new GatewayError('NOT_ASSIGNED', `Session '${id}' owns no such partition.`)
      }
      const offsets = await this.#placesAt(places, wish.to)
      const commits = places.map(({ topic, partition, topicId }, i) => {
        return { tp: { topic, partition }, topicId, offset: offsets[i]! }
      })
      await this.#commitAll(stored, commits)
      const next = new Map(places.map((place, i) => [grantOf(place), offsets[i]!]))
      await this.#update(stored, (now) => {
        const positions = positionsByGrant(now)
        for (const place of places) {
          const { topic, partition, grant } = place
          const offset = next.get(grantOf(place))!
          const seeks = (positions.get(grantOf(place))?.seeks ?? 0) + 1
          const moved = { topic, partition, grant, next: offset, committed: offset, seeks }
          positions.set(grantOf(place), moved)
        }
        return { ...now, out: null, positions: rewound(now, [...positions.values()]) }
      })
      const byEpoch = new Map<string, Map<number, Offset>>()
      places.forEach(({ topicId, partition }, i) => {
        const found = byEpoch.get(topicId) ?? new Map<number, Offset>()
        byEpoch.set(topicId, found.set(partition, offsets[i]!))
      })
      return [...byEpoch].map(([epoch, partitions]) => ({ epoch, offsets: partitions }))
    })
  }

  /** Leaves the group at once; what was not acknowledged goes to the others. Throws UNKNOWN_SESSION. */
  async delete(principal: Principal, id: string): Promise<void> {
    await this.#end(await this.#find(principal, id))
  }

  /** Ends the session that is this member, so that it does not join again. False: it is none of ours. */
  async evict(group: string, name: string, memberId: string): Promise<boolean> {
    const stored = await this.#parts.store.find({ group, name })
    if (stored?.membership?.memberId !== memberId) return false
    await this.#end(stored)
    return true
  }

  /** The sessions behind the members of a group, by member id; `name` is a member's client id. */
  async behind(
    group: string,
    members: readonly { readonly memberId: string; readonly clientId: string }[],
  ): Promise<ReadonlyMap<string, SessionView>> {
    const found = new Map<string, SessionView>()
    for (const { memberId, clientId: name } of members) {
      if (name === '') continue
      const stored = await this.#parts.store.find({ group, name })
      if (stored?.membership?.memberId === memberId) found.set(memberId, this.#view(stored))
    }
    return found
  }

  async #end(stored: StoredSession): Promise<void> {
    const { id, group, name } = stored.session
    this.#interrupt(id)
    if (!(await this.#parts.store.remove({ group, name }, id))) throw unknown(id)
    await this.#parts.keeper.end(stored)
  }

  /** Answers the batch that is out again; or, when all of it is done or lost, the session without it. */
  async #again<T>(
    found: StoredSession,
    out: OutBatch,
    write: (records: readonly ReadRecord[], format: string) => T,
  ): Promise<{ answer: SessionPoll<T> } | { stored: StoredSession }> {
    const committed = await this.#committedOf(found.session.group, out.spans)
    const { live, lost } = liveSpans(found, out.spans, committed)
    if (live.length === 0) {
      return { stored: await this.#update(found, withoutBatch) }
    }
    let stored = found
    let { cursor } = out
    // A batch that lost records is another one: whoever still works on the old one must not commit this.
    if (lost.length > 0) {
      const turn = found.session.turn + 1
      cursor = cursorOf(turn, live)
      stored = await this.#update(found, (now) => ({
        ...now,
        turn,
        out: { ...out, cursor, spans: out.spans.filter((span) => !lost.includes(span)) },
      }))
    }
    const again = await readAgain(this.#parts.log, live, wantsOf(found.session))
    this.#bytesOut += again.bytes
    try {
      this.#parts.meter?.read(again.records.length, again.bytes)
      const written = write(again.records, found.session.format)
      const gaps = [...(out.gaps ?? []), ...again.gaps]
      return { answer: { cursor, written, gaps, ...(await this.#news(stored)) } }
    } finally {
      this.#bytesOut -= again.bytes
      again.release()
    }
  }

  async #next<T>(
    stored: StoredSession,
    options: SessionPollOptions,
    write: (records: readonly ReadRecord[], format: string) => T,
  ): Promise<SessionPoll<T>> {
    const { clock, meter } = this.#parts
    const { session } = stored
    const { id, group, name, format } = session
    const key = { group, name }
    const interrupt = new AbortController()
    this.#waiting.set(id, interrupt)
    if (this.#hurried.has(id)) interrupt.abort()
    let out: OutBatch | undefined
    let fetched = 0
    const poll = new InstancePoll(this.#parts, this.#commits, session.owner, key, {
      ended: () => undefined,
      settling: () => undefined,
      lent: (bytes) => {
        this.#bytesOut += bytes
        if (bytes > 0) fetched = bytes
      },
    })
    const { signal, recordsMax = pollRecordsDefault, waitMs, bytesMax } = options
    const wants = wantsOf(session)
    try {
      const answer = await poll.run(
        {
          recordsMax,
          signal:
            signal === undefined ? interrupt.signal : AbortSignal.any([signal, interrupt.signal]),
          ...(waitMs === undefined ? {} : { waitMs }),
          ...(bytesMax === undefined ? {} : { bytesMax }),
          ...(wants === undefined ? {} : { wants }),
          onDelivered: (now) => ({ ...now, out: out! }),
        },
        clock.monotonicMs(),
      )
      const { records, spans, gaps } = answer
      let written: T
      try {
        written = write(records, format)
      } catch (error) {
        answer.dropped()
        throw error
      }
      meter?.read(records.length, fetched)
      if (records.length === 0) {
        // Ranges without a record for this client are done as soon as nothing below them is out.
        const now = await this.#now(key, id)
        await this.#commits.commitDelivered(now)
        return { cursor: null, written, gaps, ...(await this.#news(now)) }
      }
      const latest = await this.#now(key, id)
      const held = new Map([...heldPlaces(stored), ...heldPlaces(latest)])
      const known = spans.flatMap((span) => {
        const topicId = held.get(grantOf(span))?.topicId
        return topicId === undefined ? [] : [{ ...span, topicId }]
      })
      const cursor = cursorOf(latest.session.turn + 1, known)
      out = {
        cursor,
        records: records.length,
        sentMs: clock.wallMs(),
        spans,
        ...(gaps.length === 0 ? {} : { gaps }),
      }
      const saved = await answer.delivered(records.length)
      if (saved?.session.out?.cursor !== cursor) {
        throw new GatewayError('UNAVAILABLE', 'Another read of this session took over.')
      }
      return { cursor, written, gaps, ...(await this.#news(saved)) }
    } finally {
      if (this.#waiting.get(id) === interrupt) this.#waiting.delete(id)
    }
  }

  async #now(key: SessionKey, id: string): Promise<StoredSession> {
    const now = await this.#parts.store.find(key)
    if (now?.session.id !== id) throw unknown(id)
    return now
  }

  async #acknowledge(stored: StoredSession): Promise<StoredSession> {
    // What is no longer this session's is delivered again by whoever has it now.
    await this.#commits.commitDelivered(stored)
    return await this.#update(stored, withoutBatch)
  }

  /** Assignment and epoch for an answer; the assignment only when the client knows another one. */
  async #news(
    stored: StoredSession,
  ): Promise<Pick<SessionPoll<unknown>, 'memberEpoch' | 'assignment' | 'revoked'>> {
    const memberEpoch = stored.membership?.memberEpoch ?? 0
    const owned = ownedNames(stored)
    const told = stored.session.told ?? []
    const now = new Set(owned)
    const revoked = told.filter((name) => !now.has(name))
    if (revoked.length === 0 && owned.length === told.length) return { memberEpoch }
    await this.#update(stored, (session) => ({ ...session, told: owned }))
    const assignment = (stored.membership?.owned ?? []).map(tpOf)
    return {
      memberEpoch,
      assignment,
      ...(revoked.length === 0 ? {} : { revoked: revoked.map(tpOfName) }),
    }
  }

  /** What the batch under this cursor commits, while none of that is committed or lost. */
  async #uncommitted(stored: StoredSession, cursor: string): Promise<CommittedOffset[]> {
    const { session } = stored
    const { out = null } = session
    if (out?.cursor !== cursor) {
      if (cursor !== session.acked) throw staleCursor(session.id)
      throw committedAlready(cursor)
    }
    const { live, lost } = liveSpans(
      stored,
      out.spans,
      await this.#committedOf(session.group, out.spans),
    )
    const [first] = lost
    if (first !== undefined) {
      throw new GatewayError(
        'NOT_ASSIGNED',
        `Partition ${first.partition} of topic '${first.topic}' went to another member: poll for what is left of the batch.`,
      )
    }
    if (live.length === 0) {
      // The answer to the transaction that did it was lost, and so was the news of it.
      await this.#update(stored, withoutBatch)
      throw committedAlready(cursor)
    }
    return live.map(({ topic, partition, topicId, next }) => ({
      tp: { topic, partition },
      topicId,
      offset: next,
    }))
  }

  /** Offsets of a client's own choice, none of them above what was delivered. */
  #delivered(
    stored: StoredSession,
    positions: ReadonlyMap<string, ReadonlyMap<number, Offset>>,
  ): CommittedOffset[] {
    return commitsOf(positions).flatMap(({ tp, offset }): CommittedOffset[] => {
      const { place, position } = heldPartition(stored, tp)
      if (position === undefined || offset > position.next) {
        throw notDelivered(tp, offset, position?.next ?? 0)
      }
      if (offset <= position.committed) return []
      return [{ tp, offset, topicId: place.topicId }]
    })
  }

  async #commitPositions(
    stored: StoredSession,
    { positions, memberEpoch }: Extract<SessionCommit, { positions: unknown }>,
  ): Promise<CommittedOffset[]> {
    const commits = this.#delivered(stored, positions)
    if (commits.length > 0) {
      await this.#commitAll(stored, commits, memberEpoch)
      await this.#note(stored, commits)
    }
    return commitsOf(positions)
  }

  async #commitAll(
    stored: StoredSession,
    commits: readonly CommittedOffset[],
    memberEpoch?: number,
  ): Promise<void> {
    await this.#fenced(stored, commits, async (group) => {
      const fence = memberEpoch === undefined ? group : { ...group, memberEpoch }
      const results = await this.#parts.groups.commit(fence, commits, groupCall)
      for (const { error } of results) if (error !== undefined) throw error
    })
  }

  /** Runs a call with the member's fence, once more when only the epoch had moved meanwhile. */
  async #fenced<T>(
    stored: StoredSession,
    commits: readonly CommittedOffset[],
    run: (group: Member) => Promise<T>,
  ): Promise<T> {
    const { session, membership } = stored
    if (membership === null) throw new GatewayError('NOT_ASSIGNED', 'The session is no member.')
    try {
      return await run(fenceOf(session, membership))
    } catch (error) {
      const code = error instanceof GatewayError ? error.code : undefined
      if (code !== 'STALE_MEMBER_EPOCH' && code !== 'UNKNOWN_MEMBER') throw error
      const again = await this.#parts.store.find(session)
      const now = again?.membership ?? null
      if (again === undefined || now === null || now.memberEpoch === membership.memberEpoch) {
        this.#parts.keeper.nudge(session)
        throw error
      }
      const [before, held] = [heldPlaces(stored), heldPlaces(again)]
      const kept = new Set(
        [...before].filter(([grant]) => held.has(grant)).map(([, at]) => placeOf(at)),
      )
      if (!commits.every(({ tp }) => kept.has(placeOf(tp)))) throw error
      return await run(fenceOf(again.session, now))
    }
  }

  /** The session learns what was committed; a batch of which nothing is left is out no more. */
  async #note(stored: StoredSession, commits: readonly CommittedOffset[]): Promise<void> {
    await this.#update(stored, (now, whole) => {
      const moved = withCommitted(now, commits)
      const { out = null } = moved
      if (out === null) return moved
      const { live } = liveSpans({ ...whole, session: moved }, out.spans)
      return live.length === 0 ? withoutBatch(moved) : moved
    })
    if ((stored.membership?.releasing.length ?? 0) > 0) this.#parts.keeper.nudge(stored.session)
  }

  async #committedOf(
    groupId: string,
    tps: readonly TopicPartition[],
  ): Promise<Map<string, Offset>> {
    const found = await this.#parts.groups.committed({ groupId }, tps.map(tpOf), groupCall)
    return new Map(found.map(({ tp, offset }) => [placeOf(tp), offset]))
  }

  /** What a cursor stands for, as the group has it now. */
  async #committedBy(groupId: string, cursor: string): Promise<CommittedOffset[]> {
    const position = cursorPosition(cursor)
    const all = await this.#parts.topics.list('all', { timeoutMs: adminTimeoutMs })
    const names = new Map(all.map(({ id, name }) => [id, name]))
    const tps = position.flatMap(({ epoch, offsets }) => {
      const topic = names.get(epoch)
      return topic === undefined
        ? []
        : [...offsets.keys()].map((partition) => ({ topic, partition }))
    })
    return await this.#parts.groups.committed({ groupId }, tps, groupCall)
  }

  async #placesAt(places: readonly OwnedPartition[], to: Place): Promise<Offset[]> {
    const tps = places.map(tpOf)
    const ask = async (
      at: 'earliest' | 'latest' | { readonly time: number },
    ): Promise<Offset[]> => {
      const queries = tps.map((tp) => ({ tp, at }))
      const answers = await this.#parts.log.offsets(queries, { timeoutMs: fetchTimeoutMs })
      return answers.map(({ offset, error }) => {
        if (error !== undefined) throw error
        return offset
      })
    }
    if (to.at === 'time') return await ask({ time: to.time })
    if (to.at !== 'last' && to.at !== 'offset' && to.at !== 'position') return await ask(to.at)
    const [starts, ends] = await Promise.all([ask('earliest'), ask('latest')])
    if (to.at === 'last') return ends.map((end, i) => Math.max(starts[i]!, end - to.count))
    if (to.at === 'offset' && places.length !== 1) {
      throw new GatewayError(
        'BAD_REQUEST',
        `'offset:${to.offset}' needs exactly one partition; this covers ${places.length}.`,
      )
    }
    return places.map(({ topic, partition, topicId }, i) => {
      const wanted =
        to.at === 'offset'
          ? to.offset
          : (to.position.find(({ epoch }) => epoch === topicId)?.offsets.get(partition) ??
            starts[i]!)
      if (wanted >= starts[i]! && wanted <= ends[i]!) return wanted
      throw new GatewayError(
        'OFFSET_OUT_OF_RANGE',
        `Partition ${partition} of topic '${topic}' reaches from ${starts[i]} to ${ends[i]}; ${wanted} is outside.`,
      )
    })
  }

  async #checkTopics(names: readonly string[]): Promise<void> {
    const found = await this.#parts.topics.list(names, { timeoutMs: adminTimeoutMs })
    const known = new Set(found.filter(({ internal }) => !internal).map(({ name }) => name))
    const missing = names.find((name) => !known.has(name))
    if (missing === undefined) return
    throw new GatewayError('UNKNOWN_TOPIC', `Topic '${missing.slice(0, 249)}' does not exist.`)
  }

  /** Runs `work` alone for this session, in this process. */
  async #inTurn<T>(
    principal: Principal,
    id: string,
    signal: AbortSignal | undefined,
    work: (stored: StoredSession) => Promise<T>,
  ): Promise<T> {
    const unlock = await this.#turns.acquire(id, signal)
    if (unlock === undefined) {
      throw new GatewayError('UNAVAILABLE', 'The client went away while it waited for its turn.')
    }
    try {
      const stored = await this.#find(principal, id)
      if (stored.session.surface === 'v2') {
        throw new GatewayError(
          'ILLEGAL_STATE',
          `Session '${id}' is a consumer instance of the v2 API: it is polled there.`,
        )
      }
      return await work(stored)
    } finally {
      unlock()
    }
  }

  /** In turn, and no poll that waits for records, or is about to, holds it up. */
  async #atOnce<T>(
    principal: Principal,
    id: string,
    work: (stored: StoredSession) => Promise<T>,
  ): Promise<T> {
    this.#hurried.set(id, (this.#hurried.get(id) ?? 0) + 1)
    this.#interrupt(id)
    try {
      return await this.#inTurn(principal, id, undefined, work)
    } finally {
      const left = (this.#hurried.get(id) ?? 1) - 1
      if (left === 0) this.#hurried.delete(id)
      else this.#hurried.set(id, left)
    }
  }

  #interrupt(id: string): void {
    this.#waiting.get(id)?.abort()
  }

  /** Renews the expiry. */
  async #find(principal: Principal, id: string): Promise<StoredSession> {
    const key = await this.#parts.store.locate(id)
    if (key === undefined) throw unknown(id)
    const stored = await this.#parts.store.find(key, principal.subject)
    if (stored?.session.id !== id) throw unknown(id)
    return stored
  }

  async #update(
    stored: StoredSession,
    change: (now: Session, whole: StoredSession) => Session,
  ): Promise<StoredSession> {
    const { id, owner } = stored.session
    const own = (whole: StoredSession): Session => {
      if (whole.session.id !== id) throw unknown(id)
      return change(whole.session, whole)
    }
    return await updateSession(this.#parts.store, stored.session, owner, own, stored)
  }

  #view({ session, membership, idleMs }: StoredSession): SessionView {
    const nowMs = this.#parts.clock.wallMs()
    return {
      session,
      memberId: membership?.memberId ?? null,
      memberEpoch: membership?.memberEpoch ?? 0,
      assignment: (membership?.owned ?? []).map(tpOf),
      expiresAt: Math.trunc(nowMs + timeToLiveMs(session) - idleMs),
      seenAt: Math.trunc(nowMs - idleMs),
    }
  }
}

/** A partition that the session may commit for, and how far it has come in it. Throws NOT_ASSIGNED. */
function heldPartition(
  stored: StoredSession,
  { topic, partition }: TopicPartition,
): { place: OwnedPartition; position: ReturnType<typeof positionOf> } {
  for (const place of heldPlaces(stored).values()) {
    if (place.topic !== topic || place.partition !== partition) continue
    return { place, position: positionOf(stored.session, place) }
  }
  throw new GatewayError(
    'NOT_ASSIGNED',
    `Partition ${partition} of topic '${topic.slice(0, 249)}' is not this session's.`,
  )
}

function positionOf(
  session: Session,
  place: OwnedPartition,
): Session['positions'][number] | undefined {
  return positionsByGrant(session).get(grantOf(place))
}

/** What was delivered of other partitions is delivered again, since the batch is dropped as a whole. */
function rewound(session: Session, positions: Session['positions']): Session['positions'] {
  const out = new Set(session.out?.spans.map(grantOf))
  return positions.map((position) => {
    const isOut = out.has(grantOf(position)) && position.next > position.committed
    return isOut ? { ...position, next: position.committed } : position
  })
}

function spansOf({ spans }: OutBatch): CommittedOffset[] {
  return spans.map(({ topic, partition, next }) => ({ tp: { topic, partition }, offset: next }))
}

function commitsOf(positions: ReadonlyMap<string, ReadonlyMap<number, Offset>>): CommittedOffset[] {
  return [...positions].flatMap(([topic, offsets]) =>
    [...offsets].map(([partition, offset]) => ({ tp: { topic, partition }, offset })),
  )
}

function wantsOf({ keys }: Session): ((record: StoredRecord) => boolean) | undefined {
  return keys === undefined
    ? undefined
    : recordFilter({ keys: keys.map((key) => Buffer.from(key)) })
}

function ownedNames({ membership }: StoredSession): string[] {
  return (membership?.owned ?? []).map(placeOf)
}

function tpOf({ topic, partition }: TopicPartition): TopicPartition {
  return { topic, partition }
}

function tpOfName(name: string): TopicPartition {
  const slash = name.lastIndexOf('/')
  return { topic: name.slice(0, slash), partition: Number(name.slice(slash + 1)) }
}

/** A glob as the pattern that engines take. */
function regexOf(glob: string): string {
  return glob
    .split('*')
    .map((part) => part.replace(/[^A-Za-z0-9_]/gu, '\\$&'))
    .join('.*')
}

function unknown(id: string): GatewayError {
  return new GatewayError('UNKNOWN_SESSION', `There is no session '${id.slice(0, 100)}'.`)
}

function staleCursor(id: string): GatewayError {
  return new GatewayError(
    'ILLEGAL_STATE',
    `The cursor is not the last one of session '${id}': poll without an ack for the batch that is out.`,
  )
}

function committedAlready(cursor: string): GatewayError {
  return new GatewayError(
    'ILLEGAL_STATE',
    `The batch ${cursor.slice(0, 100)} is committed already.`,
  )
}

function notDelivered(
  { topic, partition }: TopicPartition,
  asked: Offset,
  next: Offset,
): GatewayError {
  return new GatewayError(
    'INVALID_REQUEST',
    `Partition ${partition} of topic '${topic}' was delivered up to ${next}, so ${asked} cannot be committed.`,
  )
}
