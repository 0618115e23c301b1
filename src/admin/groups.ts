/** Consumer groups as people look at them: which there are, who is in them, and how far they have come. */
import type { CallOptions } from '../engine/call.ts'
import type { GroupDescription, Groups } from '../engine/groups.ts'
import type { Log } from '../engine/log.ts'
import type { GatewayError } from '../model/errors.ts'
import { adminTimeoutMs } from '../model/limits.ts'
import type { Offset } from '../model/offset.ts'
import type { Principal } from '../model/principal.ts'
import { isInternalTopic } from '../model/topic.ts'

export interface GroupSummary {
  readonly groupId: string
  readonly type: string
  readonly state: string
}

export interface PartitionLag {
  readonly topic: string
  readonly partition: number
  /** The next offset to read, as committed. */
  readonly committed: Offset
  /** Where records are safe. */
  readonly end: Offset
  /** Records between the two; never negative, whatever was committed. */
  readonly lag: number
}

export interface GroupAdminParts {
  readonly groups: Groups
  readonly log: Log
}

const call: CallOptions = { timeoutMs: adminTimeoutMs }

export class GroupAdmin {
  readonly #groups: Groups
  readonly #log: Log

  constructor({ groups, log }: GroupAdminParts) {
    this.#groups = groups
    this.#log = log
  }

  /** Every group with members or committed offsets, ordered by id. */
  async list(_principal: Principal): Promise<GroupSummary[]> {
    const all = await this.#groups.list(call)
    return all.sort((left, right) => (left.groupId < right.groupId ? -1 : 1))
  }

  /** Throws UNKNOWN_GROUP. */
  async describe(_principal: Principal, groupId: string): Promise<GroupDescription> {
    return await this.#groups.describe(groupId, call)
  }

  /**
   * The partitions with a commit, by topic and number, and how far each is behind. Partitions that are
   * gone are left out. Throws UNKNOWN_GROUP.
   */
  async lags(_principal: Principal, groupId: string): Promise<PartitionLag[]> {
    await this.#groups.describe(groupId, call)
    const all = await this.#groups.committed({ groupId }, 'all', call)
    const commits = all
      .filter(({ tp }) => !isInternalTopic(tp.topic))
      .sort(({ tp: a }, { tp: b }) =>
        a.topic === b.topic ? a.partition - b.partition : a.topic < b.topic ? -1 : 1,
      )
    const ends = await this.#log.offsets(
      commits.map(({ tp }) => ({ tp, at: 'durable' })),
      call,
    )
    const lags: PartitionLag[] = []
    for (const [i, { tp, offset: committed }] of commits.entries()) {
      const { offset: end, error } = ends[i]!
      if (error !== undefined) {
        if (isGone(error)) continue
        throw error
      }
      lags.push({ ...tp, committed, end, lag: Math.max(0, end - committed) })
    }
    return lags
  }
}

/** A topic may be deleted between the two questions. */
function isGone({ code }: GatewayError): boolean {
  return code === 'UNKNOWN_TOPIC' || code === 'UNKNOWN_PARTITION'
}
