/**
 * One poll of one instance, from its first look at the session to the saved positions.
 *
 * The read is marked in the store, with the membership it chose its partitions by. So on any node one
 * read runs at a time, and the keeper gives a partition back only when no read that chose it is under
 * way. Everything a poll knows of the session it learns anew about every second.
 */
import type { Groups } from '../engine/groups.ts'
import type { FetchSlice, Log } from '../engine/log.ts'
import type { Clock, Timer } from '../kit/clock.ts'
import { pause } from '../kit/clock.ts'
import type { Random } from '../kit/random.ts'
import { randomId } from '../kit/random.ts'
import { GatewayError } from '../model/errors.ts'
import {
  assignmentWaitMs,
  fetchTimeoutMs,
  groupCallTimeoutMs,
  pollAnswerMs,
  readBytesDefault,
  readBytesMax,
  waitMsMax,
} from '../model/limits.ts'
import type { ExactCursor } from './exact-cursor.ts'
import { formatCursor, parseCursor, staleCursor, tagOf } from './exact-cursor.ts'
import type { StoredRecord } from '../model/record.ts'
import type { InstanceCommits } from './instance-commits.ts'
import { bytesOf, fetchOrWait, releaseAll } from './partition-fetch.ts'
import type { Gap } from './gap.ts'
import type { Cursor } from './poll-records.ts'
import { PollRecords } from './poll-records.ts'
import type { ReadRecord } from './read-record.ts'
import type { OwnedPartition, Session, SessionKey, SessionPosition, Span } from './session.ts'
import { grantOf, holdingsOf, ownedBy, positionsByGrant } from './session.ts'
import type { SessionKeeper } from './session-keeper.ts'
import { unknownSession } from './session-keeper.ts'
import type { SessionStore, StoredSession } from './session-store.ts'
import { updateSession } from './session-store.ts'

export interface PollOptions {
  /** Can only shorten the instance's own wait, ms; 0 or less means that wait. */
  readonly waitMs?: number
  /** Bytes of keys and values; 0 or less means the ceiling. The first record is always delivered. */
  readonly bytesMax?: number
  /** Exact mode: the last answer that the client has processed. Goes on right behind it, each time. */
  readonly cursor?: string
  readonly signal?: AbortSignal
  readonly recordsMax?: number
  /** Others are passed over. */
  readonly wants?: (record: StoredRecord) => boolean
  /** What becomes of the session when the records were delivered, besides its positions. */
  readonly onDelivered?: (session: Session) => Session
}

export interface Poll {
  /** Keys and values are borrowed until `delivered` or `dropped`. */
  readonly records: readonly ReadRecord[]
  /** Names the end of this answer; undefined when nothing is assigned, or too much for a header. */
  cursorAfter(count: number): string | undefined
  /** What these records cover, for whoever reads them again. */
  readonly spans: readonly Span[]
  readonly gaps: readonly Gap[]
  /** The first `count` records were written completely: positions move. */
  delivered(count: number): Promise<StoredSession | undefined>
  /** The answer was cut: the next poll returns the records again. */
  dropped(): void
}

export interface InstancePollParts {
  readonly store: SessionStore
  readonly keeper: SessionKeeper
  readonly groups: Groups
  readonly log: Log
  readonly clock: Clock
  readonly random: Random
}

/** What a poll tells whoever started it. */
export interface PollHooks {
  /** The next read of this instance may begin. Called exactly once. */
  ended(): void
  /** Positions are being saved. */
  settling(work: Promise<void>): void
  /** Bytes lent out, or given back when negative. */
  lent(bytes: number): void
}

/** A mark runs out this long after a node died with it, ms. */
const markMs = 3_000
/** How often a waiting poll looks at the session again, and a written one renews its mark, ms. */
const lookAgainMs = 1_000
/**
 * A poll is answered this long after it came, ms: its own longest wait and that for an assignment. The
 * wait for an earlier read counts, or the connection would be given up as idle before the answer.
 */
const pollMsMax = waitMsMax + assignmentWaitMs
const busyRetryMs = 50
const assignmentRetryMs = 250

export class InstancePoll {
  readonly #parts: InstancePollParts
  readonly #commits: InstanceCommits
  readonly #owner: string
  readonly #key: SessionKey
  readonly #hooks: PollHooks
  readonly #reader: string
  /** The session that this read began on: another one may have its name by now. */
  #sessionId = ''
  /** When it is answered, whatever it has. */
  #endMs = Infinity
  /** Where the client wants to go on, in exact mode. */
  #resume: ExactCursor | undefined
  readonly #gaps: Gap[] = []
  #hold: Timer | undefined
  #isOver = false

  constructor(
    parts: InstancePollParts,
    commits: InstanceCommits,
    owner: string,
    key: SessionKey,
    hooks: PollHooks,
  ) {
    this.#parts = parts
    this.#commits = commits
    this.#owner = owner
    this.#key = key
    this.#hooks = hooks
    this.#reader = randomId(parts.random, 9)
  }

  /** `sinceMs`: when the poll came (monotonic). */
  async run(options: PollOptions, sinceMs: number): Promise<Poll> {
    this.#endMs = sinceMs + pollMsMax
    let hasMark = false
    try {
      let stored = await this.#begin(options.signal)
      hasMark = true
      if (isIdle(stored.session)) throw notSubscribed(this.#key)
      if (options.cursor !== undefined) this.#resume = parseCursor(options.cursor, stored)
      if (stored.session.autoCommit) {
        // The request for the next answer says that the last one arrived. What is no longer ours is
        // delivered again by whoever has it now.
        await this.#commits.commitDelivered(stored, this.#resume?.offsets)
        stored = await this.#look()
      }
      stored = await this.#awaitAssignment(stored, options.signal)
      return await this.#read(stored, options)
    } catch (error) {
      if (hasMark) await this.#endMark()
      this.#over()
      throw error
    }
  }

  /** Waits for the mark, which another node's read may have. */
  async #begin(signal: AbortSignal | undefined): Promise<StoredSession> {
    const { store, clock } = this.#parts
    for (;;) {
      const found = await store.beginRead(this.#key, this.#owner, this.#reader, markMs)
      if (found === undefined) throw unknownSession(this.#key)
      if (found !== 'busy') {
        this.#sessionId = found.session.id
        return found
      }
      const isOver = clock.monotonicMs() > this.#endMs || !(await pause(clock, busyRetryMs, signal))
      if (isOver) throw new GatewayError('OVERLOADED', 'Another read of this instance goes on.')
    }
  }

  /** Looks at the session again, which keeps the mark and shows the keeper that we see its work. */
  async #look(): Promise<StoredSession> {
    const { store, keeper } = this.#parts
    const found = await store.beginRead(this.#key, this.#owner, this.#reader, markMs)
    if (found === 'busy') throw new GatewayError('UNAVAILABLE', 'Another read took over.')
    if (found?.session.id !== this.#sessionId) throw unknownSession(this.#key)
    if ((found.membership?.releasing.length ?? 0) > 0) keeper.nudge(this.#key)
    return found
  }

  /** The wait for the first assignment does not count against the poll's own time. */
  async #awaitAssignment(
    first: StoredSession,
    signal: AbortSignal | undefined,
  ): Promise<StoredSession> {
    const { clock } = this.#parts
    let stored = first
    let isAsked = false
    const deadlineMs = Math.min(clock.monotonicMs() + assignmentWaitMs, this.#endMs)
    while (!isAssigned(stored) && clock.monotonicMs() < deadlineMs && signal?.aborted !== true) {
      if (!isAsked && stored.membership !== null && stored.membership.memberEpoch > 0) {
        isAsked = true
        if (await this.#isIdleMember(stored)) break
      }
      await this.#pauseUntilChange(assignmentRetryMs, signal)
      stored = await this.#look()
    }
    if (stored.session.settled || stored.session.subscription === null) return stored
    return this.#update(({ session }) => ({ ...session, settled: true }), { known: stored })
  }

  /** Whether the group means this member to have nothing: more members than partitions. */
  async #isIdleMember({ membership }: StoredSession): Promise<boolean> {
    const options = { timeoutMs: groupCallTimeoutMs }
    try {
      const { members } = await this.#parts.groups.describe(this.#key.group, options)
      const member = members.find(({ memberId }) => memberId === membership?.memberId)
      return member?.target?.length === 0
    } catch (error) {
      // The group is gone with its last member: ours is about to join again.
      if (error instanceof GatewayError && error.code === 'UNKNOWN_GROUP') return false
      throw error
    }
  }

  #turnOf({ session }: StoredSession): number {
    return this.#resume?.turn ?? session.turn
  }

  async #read(first: StoredSession, options: PollOptions): Promise<Poll> {
    const { clock } = this.#parts
    const { minBytes } = first.session
    const ownMs = waitMsOf(first.session, options.waitMs)
    const deadlineMs = Math.min(clock.monotonicMs() + ownMs, this.#endMs)
    const bytesMax = bytesMaxOf(options.bytesMax)
    const enough = minBytes < 0 ? bytesMax : Math.min(Math.max(1, minBytes), bytesMax)
    const cursors = new Map<string, Cursor>()
    let stored = first
    for (;;) {
      if (isIdle(stored.session)) throw notSubscribed(this.#key)
      if (this.#resume !== undefined && this.#resume.tag !== tagOf(stored)) {
        throw staleCursor(this.#key)
      }
      await this.#follow(cursors, stored)
      const ready = inTurn(cursors, this.#turnOf(stored))
      const restMs = Math.max(0, deadlineMs - clock.monotonicMs())
      const { slices, isWoken } = await this.#fetch(ready, restMs, bytesMax, enough, options.signal)
      const answer = new PollRecords({
        bytesMax,
        tellsGaps: stored.session.surface !== 'v2',
        ...(options.recordsMax === undefined ? {} : { recordsMax: options.recordsMax }),
        ...(options.wants === undefined ? {} : { wants: options.wants }),
      })
      try {
        slices.forEach((slice, i) => {
          if (!answer.isFull) answer.add(ready[i]!, slice, stored.session.reset)
        })
      } catch (error) {
        releaseAll(slices)
        throw error
      }
      this.#gaps.push(...answer.gaps)
      const isTimeUp = clock.monotonicMs() >= deadlineMs || options.signal?.aborted === true
      // Damage behind the records ends the wait for more: it would not go away.
      const isEnough = bytesOf(slices) >= enough || answer.problem !== undefined
      const hasEnough = answer.records.length > 0 && isEnough
      // The membership moved meanwhile: what was chosen by the old one is not delivered.
      if (!isWoken && (isTimeUp || hasEnough || answer.isFull) && !answer.wasReset) {
        return await this.#answer(answer, slices, cursors, stored, options.onDelivered)
      }
      const { problem } = answer
      if (answer.records.length === 0) answer.deliver(0)
      releaseAll(slices)
      if (problem !== undefined && answer.records.length === 0) throw problem
      stored = await this.#look()
    }
  }

  /** One cursor for each partition that the member owns now. */
  async #follow(cursors: Map<string, Cursor>, stored: StoredSession): Promise<void> {
    const owned = ownedBy(stored.session, stored.membership)
    const grants = new Set(owned.map(grantOf))
    for (const grant of cursors.keys()) if (!grants.has(grant)) cursors.delete(grant)
    const positions = positionsByGrant(stored.session)
    const fresh: OwnedPartition[] = []
    for (const place of owned) {
      const grant = grantOf(place)
      const position = positions.get(grant)
      const cursor = cursors.get(grant)
      if (cursor !== undefined) {
        if (position === undefined) continue
        const { next, seeks = 0 } = position
        // A seek is the client's newest word; any other move tells what is done with already.
        if (seeks !== cursor.seeks) cursor.next = next
        else if (next !== cursor.saved) cursor.next = Math.max(cursor.next, next)
        cursor.saved = next
        cursor.seeks = seeks
      } else if (position === undefined) {
        fresh.push(place)
      } else {
        const { next: saved, committed, seeks = 0 } = position
        const next = this.#resume?.offsets.get(grant) ?? saved
        cursors.set(grant, { place, next, saved, seeks, committed, isBlocked: false })
      }
    }
    if (fresh.length === 0) return
    for (const cursor of await this.#begun(fresh, stored.session)) {
      cursors.set(grantOf(cursor.place), cursor)
    }
  }

  /** Where partitions begin that came with the newest assignment: the commit, else the log start. */
  async #begun(places: readonly OwnedPartition[], session: Session): Promise<Cursor[]> {
    const { groups, log } = this.#parts
    const tps = places.map(({ topic, partition }) => ({ topic, partition }))
    const options = { timeoutMs: groupCallTimeoutMs }
    const found = await groups.committed({ groupId: session.group }, tps, options)
    const committed = new Map(
      found.map(({ tp, offset }) => [`${tp.topic}/${tp.partition}`, offset]),
    )
    const missing = tps.filter(({ topic, partition }) => !committed.has(`${topic}/${partition}`))
    if (missing.length > 0 && session.reset === 'none') throw noOffset(missing[0]!)
    const starts = new Map<string, number>()
    if (missing.length > 0) {
      const queries = missing.map((tp) => ({ tp, at: 'earliest' as const }))
      const answers = await log.offsets(queries, { timeoutMs: fetchTimeoutMs })
      for (const { tp, offset, error } of answers) {
        if (error === undefined) starts.set(`${tp.topic}/${tp.partition}`, offset)
      }
    }
    return places.map((place) => {
      const name = `${place.topic}/${place.partition}`
      const start = starts.get(name)
      const saved = committed.get(name) ?? start ?? 0
      const isBlocked = !committed.has(name) && start === undefined
      const next = this.#resume?.offsets.get(grantOf(place)) ?? saved
      return { place, next, saved, seeks: 0, committed: saved, isBlocked }
    })
  }

  /** `isWoken`: the membership changed while this waited. */
  async #fetch(
    cursors: readonly Cursor[],
    restMs: number,
    bytesMax: number,
    minBytes: number,
    signal: AbortSignal | undefined,
  ): Promise<{ slices: FetchSlice[]; isWoken: boolean }> {
    const { log, clock, keeper } = this.#parts
    const waitMs = Math.min(restMs, lookAgainMs)
    let isWoken = false
    const cut = new AbortController()
    const onAbort = (): void => cut.abort()
    signal?.addEventListener('abort', onAbort, { once: true })
    if (signal?.aborted === true) cut.abort()
    const watch = keeper.watch(this.#key, () => {
      isWoken = true
      cut.abort()
    })
    try {
      if (cursors.length === 0) {
        await pause(clock, waitMs, cut.signal)
        return { slices: [], isWoken }
      }
      const wants = cursors.map(({ place: { topic, partition, topicId }, next }) => {
        return { tp: { topic, partition }, from: next, topicId }
      })
      const limits = { bytesMax, waitMs, minBytes, timeoutMs: fetchTimeoutMs }
      const slices = await fetchOrWait(log, clock, wants, { ...limits, signal: cut.signal })
      return { slices, isWoken }
    } catch (error) {
      // A log may refuse a call that was cut; whoever was woken looks again, whoever left reads nothing.
      if (cut.signal.aborted) return { slices: [], isWoken }
      throw error
    } finally {
      watch.close()
      signal?.removeEventListener('abort', onAbort)
    }
  }

  async #answer(
    answer: PollRecords,
    slices: readonly FetchSlice[],
    cursors: ReadonlyMap<string, Cursor>,
    stored: StoredSession,
    onDelivered: PollOptions['onDelivered'],
  ): Promise<Poll> {
    const bytes = bytesOf(slices)
    const { records } = answer
    const turn = this.#turnOf(stored) + (records.length > 0 ? 1 : 0)
    const tag = tagOf(stored)
    const cursorAfter = (count: number): string | undefined => {
      const nexts = [...cursors].map(
        ([grant, cursor]) => [grant, answer.nextOf(cursor, count)] as const,
      )
      return formatCursor(tag, turn, new Map(nexts))
    }
    const told = { spans: answer.spans(), gaps: this.#gaps }
    const finish = async (count: number): Promise<StoredSession> => {
      answer.deliver(count)
      giveBack()
      try {
        return await this.#save(cursors, turn, records.length > 0 ? onDelivered : undefined)
      } catch (error) {
        await this.#endMark()
        throw error
      } finally {
        this.#over()
      }
    }
    const giveBack = (): void => {
      releaseAll(slices)
      this.#hooks.lent(-bytes)
    }
    this.#hooks.lent(bytes)
    if (records.length === 0) {
      answer.deliver(0)
      const { problem } = answer
      if (problem !== undefined) {
        giveBack()
        throw problem
      }
      if (isNews(cursors, stored.session)) await finish(0)
      else {
        giveBack()
        await this.#endMark()
        this.#over()
      }
      return {
        ...told,
        records,
        cursorAfter,
        delivered: () => Promise.resolve(undefined),
        dropped: () => undefined,
      }
    }
    let isDone = false
    const dropped = (): void => {
      if (isDone) return
      isDone = true
      limit.cancel()
      giveBack()
      this.#hooks.settling(this.#noteCut())
    }
    // Whoever forgets an answer does not block the instance for ever.
    const limit = this.#parts.clock.after(pollAnswerMs, dropped)
    this.#keepMark()
    return {
      ...told,
      records,
      cursorAfter,
      dropped,
      delivered: (count) => {
        if (isDone) return Promise.resolve(undefined)
        isDone = true
        limit.cancel()
        const work = finish(Math.min(count, records.length))
        this.#hooks.settling(work.then(() => undefined))
        return work
      },
    }
  }

  async #save(
    cursors: ReadonlyMap<string, Cursor>,
    turn: number,
    onDelivered: PollOptions['onDelivered'],
  ): Promise<StoredSession> {
    const change = ({ session, membership, reader }: StoredSession): Session | undefined => {
      // The mark was lost: another read has delivered the same records, and moves the positions.
      if (reader !== null && reader.id !== this.#reader) return undefined
      const known = positionsByGrant(session)
      const positions = holdingsOf(session, membership).flatMap((place): SessionPosition[] => {
        const grant = grantOf(place)
        const cursor = cursors.get(grant)
        const old = known.get(grant)
        // Whoever moved the position by a seek since does not want this read's.
        const isStale = cursor === undefined || (old?.seeks ?? 0) !== cursor.seeks
        if (isStale) return old === undefined ? [] : [old]
        const { topic, partition } = place
        // A commit ahead of this read moved the position meanwhile; a reset may have moved it back.
        const isOurs = old === undefined || old.next === cursor.saved
        const next = isOurs ? cursor.next : Math.max(cursor.next, old.next)
        const committed = old?.committed ?? cursor.committed
        return [{ ...old, topic, partition, grant: place.grant, next, committed }]
      })
      const moved = { ...session, positions, isCut: false, turn }
      return onDelivered === undefined ? moved : onDelivered(moved)
    }
    const saved = await this.#update(change, { endReader: this.#reader })
    // The keeper may be waiting for this read to give a partition back.
    if ((saved.membership?.releasing.length ?? 0) > 0) this.#parts.keeper.nudge(this.#key)
    return saved
  }

  /** Leaves the session as it is when it is another one by now. */
  #update(
    change: (stored: StoredSession) => Session | undefined,
    { known, endReader }: { readonly known?: StoredSession; readonly endReader?: string },
  ): Promise<StoredSession> {
    const ownChange = (stored: StoredSession): Session | undefined =>
      stored.session.id === this.#sessionId ? change(stored) : undefined
    return updateSession(this.#parts.store, this.#key, this.#owner, ownChange, known, endReader)
  }

  /** The next read may begin when this is known. A session that cannot be reached learns it never. */
  async #noteCut(): Promise<void> {
    const change = ({ session }: StoredSession): Session => ({ ...session, isCut: true })
    try {
      await this.#update(change, { endReader: this.#reader })
    } catch {
      await this.#endMark()
    } finally {
      this.#over()
    }
  }

  /** While an answer is being written nobody looks at the session, but the mark must not run out. */
  #keepMark(): void {
    if (this.#isOver) return
    this.#hold = this.#parts.clock.after(lookAgainMs, () => {
      this.#parts.store
        .holdRead(this.#key, this.#reader, markMs)
        .catch(() => false)
        .finally(() => this.#keepMark())
    })
  }

  /** A mark that cannot be taken away runs out by itself. */
  async #endMark(): Promise<void> {
    this.#hold?.cancel()
    await this.#parts.store.endRead(this.#key, this.#reader).catch(() => undefined)
  }

  #over(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#hold?.cancel()
    this.#hooks.ended()
  }

  /** Resolves when the membership changed here, or time is up. */
  async #pauseUntilChange(waitMs: number, signal: AbortSignal | undefined): Promise<void> {
    const cut = new AbortController()
    const stop = (): void => cut.abort()
    const watch = this.#parts.keeper.watch(this.#key, stop)
    signal?.addEventListener('abort', stop, { once: true })
    await pause(this.#parts.clock, waitMs, cut.signal)
    signal?.removeEventListener('abort', stop)
    watch.close()
  }
}

function isAssigned({ session, membership }: StoredSession): boolean {
  if (session.subscription === null) return true
  if (membership === null || membership.memberEpoch === 0) return false
  return session.settled || membership.owned.length > 0
}

/** Neither subscribed nor assigned: nothing to read. */
function isIdle({ subscription, assignment }: Session): boolean {
  return subscription === null && assignment === undefined
}

/** A v2 client can only shorten its instance's wait; on the other surfaces each poll names its own. */
function waitMsOf({ surface, waitMs }: Session, wishMs = 0): number {
  if (surface !== 'v2') return Math.min(Math.max(0, wishMs), waitMsMax)
  return wishMs > 0 ? Math.min(wishMs, waitMs) : waitMs
}

function bytesMaxOf(wish: number | undefined): number {
  if (wish === undefined) return readBytesDefault
  return wish <= 0 ? readBytesMax : Math.min(wish, readBytesMax)
}

/** Partitions that can be read, another one first each time, so that none starves the others. */
function inTurn(cursors: ReadonlyMap<string, Cursor>, turn: number): Cursor[] {
  const ready = [...cursors.values()].filter(({ isBlocked }) => !isBlocked)
  const first = ready.length === 0 ? 0 : turn % ready.length
  return [...ready.slice(first), ...ready.slice(0, first)]
}

/** Whether the cursors know more than the session does. */
function isNews(cursors: ReadonlyMap<string, Cursor>, session: Session): boolean {
  const known = positionsByGrant(session)
  for (const [grant, { next }] of cursors) if (known.get(grant)?.next !== next) return true
  return false
}

function notSubscribed({ group, name }: SessionKey): GatewayError {
  return new GatewayError(
    'ILLEGAL_STATE',
    `Instance '${name}' of group '${group}' is not subscribed to any topics or assigned any partitions.`,
  )
}

function noOffset({ topic, partition }: { topic: string; partition: number }): GatewayError {
  return new GatewayError(
    'OFFSET_OUT_OF_RANGE',
    `Partition ${partition} of topic '${topic}' has no committed offset, and the instance does not reset.`,
  )
}
