/**
 * A session: the record of one group consumer (a v2 instance, later a native consumer or a socket's
 * group). Everything in it is plain JSON, so that any node can serve it and another can take it over.
 *
 * It has two halves with two kinds of writer. The session itself is written by requests, which compare
 * its version. The membership is written by the lease holder alone, which shows its lease token.
 */
import type { Subscription } from '../engine/groups.ts'
import type { Offset } from '../model/offset.ts'
import type { Gap } from './gap.ts'

export type Reset = 'earliest' | 'latest' | 'none'
type Surface = 'v2' | 'native' | 'push'

/** What names a session: unique over all nodes. */
export interface SessionKey {
  readonly group: string
  readonly name: string
}

/** The key as one text without white space, that no other key has. Both parts are well-formed Unicode. */
export function keyText({ group, name }: SessionKey): string {
  return `${encodeURIComponent(group)}/${encodeURIComponent(name)}`
}

export function keyOfText(text: string): SessionKey {
  const slash = text.indexOf('/')
  return {
    group: decodeURIComponent(text.slice(0, slash)),
    name: decodeURIComponent(text.slice(slash + 1)),
  }
}

/** How far one owned partition has come. Valid while the membership still has it under `grant`. */
export interface SessionPosition {
  readonly topic: string
  readonly partition: number
  /** The membership's revision when the partition was granted: an older ownership is another one. */
  readonly grant: number
  /** The next offset to deliver: everything below was written to the client completely. */
  readonly next: Offset
  /** The next offset as last committed, or where a seek of the client put the position. */
  readonly committed: Offset
  /** Rises with each seek: a read that began before it does not move the position any more. */
  readonly seeks?: number
}

/** What a client says once, when it makes its session. */
export interface SessionSettings {
  readonly surface: Surface
  readonly format: string
  /** Where a group begins that this session creates; resolved for all partitions then. */
  readonly reset: Reset
  /** An answer is committed when the next one is asked for, and at the end. */
  readonly autoCommit: boolean
  /** A poll waits for this many bytes, within `waitMs`; -1 always takes the whole time. */
  readonly minBytes: number
  /** Longest wait of a poll, ms. */
  readonly waitMs: number
  /** The session ends this long after its client's last request, ms. */
  readonly ttlMs: number
  /** While a batch is out the session lives at least so long, and its partitions are not given away, ms. */
  readonly processingMs?: number
  /** Only records with one of these keys are delivered. */
  readonly keys?: readonly string[]
  /** Static membership (KIP-345). */
  readonly instanceId?: string
}

/** One stretch of one partition that was handed out under a cursor. */
export interface Span {
  readonly topic: string
  readonly partition: number
  readonly grant: number
  readonly from: Offset
  readonly next: Offset
}

/** The batch that is out: handed out, and not acknowledged. It is read again from the log, never kept. */
export interface OutBatch {
  readonly cursor: string
  readonly records: number
  /** When it was handed out first, ms since 1970. */
  readonly sentMs: number
  readonly spans: readonly Span[]
  readonly gaps?: readonly Gap[]
}

/** The half that requests write. */
export interface Session extends SessionKey, SessionSettings {
  /** `s…` */
  readonly id: string
  /** The principal that made it. */
  readonly owner: string
  readonly subscription: Subscription | null
  /** Partitions that the client chose by itself, without a group; never beside a subscription. */
  readonly assignment?: readonly OwnedPartition[]
  /** Rises with each change of the subscription or the assignment. */
  readonly subscriptionRevision: number
  readonly positions: readonly SessionPosition[]
  /** Whether the wait for the first assignment is over. */
  readonly settled: boolean
  /** Whether the last answer was cut, or could not be made: its records come again. */
  readonly isCut: boolean
  /** Rises with each answer; the partition that an answer begins with is chosen by it. */
  readonly turn: number
  /** Null or absent: nothing is out. */
  readonly out?: OutBatch | null
  /** The cursor that was acknowledged last. */
  readonly acked?: string
  /** The partitions that the client was last told it has. */
  readonly told?: readonly string[]
}

export interface OwnedPartition {
  readonly topic: string
  readonly topicId: string
  readonly partition: number
  readonly grant: number
}

/** The half that the lease holder writes. */
export interface Membership {
  readonly memberId: string
  readonly instanceId?: string
  /** 0: not joined, or lost. */
  readonly memberEpoch: number
  /** Rises with each write. */
  readonly revision: number
  /** The subscription that the coordinator was told. */
  readonly subscriptionRevision: number
  readonly owned: readonly OwnedPartition[]
  /** To be given back: nothing is delivered from them any more, but delivered records may be committed. */
  readonly releasing: readonly OwnedPartition[]
}

/** What a session may read now: its own choice, else what its group gave it. */
export function ownedBy(
  session: Session,
  membership: Membership | null,
): readonly OwnedPartition[] {
  return session.assignment ?? membership?.owned ?? []
}

/** What it may commit for: what it owns, and what it has not given back yet. */
export function holdingsOf(
  session: Session,
  membership: Membership | null,
): readonly OwnedPartition[] {
  if (session.assignment !== undefined) return session.assignment
  return membership === null ? [] : [...membership.owned, ...membership.releasing]
}

/** The name of one ownership: a partition under one grant. */
export function grantOf({
  topic,
  partition,
  grant,
}: OwnedPartition | SessionPosition | Span): string {
  return `${topic}/${partition}@${grant}`
}

/** The session's positions by ownership. */
export function positionsByGrant({ positions }: Session): Map<string, SessionPosition> {
  return new Map(positions.map((position) => [grantOf(position), position]))
}

/** How long the client may be silent now, ms. */
export function timeToLiveMs({ ttlMs, processingMs = 0, out = null }: Session): number {
  return out === null ? ttlMs : Math.max(ttlMs, processingMs)
}

/** Whether records of these partitions were delivered and not committed. */
export function hasOutstanding(session: Session, places: readonly OwnedPartition[]): boolean {
  if (session.surface !== 'v2') {
    const grants = new Set(session.out?.spans.map(grantOf))
    return places.some((place) => grants.has(grantOf(place)))
  }
  const positions = positionsByGrant(session)
  return places.some((place) => {
    const position = positions.get(grantOf(place))
    return position !== undefined && position.next > position.committed
  })
}
