/** The groups role. Membership is data: a call carries everything, nothing is bound to a connection. */
import type { GatewayError } from '../model/errors.ts'
import type { Offset } from '../model/offset.ts'
import type { TopicPartition } from '../model/topic.ts'
import type { CallOptions, Watch } from './call.ts'

/** The fence that every call of a member carries. */
export interface Member {
  readonly groupId: string
  /** A UUID made by the caller before its first heartbeat (KIP-1082), so a repeated join is harmless. */
  readonly memberId: string
  /** 0 joins; n > 0 says "I am at epoch n". */
  readonly memberEpoch: number
  /** Static membership (KIP-345). */
  readonly instanceId?: string
}

/** Without a member: a stand-alone consumer or an administrator, only while the group is empty. */
export type GroupRef = Member | { readonly groupId: string; readonly memberId?: undefined }

export type Subscription = { readonly topics: readonly string[] } | { readonly pattern: string }

/** Omitted options mean unchanged; a full heartbeat has subscription, owned and rebalanceTimeoutMs. */
export interface HeartbeatOptions extends CallOptions {
  readonly subscription?: Subscription
  /** What the member holds now. A heartbeat without it counts as "still owns everything". */
  readonly owned?: readonly TopicPartition[]
  readonly assignor?: 'uniform' | 'range'
  readonly rebalanceTimeoutMs?: number
  readonly client?: { readonly id: string; readonly host: string }
}

export interface HeartbeatAnswer {
  readonly memberEpoch: number
  readonly intervalMs: number
  /** Absent means unchanged. */
  readonly assignment?: readonly TopicPartition[]
}

export interface CommittedOffset {
  readonly tp: TopicPartition
  /** The next offset to read. */
  readonly offset: Offset
  readonly topicId?: string
  readonly leaderEpoch?: number
  readonly metadata?: string
}

export interface GroupMemberDescription {
  readonly memberId: string
  readonly instanceId?: string
  readonly memberEpoch?: number
  readonly clientId: string
  readonly clientHost: string
  readonly assignment: readonly TopicPartition[]
  readonly target?: readonly TopicPartition[]
}

export interface GroupDescription {
  readonly groupId: string
  readonly type: string
  readonly state: string
  readonly assignor: string
  readonly coordinator?: number
  readonly groupEpoch?: number
  readonly assignmentEpoch?: number
  readonly members: readonly GroupMemberDescription[]
}

export interface Groups {
  /** Throws UNKNOWN_MEMBER, FENCED_MEMBER_EPOCH, INSTANCE_IN_USE, INSTANCE_FENCED, GROUP_FULL. */
  heartbeat(member: Member, options: HeartbeatOptions): Promise<HeartbeatAnswer>
  /** A hint: heartbeat now. Level-triggered; never fires without the capability `groupHints`. */
  watch(groupId: string, onChange: () => void): Watch
  /** Not fenced by epoch. `keepSlot`: a static member that will come back. */
  leave(member: Member, options: CallOptions & { readonly keepSlot?: boolean }): Promise<void>
  /** Durable when it resolves. Per partition: ok, STALE_MEMBER_EPOCH, NOT_ASSIGNED, UNKNOWN_TOPIC … */
  commit(
    group: GroupRef,
    offsets: readonly CommittedOffset[],
    options: CallOptions,
  ): Promise<{ tp: TopicPartition; error?: GatewayError }[]>
  /** Partitions without a commit are left out. */
  committed(
    group: GroupRef,
    tps: readonly TopicPartition[] | 'all',
    options: CallOptions,
  ): Promise<CommittedOffset[]>
  list(options: CallOptions): Promise<{ groupId: string; type: string; state: string }[]>
  /** Throws UNKNOWN_GROUP. */
  describe(groupId: string, options: CallOptions): Promise<GroupDescription>
  deleteOffsets(
    groupId: string,
    tps: readonly TopicPartition[],
    options: CallOptions,
  ): Promise<void>
  /** Throws GROUP_NOT_EMPTY, UNKNOWN_GROUP. */
  delete(groupId: string, options: CallOptions): Promise<void>
}
