/** Committing for an instance: with its fence, retried once when only the epoch moved. */
import type { CommittedOffset, Groups } from '../engine/groups.ts'
import { GatewayError, toGatewayError } from '../model/errors.ts'
import { groupCallTimeoutMs } from '../model/limits.ts'
import type { Offset } from '../model/offset.ts'
import type { TopicPartition } from '../model/topic.ts'
import type { Session } from './session.ts'
import { grantOf, holdingsOf, positionsByGrant } from './session.ts'
import type { SessionKeeper } from './session-keeper.ts'
import { fenceOf } from './session-keeper.ts'
import type { SessionStore, StoredSession } from './session-store.ts'
import { updateSession } from './session-store.ts'

export interface InstanceCommitsParts {
  readonly store: SessionStore
  readonly keeper: SessionKeeper
  readonly groups: Groups
}

/** Refusals that mean: this commit belongs to an ownership that is over. */
const lostCodes: readonly string[] = [
  'STALE_MEMBER_EPOCH',
  'NOT_ASSIGNED',
  'UNKNOWN_MEMBER',
  'FENCED_MEMBER_EPOCH',
  'EPOCH_MISMATCH',
  'UNKNOWN_TOPIC',
  'UNKNOWN_PARTITION',
  // A stand-alone reader beside a group that has members.
  'GROUP_NOT_EMPTY',
]

export class InstanceCommits {
  readonly #parts: InstanceCommitsParts

  constructor(parts: InstanceCommitsParts) {
    this.#parts = parts
  }

  /**
   * Commits what was written to the client completely, and nothing else. Resolves to what could not
   * be committed because the partitions are no longer this instance's; throws everything else.
   * `confirmed`: next offsets by ownership that the client itself names as its last word.
   */
  commitDelivered(
    stored: StoredSession,
    confirmed?: ReadonlyMap<string, Offset>,
  ): Promise<GatewayError | undefined> {
    const { session, membership } = stored
    const positions = positionsByGrant(session)
    const commits: CommittedOffset[] = []
    for (const place of holdingsOf(session, membership)) {
      const position = positions.get(grantOf(place))
      const next = confirmed === undefined ? position?.next : confirmed.get(grantOf(place))
      if (next === undefined || (position !== undefined && next <= position.committed)) continue
      const { topic, partition, topicId } = place
      commits.push({ tp: { topic, partition }, topicId, offset: next })
    }
    return this.#commitAs(stored, commits)
  }

  /** Commits next offsets that the client names. As an administrator while it has no subscription. */
  commitOffsets(
    stored: StoredSession,
    commits: readonly CommittedOffset[],
  ): Promise<GatewayError | undefined> {
    return this.#commitAs(stored, commits)
  }

  async #commitAs(
    stored: StoredSession,
    commits: readonly CommittedOffset[],
  ): Promise<GatewayError | undefined> {
    if (commits.length === 0) return undefined
    const { keeper, store } = this.#parts
    const { session } = stored
    let { failed, first } = await this.#send(stored, commits)
    if (first?.code === 'STALE_MEMBER_EPOCH' || first?.code === 'UNKNOWN_MEMBER') {
      // A heartbeat may have moved the epoch since the record was read: once more with the newest.
      const again = await store.find(session)
      const isMoved = again?.membership?.memberEpoch !== stored.membership?.memberEpoch
      if (again !== undefined && isMoved && failed.every(isStillHeld(stored, again))) {
        ;({ failed, first } = await this.#send(again, failed))
      } else {
        keeper.nudge(session)
      }
    }
    const lost = new Set(failed.map(({ tp }) => placeOf(tp)))
    const done = commits.filter(({ tp }) => !lost.has(placeOf(tp)))
    if (done.length > 0) await this.#note(stored, done)
    if (first === undefined) return undefined
    if (!lostCodes.includes(first.code)) throw first
    return failed.length > 1 ? lostError(first, failed) : first
  }

  /** What was refused, and the first reason. Throws what no partition is to blame for. */
  async #send(
    { session, membership }: StoredSession,
    commits: readonly CommittedOffset[],
  ): Promise<{ failed: CommittedOffset[]; first: GatewayError | undefined }> {
    const { group: groupId } = session
    const isMember = session.subscription !== null && membership !== null
    const ref = isMember ? fenceOf(session, membership) : { groupId }
    const failed: CommittedOffset[] = []
    try {
      const options = { timeoutMs: groupCallTimeoutMs }
      const results = await this.#parts.groups.commit(ref, commits, options)
      const errors = results.flatMap(({ error }) => (error === undefined ? [] : [error]))
      results.forEach(({ error }, i) => {
        if (error !== undefined) failed.push(commits[i]!)
      })
      return { failed, first: errors[0] }
    } catch (error) {
      const refusal = toGatewayError(error)
      const isLoss = isMember
        ? lostCodes.includes(refusal.code)
        : refusal.code === 'GROUP_NOT_EMPTY'
      if (!isLoss) throw error
      return { failed: [...commits], first: refusal }
    }
  }

  /**
   * Positions remember what is committed. They move with it only where the last answer could not be
   * delivered: a commit ahead of it is the way past a record that the client cannot take. Everywhere
   * else a client that counts one too far must not lose a record by it.
   */
  async #note(stored: StoredSession, commits: readonly CommittedOffset[]): Promise<void> {
    const { store, keeper } = this.#parts
    const { owner } = stored.session
    const offsets = new Map(commits.map(({ tp, offset }) => [placeOf(tp), offset]))
    const grants = new Set(holdingsOf(stored.session, stored.membership).map(grantOf))
    const change = ({ session, membership }: StoredSession): Session | undefined => {
      if (session.id !== stored.session.id) return undefined
      const positions = positionsByGrant(session)
      let isChanged = false
      for (const place of holdingsOf(session, membership)) {
        const grant = grantOf(place)
        const offset = offsets.get(placeOf(place))
        if (offset === undefined || !grants.has(grant)) continue
        const known = positions.get(grant)
        const { topic, partition } = place
        const isAhead = known === undefined || (session.isCut && offset > known.next)
        const next = isAhead ? offset : known.next
        positions.set(grant, {
          ...known,
          topic,
          partition,
          grant: place.grant,
          next,
          committed: offset,
        })
        isChanged = true
      }
      return isChanged ? { ...session, positions: [...positions.values()] } : undefined
    }
    try {
      await updateSession(store, stored.session, owner, change, stored)
    } catch (error) {
      // The commit itself is durable; a session that ended meanwhile has no positions to keep.
      if (!(error instanceof GatewayError) || error.code !== 'UNKNOWN_SESSION') throw error
    }
    if ((stored.membership?.releasing.length ?? 0) > 0) keeper.nudge(stored.session)
  }
}

/**
 * Whether a partition is held now and was not lost in between: one that came back is another
 * ownership, and others may have gone on in it meanwhile.
 */
function isStillHeld(
  before: StoredSession,
  now: StoredSession,
): (commit: CommittedOffset) => boolean {
  const grants = ({ session, membership }: StoredSession): Map<string, string> =>
    new Map(holdingsOf(session, membership).map((place) => [placeOf(place), grantOf(place)]))
  const [old, fresh] = [grants(before), grants(now)]
  return ({ tp }) => {
    const place = placeOf(tp)
    return fresh.has(place) && (!old.has(place) || old.get(place) === fresh.get(place))
  }
}

function placeOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`
}

function lostError(first: GatewayError, failed: readonly CommittedOffset[]): GatewayError {
  const named = failed.slice(0, 10).map(({ tp }) => `${tp.topic}/${tp.partition}`)
  const more = failed.length > named.length ? ` and ${failed.length - named.length} more` : ''
  return new GatewayError(
    first.code,
    `The commit was refused for ${named.join(', ')}${more}: ${first.message}`,
  )
}
