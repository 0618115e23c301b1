/**
 * Where sessions live. Two adapters pass one suite (test/conformance/session-store-suite.ts).
 *
 * Requests write the session and compare its version; the lease holder writes the membership and
 * shows its lease token. Times are the store's own, so that nodes with different clocks agree.
 */
import type { Membership, Session, SessionKey } from './session.ts'

/** The right of one node to send a session's heartbeats. The token rises each time it changes hands. */
export interface Lease {
  readonly node: string
  readonly token: number
}

export interface StoredSession {
  /** Rises with each save of the session half. */
  readonly version: number
  readonly session: Session
  readonly membership: Membership | null
  readonly lease: Lease
  /** What is left of the lease, ms; 0 when it has lapsed. */
  readonly leaseLeftMs: number
  /** Since the client's last request, ms. */
  readonly idleMs: number
  readonly reader: ReaderMark | null
}

/** The one read that is under way, on whatever node it runs. */
export interface ReaderMark {
  readonly id: string
  /** The membership's revision that the reader chose its partitions by. */
  readonly sees: number
}

export interface LeaseCheck {
  readonly version: number
  readonly membershipRevision: number
  readonly idleMs: number
}

export interface SessionStore {
  /** Whether sessions outlive the process. */
  readonly shared: boolean
  open(): Promise<void>
  close(): Promise<void>
  /** Stores a new session under `node`'s lease. Throws SESSION_EXISTS, RATE_LIMITED above `ownerMax`. */
  create(session: Session, node: string, leaseMs: number, ownerMax: number): Promise<StoredSession>
  /** `touch`: the client shows life, which renews the expiry. */
  find(key: SessionKey, options?: { readonly touch?: boolean }): Promise<StoredSession | undefined>
  /** Replaces the session if it still has this version; undefined when it moved on or is gone. */
  save(key: SessionKey, version: number, session: Session): Promise<StoredSession | undefined>
  /** Begins or renews a read: `busy` while another reader's mark has not run out. Touches. */
  beginRead(
    key: SessionKey,
    reader: string,
    markMs: number,
  ): Promise<StoredSession | 'busy' | undefined>
  /** Keeps the reader's mark alive without looking at the membership again. False: the mark is lost. */
  holdRead(key: SessionKey, reader: string, markMs: number): Promise<boolean>
  endRead(key: SessionKey, reader: string): Promise<void>
  /** Replaces the membership under the lease. False when the lease has another token or is gone. */
  saveMembership(
    key: SessionKey,
    lease: Lease,
    membership: Membership | null,
  ): Promise<boolean>
  /** Takes a lease that has lapsed, with a higher token. Undefined while somebody holds it, or gone. */
  adopt(key: SessionKey, node: string, leaseMs: number): Promise<StoredSession | undefined>
  /** One answer per lease, in order; undefined: lost, or the session is gone. */
  renew(
    leases: readonly { readonly key: SessionKey; readonly lease: Lease }[],
    leaseMs: number,
  ): Promise<(LeaseCheck | undefined)[]>
  /** Lets go of a lease: it has lapsed from now on. */
  release(key: SessionKey, lease: Lease): Promise<void>
  /** Sessions whose lease has lapsed, at most `limit`. */
  lapsed(limit: number): Promise<SessionKey[]>
  /** Removes the session if its client has been silent for its ttl. False: it lives, or the lease is lost. */
  expire(key: SessionKey, lease: Lease): Promise<boolean>
  /** Removes the session with this id. False: it is gone already. */
  remove(key: SessionKey, id: string): Promise<boolean>
}
