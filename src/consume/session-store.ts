/**
 * Where sessions live. Two adapters pass one suite (test/conformance/session-store-suite.ts).
 *
 * Requests write the session and compare its version; the lease holder writes the membership and
 * shows its lease token. Times are the store's own, so that nodes with different clocks agree.
 * A store that cannot be reached answers UNAVAILABLE, soon.
 */
import { GatewayError } from '../model/errors.ts'
import type { Membership, Session, SessionKey } from './session.ts'

/** The right of one node to send a session's heartbeats. The token rises each time it changes hands. */
export interface Lease {
  readonly node: string
  readonly token: number
}

/** The one read that is under way, on whatever node it runs. */
export interface ReaderMark {
  readonly id: string
  /** The revision of the membership by which the reader chose its partitions. */
  readonly sees: number
}

export interface StoredSession {
  /** Rises with each save of the session half. */
  readonly version: number
  readonly session: Session
  readonly membership: Membership | null
  readonly lease: Lease
  /** Since the client's last request, ms. */
  readonly idleMs: number
  /** Null when nobody reads, or the reader's mark has run out. */
  readonly reader: ReaderMark | null
}

export interface LeaseRenewal {
  readonly key: SessionKey
  readonly id: string
  readonly owner: string
  readonly lease: Lease
}

export interface LeaseCheck {
  readonly version: number
  readonly idleMs: number
}

export interface SessionStore {
  /** Whether sessions outlive the process. */
  readonly shared: boolean
  /** Whether it can be reached, as far as is known without asking. */
  readonly reachable: boolean
  open(): Promise<void>
  close(): Promise<void>
  /**
   * Stores a new session under `node`'s lease. Throws SESSION_EXISTS, and RATE_LIMITED when its owner
   * has `ownerMax` sessions already.
   */
  create(session: Session, node: string, leaseMs: number, ownerMax: number): Promise<StoredSession>
  /** The key of the session that has this id, as far as is known: whoever finds it there compares the id. */
  locate(id: string): Promise<SessionKey | undefined>
  /** `by`: the principal whose request it is; renews the expiry, and another's session is not found. */
  find(key: SessionKey, by?: string): Promise<StoredSession | undefined>
  /**
   * Replaces the session if it still has this version; undefined when it moved on, is gone, or is
   * another one of the same name.
   * `endReader` ends that read in the same step.
   */
  save(
    key: SessionKey,
    version: number,
    session: Session,
    endReader?: string,
  ): Promise<StoredSession | undefined>
  /** Begins a read, or looks again in it. `busy` while another reader's mark has not run out. */
  beginRead(
    key: SessionKey,
    by: string,
    reader: string,
    markMs: number,
  ): Promise<StoredSession | 'busy' | undefined>
  /** Keeps the mark alive without a new look at the membership. False: the mark is lost. */
  holdRead(key: SessionKey, reader: string, markMs: number): Promise<boolean>
  endRead(key: SessionKey, reader: string): Promise<void>
  /** Replaces the membership. False: the lease has another token, or the session is gone. */
  saveMembership(key: SessionKey, lease: Lease, membership: Membership | null): Promise<boolean>
  /**
   * Takes a lease that has lapsed, with a higher token; the time to live counts from now on.
   * Undefined while another holds it, or when the session is gone.
   */
  adopt(key: SessionKey, node: string, leaseMs: number): Promise<StoredSession | undefined>
  /** One answer for each, in order; undefined: another node has it, or the session is gone. */
  renew(renewals: readonly LeaseRenewal[], leaseMs: number): Promise<(LeaseCheck | undefined)[]>
  /** Lets go of a lease, so that any node may adopt it at once. */
  release(key: SessionKey, lease: Lease): Promise<void>
  /** Sessions whose lease has lapsed, the longest first, at most `limit`. */
  lapsed(limit: number): Promise<SessionKey[]>
  /** Removes the session if its client has been silent for its time to live and nobody reads. */
  expire(key: SessionKey, lease: Lease): Promise<boolean>
  /** Removes the session that has this id. False: it is gone already. */
  remove(key: SessionKey, id: string): Promise<boolean>
}

export function sessionExists({ group, name }: SessionKey): GatewayError {
  return new GatewayError('SESSION_EXISTS', `Group '${group}' has an instance '${name}' already.`)
}

export function tooManySessions(owner: string, ownerMax: number): GatewayError {
  return new GatewayError(
    'RATE_LIMITED',
    `'${owner}' has ${ownerMax} sessions; one more is refused until one ends.`,
  )
}

/** Tries of one change before its author gives up: more than two writers rarely meet. */
const updateTriesMax = 50

/**
 * Changes a session whoever else writes it: reads, changes, saves if nobody was faster, and else tries
 * again. `change` may answer undefined for "nothing to do". `known` spares the first read.
 * Throws UNKNOWN_SESSION, OVERLOADED.
 */
export async function updateSession(
  store: SessionStore,
  key: SessionKey,
  owner: string,
  change: (stored: StoredSession) => Session | undefined,
  known?: StoredSession,
  endReader?: string,
): Promise<StoredSession> {
  const { group, name } = key
  let stored = known
  for (let tries = 0; tries < updateTriesMax; tries++) {
    stored ??= await store.find(key, owner)
    if (stored === undefined) {
      throw new GatewayError('UNKNOWN_SESSION', `Group '${group}' has no instance '${name}'.`)
    }
    const session = change(stored)
    if (session === undefined) return stored
    const saved = await store.save(key, stored.version, session, endReader)
    if (saved !== undefined) return saved
    stored = undefined
  }
  throw new GatewayError('OVERLOADED', `Instance '${name}' is being changed from too many sides.`)
}
