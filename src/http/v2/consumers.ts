/** Consumer instances by the v2 contract. */
import type { CommittedOffset, Consumers, InstanceOptions, Seek } from '../../consume/consumers.ts'
import type { components, operations } from '../../contract/v2.ts'
import type { Answer, Handlers } from '../../contract/operations.ts'
import { ByteSink } from '../../kit/byte-sink.ts'
import type { Logger } from '../../kit/logger.ts'
import { GatewayError } from '../../model/errors.ts'
import { waitMsMax } from '../../model/limits.ts'
import type { TopicPartition } from '../../model/topic.ts'
import { acceptedTypes } from '../exchange/accept.ts'
import type { CallContext } from '../exchange/call.ts'
import type { Dialect } from './dialects.ts'
import { V2Error } from './errors.ts'
import { readType } from './media-types.ts'
import type { Included, V2Format } from './wire.ts'
import {
  toBoolean,
  toInteger,
  toSeeks,
  toTopicPartitions,
  isSchemaFormat,
  needsRegistry,
  v2Formats,
  writeConsumed,
} from './wire.ts'

export interface ConsumerParts {
  readonly consumers: Consumers
  readonly logger: Logger
  readonly dialect: Dialect
}

type ConsumerOperations =
  | 'createConsumer'
  | 'deleteConsumer'
  | 'subscribe'
  | 'getSubscription'
  | 'unsubscribe'
  | 'assign'
  | 'getAssignments'
  | 'seek'
  | 'seekToBeginning'
  | 'seekToEnd'
  | 'consumeRecords'
  | 'commitOffsets'
  | 'getCommittedOffsets'

type NewInstance = NonNullable<components['schemas']['NewInstance']>
type ConsumeReply = Answer<operations['consumeRecords']>

/** An instance that nobody asks anything of lives this long, ms; clients of the contract count on it. */
const instanceTtlMs = 300_000
/** The contract's range of `fetch.min.bytes`. */
const minBytesRange = { min: -1, max: 10_000_000 }

export function consumerHandlers(
  parts: ConsumerParts,
): Pick<Handlers<operations, CallContext>, ConsumerOperations> {
  const { consumers, dialect } = parts
  return {
    async createConsumer({ principal, params: { group }, body, baseUrl }) {
      const { name } = await consumers.create(principal, group, toOptions(body ?? {}, dialect))
      const path = `/consumers/${encodeURIComponent(group)}/instances/${encodeURIComponent(name)}`
      return { status: 200, body: { instance_id: name, base_uri: `${baseUrl}${path}` } }
    },

    async deleteConsumer({ principal, params: { group, instance } }) {
      await consumers.delete(principal, group, instance)
      return { status: 204 }
    },

    async subscribe({ principal, params: { group, instance }, body }) {
      const { topics, topic_pattern: pattern } = body
      if (topics !== undefined && topics !== null) {
        // As in the original, a subscription to nothing is none.
        if (topics.length === 0) await consumers.unsubscribe(principal, group, instance)
        else await consumers.subscribe(principal, group, instance, { topics })
      } else if (pattern !== undefined && pattern !== null) {
        await subscribeToPattern(consumers, principal, group, instance, pattern)
      } else {
        throw new GatewayError('INVALID_REQUEST', 'A subscription needs topics or topic_pattern.')
      }
      return { status: 204 }
    },

    async getSubscription({ principal, params: { group, instance } }) {
      const topics = await consumers.subscription(principal, group, instance)
      return { status: 200, body: { topics: [...topics] } }
    },

    async unsubscribe({ principal, params: { group, instance } }) {
      await consumers.unsubscribe(principal, group, instance)
      return { status: 204 }
    },

    async assign({ principal, params: { group, instance }, body }) {
      await consumers.assign(principal, group, instance, toTopicPartitions(body))
      return { status: 204 }
    },

    async getAssignments({ principal, params: { group, instance } }) {
      const partitions = await consumers.assignment(principal, group, instance)
      return { status: 200, body: { partitions } }
    },

    async seek({ principal, params: { group, instance }, body }) {
      await consumers.seek(principal, group, instance, toSeeks(body))
      return { status: 204 }
    },

    async seekToBeginning({ principal, params: { group, instance }, body }) {
      const seeks = toTopicPartitions(body).map((tp): Seek => ({ tp, to: 'earliest' }))
      await consumers.seek(principal, group, instance, seeks)
      return { status: 204 }
    },

    async seekToEnd({ principal, params: { group, instance }, body }) {
      const seeks = toTopicPartitions(body).map((tp): Seek => ({ tp, to: 'latest' }))
      await consumers.seek(principal, group, instance, seeks)
      return { status: 204 }
    },

    consumeRecords(call) {
      return consume(parts, call, call.params, call.query)
    },

    async commitOffsets({ principal, params: { group, instance }, body }) {
      const offsets = toCommits(body ?? {}, dialect)
      await consumers.commit(principal, group, instance, offsets)
      return dialect.commit.status === 200 ? { status: 200, body: [] } : { status: 204 }
    },

    async getCommittedOffsets({ principal, params: { group, instance }, body }) {
      if (body === undefined) {
        throw new GatewayError('UNKNOWN_PARTITION', 'The body names no partitions.')
      }
      const tps = toTopicPartitions(body)
      const committed = await consumers.committed(principal, group, instance, tps)
      return { status: 200, body: { offsets: toCommitted(tps, committed, dialect.uncommitted) } }
    },
  }
}

function toOptions(body: NewInstance, dialect: Dialect): InstanceOptions {
  checkSettings(body, dialect)
  const name = body.id ?? body.name ?? undefined
  const autoCommit = body[dialect.autoCommit.field] ?? dialect.autoCommit.default
  return {
    surface: 'v2',
    format: toFormat(body.format ?? 'binary'),
    reset: toReset(body['auto.offset.reset'] ?? dialect.reset.default),
    autoCommit: toBoolean(autoCommit),
    minBytes: toMinBytes(body['fetch.min.bytes'] ?? body.responseMinBytes ?? undefined),
    waitMs: toWaitMs(body['consumer.request.timeout.ms'] ?? body.requestWaitMs, dialect.waitMs),
    ttlMs: instanceTtlMs,
    ...(name === undefined ? {} : { name }),
  }
}

/** What the contract leaves to dialects: whose fields these are, how scalars are spelt, what is fixed. */
function checkSettings(body: NewInstance, { name, autoCommit, reset, scalars }: Dialect): void {
  for (const [field, value] of Object.entries(body)) {
    const isCommit = field === 'auto.commit.enable' || field === 'enable.auto.commit'
    const isForeign = isCommit ? field !== autoCommit.field : field === 'isolation.level'
    if (isForeign && !(field === 'isolation.level' && name === 'strimzi')) {
      throw new GatewayError('INVALID_REQUEST', `Unrecognized field: ${field}`)
    }
    if (scalars === 'strings' && typeof value !== 'string' && value !== null) {
      throw new GatewayError('INVALID_REQUEST', `${field} must be a string.`)
    }
  }
  const wished = body[autoCommit.field]
  const isOther = typeof wished === 'boolean' || typeof wished === 'string'
  if (autoCommit.isFixed && isOther && toBoolean(wished) !== autoCommit.default) {
    throw fixed(autoCommit.field, String(autoCommit.default))
  }
  const place = body['auto.offset.reset'] ?? reset.default
  if (reset.isFixed && place !== reset.default) throw fixed('auto.offset.reset', reset.default)
}

function fixed(field: string, value: string): V2Error {
  const message = `Invalid consumer configuration: ${field} must be ${value}.`
  return new V2Error('INVALID_REQUEST', 42204, message)
}

type CommitBody = NonNullable<components['schemas']['Commit']>

/** Undefined: what was delivered. */
function toCommits(body: CommitBody, { commit }: Dialect): CommittedOffset[] | undefined {
  const other = commit.field === 'offsets' ? 'partitions' : 'offsets'
  if (other in body) throw new GatewayError('INVALID_REQUEST', `Unrecognized field: ${other}`)
  return body[commit.field]?.map(({ topic, partition, offset, metadata }, index) => {
    const at = `${commit.field}[${index}]`
    return {
      tp: { topic, partition: toInteger(partition, `${at}.partition`) },
      // What is kept is where to go on.
      offset: toInteger(toInteger(offset, `${at}.offset`) + commit.adds, 'The next offset'),
      ...(metadata === undefined || metadata === null ? {} : { metadata }),
    }
  })
}

function toCommitted(
  asked: readonly TopicPartition[],
  found: readonly CommittedOffset[],
  uncommitted: number | undefined,
): components['schemas']['CommittedOffset'][] {
  const known = found.map(({ tp, offset, metadata }) => {
    return { topic: tp.topic, partition: tp.partition, offset, metadata: metadata ?? '' }
  })
  if (uncommitted === undefined) return known
  return asked.map(({ topic, partition }) => {
    const one = known.find((each) => each.topic === topic && each.partition === partition)
    return one ?? { topic, partition, offset: uncommitted, metadata: '' }
  })
}

function toFormat(word: string): V2Format {
  const format = word.toLowerCase()
  const known = v2Formats.find((each) => each === format)
  if (known !== undefined) return known
  if (isSchemaFormat(format)) {
    throw needsRegistry(format)
  }
  throw new GatewayError('INVALID_REQUEST', 'Invalid format type.')
}

function toReset(word: string): InstanceOptions['reset'] {
  if (word === 'earliest' || word === 'latest' || word === 'none') return word
  throw new V2Error(
    'INVALID_REQUEST',
    42204,
    'Invalid consumer configuration: auto.offset.reset must be one of earliest, latest, none.',
  )
}

/** Without a number an answer comes as soon as there is data; one that a client sets is honoured. */
function toMinBytes(value: number | string | undefined): number {
  if (value === undefined) return 1
  const bytes = toInteger(value, 'fetch.min.bytes')
  if (bytes >= minBytesRange.min && bytes <= minBytesRange.max) return bytes
  throw new V2Error(
    'INVALID_REQUEST',
    40001,
    `Invalid consumer configuration. It does not abide by the constraints: fetch.min.bytes must be between ${minBytesRange.min} and ${minBytesRange.max}, but is ${bytes}.`,
  )
}

/** It is the longest wait, so a longer one than we grant is granted in part. */
function toWaitMs(value: number | string | null | undefined, pollWaitMs: number): number {
  if (value === undefined || value === null) return pollWaitMs
  const waitMs = toInteger(value, 'consumer.request.timeout.ms')
  return waitMs <= 0 ? pollWaitMs : Math.min(waitMs, waitMsMax)
}

/** Patterns outside the RE2 subset have a code of their own in the contract. */
async function subscribeToPattern(
  consumers: Consumers,
  principal: CallContext['principal'],
  group: string,
  instance: string,
  pattern: string,
): Promise<void> {
  try {
    await consumers.subscribe(principal, group, instance, { pattern })
  } catch (error) {
    if (!(error instanceof GatewayError) || error.code !== 'INVALID_REQUEST') throw error
    const message = `Invalid consumer configuration: ${error.message}`
    throw new V2Error('INVALID_REQUEST', 42204, message)
  }
}

interface InstancePath {
  readonly group: string
  readonly instance: string
}

interface ConsumeQuery {
  readonly timeout?: number
  readonly max_bytes?: number
  readonly include?: string
  readonly cursor?: string
}

async function consume(
  { consumers, logger, dialect }: ConsumerParts,
  call: CallContext,
  { group, instance }: InstancePath,
  query: ConsumeQuery,
): Promise<ConsumeReply> {
  const session = await consumers.find(call.principal, group, instance)
  const format = session.format as V2Format
  const contentType = negotiate(call.headers.accept, format, dialect)
  const poll = await consumers.poll(call.principal, group, instance, {
    signal: call.signal,
    ...(query.timeout === undefined ? {} : { waitMs: query.timeout }),
    ...(query.max_bytes === undefined ? {} : { bytesMax: query.max_bytes }),
    ...(query.cursor === undefined ? {} : { cursor: query.cursor }),
  })
  try {
    const { bytes, count } = writeConsumedRecords(
      poll.records,
      format,
      toIncluded(query.include, dialect),
    )
    // Positions move when the kernel has the whole answer; one that was cut is sent again.
    call.onWritten((whole) => {
      if (!whole) {
        poll.dropped()
        return
      }
      poll.delivered(count).catch((error: unknown) => {
        const { requestId } = call
        logger.error(
          { requestId, error },
          'A position could not be moved; the records will come again.',
        )
      })
    })
    const cursor = poll.cursorAfter(count)
    const headers = cursor === undefined ? {} : { 'ebbgate-cursor': cursor }
    return { status: 200, headers, written: { contentType, bytes } }
  } catch (error) {
    poll.dropped()
    throw error
  }
}

/** Ends before a record that the format cannot show; if that is the first one, it is named. */
function writeConsumedRecords(
  records: Awaited<ReturnType<Consumers['poll']>>['records'],
  format: V2Format,
  included: Included,
): { bytes: Buffer; count: number } {
  const sink = new ByteSink()
  sink.text('[')
  let count = 0
  for (const record of records) {
    const length = sink.length
    if (count > 0) sink.text(',')
    if (!writeConsumed(sink, record, format, included)) {
      if (count === 0) throw unshowable(record)
      sink.truncate(length)
      break
    }
    count++
  }
  return { bytes: sink.text(']').take(), count }
}

function unshowable({
  topic,
  partition,
  offset,
}: {
  readonly topic: string
  readonly partition: number
  readonly offset: number
}): V2Error {
  return new V2Error(
    'FORMAT_MISMATCH',
    40801,
    `The record at offset ${offset} of partition ${partition} of topic '${topic}' is not JSON. To go on behind it, move the position or commit that offset; a binary instance can read it.`,
    { 'ebbgate-skip-to': `${topic}/${partition}/${offset + 1}` },
  )
}

function toIncluded(words: string | undefined, { shown }: Dialect): Included {
  if (words === undefined) return shown
  const named = words.split(',')
  return {
    headers: shown.headers || named.includes('headers'),
    timestamp: shown.timestamp || named.includes('timestamp'),
  }
}

/**
 * The content type of the records. An embedded type names a format; the plain ones mean binary; what
 * takes anything gets the instance's own.
 */
function negotiate(accept: string | undefined, format: V2Format, dialect: Dialect): string {
  const own = `application/vnd.kafka.${format}.v2+json`
  const types = acceptedTypes(accept ?? '')
  if (types.length === 0) return own
  for (const each of types) {
    const type = readType(each, dialect)
    if (type === own || type === '*/*' || type === 'application/*') return own
    if (format === 'binary' && type === 'application/json') return type
    if (format === 'binary' && type === 'application/vnd.kafka.v2+json') return own
  }
  throw new V2Error(
    'NOT_ACCEPTABLE',
    40601,
    'The requested embedded data format does not match the deserializer for this consumer instance',
  )
}
