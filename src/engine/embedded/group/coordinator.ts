/** The embedded group coordinator: KIP-848 membership as data, assignment on the server. */
import type { Clock } from '../../../kit/clock.ts'
import type { Logger } from '../../../kit/logger.ts'
import type { GatewayError } from '../../../model/errors.ts'
import type { TopicPartition } from '../../../model/topic.ts'
import type { CallOptions, Watch } from '../../engine.ts'
import type {
  CommittedOffset,
  GroupDescription,
  GroupRef,
  Groups,
  HeartbeatAnswer,
  HeartbeatOptions,
  Member,
} from '../../groups.ts'
import type { JournalWriter, StateEntry, StateMachine } from '../journal/state-machine.ts'

export interface GroupTopic {
  readonly name: string
  /** Never reused. */
  readonly id: string
  readonly partitions: number
}

/** What the coordinator asks of the catalog. Answers show the newest state, durable or not. */
export interface GroupCatalog {
  topic(name: string): GroupTopic | undefined
  topicById(id: string): GroupTopic | undefined
  topics(): Iterable<GroupTopic>
  /** A coalesced hint that topics or partitions came or went. */
  watch(onChange: () => void): Watch
  /** Called in the turn in which a delete is applied, during recovery too. */
  onDelete(listener: (topicId: string) => void): void
}

export interface CoordinatorParts {
  readonly journal: JournalWriter
  readonly catalog: GroupCatalog
  readonly clock: Clock
  readonly logger: Logger
  /** `journal`: members survive a restart, so that a restart is no rebalance. */
  readonly members: 'memory' | 'journal'
}

export declare class GroupCoordinator implements Groups {
  constructor(parts: CoordinatorParts)
  readonly machines: readonly StateMachine[]
  /** After recovery: every restored member gets one full session timeout. */
  open(): void
  close(): Promise<void>
  checkCommit(group: GroupRef, commits: readonly CommittedOffset[]): GatewayError | undefined
  stageCommit(group: GroupRef, commits: readonly CommittedOffset[]): StateEntry
  heartbeat(member: Member, options: HeartbeatOptions): Promise<HeartbeatAnswer>
  watch(groupId: string, onChange: () => void): Watch
  leave(member: Member, options: CallOptions & { readonly keepSlot?: boolean }): Promise<void>
  commit(
    group: GroupRef,
    offsets: readonly CommittedOffset[],
    options: CallOptions,
  ): Promise<{ tp: TopicPartition; error?: GatewayError }[]>
  committed(
    group: GroupRef,
    tps: readonly TopicPartition[] | 'all',
    options: CallOptions,
  ): Promise<CommittedOffset[]>
  list(options: CallOptions): Promise<{ groupId: string; type: string; state: string }[]>
  describe(groupId: string, options: CallOptions): Promise<GroupDescription>
  deleteOffsets(
    groupId: string,
    tps: readonly TopicPartition[],
    options: CallOptions,
  ): Promise<void>
  delete(groupId: string, options: CallOptions): Promise<void>
}
