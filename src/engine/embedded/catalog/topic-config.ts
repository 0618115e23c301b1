/**
 * Topic configuration under Kafka's names. All of them are known, checked, stored and shown, also
 * those without effect on one machine, so that tools written for Kafka find what they expect.
 */
import { nearest } from '../../../kit/nearest.ts'
import type { BatchCompression } from '../../../model/batch-codecs.ts'
import { usableCodecs } from '../../../model/batch-codecs.ts'
import { GatewayError } from '../../../model/errors.ts'
import {
  messageBytesDefault,
  messageBytesMax,
  timestampAheadMsDefault,
} from '../../../model/limits.ts'
import type { ConfigChange, ConfigEntry } from '../../topics.ts'
import type { CompactionSettings, PartitionSettings } from '../log/partition-settings.ts'

export type TopicConfig = Readonly<Record<string, string>>

interface Rule {
  readonly fallback: string
  readonly check: (value: string) => string | undefined
  readonly isList?: boolean
}

const maxInt = 2_147_483_647
/** Kafka's own largest value, which tools copy from its topics. Times and sizes here stay far below. */
const maxLong = 9_223_372_036_854_775_807n

const rules: Readonly<Record<string, Rule>> = {
  'cleanup.policy': list('delete', ['delete', 'compact']),
  'compression.gzip.level': { fallback: '-1', check: isGzipLevel },
  'compression.lz4.level': integer('9', 1, 17),
  'compression.type': { fallback: 'producer', check: isCompressionType },
  'compression.zstd.level': integer('3', -131_072, 22),
  'delete.retention.ms': integer('86400000', 0, maxLong),
  'file.delete.delay.ms': integer('60000', 0, maxLong),
  'flush.messages': integer(String(maxLong), 1, maxLong),
  'flush.ms': integer(String(maxLong), 0, maxLong),
  'follower.replication.throttled.replicas': list('', undefined),
  'index.interval.bytes': integer('4096', 0, maxInt),
  'leader.replication.throttled.replicas': list('', undefined),
  'local.retention.bytes': integer('-2', -2, maxLong),
  'local.retention.ms': integer('-2', -2, maxLong),
  'max.compaction.lag.ms': integer(String(maxLong), 1, maxLong),
  'max.message.bytes': integer(String(messageBytesDefault), 0, messageBytesMax),
  'message.timestamp.after.max.ms': integer(String(timestampAheadMsDefault), 0, maxLong),
  'message.timestamp.before.max.ms': integer(String(maxLong), 0, maxLong),
  'message.timestamp.type': oneOf('CreateTime', ['CreateTime', 'LogAppendTime']),
  'min.cleanable.dirty.ratio': { fallback: '0.5', check: isRatio },
  'min.compaction.lag.ms': integer('0', 0, maxLong),
  'min.insync.replicas': integer('1', 1, maxInt),
  preallocate: oneOf('false', ['true', 'false']),
  'remote.log.copy.disable': oneOf('false', ['true', 'false']),
  'remote.log.delete.on.disable': oneOf('false', ['true', 'false']),
  // As a broker without tiered storage: it would mean records that are somewhere else.
  'remote.storage.enable': oneOf('false', ['false']),
  'retention.bytes': integer('-1', -1, maxLong),
  'retention.ms': integer('604800000', -1, maxLong),
  'segment.bytes': integer(String(128 * 1024 * 1024), 14, maxInt),
  'segment.index.bytes': integer('10485760', 4, maxInt),
  'segment.jitter.ms': integer('0', 0, maxLong),
  'segment.ms': integer('604800000', 1, maxLong),
  'unclean.leader.election.enable': oneOf('false', ['true', 'false']),
}

/** Throws INVALID_CONFIG that names the setting, the value met and what is allowed. */
export function checkConfig(config: TopicConfig): void {
  for (const [name, value] of Object.entries(config)) {
    const problem = ruleOf(name).check(value)
    if (problem !== undefined) {
      throw new GatewayError('INVALID_CONFIG', `'${name}' cannot be '${shown(value)}': ${problem}.`)
    }
  }
  const least = valueOf(config, 'min.compaction.lag.ms')
  const most = valueOf(config, 'max.compaction.lag.ms')
  if (BigInt(least) > BigInt(most)) {
    throw new GatewayError(
      'INVALID_CONFIG',
      `'min.compaction.lag.ms' (${least}) cannot be above 'max.compaction.lag.ms' (${most}).`,
    )
  }
}

/** The configuration after `changes`. Throws INVALID_CONFIG. */
export function changedConfig(config: TopicConfig, changes: readonly ConfigChange[]): TopicConfig {
  const changed: Record<string, string> = { ...config }
  for (const change of changes) {
    const rule = ruleOf(change.name)
    if (change.op === 'delete') {
      delete changed[change.name]
      continue
    }
    const { value } = change
    if (value === undefined) {
      throw new GatewayError('INVALID_CONFIG', `'${change.name}' needs a value for '${change.op}'.`)
    }
    if (change.op === 'set') changed[change.name] = value
    else
      changed[change.name] = changedList(change.name, rule, changed[change.name], change.op, value)
  }
  checkConfig(changed)
  return changed
}

/** All settings of a topic with their sources, by name. */
export function configEntries(config: TopicConfig): ConfigEntry[] {
  return Object.entries(rules).map(([name, { fallback }]) => ({
    name,
    value: config[name] ?? fallback,
    fallback,
    source: config[name] === undefined ? 'default' : 'topic',
    readOnly: false,
    sensitive: false,
  }))
}

/** What the partitions of a topic obey. */
export function settingsOf(config: TopicConfig): PartitionSettings {
  const number = (name: string): number => Number(valueOf(config, name))
  const logAppendTime = valueOf(config, 'message.timestamp.type') === 'LogAppendTime'
  const compaction = compactionOf(config)
  return {
    segmentBytes: number('segment.bytes'),
    // What is appended to is never compacted, so it may not wait longer for its roll.
    segmentMs: Math.min(number('segment.ms'), compaction?.lagMsMax ?? Infinity),
    segmentJitterMs: number('segment.jitter.ms'),
    segmentIndexBytes: number('segment.index.bytes'),
    indexIntervalBytes: number('index.interval.bytes'),
    messageBytesMax: number('max.message.bytes'),
    logAppendTime,
    fileDeleteDelayMs: number('file.delete.delay.ms'),
    hasDelete: splitList(valueOf(config, 'cleanup.policy')).includes('delete'),
    retentionMs: number('retention.ms'),
    retentionBytes: number('retention.bytes'),
    // What a client thinks the time is means nothing where the log sets it.
    timestampBeforeMsMax: logAppendTime ? Infinity : number('message.timestamp.before.max.ms'),
    timestampAfterMsMax: logAppendTime ? Infinity : number('message.timestamp.after.max.ms'),
    compaction,
  }
}

/** Undefined where the policy is `delete` alone. */
function compactionOf(config: TopicConfig): CompactionSettings | undefined {
  if (!splitList(valueOf(config, 'cleanup.policy')).includes('compact')) return undefined
  const number = (name: string): number => Number(valueOf(config, name))
  return {
    dirtyRatioMin: number('min.cleanable.dirty.ratio'),
    lagMsMin: number('min.compaction.lag.ms'),
    lagMsMax: number('max.compaction.lag.ms'),
    deleteRetentionMs: number('delete.retention.ms'),
  }
}

/** How batches that the gateway builds are compressed; undefined when they stay as they are. */
export function compressionOf(config: TopicConfig): BatchCompression | undefined {
  const type = valueOf(config, 'compression.type')
  switch (type) {
    case 'gzip':
    case 'zstd':
      return { codec: type, level: Number(valueOf(config, `compression.${type}.level`)) }
    case 'snappy':
    case 'lz4':
      return { codec: type }
    default:
      // `producer`: its batches are as it made them, and the gateway makes none of its own accord.
      return undefined
  }
}

function valueOf(config: TopicConfig, name: string): string {
  return config[name] ?? rules[name]!.fallback
}

function ruleOf(name: string): Rule {
  const rule = Object.hasOwn(rules, name) ? rules[name] : undefined
  if (rule !== undefined) return rule
  const meant = nearest(name, Object.keys(rules))
  throw new GatewayError(
    'INVALID_CONFIG',
    `'${shown(name)}' is no topic setting.` +
      (meant === undefined ? ' docs/config.md lists them all.' : ` Did you mean '${meant}'?`),
  )
}

function changedList(
  name: string,
  rule: Rule,
  present: string | undefined,
  op: 'append' | 'subtract',
  value: string,
): string {
  if (rule.isList !== true) {
    throw new GatewayError('INVALID_CONFIG', `'${name}' is no list, so '${op}' cannot change it.`)
  }
  const before = splitList(present ?? rule.fallback)
  const given = splitList(value)
  const after =
    op === 'subtract'
      ? before.filter((word) => !given.includes(word))
      : [...before, ...given.filter((word) => !before.includes(word))]
  return after.join(',')
}

function integer(fallback: string, min: number, max: number | bigint): Rule {
  return {
    fallback,
    check: (value) => {
      const isGood = /^-?\d{1,19}$/.test(value) && BigInt(value) >= min && BigInt(value) <= max
      return isGood ? undefined : `it must be a whole number from ${min} to ${max}`
    },
  }
}

/** Kafka's range: zlib's 0, which stores, is none of it. */
function isGzipLevel(value: string): string | undefined {
  return /^(-1|[1-9])$/.test(value) ? undefined : 'it must be -1 or a whole number from 1 to 9'
}

function isCompressionType(value: string): string | undefined {
  const packed: readonly string[] = usableCodecs().filter((codec) => codec !== 'none')
  if (packed.includes(value)) return undefined
  if (value === 'snappy' || value === 'lz4') return 'its package is not installed here'
  return oneOf('', ['producer', 'uncompressed', ...packed]).check(value)
}

function oneOf(fallback: string, words: readonly string[]): Rule {
  return {
    fallback,
    check: (value) => (words.includes(value) ? undefined : `it must be ${words.join(' or ')}`),
  }
}

/** A comma-separated list; `words` undefined: anything, as for replica lists that mean nothing here. */
function list(fallback: string, words: readonly string[] | undefined): Rule {
  return {
    fallback,
    isList: true,
    check: (value) => {
      if (words === undefined) return value.length <= 1000 ? undefined : 'it is too long'
      const given = splitList(value)
      const isGood = given.length > 0 && given.every((word) => words.includes(word))
      return isGood ? undefined : `it must be a list of ${words.join(' and ')}`
    },
  }
}

function isRatio(value: string): string | undefined {
  const number = Number(value)
  const isGood = /^\d+(\.\d+)?$/.test(value) && number >= 0 && number <= 1
  return isGood ? undefined : 'it must be a number from 0 to 1'
}

function splitList(value: string): string[] {
  return value
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '')
}

function shown(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}
