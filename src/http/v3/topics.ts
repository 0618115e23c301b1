/** Topics by the v3 contract. */
import type { TopicAdmin } from '../../admin/topics.ts'
import type { Handlers } from '../../contract/operations.ts'
import type { components, operations } from '../../contract/v3.ts'
import { GatewayError } from '../../model/errors.ts'
import { isTopicName } from '../../model/topic.ts'
import type { CallContext } from '../exchange/call.ts'
import { payloadError } from './errors.ts'
import type { Frame, FrameParts } from './frame.ts'
import { frameOf } from './frame.ts'

export interface TopicParts extends FrameParts {
  readonly topics: TopicAdmin
}

type Schemas = components['schemas']
type Operations = 'listTopics' | 'createTopic' | 'getTopic' | 'updatePartitionCount' | 'deleteTopic'

interface Counts {
  readonly name: string
  readonly partitionsCount: number
  readonly replicationFactor: number
}

/** What Kafka lets be done with a topic, all of it: the gateway has no lists of rights yet. */
const allOperations: Schemas['AclOperation'][] = [
  'ALTER',
  'ALTER_CONFIGS',
  'CREATE',
  'DELETE',
  'DESCRIBE',
  'DESCRIBE_CONFIGS',
  'READ',
  'WRITE',
]

export function topicHandlers(
  parts: TopicParts,
): Pick<Handlers<operations, CallContext>, Operations> {
  const { topics, cluster } = parts
  return {
    async listTopics(call) {
      const frame = await frameOf(parts, call)
      const { includeAuthorizedOperations: wantsOperations } = call.query
      const data = (await topics.all(call.principal)).map((topic) =>
        toTopic(frame, countsOf(topic), wantsOperations),
      )
      return { status: 200, body: frame.list('KafkaTopicList', ['topics'], data) }
    },

    async createTopic(call) {
      const frame = await frameOf(parts, call)
      const wish = toWish(call.body)
      if (call.body.replicas_assignments) {
        const { nodes } = await cluster.describe(call.principal)
        checkPlaces(call.body.replicas_assignments, nodes)
      }
      const counts = {
        name: wish.name,
        partitionsCount: wish.partitions,
        replicationFactor: wish.replicationFactor,
      }
      if (call.body.validate_only === true) {
        await topics.checkCreate(call.principal, wish)
        return { status: 200, body: toTopic(frame, counts) }
      }
      await topics.create(call.principal, wish)
      const body = toTopic(frame, counts)
      return { status: 201, headers: { location: body.metadata.self }, body }
    },

    async getTopic(call) {
      const frame = await frameOf(parts, call)
      const topic = await topics.find(call.principal, call.params.topic_name)
      const { includeAuthorizedOperations: wantsOperations } = call.query
      return { status: 200, body: toTopic(frame, countsOf(topic), wantsOperations) }
    },

    async updatePartitionCount(call) {
      const frame = await frameOf(parts, call)
      const { topic_name: name } = call.params
      const change = { partitions: call.body.partitions_count, validateOnly: false }
      await topics.alter(call.principal, name, change)
      const topic = await topics.find(call.principal, name)
      return { status: 200, body: toTopic(frame, countsOf(topic)) }
    },

    async deleteTopic(call) {
      await frameOf(parts, call)
      await topics.delete(call.principal, call.params.topic_name)
      return { status: 204 }
    },
  }
}

/** Throws INVALID_REQUEST for a name that no topic can have and for contradictions. */
function toWish({
  topic_name: name,
  partitions_count: partitionsCount,
  replication_factor: replicationFactor,
  replicas_assignments: assignments,
  configs,
}: Schemas['NewTopic']): {
  name: string
  partitions: number
  replicationFactor: number
  configs: Record<string, string>
  ifNotExists: false
} {
  if (!isTopicName(name)) {
    throw new GatewayError('INVALID_REQUEST', `${payloadError}Invalid topic name.`)
  }
  const settings: Record<string, string> = {}
  for (const { name: setting, value } of configs ?? []) {
    // Null is the default, as in a change of settings.
    if (value !== null && value !== undefined) settings[setting] = value
  }
  const placed = assignedCounts(assignments)
  if (placed !== undefined && (partitionsCount ?? replicationFactor ?? null) !== null) {
    throw new GatewayError(
      'INVALID_REQUEST',
      `${payloadError}replicas_assignments stands in the place of partitions_count and replication_factor.`,
    )
  }
  return {
    name,
    partitions: placed?.partitions ?? partitionsCount ?? 1,
    replicationFactor: placed?.replicas ?? replicationFactor ?? 1,
    configs: settings,
    ifNotExists: false,
  }
}

/** Throws INVALID_CONFIG for brokers that are not there, UNSUPPORTED where there is a choice of them. */
function checkPlaces(
  assignments: NonNullable<Schemas['NewTopic']['replicas_assignments']>,
  nodes: readonly { readonly id: number }[],
): void {
  const known = nodes.map(({ id }) => id)
  const missing = Object.values(assignments)
    .flat()
    .find((broker) => !known.includes(broker))
  if (missing !== undefined) {
    throw new GatewayError('INVALID_CONFIG', `Broker ${missing} does not exist.`)
  }
  if (known.length > 1) {
    throw new GatewayError('UNSUPPORTED', 'The engine places the copies of partitions by itself.')
  }
}

/** Every partition from 0 on needs its brokers. */
function assignedCounts(
  assignments: Schemas['NewTopic']['replicas_assignments'],
): { partitions: number; replicas: number } | undefined {
  if (assignments === null || assignments === undefined) return undefined
  const partitions = Object.keys(assignments)
  const brokers = Object.values(assignments)
  const replicas = brokers[0]?.length ?? 0
  const isWhole =
    partitions.length > 0 &&
    partitions.every((_, partition) => assignments[partition]?.length === replicas)
  if (!isWhole) {
    throw new GatewayError(
      'INVALID_REQUEST',
      `${payloadError}replicas_assignments names the partitions from 0 on, each with the same number of brokers.`,
    )
  }
  return { partitions: partitions.length, replicas }
}

function countsOf({ name, partitions }: Awaited<ReturnType<TopicAdmin['find']>>): Counts {
  return {
    name,
    partitionsCount: partitions.length,
    replicationFactor: Math.max(1, partitions[0]?.replicas.length ?? 1),
  }
}

function toTopic(
  frame: Frame,
  { name, partitionsCount, replicationFactor }: Counts,
  wantsOperations = false,
): Schemas['KafkaTopic'] {
  const path = ['topics', name]
  return {
    ...frame.resource('KafkaTopic', path, [['topic', name]]),
    cluster_id: frame.clusterId,
    topic_name: name,
    is_internal: false,
    replication_factor: replicationFactor,
    partitions_count: partitionsCount,
    partitions: frame.related(...path, 'partitions'),
    configs: frame.related(...path, 'configs'),
    partition_reassignments: frame.related(...path, 'partitions', '-', 'reassignment'),
    ...(wantsOperations ? { authorized_operations: allOperations } : {}),
  }
}
