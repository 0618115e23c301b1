/** What the coordinator asks of the catalog. */
import type { Watch } from '../../call.ts'

export interface GroupTopic {
  readonly name: string
  /** Never reused. */
  readonly id: string
  readonly partitions: number
}

/** Answers show the newest state, durable or not. */
export interface GroupCatalog {
  topic(name: string): GroupTopic | undefined
  topicById(id: string): GroupTopic | undefined
  topics(): Iterable<GroupTopic>
  /** A coalesced hint that topics or partitions came or went. */
  watch(onChange: () => void): Watch
  /** Called in the turn in which a delete is applied, during recovery too. */
  onDelete(listener: (topicId: string) => void): void
}
