/** Consumer groups, their members and lags by the v3 contract. */
import type { GroupAdmin, PartitionLag } from '../../admin/groups.ts'
import type { Handlers } from '../../contract/operations.ts'
import type { components, operations } from '../../contract/v3.ts'
import { GatewayError } from '../../model/errors.ts'
import type { CallContext } from '../exchange/call.ts'
import type { Frame, FrameParts } from './frame.ts'
import { frameOf } from './frame.ts'

export interface GroupParts extends FrameParts {
  readonly groups: GroupAdmin
}

type Schemas = components['schemas']
type Group = Awaited<ReturnType<GroupAdmin['describe']>>
type Member = Group['members'][number]
type Place = Member['assignment'][number]

type Operations =
  | 'listConsumerGroups'
  | 'getConsumerGroup'
  | 'listConsumers'
  | 'getConsumer'
  | 'listConsumerAssignments'
  | 'getConsumerAssignment'
  | 'listConsumerLags'
  | 'getConsumerLag'
  | 'getConsumerGroupLagSummary'

export function groupHandlers(
  parts: GroupParts,
): Pick<Handlers<operations, CallContext>, Operations> {
  const { groups, cluster } = parts
  return {
    async listConsumerGroups(call) {
      const frame = await frameOf(parts, call)
      const { controller } = await cluster.describe(call.principal)
      const data: Schemas['KafkaConsumerGroup'][] = []
      for (const { groupId } of await groups.list(call.principal)) {
        const group = await groups.describe(call.principal, groupId).catch(unlessGone)
        if (group !== undefined) data.push(toGroup(frame, group, controller))
      }
      return {
        status: 200,
        body: frame.list('KafkaConsumerGroupList', ['consumer-groups'], data),
      }
    },

    async getConsumerGroup(call) {
      const frame = await frameOf(parts, call)
      const { controller } = await cluster.describe(call.principal)
      const group = await groups.describe(call.principal, call.params.consumer_group_id)
      return { status: 200, body: toGroup(frame, group, controller) }
    },

    async listConsumers(call) {
      const frame = await frameOf(parts, call)
      const { consumer_group_id: id } = call.params
      const { members } = await groups.describe(call.principal, id)
      const data = members.map((member) => toConsumer(frame, id, member))
      const path = ['consumer-groups', id, 'consumers']
      return { status: 200, body: frame.list('KafkaConsumerList', path, data) }
    },

    async getConsumer(call) {
      const frame = await frameOf(parts, call)
      const { consumer_group_id: id, consumer_id: wanted } = call.params
      const member = memberOf(await groups.describe(call.principal, id), wanted)
      return { status: 200, body: toConsumer(frame, id, member) }
    },

    async listConsumerAssignments(call) {
      const frame = await frameOf(parts, call)
      const { consumer_group_id: id, consumer_id: wanted } = call.params
      const { memberId, assignment } = memberOf(await groups.describe(call.principal, id), wanted)
      const data = assignment.map((place) => toAssignment(frame, id, memberId, place))
      const path = ['consumer-groups', id, 'consumers', memberId, 'assignments']
      return { status: 200, body: frame.list('KafkaConsumerAssignmentList', path, data) }
    },

    async getConsumerAssignment(call) {
      const frame = await frameOf(parts, call)
      const { consumer_group_id: id, consumer_id: wanted, topic_name: topic } = call.params
      const { partition_id: partition } = call.params
      const { memberId, assignment } = memberOf(await groups.describe(call.principal, id), wanted)
      const place = assignment.find(isAt(topic, partition))
      if (place === undefined) throw notFound('Assignment', `${topic}/${partition}`)
      return { status: 200, body: toAssignment(frame, id, memberId, place) }
    },

    async listConsumerLags(call) {
      const frame = await frameOf(parts, call)
      const { consumer_group_id: id } = call.params
      const group = await groups.describe(call.principal, id)
      const lags = await groups.lags(call.principal, id)
      const ownerOf = ownersOf(group)
      const data = lags.map((lag) => toLag(frame, id, lag, ownerOf(lag)))
      const path = ['consumer-groups', id, 'lags']
      return { status: 200, body: frame.list('KafkaConsumerLagList', path, data) }
    },

    async getConsumerLag(call) {
      const frame = await frameOf(parts, call)
      const { consumer_group_id: id, topic_name: topic, partition_id: partition } = call.params
      const group = await groups.describe(call.principal, id)
      const lag = (await groups.lags(call.principal, id)).find(isAt(topic, partition))
      if (lag === undefined) throw notFound('Lag', `${topic}/${partition}`)
      return { status: 200, body: toLag(frame, id, lag, ownersOf(group)(lag)) }
    },

    async getConsumerGroupLagSummary(call) {
      const frame = await frameOf(parts, call)
      const { consumer_group_id: id } = call.params
      const group = await groups.describe(call.principal, id)
      const lags = await groups.lags(call.principal, id)
      const [first, ...others] = lags
      if (first === undefined) throw notFound('Lag summary of consumer group', id)
      const most = others.reduce((max, lag) => (lag.lag > max.lag ? lag : max), first)
      const total = lags.reduce((sum, { lag }) => sum + lag, 0)
      return { status: 200, body: toSummary(frame, id, most, ownersOf(group)(most), total) }
    },
  }
}

function isAt(topic: string, partition: number): (place: Place) => boolean {
  return (place) => place.topic === topic && place.partition === partition
}

function notFound(what: string, name: string): GatewayError {
  const shown = name.length > 100 ? `${name.slice(0, 100)}…` : name
  return new GatewayError('NOT_FOUND', `${what} ${shown} cannot be found.`)
}

/** A group may end while the list is made. */
function unlessGone(error: unknown): undefined {
  if (error instanceof GatewayError && error.code === 'UNKNOWN_GROUP') return
  throw error
}

function memberOf({ members }: Group, wanted: string): Member {
  const member = members.find(({ memberId }) => memberId === wanted)
  if (member === undefined) throw notFound('Consumer', wanted)
  return member
}

/** Who holds which partition. */
function ownersOf({ members }: Group): (place: Place) => Member | undefined {
  const owners = new Map<string, Member>()
  for (const member of members) {
    for (const { topic, partition } of member.assignment) {
      owners.set(`${topic}/${partition}`, member)
    }
  }
  return ({ topic, partition }) => owners.get(`${topic}/${partition}`)
}

const states: ReadonlySet<string> = new Set<Schemas['GroupState']>([
  'PREPARING_REBALANCE',
  'COMPLETING_REBALANCE',
  'ASSIGNING',
  'RECONCILING',
  'STABLE',
  'DEAD',
  'EMPTY',
])

function toGroup(
  frame: Frame,
  { groupId, state, assignor, coordinator, groupEpoch, type, members }: Group,
  controller: number | undefined,
): Schemas['KafkaConsumerGroup'] {
  const path = ['consumer-groups', groupId]
  return {
    ...frame.resource('KafkaConsumerGroup', path, [['consumer-group', groupId]]),
    cluster_id: frame.clusterId,
    consumer_group_id: groupId,
    // It has commits and never had a member.
    is_simple: members.length === 0 && groupEpoch === 0,
    partition_assignor: assignor,
    state: states.has(state) ? (state as Schemas['GroupState']) : 'UNKNOWN',
    type: type === 'CONSUMER' || type === 'CLASSIC' ? type : 'UNKNOWN',
    is_mixed_consumer_group: false,
    coordinator: frame.related('brokers', coordinator ?? controller ?? -1),
    consumers: frame.related(...path, 'consumers'),
    lag_summary: frame.related(...path, 'lag-summary'),
  }
}

function toConsumer(
  frame: Frame,
  group: string,
  { memberId, instanceId, clientId }: Member,
): Schemas['KafkaConsumer'] {
  const path = ['consumer-groups', group, 'consumers', memberId]
  return {
    ...frame.resource('KafkaConsumer', path, [
      ['consumer-group', group],
      ['consumer', memberId],
    ]),
    cluster_id: frame.clusterId,
    consumer_group_id: group,
    consumer_id: memberId,
    instance_id: instanceId ?? null,
    client_id: clientId,
    assignments: frame.related(...path, 'assignments'),
  }
}

function toAssignment(
  frame: Frame,
  group: string,
  memberId: string,
  { topic, partition }: Place,
): Schemas['KafkaConsumerAssignment'] {
  const base = ['consumer-groups', group]
  const place = [topic, 'partitions', partition]
  return {
    ...frame.resource(
      'KafkaConsumerAssignment',
      [...base, 'consumers', memberId, 'assignments', ...place],
      [
        ['consumer-group', group],
        ['consumer', memberId],
        ['assignment', topic],
        ['partition', partition],
      ],
    ),
    cluster_id: frame.clusterId,
    consumer_group_id: group,
    consumer_id: memberId,
    topic_name: topic,
    partition_id: partition,
    partition: frame.related('topics', ...place),
    lag: frame.related(...base, 'lags', ...place),
  }
}

function toLag(
  frame: Frame,
  group: string,
  { topic, partition, committed, end, lag }: PartitionLag,
  owner: Member | undefined,
): Schemas['KafkaConsumerLag'] {
  return {
    ...frame.resource(
      'KafkaConsumerLag',
      ['consumer-groups', group, 'lags', topic, 'partitions', partition],
      [
        ['consumer-group', group],
        ['lag', topic],
        ['partition', partition],
      ],
    ),
    cluster_id: frame.clusterId,
    consumer_group_id: group,
    topic_name: topic,
    partition_id: partition,
    current_offset: committed,
    log_end_offset: end,
    lag,
    consumer_id: owner?.memberId ?? '',
    instance_id: owner?.instanceId ?? null,
    client_id: owner?.clientId ?? '',
  }
}

function toSummary(
  frame: Frame,
  group: string,
  { topic, partition, lag }: PartitionLag,
  owner: Member | undefined,
  total: number,
): Schemas['KafkaConsumerGroupLagSummary'] {
  const path = ['consumer-groups', group]
  return {
    ...frame.resource(
      'KafkaConsumerGroupLagSummary',
      [...path, 'lag-summary'],
      [['consumer-groups', group], ['lag-summary']],
    ),
    cluster_id: frame.clusterId,
    consumer_group_id: group,
    max_lag_consumer_id: owner?.memberId ?? '',
    max_lag_instance_id: owner?.instanceId ?? null,
    max_lag_client_id: owner?.clientId ?? '',
    max_lag_topic_name: topic,
    max_lag_partition_id: partition,
    max_lag: lag,
    total_lag: total,
    max_lag_consumer: frame.related(...path, 'consumers', owner?.memberId ?? ''),
    max_lag_partition: frame.related('topics', topic, 'partitions', partition),
  }
}
