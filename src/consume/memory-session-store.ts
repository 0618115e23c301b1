/** Sessions in this process: they end with it. A lease is trivially held, yet counted all the same. */
import type { Clock } from '../kit/clock.ts'
import type { Membership, Session, SessionKey } from './session.ts'
import { keyText, timeToLiveMs } from './session.ts'
import type {
  Lease,
  LeaseCheck,
  LeaseRenewal,
  SessionStore,
  StoredSession,
} from './session-store.ts'
import { sessionExists, tooManySessions } from './session-store.ts'

interface Entry {
  version: number
  session: Session
  membership: Membership | null
  lease: Lease
  leaseEndMs: number
  seenMs: number
  reader: { readonly id: string; readonly sees: number; endMs: number } | null
}

export class MemorySessionStore implements SessionStore {
  readonly shared = false
  readonly reachable = true
  readonly #clock: Clock
  readonly #entries = new Map<string, Entry>()
  readonly #keys = new Map<string, SessionKey>()
  /** Owner -> number of sessions. */
  readonly #owned = new Map<string, number>()

  constructor({ clock }: { readonly clock: Clock }) {
    this.#clock = clock
  }

  open(): Promise<void> {
    return Promise.resolve()
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  create(
    session: Session,
    node: string,
    leaseMs: number,
    ownerMax: number,
  ): Promise<StoredSession> {
    const name = keyText(session)
    if (this.#entries.has(name)) return Promise.reject(sessionExists(session))
    const owned = this.#owned.get(session.owner) ?? 0
    if (owned >= ownerMax) return Promise.reject(tooManySessions(session.owner, ownerMax))
    const nowMs = this.#clock.monotonicMs()
    const entry: Entry = {
      version: 1,
      session,
      membership: null,
      lease: { node, token: 1 },
      leaseEndMs: nowMs + leaseMs,
      seenMs: nowMs,
      reader: null,
    }
    this.#entries.set(name, entry)
    this.#keys.set(session.id, { group: session.group, name: session.name })
    this.#owned.set(session.owner, owned + 1)
    return Promise.resolve(this.#view(entry))
  }

  locate(id: string): Promise<SessionKey | undefined> {
    return Promise.resolve(this.#keys.get(id))
  }

  find(key: SessionKey, by?: string): Promise<StoredSession | undefined> {
    const entry = this.#entryOf(key, by)
    return Promise.resolve(entry === undefined ? undefined : this.#view(entry))
  }

  save(
    key: SessionKey,
    version: number,
    session: Session,
    endReader?: string,
  ): Promise<StoredSession | undefined> {
    const entry = this.#entryOf(key)
    if (entry?.version !== version || entry.session.id !== session.id) {
      return Promise.resolve(undefined)
    }
    entry.version++
    entry.session = session
    if (endReader !== undefined && entry.reader?.id === endReader) entry.reader = null
    return Promise.resolve(this.#view(entry))
  }

  beginRead(
    key: SessionKey,
    by: string,
    reader: string,
    markMs: number,
  ): Promise<StoredSession | 'busy' | undefined> {
    const entry = this.#entryOf(key, by)
    if (entry === undefined) return Promise.resolve(undefined)
    const current = this.#readerOf(entry)
    if (current !== null && current.id !== reader) return Promise.resolve('busy')
    const endMs = this.#clock.monotonicMs() + markMs
    entry.reader = { id: reader, sees: entry.membership?.revision ?? 0, endMs }
    return Promise.resolve(this.#view(entry))
  }

  holdRead(key: SessionKey, reader: string, markMs: number): Promise<boolean> {
    const entry = this.#entryOf(key)
    // A mark that ran out but that nobody took is still its reader's.
    if (entry?.reader?.id !== reader) return Promise.resolve(false)
    entry.reader.endMs = this.#clock.monotonicMs() + markMs
    entry.seenMs = this.#clock.monotonicMs()
    return Promise.resolve(true)
  }

  endRead(key: SessionKey, reader: string): Promise<void> {
    const entry = this.#entryOf(key)
    if (entry?.reader?.id === reader) entry.reader = null
    return Promise.resolve()
  }

  saveMembership(key: SessionKey, lease: Lease, membership: Membership | null): Promise<boolean> {
    const entry = this.#leased(key, lease)
    if (entry === undefined) return Promise.resolve(false)
    entry.membership = membership
    return Promise.resolve(true)
  }

  adopt(key: SessionKey, node: string, leaseMs: number): Promise<StoredSession | undefined> {
    const entry = this.#entryOf(key)
    const nowMs = this.#clock.monotonicMs()
    if (entry === undefined || entry.leaseEndMs > nowMs) return Promise.resolve(undefined)
    entry.lease = { node, token: entry.lease.token + 1 }
    entry.leaseEndMs = nowMs + leaseMs
    entry.seenMs = nowMs
    return Promise.resolve(this.#view(entry))
  }

  renew(renewals: readonly LeaseRenewal[], leaseMs: number): Promise<(LeaseCheck | undefined)[]> {
    const nowMs = this.#clock.monotonicMs()
    const checks = renewals.map(({ key, lease }) => {
      const entry = this.#leased(key, lease)
      if (entry === undefined) return undefined
      entry.leaseEndMs = nowMs + leaseMs
      return { version: entry.version, idleMs: nowMs - entry.seenMs }
    })
    return Promise.resolve(checks)
  }

  release(key: SessionKey, lease: Lease): Promise<void> {
    const entry = this.#leased(key, lease)
    if (entry !== undefined) entry.leaseEndMs = this.#clock.monotonicMs()
    return Promise.resolve()
  }

  lapsed(limit: number): Promise<SessionKey[]> {
    const nowMs = this.#clock.monotonicMs()
    const late = [...this.#entries.values()].filter(({ leaseEndMs }) => leaseEndMs <= nowMs)
    late.sort((a, b) => a.leaseEndMs - b.leaseEndMs)
    const keys = late.slice(0, limit).map(({ session: { group, name } }) => ({ group, name }))
    return Promise.resolve(keys)
  }

  expire(key: SessionKey, lease: Lease): Promise<boolean> {
    const entry = this.#leased(key, lease)
    const idleMs = this.#clock.monotonicMs() - (entry?.seenMs ?? 0)
    if (
      entry === undefined ||
      idleMs < timeToLiveMs(entry.session) ||
      this.#readerOf(entry) !== null
    ) {
      return Promise.resolve(false)
    }
    this.#delete(entry)
    return Promise.resolve(true)
  }

  remove(key: SessionKey, id: string): Promise<boolean> {
    const entry = this.#entryOf(key)
    if (entry?.session.id !== id) return Promise.resolve(false)
    this.#delete(entry)
    return Promise.resolve(true)
  }

  #entryOf(key: SessionKey, by?: string): Entry | undefined {
    const entry = this.#entries.get(keyText(key))
    if (by === undefined) return entry
    if (entry?.session.owner !== by) return undefined
    entry.seenMs = this.#clock.monotonicMs()
    return entry
  }

  #leased(key: SessionKey, { node, token }: Lease): Entry | undefined {
    const entry = this.#entryOf(key)
    return entry?.lease.token === token && entry.lease.node === node ? entry : undefined
  }

  #readerOf({ reader }: Entry): Entry['reader'] {
    return reader !== null && reader.endMs > this.#clock.monotonicMs() ? reader : null
  }

  #delete({ session }: Entry): void {
    this.#entries.delete(keyText(session))
    this.#keys.delete(session.id)
    const owned = (this.#owned.get(session.owner) ?? 1) - 1
    if (owned === 0) this.#owned.delete(session.owner)
    else this.#owned.set(session.owner, owned)
  }

  #view(entry: Entry): StoredSession {
    const { version, session, membership, lease, seenMs } = entry
    const reader = this.#readerOf(entry)
    return {
      version,
      session,
      membership,
      lease,
      idleMs: this.#clock.monotonicMs() - seenMs,
      reader: reader === null ? null : { id: reader.id, sees: reader.sees },
    }
  }
}
