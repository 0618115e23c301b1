/** Brokers, topics and partitions as v2 shows them. */
import type { TopicAdmin, TopicFacts } from '../../admin/topics.ts'
import type { components, operations } from '../../contract/v2.ts'
import type { Handlers } from '../../contract/operations.ts'
import type { PartitionFacts } from '../../admin/topics.ts'
import { GatewayError } from '../../model/errors.ts'
import type { CallContext } from '../exchange/call.ts'

type MetadataOperations =
  | 'getRoot'
  | 'postRoot'
  | 'listBrokers'
  | 'listTopics'
  | 'getTopic'
  | 'listPartitions'
  | 'getPartition'
  | 'getPartitionOffsets'

type Partition = components['schemas']['Partition']

export function metadataHandlers(
  topics: TopicAdmin,
): Pick<Handlers<operations, CallContext>, MetadataOperations> {
  return {
    getRoot: () => Promise.resolve({ status: 200, body: {} }),
    postRoot: () => Promise.resolve({ status: 200, body: {} }),

    async listBrokers({ principal }) {
      return { status: 200, body: { brokers: await topics.brokers(principal) } }
    },

    async listTopics({ principal }) {
      return { status: 200, body: await topics.names(principal) }
    },

    async getTopic({ principal, params }) {
      const { name, configs, partitions } = await topics.describe(principal, params.topic)
      const shown = Object.fromEntries(configs.map(({ name: key, value }) => [key, value]))
      return {
        status: 200,
        body: { name, configs: shown, partitions: partitions.map(toPartition) },
      }
    },

    async listPartitions({ principal, params }) {
      const { partitions } = await topics.describe(principal, params.topic)
      return { status: 200, body: partitions.map(toPartition) }
    },

    async getPartition({ principal, params }) {
      const topic = await topics.describe(principal, params.topic)
      return { status: 200, body: toPartition(partitionOf(topic, params.partition)) }
    },

    async getPartitionOffsets({ principal, params: { topic, partition } }) {
      const { start, end } = await topics.partitionEnds(principal, topic, partition)
      return { status: 200, body: { beginning_offset: start, end_offset: end } }
    },
  }
}

function partitionOf({ name, partitions }: TopicFacts, wanted: number): PartitionFacts {
  const found = partitions.find(({ id }) => id === wanted)
  if (found !== undefined) return found
  throw new GatewayError('UNKNOWN_PARTITION', `Topic '${name}' has no partition ${wanted}.`)
}

/** A partition without a leader is -1, as in the original. */
function toPartition({ id, leader, replicas }: PartitionFacts): Partition {
  return {
    partition: id,
    leader: leader ?? -1,
    replicas: replicas.map(({ node, inSync }) => ({
      broker: node,
      leader: node === leader,
      in_sync: inSync,
    })),
  }
}
