/** The settings of a topic that its partitions obey. */

/** The catalog changes them in place. */
export interface PartitionSettings {
  segmentBytes: number
  segmentMs: number
  segmentJitterMs: number
  segmentIndexBytes: number
  indexIntervalBytes: number
  messageBytesMax: number
  logAppendTime: boolean
  fileDeleteDelayMs: number
  /** `cleanup.policy` has `delete`: the next two are obeyed. */
  hasDelete: boolean
  /** -1: unlimited. */
  retentionMs: number
  retentionBytes: number
  /** How far timestamps may be from the clock, ms; Infinity where the log sets them. */
  timestampBeforeMsMax: number
  timestampAfterMsMax: number
  compaction: CompactionSettings | undefined
}

/** What log compaction obeys; undefined in the settings where the policy is `delete` alone. */
export interface CompactionSettings {
  readonly dirtyRatioMin: number
  readonly lagMsMin: number
  readonly lagMsMax: number
  readonly deleteRetentionMs: number
}
