/**
 * Keeps the sessions whose lease this node holds: sends their heartbeats, saves what came back before
 * anybody acts on it, takes over leases that lapsed, and ends sessions that their client abandoned.
 *
 * What runs for one session runs one after the other. Whoever lost a lease stops at once: heartbeats
 * are sent only while the lease is valid by this node's own clock, which lets go before the store does.
 */
import type { Watch } from '../engine/call.ts'
import type { Groups, HeartbeatAnswer, Member } from '../engine/groups.ts'
import type { Topics } from '../engine/topics.ts'
import type { Clock, Timer } from '../kit/clock.ts'
import { pause } from '../kit/clock.ts'
import type { Logger } from '../kit/logger.ts'
import type { Random } from '../kit/random.ts'
import { uuid } from '../kit/random.ts'
import { GatewayError, toGatewayError } from '../model/errors.ts'
import {
  adoptionsPerLook,
  groupCallTimeoutMs,
  groupHeartbeatMs,
  leaseMs,
  leaseRenewMs,
  rebalanceTimeoutMsDefault,
  rebalanceTimeoutMsMax,
  releaseGraceMs,
} from '../model/limits.ts'
import type { TopicPartition } from '../model/topic.ts'
import type { Membership, OwnedPartition, Session, SessionKey } from './session.ts'
import { hasOutstanding, keyText, timeToLiveMs } from './session.ts'
import type { LeaseRenewal, SessionStore, StoredSession } from './session-store.ts'

/** What there is to count; `app` plugs metrics in. */
export interface SessionMeter {
  /** Sessions whose lease this node holds. */
  active(count: number): void
  adopted(): void
  expired(): void
}

export const noSessionMeter: SessionMeter = {
  active: () => undefined,
  adopted: () => undefined,
  expired: () => undefined,
}

export interface SessionKeeperParts {
  readonly store: SessionStore
  readonly groups: Groups
  readonly topics: Topics
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  /** This process: another one after each start, so that its old leases are for others to take. */
  readonly node: string
  readonly meter?: SessionMeter
}

/** A session whose lease this node holds. */
interface Held {
  readonly key: SessionKey
  readonly text: string
  readonly stored: StoredSession
  /** As last written or read. */
  membership: Membership | null
  version: number
  validUntilMs: number
  /** When the client will have been silent for too long, as far as this node knows. */
  expiresMs: number
  /** It is unknown which answer the coordinator's last caller saw. */
  needsFull: boolean
  releaseStartedMs: number
  /** When the last heartbeat was answered. */
  beatMs: number
  intervalMs: number
  /** The work under way; the next one waits for it. */
  chain: Promise<void>
  /** A beat that has not begun: it serves everybody who asks for one now. */
  queued: Promise<void> | undefined
  timer: Timer | undefined
  isDropped: boolean
}

/** A node lets go this much earlier than the store, ms. */
const leaseMarginMs = 1_000
const tickMs = 1_000
/** How often a release is tried that waits for a reader or a commit on another node, ms. */
const releaseRetryMs = 100
/** A reader that cannot be waited for any longer: half the time that the coordinator grants, ms. */
const releaseDeadlineMs = rebalanceTimeoutMsDefault / 2
/** Calls in one beat: a join, an answer that takes something, its acknowledgement, and some luck. */
const callsPerBeat = 6

export class SessionKeeper {
  readonly #parts: SessionKeeperParts
  readonly #meter: SessionMeter
  readonly #held = new Map<string, Held>()
  readonly #groupWatches = new Map<string, { readonly watch: Watch; readonly held: Set<Held> }>()
  readonly #listeners = new Map<string, Set<() => void>>()
  #tick: Timer | undefined
  #tickWork: Promise<void> = Promise.resolve()
  #lastRenewMs = -Infinity
  #state: 'new' | 'open' | 'closed' = 'new'

  constructor(parts: SessionKeeperParts) {
    this.#parts = parts
    this.#meter = parts.meter ?? noSessionMeter
  }

  /** Looks for sessions that nobody keeps, then goes on doing so. */
  async open(): Promise<void> {
    this.#state = 'open'
    await this.#look()
    this.#scheduleTick()
  }

  /**
   * Sessions that outlive the process are released, for the next node to adopt at once; the others
   * leave their groups.
   */
  async close(): Promise<void> {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#tick?.cancel()
    await this.#tickWork
    const all = [...this.#held.values()]
    for (const held of all) held.timer?.cancel()
    for (const { watch } of this.#groupWatches.values()) watch.close()
    this.#groupWatches.clear()
    const ends = all.map(async (held) => {
      await held.chain.catch(() => undefined)
      held.isDropped = true
      try {
        if (this.#parts.store.shared) await this.#parts.store.release(held.key, held.stored.lease)
        else await this.#leave(held.key, held.membership)
      } catch (error) {
        // The lease lapses, or the member times out: later, but just as well.
        this.#parts.logger.warn({ err: error, group: held.key.group }, 'A session was not let go.')
      }
    })
    await Promise.all(ends)
    this.#held.clear()
    this.#listeners.clear()
    this.#meter.active(0)
  }

  /** This node's name in leases. */
  get node(): string {
    return this.#parts.node
  }

  /** Keeps a session that was created or adopted under this node's lease at `sinceMs` (monotonic). */
  async hold(stored: StoredSession, sinceMs: number): Promise<void> {
    const { group, name } = stored.session
    const key = { group, name }
    const text = keyText(key)
    const before = this.#held.get(text)
    this.#drop(text)
    const held: Held = {
      key,
      text,
      stored,
      membership: stored.membership,
      version: stored.version,
      validUntilMs: sinceMs + leaseMs - leaseMarginMs,
      expiresMs: sinceMs + stored.session.ttlMs,
      needsFull: true,
      releaseStartedMs: this.#parts.clock.monotonicMs(),
      beatMs: -Infinity,
      intervalMs: groupHeartbeatMs,
      chain: Promise.resolve(),
      queued: undefined,
      timer: undefined,
      isDropped: false,
    }
    this.#held.set(text, held)
    this.#watchGroup(held)
    this.#meter.active(this.#held.size)
    if (before !== undefined) await this.#leaveIfGone(before, stored)
  }

  /**
   * Resolves once the membership is what the session asks for: joined with its subscription, or left
   * without one. The beat is sent from here if this node holds the lease or can take it; otherwise the
   * holder is waited for. Throws what the coordinator refuses with, UNKNOWN_SESSION, UNAVAILABLE.
   */
  async settle(key: SessionKey): Promise<StoredSession> {
    const { store, clock, node } = this.#parts
    const deadlineMs = clock.monotonicMs() + leaseMs + groupCallTimeoutMs
    for (;;) {
      const held = this.#held.get(keyText(key))
      if (held !== undefined && this.#isValid(held)) {
        await this.#beat(held)
      } else {
        const sinceMs = clock.monotonicMs()
        const adopted = await store.adopt(key, node, leaseMs)
        if (adopted !== undefined) {
          await this.#take(adopted, sinceMs)
          continue
        }
      }
      const stored = await store.find(key)
      if (stored === undefined) throw unknownSession(key)
      if (isSettled(stored)) return stored
      if (clock.monotonicMs() > deadlineMs || this.#state === 'closed') {
        throw new GatewayError('UNAVAILABLE', `Group '${key.group}' could not be joined in time.`)
      }
      await pause(clock, releaseRetryMs)
    }
  }

  /** Heartbeat soon: something that the keeper waits for may have happened. */
  nudge(key: SessionKey): void {
    const held = this.#held.get(keyText(key))
    if (held !== undefined) this.#beatBehind(held)
  }

  /** Leaves the group of a session that has just been removed from the store. */
  async end({ session, membership }: StoredSession): Promise<void> {
    const text = keyText(session)
    const found = this.#held.get(text)
    const held = found?.stored.session.id === session.id ? found : undefined
    if (held !== undefined) {
      // Before the wait: a session made anew under this name is held by the time it is over.
      this.#drop(text)
      await held.chain.catch(() => undefined)
    }
    await this.#leave(session, held?.membership ?? membership)
    this.#tell(text)
  }

  /** Called whenever the membership of this session changed here, or the session ended. */
  watch(key: SessionKey, onChange: () => void): Watch {
    const text = keyText(key)
    const listeners = this.#listeners.get(text) ?? new Set()
    const listener = (): void => onChange()
    this.#listeners.set(text, listeners.add(listener))
    return {
      close: () => {
        listeners.delete(listener)
        if (listeners.size === 0 && this.#listeners.get(text) === listeners) {
          this.#listeners.delete(text)
        }
      },
    }
  }

  // Leases.

  #scheduleTick(): void {
    this.#tick = this.#parts.clock.after(tickMs, () => {
      this.#tickWork = this.#onTick().finally(() => {
        if (this.#state === 'open') this.#scheduleTick()
      })
    })
  }

  async #onTick(): Promise<void> {
    const nowMs = this.#parts.clock.monotonicMs()
    try {
      if (nowMs - this.#lastRenewMs >= leaseRenewMs) {
        this.#lastRenewMs = nowMs
        await this.#renew()
        await this.#look()
      }
      await this.#expire()
    } catch (error) {
      this.#note(error, 'Leases could not be renewed; trying again.')
    }
  }

  async #renew(): Promise<void> {
    const all = [...this.#held.values()]
    if (all.length === 0) return
    const sinceMs = this.#parts.clock.monotonicMs()
    const renewals = all.map(({ key, stored }): LeaseRenewal => {
      const { id, owner } = stored.session
      return { key, id, owner, lease: stored.lease }
    })
    const checks = await this.#parts.store.renew(renewals, leaseMs)
    const losses: Promise<void>[] = []
    all.forEach((held, i) => {
      const check = checks[i]
      if (held.isDropped) return
      if (check === undefined) {
        losses.push(this.#lose(held))
        return
      }
      const wasValid = this.#isValid(held)
      held.validUntilMs = sinceMs + leaseMs - leaseMarginMs
      held.expiresMs = sinceMs + held.stored.session.ttlMs - check.idleMs
      // Another node may have changed the subscription, or committed what a release waits for.
      if (!wasValid) held.needsFull = true
      if (!wasValid || check.version !== held.version) this.#beatBehind(held)
    })
    await Promise.all(losses)
  }

  /** Takes over what nobody keeps: all of it, since a node may have left thousands at once. */
  async #look(): Promise<void> {
    const { store } = this.#parts
    for (;;) {
      const keys = await store.lapsed(adoptionsPerLook)
      const taken = await Promise.all(keys.map((key) => this.#adopt(key)))
      if (keys.length < adoptionsPerLook || !taken.includes(true)) return
    }
  }

  async #adopt(key: SessionKey): Promise<boolean> {
    const { store, clock, node } = this.#parts
    const sinceMs = clock.monotonicMs()
    const adopted = await store.adopt(key, node, leaseMs)
    if (adopted === undefined) return false
    await this.#take(adopted, sinceMs)
    this.nudge(key)
    return true
  }

  async #take(adopted: StoredSession, sinceMs: number): Promise<void> {
    this.#meter.adopted()
    await this.hold(adopted, sinceMs)
  }

  async #expire(): Promise<void> {
    const nowMs = this.#parts.clock.monotonicMs()
    for (const held of [...this.#held.values()]) {
      if (held.expiresMs > nowMs || held.isDropped) continue
      // The store decides: a request may have come since, here or on another node.
      const stored = await this.#parts.store.find(held.key)
      if (stored !== undefined && (await this.#parts.store.expire(held.key, held.stored.lease))) {
        this.#meter.expired()
        this.#parts.logger.info({ ...held.key }, 'A session ended: its client was silent.')
        await this.end(stored)
      } else {
        const { session } = stored ?? held.stored
        const leftMs = timeToLiveMs(session) - (stored?.idleMs ?? 0)
        held.expiresMs = nowMs + Math.max(tickMs, leftMs)
      }
    }
  }

  #isValid(held: Held): boolean {
    return !held.isDropped && this.#parts.clock.monotonicMs() < held.validUntilMs
  }

  /** The lease is another's, or the session is gone; in the second case its member leaves. */
  async #lose(held: Held): Promise<void> {
    // A late answer about a lease of before says nothing about the one that is held now.
    if (held.isDropped) return
    this.#drop(held.text)
    this.#tell(held.text)
    await this.#leaveIfGone(held, await this.#parts.store.find(held.key))
  }

  /**
   * A store that lost a session, by a restart or by the end of its time, leaves a member behind that
   * nobody else knows: its partitions would be nobody's until the coordinator's own time limit.
   */
  async #leaveIfGone(held: Held, now: StoredSession | undefined): Promise<void> {
    if (now?.session.id === held.stored.session.id) return
    try {
      await this.#leave(held.key, held.membership)
    } catch (error) {
      this.#note(error, 'A member of a session that is gone was not let go.', held.key)
    }
  }

  #drop(text: string): void {
    const held = this.#held.get(text)
    if (held === undefined) return
    held.isDropped = true
    held.timer?.cancel()
    this.#held.delete(text)
    this.#unwatchGroup(held)
    this.#meter.active(this.#held.size)
  }

  // Heartbeats.

  /** One more beat for this session; whoever asks before it begins shares it. */
  #beat(held: Held): Promise<void> {
    if (held.queued !== undefined) return held.queued
    const run = held.chain
      .catch(() => undefined)
      .then(() => {
        held.queued = undefined
        return this.#run(held)
      })
    held.queued = run
    held.chain = run
    return run
  }

  #beatBehind(held: Held): void {
    this.#beat(held).catch((error: unknown) => {
      this.#note(error, 'A heartbeat failed; trying again.', held.key)
    })
  }

  async #run(held: Held): Promise<void> {
    held.timer?.cancel()
    let waitMs = held.intervalMs
    try {
      if (await this.#converge(held)) waitMs = releaseRetryMs
    } finally {
      if (!held.isDropped && this.#state === 'open') {
        held.timer = this.#parts.clock.after(waitMs, () => this.#beatBehind(held))
      }
    }
  }

  /** Heartbeats until nothing more is to be said now. True: a release is waiting for somebody. */
  async #converge(held: Held): Promise<boolean> {
    for (let calls = 0; calls < callsPerBeat; calls++) {
      const stored = await this.#ours(held)
      // An answer that took long may tell of a lease that is no longer good.
      if (stored === undefined || !this.#isValid(held)) return false
      held.version = stored.version
      held.membership = stored.membership
      if (stored.session.subscription === null) {
        await this.#quit(held, stored)
        return false
      }
      const membership =
        stored.membership ??
        (await this.#save(held, this.#newMembership(stored.session.instanceId)))
      if (membership === undefined) return false
      if (membership.releasing.length > 0 && this.#canRelease(held, { ...stored, membership })) {
        held.needsFull = true
        if ((await this.#save(held, { ...membership, releasing: [] })) === undefined) return false
        continue
      }
      if (membership.releasing.length > 0 && !this.#isDue(held)) return true
      if (!(await this.#heartbeat(held, stored, membership))) {
        return (held.membership?.releasing.length ?? 0) > 0
      }
    }
    held.needsFull = true
    return true
  }

  /** The session as it is now; undefined: it is no longer ours to keep. */
  async #ours(held: Held): Promise<StoredSession | undefined> {
    if (!this.#isValid(held)) return undefined
    const stored = await this.#parts.store.find(held.key)
    const isOurs =
      stored?.session.id === held.stored.session.id &&
      stored.lease.token === held.stored.lease.token
    if (isOurs) return stored
    await this.#lose(held)
    return undefined
  }

  /** True: another beat is due at once. */
  async #heartbeat(held: Held, stored: StoredSession, membership: Membership): Promise<boolean> {
    const { groups } = this.#parts
    const { subscription, subscriptionRevision, name } = stored.session
    const isNews = membership.subscriptionRevision !== subscriptionRevision
    const isFull = held.needsFull || isNews || membership.memberEpoch === 0
    const owned = [...membership.owned, ...membership.releasing].map(toPlace)
    let answer: HeartbeatAnswer
    try {
      answer = await groups.heartbeat(fenceOf(held.key, membership), {
        timeoutMs: groupCallTimeoutMs,
        ...(isFull && subscription !== null ? { subscription } : {}),
        ...(isFull ? { owned, rebalanceTimeoutMs: rebalanceMs(stored.session) } : {}),
        client: { id: name, host: '' },
      })
    } catch (error) {
      held.needsFull = true
      const { code } = toGatewayError(error)
      if (code !== 'UNKNOWN_MEMBER' && code !== 'FENCED_MEMBER_EPOCH') throw error
      return this.#rejoin(held, membership)
    }
    held.intervalMs = answer.intervalMs
    held.beatMs = this.#parts.clock.monotonicMs()
    const next = this.#merge(membership, answer, subscriptionRevision)
    // Until it is saved, the answer is as good as lost: the next heartbeat asks for it again.
    held.needsFull = true
    const saved = next === membership ? next : await this.#save(held, next)
    if (saved === undefined) return false
    held.needsFull = saved.owned.length < (answer.assignment?.length ?? 0)
    if (next === membership) return false
    if (saved.releasing.length === 0) return false
    if (membership.releasing.length === 0) {
      held.releaseStartedMs = this.#parts.clock.monotonicMs()
    }
    return true
  }

  /**
   * The coordinator does not know the member under this epoch. Another node may have moved on; if it
   * has not, everything is lost and the member joins again under its id.
   */
  async #rejoin(held: Held, sent: Membership): Promise<boolean> {
    const stored = await this.#ours(held)
    if (stored === undefined) return false
    if (stored.membership !== null && stored.membership.revision !== sent.revision) return true
    const { group, name } = held.key
    this.#parts.logger.info({ group, name }, 'A group member lost its place and joins again.')
    const fresh = { ...sent, memberEpoch: 0, owned: [], releasing: [] }
    return (await this.#save(held, fresh)) !== undefined
  }

  /** What the session is after this answer; the same object when nothing changed. */
  #merge(
    membership: Membership,
    { memberEpoch, assignment }: HeartbeatAnswer,
    subscriptionRevision: number,
  ): Membership {
    const moved = { ...membership, memberEpoch, subscriptionRevision }
    const isSame =
      membership.memberEpoch === memberEpoch &&
      membership.subscriptionRevision === subscriptionRevision
    if (assignment === undefined) return isSame ? membership : moved
    const told = new Set(assignment.map(placeOf))
    const owned = membership.owned.filter((place) => told.has(placeOf(place)))
    const lost = membership.owned.filter((place) => !told.has(placeOf(place)))
    const releasing = membership.releasing.filter((place) => !told.has(placeOf(place)))
    const kept = new Set(owned.map(placeOf))
    for (const tp of assignment) {
      if (kept.has(placeOf(tp))) continue
      const topicId = this.#parts.topics.known(tp.topic)?.id
      // Not known here yet: it is left out of what a full heartbeat owns, which tells it again.
      if (topicId === undefined) continue
      owned.push({ ...toPlace(tp), topicId, grant: membership.revision + 1 })
    }
    const isUntouched =
      lost.length === 0 &&
      releasing.length === membership.releasing.length &&
      owned.length === membership.owned.length
    if (isSame && isUntouched) return membership
    return { ...moved, owned, releasing: [...releasing, ...lost] }
  }

  /**
   * Whether the partitions to be given back may go: no read that chose them is under way, and what was
   * delivered from them is committed, or has had its time.
   */
  #canRelease(held: Held, stored: StoredSession & { readonly membership: Membership }): boolean {
    const waitedMs = this.#parts.clock.monotonicMs() - held.releaseStartedMs
    const { reader, membership, session } = stored
    if (waitedMs >= releaseDeadlineMs + (session.processingMs ?? 0)) return true
    if (reader !== null && reader.sees < membership.revision) return false
    const graceMs = session.processingMs ?? releaseGraceMs
    return waitedMs >= graceMs || !hasOutstanding(session, membership.releasing)
  }

  /** Waiting for a release is no reason to heartbeat more often. */
  #isDue({ needsFull, beatMs, intervalMs }: Held): boolean {
    return needsFull || this.#parts.clock.monotonicMs() - beatMs >= intervalMs
  }

  #newMembership(instanceId: string | undefined): Membership {
    return {
      memberId: uuid(this.#parts.random),
      ...(instanceId === undefined ? {} : { instanceId }),
      memberEpoch: 0,
      revision: 0,
      subscriptionRevision: -1,
      owned: [],
      releasing: [],
    }
  }

  /** Saved before anybody acts on it. Undefined: the lease is lost. */
  async #save(held: Held, membership: Membership): Promise<Membership | undefined> {
    // A session made anew under this name has a lease with the same token.
    if (held.isDropped) return undefined
    const next = { ...membership, revision: membership.revision + 1 }
    if (!(await this.#parts.store.saveMembership(held.key, held.stored.lease, next))) {
      await this.#lose(held)
      return undefined
    }
    held.membership = next
    this.#tell(held.text)
    return next
  }

  async #quit(held: Held, { membership }: StoredSession): Promise<void> {
    if (membership === null) return
    await this.#leave(held.key, membership)
    if (!(await this.#parts.store.saveMembership(held.key, held.stored.lease, null))) {
      await this.#lose(held)
      return
    }
    held.membership = null
    this.#tell(held.text)
  }

  async #leave(key: SessionKey, membership: Membership | null): Promise<void> {
    if (membership === null) return
    try {
      const options = { timeoutMs: groupCallTimeoutMs }
      await this.#parts.groups.leave(fenceOf(key, membership), options)
    } catch (error) {
      if (toGatewayError(error).code !== 'UNKNOWN_MEMBER') throw error
    }
  }

  // Hints.

  #watchGroup(held: Held): void {
    const { group } = held.key
    const known = this.#groupWatches.get(group)
    if (known !== undefined) {
      known.held.add(held)
      return
    }
    const members = new Set([held])
    const watch = this.#parts.groups.watch(group, () => {
      for (const each of members) if (each.membership !== null) this.#beatBehind(each)
    })
    this.#groupWatches.set(group, { watch, held: members })
  }

  #unwatchGroup(held: Held): void {
    const known = this.#groupWatches.get(held.key.group)
    known?.held.delete(held)
    if (known?.held.size !== 0) return
    known.watch.close()
    this.#groupWatches.delete(held.key.group)
  }

  #tell(text: string): void {
    for (const listener of [...(this.#listeners.get(text) ?? [])]) listener()
  }

  #note(error: unknown, message: string, key?: SessionKey): void {
    if (this.#state === 'closed') return
    const { code } = toGatewayError(error)
    if (code === 'INTERNAL') this.#parts.logger.error({ err: error, ...key }, message)
    // What passes is told once by whoever is away, not by every session that misses it.
    else if (code === 'UNAVAILABLE') this.#parts.logger.debug({ code, ...key }, message)
    else this.#parts.logger.warn({ code, ...key }, message)
  }
}

/** Whether the coordinator has been told what the session asks for. */
function isSettled({ session, membership }: StoredSession): boolean {
  if (session.subscription === null) return membership === null
  return (
    membership !== null &&
    membership.memberEpoch > 0 &&
    membership.subscriptionRevision >= session.subscriptionRevision
  )
}

/** Who may take long over a batch must be given as long to hand its partitions over, and somewhat more. */
function rebalanceMs({ processingMs = 0 }: Session): number {
  return Math.min(rebalanceTimeoutMsDefault + processingMs, rebalanceTimeoutMsMax)
}

export function fenceOf(
  { group }: SessionKey,
  { memberId, memberEpoch, instanceId }: Membership,
): Member {
  const fence = { groupId: group, memberId, memberEpoch }
  return instanceId === undefined ? fence : { ...fence, instanceId }
}

export function unknownSession({ group, name }: SessionKey): GatewayError {
  return new GatewayError('UNKNOWN_SESSION', `Group '${group}' has no instance '${name}'.`)
}

function toPlace({ topic, partition }: TopicPartition | OwnedPartition): TopicPartition {
  return { topic, partition }
}

function placeOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`
}
