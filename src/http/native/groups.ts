/** Consumer groups on the native API: their members, their offsets, and how far they are behind. */
import type { GroupAdmin, OffsetReset } from '../../admin/groups.ts'
import type { Sessions } from '../../consume/sessions.ts'
import type { components, operations } from '../../contract/native.ts'
import type { Handlers } from '../../contract/operations.ts'
import { GatewayError } from '../../model/errors.ts'
import { listLimitDefault } from '../../model/limits.ts'
import { parsePlace } from '../../model/place.ts'
import { formatPosition } from '../../model/position.ts'
import type { CallContext } from '../exchange/call.ts'
import { fromOffsets, toAssignment } from './wire.ts'

type GroupOperations =
  | 'listGroups'
  | 'describeGroup'
  | 'deleteGroup'
  | 'getGroupOffsets'
  | 'resetGroupOffsets'
  | 'removeGroupMember'

type Schemas = components['schemas']

export function groupHandlers(
  groups: GroupAdmin,
  sessions: Sessions,
): Pick<Handlers<operations, CallContext>, GroupOperations> {
  return {
    async listGroups({ principal, query: { limit, after } }) {
      const page = await groups.page(principal, {
        ...(limit === undefined ? {} : { limit }),
        ...(after === undefined ? {} : { after }),
      })
      const listed = page.groups.map(({ state, ...group }) => ({
        ...group,
        state: state.toLowerCase(),
      }))
      return { status: 200, body: { groups: listed, next: page.next } }
    },

    async describeGroup({ principal, params: { group } }) {
      const facts = await groups.facts(principal, group)
      const { state, groupEpoch = 0, lag } = facts
      const behind = await sessions.behind(group, facts.members)
      const members = facts.members.map((member): Schemas['GroupMember'] => ({
        memberId: member.memberId,
        memberEpoch: member.memberEpoch ?? 0,
        session: behind.get(member.memberId)?.session.id ?? null,
        instanceId: member.instanceId ?? null,
        subject: behind.get(member.memberId)?.session.owner ?? null,
        assignment: toAssignment(member.assignment),
        seenAt: behind.get(member.memberId)?.seenAt ?? null,
      }))
      return {
        status: 200,
        body: { group, state: state.toLowerCase(), groupEpoch, lag, members },
      }
    },

    async deleteGroup({ principal, params: { group } }) {
      await groups.delete(principal, group)
      return { status: 204 }
    },

    async getGroupOffsets({ principal, params, query: { limit = listLimitDefault, after } }) {
      const rows = await groups.partitions(principal, params.group)
      const from = after === undefined ? 0 : rowBehind(rows, after)
      const shown = rows.slice(from, from + limit)
      const last = shown.at(-1)
      const hasMore = last !== undefined && from + limit < rows.length
      return {
        status: 200,
        body: {
          offsets: shown.map(({ topic, partition, committed, end, lag }) => {
            return { topic, partition, committed, end, lag }
          }),
          position: formatPosition(groups.positionOf(rows)),
          next: hasMore ? `${last.topic}/${last.partition}` : null,
        },
      }
    },

    async resetGroupOffsets({ principal, params: { group }, body }) {
      const offsets = await groups.reset(principal, group, toReset(body))
      return { status: 200, body: { offsets } }
    },

    async removeGroupMember({ principal, params: { group, member } }) {
      const { members } = await groups.describe(principal, group)
      const found = members.find(({ memberId }) => memberId === member)
      // A session whose member was put out would join again: it ends with it.
      const isOurs = found !== undefined && (await sessions.evict(group, found.clientId, member))
      if (!isOurs) await groups.removeMember(principal, group, member)
      return { status: 204 }
    },
  }
}

/** Where the rows go on behind `<topic>/<partition>`, though that one may be gone by now. */
function rowBehind(
  rows: readonly { readonly topic: string; readonly partition: number }[],
  after: string,
): number {
  const slash = after.lastIndexOf('/')
  const partition = Number(after.slice(slash + 1))
  const topic = after.slice(0, Math.max(0, slash))
  if (slash < 1 || !Number.isInteger(partition)) {
    throw new GatewayError('BAD_REQUEST', `'after' is the 'next' of the page before.`)
  }
  const at = rows.findIndex((row) => {
    return row.topic > topic || (row.topic === topic && row.partition > partition)
  })
  return at < 0 ? rows.length : at
}

function toReset(body: Schemas['OffsetReset']): OffsetReset {
  const { to, shiftBy, positions, topics, partition, validateOnly = false } = body
  const ways = [to, shiftBy, positions].filter((way) => way !== undefined)
  if (ways.length !== 1) {
    throw new GatewayError(
      'BAD_REQUEST',
      `A reset names one of 'to', 'shiftBy' and 'positions'; this one names ${ways.length}.`,
    )
  }
  if (positions !== undefined) {
    if (topics === undefined && partition === undefined) {
      return { positions: fromOffsets(positions), validateOnly }
    }
    throw new GatewayError(
      'BAD_REQUEST',
      `'positions' names its topics and partitions itself: leave out 'topics' and 'partition'.`,
    )
  }
  const scope = {
    validateOnly,
    ...(topics === undefined ? {} : { topics }),
    ...(partition === undefined ? {} : { partition }),
  }
  if (shiftBy !== undefined) return { ...scope, shiftBy }
  return { ...scope, to: parsePlace('to', to!) }
}
