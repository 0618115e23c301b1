/**
 * What four implementations of the v2 contract do differently, as data: a listener speaks one of them.
 * Where one of them loses data or waits for nothing, no dialect of ours copies it.
 * docs/coming-from.md shows the same table to users.
 */
import type { ErrorCode } from '../../model/errors.ts'

export const dialectNames = ['confluent', 'karapace', 'redpanda', 'strimzi'] as const
export type DialectName = (typeof dialectNames)[number]

export interface Dialect {
  readonly name: DialectName
  /** Status of a produce answer in which a record failed. */
  readonly failedStatus: 200 | 422
  /**
   * A failed record in a produce answer. `nulls`: all four fields; `flags`: 1, or 2 when it is worth a
   * retry; `numbers`: Kafka's own; `statuses`: as HTTP has them.
   */
  readonly items: 'nulls' | 'flags' | 'numbers' | 'statuses'
  /** A produce to a missing topic: made where `topics.autoCreate` allows it, refused, or failed items. */
  readonly missingTopic: 'create' | 'refuse' | 'item'
  /** Fields of every record read, beside the five that all have; `include=` adds to them. */
  readonly shown: { readonly timestamp: boolean; readonly headers: boolean }
  readonly commit: {
    readonly field: 'offsets' | 'partitions'
    /** What is added to the number a client sends: 1 where that is the last record it is done with. */
    readonly adds: 0 | 1
    readonly status: 200 | 204
  }
  /** What stands for a partition without a commit; undefined: it is left out. */
  readonly uncommitted: number | undefined
  readonly reset: { readonly default: 'latest' | 'earliest'; readonly isFixed: boolean }
  readonly autoCommit: {
    readonly field: 'auto.commit.enable' | 'enable.auto.commit'
    readonly default: boolean
    readonly isFixed: boolean
  }
  /** Scalars of a new instance: numbers and booleans, also as strings; or as strings alone. */
  readonly scalars: 'any' | 'strings'
  /** Longest wait of a poll where the instance names none, ms. */
  readonly waitMs: number
  /** Which media types pass: as documented; those of v1 and without a version, too; or none but v2's. */
  readonly types: 'documented' | 'old' | 'strict'
  /** `error_code` has five digits, or is the status again. */
  readonly errorCodes: 'five digits' | 'status'
  readonly errorType: 'application/vnd.kafka.v2+json' | 'application/json'
  /** `//` in a path counts as `/`. (A slash at the end is taken by all of them.) */
  readonly doubleSlashes: boolean
}

const confluent: Dialect = {
  name: 'confluent',
  failedStatus: 200,
  items: 'nulls',
  missingTopic: 'create',
  shown: { timestamp: false, headers: false },
  commit: { field: 'offsets', adds: 1, status: 200 },
  uncommitted: undefined,
  reset: { default: 'latest', isFixed: false },
  autoCommit: { field: 'auto.commit.enable', default: true, isFixed: false },
  scalars: 'any',
  waitMs: 1000,
  types: 'documented',
  errorCodes: 'five digits',
  errorType: 'application/vnd.kafka.v2+json',
  doubleSlashes: false,
}

export const dialects: Readonly<Record<DialectName, Dialect>> = {
  confluent,
  karapace: {
    ...confluent,
    name: 'karapace',
    failedStatus: 422,
    items: 'flags',
    missingTopic: 'refuse',
    shown: { timestamp: true, headers: true },
    commit: { field: 'offsets', adds: 1, status: 204 },
    uncommitted: -1001,
    reset: { default: 'earliest', isFixed: false },
    waitMs: 11_000,
    types: 'old',
    doubleSlashes: true,
  },
  redpanda: {
    ...confluent,
    name: 'redpanda',
    items: 'numbers',
    missingTopic: 'item',
    commit: { field: 'partitions', adds: 0, status: 204 },
    uncommitted: -1,
    reset: { default: 'earliest', isFixed: true },
    autoCommit: { field: 'auto.commit.enable', default: false, isFixed: true },
    scalars: 'strings',
    waitMs: 100,
    types: 'strict',
    errorType: 'application/json',
  },
  strimzi: {
    ...confluent,
    name: 'strimzi',
    items: 'statuses',
    missingTopic: 'item',
    shown: { timestamp: true, headers: true },
    commit: { field: 'offsets', adds: 0, status: 204 },
    autoCommit: { field: 'enable.auto.commit', default: true, isFixed: false },
    waitMs: 100,
    errorCodes: 'status',
  },
}

/** Kafka's numbers of what can befall one record; all others are -1, "unknown server error". */
const kafkaNumbers: Partial<Record<ErrorCode, number>> = {
  UNKNOWN_TOPIC: 3,
  UNKNOWN_PARTITION: 3,
  TIMEOUT: 7,
  OVERLOADED: 7,
  UNAVAILABLE: 7,
  RECORD_TOO_LARGE: 10,
  FORBIDDEN: 29,
  INVALID_REQUEST: 42,
  DISK_FULL: 56,
  IO_ERROR: 56,
  INVALID_RECORD: 87,
  RATE_LIMITED: 89,
}

export function kafkaNumberOf(code: ErrorCode): number {
  return kafkaNumbers[code] ?? -1
}
