/** The cluster and its brokers by the v3 contract. */
import type { ClusterAdmin } from '../../admin/cluster.ts'
import type { TopicAdmin } from '../../admin/topics.ts'
import type { Handlers } from '../../contract/operations.ts'
import type { components, operations } from '../../contract/v3.ts'
import { GatewayError } from '../../model/errors.ts'
import type { Principal } from '../../model/principal.ts'
import type { CallContext } from '../exchange/call.ts'
import type { FrameParts } from './frame.ts'
import { Frame, frameOf } from './frame.ts'
import { toReplica } from './partitions.ts'

export interface ClusterParts extends FrameParts {
  readonly topics: TopicAdmin
}

type Operations = 'listClusters' | 'getCluster' | 'listBrokers' | 'getBroker' | 'listBrokerReplicas'
type Node = Awaited<ReturnType<ClusterAdmin['describe']>>['nodes'][number]

export function clusterHandlers(
  parts: ClusterParts,
): Pick<Handlers<operations, CallContext>, Operations> {
  const { cluster, topics } = parts
  return {
    async listClusters({ principal, baseUrl }) {
      const { clusterId, controller } = await cluster.describe(principal)
      const frame = new Frame(clusterId, baseUrl)
      return {
        status: 200,
        body: {
          kind: 'KafkaClusterList',
          metadata: { self: frame.clustersUrl, next: null },
          data: [toCluster(frame, controller)],
        },
      }
    },

    async getCluster(call) {
      const frame = await frameOf(parts, call)
      const { controller } = await cluster.describe(call.principal)
      return { status: 200, body: toCluster(frame, controller) }
    },

    async listBrokers(call) {
      const frame = await frameOf(parts, call)
      const { nodes } = await cluster.describe(call.principal)
      const data = nodes.map((node) => toBroker(frame, node))
      return { status: 200, body: frame.list('KafkaBrokerList', ['brokers'], data) }
    },

    async getBroker(call) {
      const frame = await frameOf(parts, call)
      const node = await findNode(cluster, call.principal, call.params.broker_id)
      return { status: 200, body: toBroker(frame, node) }
    },

    async listBrokerReplicas(call) {
      const { principal, params } = call
      const frame = await frameOf(parts, call)
      const { id } = await findNode(cluster, principal, params.broker_id)
      const data = (await topics.all(principal)).flatMap(({ name, partitions }) =>
        partitions.flatMap((partition) =>
          partition.replicas
            .filter(({ node }) => node === id)
            .map((replica) => toReplica(frame, name, partition, replica)),
        ),
      )
      const path = ['brokers', id, 'partition-replicas']
      return { status: 200, body: frame.list('KafkaReplicaList', path, data) }
    },
  }
}

/** Throws NOT_FOUND. */
export async function findNode(
  cluster: ClusterAdmin,
  principal: Principal,
  wanted: number,
): Promise<Node> {
  const { nodes } = await cluster.describe(principal)
  const node = nodes.find(({ id }) => id === wanted)
  if (node !== undefined) return node
  throw new GatewayError('NOT_FOUND', `Broker ${wanted} cannot be found.`)
}

function toCluster(
  frame: Frame,
  controller: number | undefined,
): components['schemas']['KafkaCluster'] {
  return {
    ...frame.resource('KafkaCluster', [], []),
    cluster_id: frame.clusterId,
    controller: frame.related('brokers', controller ?? -1),
    acls: frame.related('acls'),
    brokers: frame.related('brokers'),
    broker_configs: frame.related('broker-configs'),
    consumer_groups: frame.related('consumer-groups'),
    topics: frame.related('topics'),
    partition_reassignments: frame.related('topics', '-', 'partitions', '-', 'reassignment'),
  }
}

function toBroker(frame: Frame, { id, host, port }: Node): components['schemas']['KafkaBroker'] {
  return {
    ...frame.resource('KafkaBroker', ['brokers', id], [['broker', id]]),
    cluster_id: frame.clusterId,
    broker_id: id,
    host: host ?? null,
    port: port ?? null,
    rack: null,
    configs: frame.related('brokers', id, 'configs'),
    partition_replicas: frame.related('brokers', id, 'partition-replicas'),
  }
}
