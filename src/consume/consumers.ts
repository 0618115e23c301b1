/** The verbs of consumer instances: create, subscribe, poll, commit, delete. */
import type { CommittedOffset, Subscription } from '../engine/groups.ts'
import type { Principal } from '../model/principal.ts'
import type { TopicPartition } from '../model/topic.ts'
import type { ReadRecord } from './reader.ts'
import type { Reset, Session, Surface } from './session.ts'

export interface InstanceOptions {
  /** Absent: `rest-consumer-<uuid>`. */
  readonly name?: string
  readonly surface: Surface
  readonly format: string
  readonly reset: Reset
  readonly autoCommit: boolean
  readonly minBytes: number
  readonly waitMs: number
  readonly ttlMs: number
}

export interface PollOptions {
  /** Can only shorten the instance's own wait, ms; 0 or less means that wait. */
  readonly waitMs?: number
  /** Aimed at; the first record is always delivered. 0 or less means the ceiling. */
  readonly bytesMax?: number
  readonly signal?: AbortSignal
}

export interface Poll {
  /** Keys and values are borrowed until `delivered` or `dropped`. */
  readonly records: readonly ReadRecord[]
  /** The first `count` records were written completely: positions move. */
  delivered(count: number): Promise<void>
  /** The answer was cut: the next poll returns the records again. */
  dropped(): void
}

export declare class Consumers {
  create(principal: Principal, group: string, options: InstanceOptions): Promise<Session>
  find(principal: Principal, group: string, name: string): Promise<Session>
  subscribe(
    principal: Principal,
    group: string,
    name: string,
    subscription: Subscription,
  ): Promise<void>
  unsubscribe(principal: Principal, group: string, name: string): Promise<void>
  subscription(principal: Principal, group: string, name: string): Promise<readonly string[]>
  poll(principal: Principal, group: string, name: string, options: PollOptions): Promise<Poll>
  commit(
    principal: Principal,
    group: string,
    name: string,
    offsets?: readonly CommittedOffset[],
  ): Promise<void>
  committed(
    principal: Principal,
    group: string,
    name: string,
    tps: readonly TopicPartition[],
  ): Promise<CommittedOffset[]>
  delete(principal: Principal, group: string, name: string): Promise<void>
}
