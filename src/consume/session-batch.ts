/**
 * The batch that is out, and its cursor: `<number>.<position>`, where the position is where the group
 * goes on behind the batch. So a cursor tells by itself what its acknowledgement commits.
 */
import type { CommittedOffset } from '../engine/groups.ts'
import type { Offset } from '../model/offset.ts'
import { formatPosition, parsePosition } from '../model/position.ts'
import type { TopicPosition } from '../model/position.ts'
import { GatewayError } from '../model/errors.ts'
import type { TopicPartition } from '../model/topic.ts'
import type { KnownSpan } from './batch-again.ts'
import type { OwnedPartition, Session, Span } from './session.ts'
import { grantOf, holdingsOf, positionsByGrant } from './session.ts'
import type { StoredSession } from './session-store.ts'

/** A cursor is bounded by the partitions of one batch, characters. */
const cursorCharsMax = 1_000_000

export function cursorOf(turn: number, spans: readonly KnownSpan[]): string {
  const byEpoch = new Map<string, Map<number, Offset>>()
  for (const { topicId, partition, next } of spans) {
    const offsets = byEpoch.get(topicId) ?? new Map<number, Offset>()
    byEpoch.set(topicId, offsets.set(partition, next))
  }
  return `${turn}.${formatPosition([...byEpoch].map(([epoch, offsets]) => ({ epoch, offsets })))}`
}

/** What a cursor commits, by topic id. Throws BAD_REQUEST for what is no cursor. */
export function cursorPosition(cursor: string): readonly TopicPosition[] {
  const dot = cursor.indexOf('.')
  if (dot < 1 || cursor.length > cursorCharsMax || !/^\d+$/.test(cursor.slice(0, dot))) {
    throw new GatewayError('BAD_REQUEST', 'A cursor is what a poll answered as its cursor.')
  }
  return parsePosition(cursor.slice(dot + 1))
}

/** Spans of partitions that the session still holds, less what is committed already. */
export function liveSpans(
  { session, membership }: StoredSession,
  spans: readonly Span[],
  committed: ReadonlyMap<string, Offset> = new Map(),
): { readonly live: KnownSpan[]; readonly lost: Span[] } {
  const held = heldPlaces({ session, membership })
  const positions = positionsByGrant(session)
  const live: KnownSpan[] = []
  const lost: Span[] = []
  for (const span of spans) {
    const grant = grantOf(span)
    const place = held.get(grant)
    if (place === undefined) {
      lost.push(span)
      continue
    }
    const done = Math.max(positions.get(grant)?.committed ?? 0, committed.get(placeOf(span)) ?? 0)
    const from = Math.max(span.from, done)
    if (from < span.next) live.push({ ...span, from, topicId: place.topicId })
  }
  return { live, lost }
}

/** Partitions that the session may commit for, by ownership. */
export function heldPlaces({
  session,
  membership,
}: Pick<StoredSession, 'session' | 'membership'>): Map<string, OwnedPartition> {
  return new Map(holdingsOf(session, membership).map((place) => [grantOf(place), place]))
}

/** The session behind an acknowledgement: these offsets are committed, and nothing is out. */
export function withCommitted(session: Session, commits: readonly CommittedOffset[]): Session {
  const offsets = new Map(commits.map(({ tp, offset }) => [placeOf(tp), offset]))
  const positions = session.positions.map((position) => {
    const offset = offsets.get(placeOf(position)) ?? 0
    return offset > position.committed ? { ...position, committed: offset } : position
  })
  return { ...session, positions }
}

/** Nothing is out any more; the cursor that was out counts as acknowledged. */
export function withoutBatch(session: Session): Session {
  const { out = null } = session
  return out === null ? session : { ...session, out: null, acked: out.cursor }
}

export function placeOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`
}
