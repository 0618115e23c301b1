/** Partitions, their offsets, copies and moves by the v3 contract. */
import type { TopicAdmin } from '../../admin/topics.ts'
import type { Handlers } from '../../contract/operations.ts'
import type { components, operations } from '../../contract/v3.ts'
import { GatewayError } from '../../model/errors.ts'
import type { CallContext } from '../exchange/call.ts'
import type { Frame, FrameParts } from './frame.ts'
import { frameOf } from './frame.ts'

export interface PartitionParts extends FrameParts {
  readonly topics: TopicAdmin
}

type Schemas = components['schemas']
type Topic = Awaited<ReturnType<TopicAdmin['find']>>
type Partition = Topic['partitions'][number]
type Replica = Partition['replicas'][number]

type Operations =
  | 'listPartitions'
  | 'getPartition'
  | 'getPartitionOffsets'
  | 'listReplicas'
  | 'getReplica'
  | 'getReassignment'
  | 'listTopicReassignments'
  | 'listReassignments'

const onlyOffsetType = 'earliest_and_latest'

export function partitionHandlers(
  parts: PartitionParts,
): Pick<Handlers<operations, CallContext>, Operations> {
  const { topics } = parts
  return {
    async listPartitions(call) {
      const frame = await frameOf(parts, call)
      const { name, partitions } = await topics.find(call.principal, call.params.topic_name)
      const data = partitions.map((partition) => toPartition(frame, name, partition))
      const path = ['topics', name, 'partitions']
      return { status: 200, body: frame.list('KafkaPartitionList', path, data) }
    },

    async getPartition(call) {
      const frame = await frameOf(parts, call)
      const { topic_name: name, partition_id: id } = call.params
      const partition = partitionOf(await topics.find(call.principal, name), id)
      return { status: 200, body: toPartition(frame, name, partition) }
    },

    async getPartitionOffsets(call) {
      const frame = await frameOf(parts, call)
      const { topic_name: name, partition_id: id } = call.params
      const { offset_type: type = onlyOffsetType } = call.query
      if (type !== onlyOffsetType) {
        throw new GatewayError('BAD_REQUEST', `offset_type can be ${onlyOffsetType} alone.`)
      }
      const { start, end } = await topics.partitionEnds(call.principal, name, id)
      const path = ['topics', name, 'partitions', id, 'offset']
      const framed = frame.resource('KafkaPartitionWithOffsets', path, [
        ['topic', name],
        ['partition', id],
        ['offset_type', type],
      ])
      const { metadata } = framed
      return {
        status: 200,
        body: {
          ...framed,
          metadata: { ...metadata, self: `${metadata.self}?offset_type=${type}` },
          cluster_id: frame.clusterId,
          topic_name: name,
          partition_id: id,
          earliest_offset: start,
          latest_offset: end,
        },
      }
    },

    async listReplicas(call) {
      const frame = await frameOf(parts, call)
      const { topic_name: name, partition_id: id } = call.params
      const partition = partitionOf(await topics.find(call.principal, name), id)
      const data = partition.replicas.map((replica) => toReplica(frame, name, partition, replica))
      const path = ['topics', name, 'partitions', id, 'replicas']
      return { status: 200, body: frame.list('KafkaReplicaList', path, data) }
    },

    async getReplica(call) {
      const frame = await frameOf(parts, call)
      const { topic_name: name, partition_id: id, broker_id: broker } = call.params
      const partition = partitionOf(await topics.find(call.principal, name), id)
      const replica = partition.replicas.find(({ node }) => node === broker)
      if (replica === undefined) {
        throw new GatewayError('NOT_FOUND', `Replica ${broker} of the partition cannot be found.`)
      }
      return { status: 200, body: toReplica(frame, name, partition, replica) }
    },

    async getReassignment(call) {
      await frameOf(parts, call)
      const { topic_name: name, partition_id: id } = call.params
      partitionOf(await topics.find(call.principal, name), id)
      throw new GatewayError('NOT_FOUND', `Partition ${id} of topic '${name}' is not moving.`)
    },

    async listTopicReassignments(call) {
      const frame = await frameOf(parts, call)
      const { name } = await topics.find(call.principal, call.params.topic_name)
      const path = ['topics', name, 'partitions', '-', 'reassignment']
      return { status: 200, body: frame.list('KafkaReassignmentList', path, []) }
    },

    async listReassignments(call) {
      const frame = await frameOf(parts, call)
      const path = ['topics', '-', 'partitions', '-', 'reassignment']
      return { status: 200, body: frame.list('KafkaReassignmentList', path, []) }
    },
  }
}

/** Throws UNKNOWN_PARTITION. */
function partitionOf({ name, partitions }: Topic, wanted: number): Partition {
  const found = partitions.find(({ id }) => id === wanted)
  if (found !== undefined) return found
  throw new GatewayError('UNKNOWN_PARTITION', `Topic '${name}' has no partition ${wanted}.`)
}

function toPartition(
  frame: Frame,
  topic: string,
  { id, leader }: Partition,
): Schemas['KafkaPartition'] {
  const path = ['topics', topic, 'partitions', id]
  return {
    ...frame.resource('KafkaPartition', path, [
      ['topic', topic],
      ['partition', id],
    ]),
    cluster_id: frame.clusterId,
    topic_name: topic,
    partition_id: id,
    ...(leader === undefined ? {} : { leader: frame.related(...path, 'replicas', leader) }),
    replicas: frame.related(...path, 'replicas'),
    reassignment: frame.related(...path, 'reassignment'),
  }
}

export function toReplica(
  frame: Frame,
  topic: string,
  { id, leader }: Partition,
  { node, inSync }: Replica,
): Schemas['KafkaReplica'] {
  return {
    ...frame.resource(
      'KafkaReplica',
      ['topics', topic, 'partitions', id, 'replicas', node],
      [
        ['topic', topic],
        ['partition', id],
        ['replica', node],
      ],
    ),
    cluster_id: frame.clusterId,
    topic_name: topic,
    partition_id: id,
    broker_id: node,
    is_leader: node === leader,
    is_in_sync: inSync,
    broker: frame.related('brokers', node),
  }
}
