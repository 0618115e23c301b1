/** Consumer instances by the v2 contract. */
import type { Consumers, InstanceOptions, Seek } from '../../consume/consumers.ts'
import type { components, operations } from '../../contract/v2.ts'
import type { Answer, Handlers } from '../../contract/operations.ts'
import { ByteSink } from '../../kit/byte-sink.ts'
import type { Logger } from '../../kit/logger.ts'
import { GatewayError } from '../../model/errors.ts'
import { waitMsMax } from '../../model/limits.ts'
import { acceptedTypes } from '../exchange/accept.ts'
import type { CallContext } from '../exchange/call.ts'
import { V2Error } from './errors.ts'
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
/** Longest wait of a poll where the instance names none, ms. */
const pollWaitMs = 1000
/** The contract's range of `fetch.min.bytes`. */
const minBytesRange = { min: -1, max: 10_000_000 }

export function consumerHandlers(
  parts: ConsumerParts,
): Pick<Handlers<operations, CallContext>, ConsumerOperations> {
  const { consumers } = parts
  return {
    async createConsumer({ principal, params: { group }, body, baseUrl }) {
      const { name } = await consumers.create(principal, group, toOptions(body ?? {}))
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
      const offsets = body?.offsets?.map(({ topic, partition, offset, metadata }, index) => ({
        tp: { topic, partition: toInteger(partition, `offsets[${index}].partition`) },
        // Clients send the last record they are done with; what is kept is where to go on.
        offset: toInteger(toInteger(offset, `offsets[${index}].offset`) + 1, 'The next offset'),
        ...(metadata === undefined || metadata === null ? {} : { metadata }),
      }))
      await consumers.commit(principal, group, instance, offsets)
      return { status: 200, body: [] }
    },

    async getCommittedOffsets({ principal, params: { group, instance }, body }) {
      if (body === undefined) {
        throw new GatewayError('UNKNOWN_PARTITION', 'The body names no partitions.')
      }
      const tps = toTopicPartitions(body)
      const committed = await consumers.committed(principal, group, instance, tps)
      const offsets = committed.map(({ tp, offset, metadata }) => {
        return { topic: tp.topic, partition: tp.partition, offset, metadata: metadata ?? '' }
      })
      return { status: 200, body: { offsets } }
    },
  }
}

function toOptions(body: NewInstance): InstanceOptions {
  const name = body.id ?? body.name ?? undefined
  const autoCommit = body['auto.commit.enable'] ?? true
  return {
    surface: 'v2',
    format: toFormat(body.format ?? 'binary'),
    reset: toReset(body['auto.offset.reset'] ?? 'latest'),
    autoCommit: toBoolean(autoCommit),
    minBytes: toMinBytes(body['fetch.min.bytes'] ?? body.responseMinBytes ?? undefined),
    waitMs: toWaitMs(body['consumer.request.timeout.ms'] ?? body.requestWaitMs ?? undefined),
    ttlMs: instanceTtlMs,
    ...(name === undefined ? {} : { name }),
  }
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
function toWaitMs(value: number | string | undefined): number {
  if (value === undefined) return pollWaitMs
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
  { consumers, logger }: ConsumerParts,
  call: CallContext,
  { group, instance }: InstancePath,
  query: ConsumeQuery,
): Promise<ConsumeReply> {
  const session = await consumers.find(call.principal, group, instance)
  const format = session.format as V2Format
  const contentType = negotiate(call.headers.accept, format)
  const poll = await consumers.poll(call.principal, group, instance, {
    signal: call.signal,
    ...(query.timeout === undefined ? {} : { waitMs: query.timeout }),
    ...(query.max_bytes === undefined ? {} : { bytesMax: query.max_bytes }),
    ...(query.cursor === undefined ? {} : { cursor: query.cursor }),
  })
  try {
    const { bytes, count } = writeConsumedRecords(poll.records, format, toIncluded(query.include))
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

function toIncluded(words: string | undefined): Included {
  const named = words?.split(',') ?? []
  return { headers: named.includes('headers'), timestamp: named.includes('timestamp') }
}

/**
 * The content type of the records. An embedded type names a format; the plain ones mean binary; what
 * takes anything gets the instance's own.
 */
function negotiate(accept: string | undefined, format: V2Format): string {
  const own = `application/vnd.kafka.${format}.v2+json`
  const types = acceptedTypes(accept ?? '')
  if (types.length === 0) return own
  for (const type of types) {
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
