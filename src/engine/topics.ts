/** The topics role: topics, their configuration, facts about the cluster. */
import type { GatewayError } from '../model/errors.ts'
import type { BatchCompression } from '../model/batch-codecs.ts'
import type { CallOptions, Watch } from './call.ts'

export interface DryRun {
  readonly validateOnly?: boolean
}

export interface NewTopic {
  readonly name: string
  readonly partitions: number
  readonly replicas?: number
  readonly config?: Readonly<Record<string, string>>
}

export interface Outcome {
  readonly name: string
  readonly error?: GatewayError
}

export interface PartitionDescription {
  readonly id: number
  readonly state: 'ok' | 'offline' | 'corrupt'
  readonly damagedBatches?: number
  readonly leaderEpoch: number
  readonly bytes?: number
  readonly leader?: number
  readonly replicas: readonly { readonly node: number; readonly inSync: boolean }[]
}

export interface TopicDescription {
  readonly name: string
  /** Never reused: a topic that was deleted and made again is another one. `[A-Za-z0-9_-]{22}`. */
  readonly id: string
  readonly internal: boolean
  /** `max.message.bytes` of the topic. */
  readonly maxBatchBytes: number
  /** How far a record's timestamp may be from the clock, ms; Infinity where the log sets the times. */
  readonly timestampBeforeMsMax: number
  readonly timestampAfterMsMax: number
  /** Compacted: of each key the newest record stays, so a record without one is refused. */
  readonly needsKeys: boolean
  /** How batches that the gateway builds are to be compressed; absent: not at all. */
  readonly compression?: BatchCompression
  readonly partitions: readonly PartitionDescription[]
}

export type ConfigOwner =
  | { readonly type: 'topic'; readonly name: string }
  /** What a topic has that is made now and says nothing itself. Cannot be altered. */
  | { readonly type: 'new-topic' }
  | { readonly type: 'engine' }

export interface ConfigEntry {
  readonly name: string
  readonly value: string | null
  /** What holds where nothing is set; null when there is no such value. */
  readonly fallback: string | null
  readonly source: 'topic' | 'engine' | 'default'
  readonly readOnly: boolean
  readonly sensitive: boolean
}

export interface ConfigChange {
  readonly op: 'set' | 'delete' | 'append' | 'subtract'
  readonly name: string
  readonly value?: string
}

export interface ClusterDescription {
  readonly clusterId: string
  readonly controller?: number
  readonly nodes: readonly { readonly id: number; readonly host?: string; readonly port?: number }[]
}

export interface Topics {
  /**
   * What exists now, from memory and without waiting: the hot path asks it once per request.
   * Undefined when there is no such topic (on engines with remote metadata: none known yet).
   */
  known(name: string): TopicDescription | undefined
  /** Names that do not exist are left out. */
  list(names: readonly string[] | 'all', options: CallOptions): Promise<TopicDescription[]>
  create(topics: readonly NewTopic[], options: CallOptions & DryRun): Promise<Outcome[]>
  delete(names: readonly string[], options: CallOptions): Promise<Outcome[]>
  /** Adds partitions; the number given is the new total. */
  grow(
    topics: readonly { readonly name: string; readonly partitions: number }[],
    options: CallOptions & DryRun,
  ): Promise<Outcome[]>
  configs(of: ConfigOwner, options: CallOptions): Promise<ConfigEntry[]>
  alterConfigs(
    of: ConfigOwner,
    changes: readonly ConfigChange[],
    options: CallOptions & DryRun,
  ): Promise<void>
  cluster(options: CallOptions): Promise<ClusterDescription>
  /** A hint that topics or partitions came or went. Level-triggered, coalesced. */
  watch(onChange: () => void): Watch
}
