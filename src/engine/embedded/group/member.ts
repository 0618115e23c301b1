/** One member of a group, and how it stands in the journal. */
import { GatewayError } from '../../../model/errors.ts'
import type { TopicPartition } from '../../../model/topic.ts'
import type { Subscription } from '../../groups.ts'
import type { AssignorName, Share } from './assignor.ts'

/** A partition in a member's hands. */
export interface Holding extends TopicPartition {
  readonly topicId: string
  /** The member epoch at which it was assigned: older commits belong to an earlier ownership. */
  readonly epoch: number
}

/** Holdings by place name. */
export type Holdings = Map<string, Holding>

export interface GroupMember {
  readonly memberId: string
  readonly instanceId: string | undefined
  /** The target that the member has reached. */
  epoch: number
  /** What the member knew before the answer that brought `epoch`, which may have got lost. */
  previousEpoch: number
  subscription: Subscription
  assignor: AssignorName | undefined
  rebalanceTimeoutMs: number
  client: { readonly id: string; readonly host: string }
  assigned: Holdings
  /** To be given back, and not acknowledged yet. */
  revoking: Holdings
  target: Share
  /** A static member that said it will come back; its slot waits until the session timeout. */
  left: boolean
  /** Monotonic, ms. Never in the journal: a restored member gets one full session timeout. */
  sessionEndMs: number
  /** Monotonic, ms; Infinity while nothing is to be given back. */
  revocationEndMs: number
}

/** A name for a partition. Topic names hold no slash. */
export function placeName({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`
}

export function isSameSubscription(a: Subscription, b: Subscription): boolean {
  if ('pattern' in a || 'pattern' in b) {
    return 'pattern' in a && 'pattern' in b && a.pattern === b.pattern
  }
  const names = new Set(a.topics)
  return names.size === new Set(b.topics).size && b.topics.every((name) => names.has(name))
}

export function isSameShare(a: Share, b: Share): boolean {
  if (a.size !== b.size) return false
  for (const [topicId, partitions] of a) {
    const others = b.get(topicId)
    if (others?.size !== partitions.size) return false
    for (const partition of partitions) if (!others.has(partition)) return false
  }
  return true
}

/** Holdings of one topic: id, name, and partition with epoch. */
type HoldingsJson = [string, string, [number, number][]][]

export interface MemberJson {
  readonly id: string
  readonly instance?: string
  readonly epoch: number
  readonly previous: number
  readonly subscription: Subscription
  readonly assignor?: AssignorName
  readonly rebalanceMs: number
  readonly client: { readonly id: string; readonly host: string }
  readonly assigned: HoldingsJson
  readonly revoking: HoldingsJson
  readonly target: [string, number[]][]
  readonly left?: true
}

export function toMemberJson(member: GroupMember): MemberJson {
  return {
    id: member.memberId,
    ...(member.instanceId === undefined ? {} : { instance: member.instanceId }),
    epoch: member.epoch,
    previous: member.previousEpoch,
    subscription: member.subscription,
    ...(member.assignor === undefined ? {} : { assignor: member.assignor }),
    rebalanceMs: member.rebalanceTimeoutMs,
    client: member.client,
    assigned: toHoldingsJson(member.assigned),
    revoking: toHoldingsJson(member.revoking),
    target: [...member.target].map(([topicId, partitions]) => [topicId, [...partitions]]),
    ...(member.left ? { left: true } : {}),
  }
}

export function fromMemberJson(json: MemberJson): GroupMember {
  return {
    memberId: json.id,
    instanceId: json.instance,
    epoch: json.epoch,
    previousEpoch: json.previous,
    subscription: json.subscription,
    assignor: json.assignor,
    rebalanceTimeoutMs: json.rebalanceMs,
    client: json.client,
    assigned: fromHoldingsJson(json.assigned),
    revoking: fromHoldingsJson(json.revoking),
    target: new Map(json.target.map(([topicId, partitions]) => [topicId, new Set(partitions)])),
    left: json.left === true,
    sessionEndMs: Infinity,
    revocationEndMs: Infinity,
  }
}

function toHoldingsJson(holdings: Holdings): HoldingsJson {
  const topics = new Map<string, HoldingsJson[number]>()
  for (const { topicId, topic, partition, epoch } of holdings.values()) {
    const entry = topics.get(topicId)
    if (entry === undefined) topics.set(topicId, [topicId, topic, [[partition, epoch]]])
    else entry[2].push([partition, epoch])
  }
  return [...topics.values()]
}

function fromHoldingsJson(json: HoldingsJson): Holdings {
  const holdings: Holdings = new Map()
  for (const [topicId, topic, partitions] of json) {
    for (const [partition, epoch] of partitions) {
      holdings.set(placeName({ topic, partition }), { topicId, topic, partition, epoch })
    }
  }
  return holdings
}

/** The error of a call that shows another epoch than the member has. */
export function fenced(groupId: string, member: GroupMember, sentEpoch: number): GatewayError {
  return new GatewayError(
    'FENCED_MEMBER_EPOCH',
    `Member '${member.memberId}' of group '${groupId}' is at epoch ${member.epoch}, the call shows ${sentEpoch}.`,
  )
}
