/** Settings of topics, brokers and the cluster by the v3 contract. */
import type { TopicAdmin, TopicChange } from '../../admin/topics.ts'
import type { Answer, Handlers } from '../../contract/operations.ts'
import type { components, operations } from '../../contract/v3.ts'
import { GatewayError, toGatewayError } from '../../model/errors.ts'
import type { CallContext } from '../exchange/call.ts'
import { findNode } from './clusters.ts'
import { payloadError, v3ErrorOf } from './errors.ts'
import type { Frame, FrameParts } from './frame.ts'
import { frameOf } from './frame.ts'

export interface ConfigParts extends FrameParts {
  readonly topics: TopicAdmin
}

type Schemas = components['schemas']
type Entry = Awaited<ReturnType<TopicAdmin['configs']>>[number]
type All = Handlers<operations, CallContext>
type ClusterCall = Parameters<typeof frameOf>[1]

type TopicOperations =
  | 'listTopicConfigs'
  | 'listTopicDefaultConfigs'
  | 'listAllTopicConfigs'
  | 'getTopicConfig'
  | 'updateTopicConfig'
  | 'resetTopicConfig'
  | 'alterTopicConfigs'
  | 'alterAllTopicConfigs'

type BrokerOperations =
  | 'listBrokerConfigs'
  | 'listAllBrokersConfigs'
  | 'getBrokerConfig'
  | 'updateBrokerConfig'
  | 'resetBrokerConfig'
  | 'alterBrokerConfigs'
  | 'listClusterConfigs'
  | 'getClusterConfig'
  | 'updateClusterConfig'
  | 'resetClusterConfig'
  | 'alterClusterConfigs'

export function topicConfigHandlers(parts: ConfigParts): Pick<All, TopicOperations> {
  const { topics } = parts
  return {
    async listTopicConfigs(call) {
      const frame = await frameOf(parts, call)
      const { topic_name: topic } = call.params
      const entries = await topics.configs(call.principal, topic)
      const data = entries.map((entry) => toTopicConfig(frame, topic, entry))
      const path = ['topics', topic, 'configs']
      return { status: 200, body: frame.list('KafkaTopicConfigList', path, data) }
    },

    async listTopicDefaultConfigs(call) {
      const frame = await frameOf(parts, call)
      const { topic_name: topic } = call.params
      const entries = await topics.defaultConfigs(call.principal)
      const data = entries.map((entry) => toTopicConfig(frame, topic, entry))
      const path = ['topics', topic, 'default-configs']
      return { status: 200, body: frame.list('KafkaTopicConfigList', path, data) }
    },

    async listAllTopicConfigs(call) {
      const frame = await frameOf(parts, call)
      const data: Schemas['KafkaTopicConfig'][] = []
      for (const { name } of await topics.all(call.principal)) {
        const entries = await topics.configs(call.principal, name).catch(noneOfGone)
        for (const entry of entries) data.push(toTopicConfig(frame, name, entry))
      }
      const path = ['topics', '-', 'configs']
      return { status: 200, body: frame.list('KafkaTopicConfigList', path, data) }
    },

    async getTopicConfig(call) {
      const frame = await frameOf(parts, call)
      const { topic_name: topic, name } = call.params
      const entry = findEntry(await topics.configs(call.principal, topic), name)
      return { status: 200, body: toTopicConfig(frame, topic, entry) }
    },

    async updateTopicConfig(call) {
      await changeOne(parts, call, call.body.value)
      return { status: 204 }
    },

    async resetTopicConfig(call) {
      await changeOne(parts, call, null)
      return { status: 204 }
    },

    async alterTopicConfigs(call) {
      await frameOf(parts, call)
      const { topic_name: topic } = call.params
      const configs = toChanges(call.body.data)
      const known = await topics.configs(call.principal, topic)
      for (const name of Object.keys(configs)) findEntry(known, name)
      if (Object.keys(configs).length === 0) return { status: 204 }
      const validateOnly = call.body.validate_only === true
      await topics.alter(call.principal, topic, { configs, validateOnly })
      return { status: 204 }
    },

    alterAllTopicConfigs: (call) => alterSeveral(parts, call),
  }
}

/** What stands in the path must be there before it is changed. */
async function changeOne(
  parts: ConfigParts,
  call: ClusterCall & { readonly params: { readonly topic_name: string; readonly name: string } },
  value: string | null,
): Promise<void> {
  await frameOf(parts, call)
  const { topic_name: topic, name } = call.params
  findEntry(await parts.topics.configs(call.principal, topic), name)
  const change: TopicChange = { configs: { [name]: value }, validateOnly: false }
  await parts.topics.alter(call.principal, topic, change)
}

/** Names are checked before anything is changed; then each topic takes its changes or refuses them. */
async function alterSeveral(
  parts: ConfigParts,
  call: ClusterCall & { readonly body: Schemas['TopicsConfigChanges'] },
): Promise<Answer<operations['alterAllTopicConfigs']>> {
  const { topics } = parts
  const { principal, body } = call
  await frameOf(parts, call)
  const wishes: { topic: string; configs: Record<string, string | null> }[] = []
  for (const { topic_name: topic, configs: changes } of body.data) {
    const configs = toChanges(changes)
    const known = await topics.configs(principal, topic)
    for (const name of Object.keys(configs)) findEntry(known, name)
    if (Object.keys(configs).length > 0) wishes.push({ topic, configs })
  }
  const validateOnly = body.validate_only === true
  const failures: Schemas['TopicsConfigFailures']['failures'] = []
  for (const { topic, configs } of wishes) {
    try {
      await topics.alter(principal, topic, { configs, validateOnly })
    } catch (error) {
      const failure = toGatewayError(error)
      if (failure.code === 'INTERNAL') throw error
      const about = { requestId: call.requestId, appends: false }
      failures.push({ topic_name: topic, ...v3ErrorOf(failure, about).body })
    }
  }
  return failures.length === 0 ? { status: 204 } : { status: 207, body: { failures } }
}

export function brokerConfigHandlers(parts: ConfigParts): Pick<All, BrokerOperations> {
  const { cluster } = parts
  const refuse = (): never => {
    throw new GatewayError('UNSUPPORTED', 'Settings of brokers are fixed while they run.')
  }
  const refuseAtBroker = async (
    call: ClusterCall & { readonly params: { readonly broker_id: number } },
  ): Promise<never> => {
    await frameOf(parts, call)
    await findNode(cluster, call.principal, call.params.broker_id)
    return refuse()
  }
  const refuseAtCluster = async (call: ClusterCall): Promise<never> => {
    await frameOf(parts, call)
    return refuse()
  }
  return {
    async listBrokerConfigs(call) {
      const frame = await frameOf(parts, call)
      const { id } = await findNode(cluster, call.principal, call.params.broker_id)
      const entries = await cluster.configs(call.principal)
      const data = entries.map((entry) => toBrokerConfig(frame, id, entry))
      return {
        status: 200,
        body: frame.list('KafkaBrokerConfigList', ['brokers', id, 'configs'], data),
      }
    },

    async listAllBrokersConfigs(call) {
      const frame = await frameOf(parts, call)
      const { nodes } = await cluster.describe(call.principal)
      const entries = await cluster.configs(call.principal)
      const data = nodes.flatMap(({ id }) =>
        entries.map((entry) => toBrokerConfig(frame, id, entry)),
      )
      const path = ['brokers', '-', 'configs']
      return { status: 200, body: frame.list('KafkaBrokerConfigList', path, data) }
    },

    async getBrokerConfig(call) {
      const frame = await frameOf(parts, call)
      const { id } = await findNode(cluster, call.principal, call.params.broker_id)
      const entry = findEntry(await cluster.configs(call.principal), call.params.name)
      return { status: 200, body: toBrokerConfig(frame, id, entry) }
    },

    updateBrokerConfig: refuseAtBroker,
    resetBrokerConfig: refuseAtBroker,
    alterBrokerConfigs: refuseAtBroker,

    async listClusterConfigs(call) {
      const frame = await frameOf(parts, call)
      const entries = await cluster.configs(call.principal)
      const data = entries.map((entry) => toClusterConfig(frame, entry))
      return {
        status: 200,
        body: frame.list('KafkaClusterConfigList', ['broker-configs'], data),
      }
    },

    async getClusterConfig(call) {
      const frame = await frameOf(parts, call)
      const entry = findEntry(await cluster.configs(call.principal), call.params.name)
      return { status: 200, body: toClusterConfig(frame, entry) }
    },

    updateClusterConfig: refuseAtCluster,
    resetClusterConfig: refuseAtCluster,
    alterClusterConfigs: refuseAtCluster,
  }
}

/** Null gives the default back. Throws INVALID_REQUEST for a change without a value. */
function toChanges(changes: readonly Schemas['ConfigChange'][]): Record<string, string | null> {
  const configs: Record<string, string | null> = {}
  for (const { name, value, operation } of changes) {
    if (operation === 'DELETE') {
      configs[name] = null
    } else if (value === null || value === undefined) {
      throw new GatewayError('INVALID_REQUEST', `${payloadError}'${name}' has no value to be set.`)
    } else {
      configs[name] = value
    }
  }
  return configs
}

/** A topic may be deleted while the list is made. */
function noneOfGone(error: unknown): readonly Entry[] {
  if (error instanceof GatewayError && error.code === 'UNKNOWN_TOPIC') return []
  throw error
}

function findEntry(entries: readonly Entry[], wanted: string): Entry {
  const entry = entries.find(({ name }) => name === wanted)
  if (entry !== undefined) return entry
  const shown = wanted.length > 100 ? `${wanted.slice(0, 100)}…` : wanted
  throw new GatewayError('NOT_FOUND', `Config ${shown} cannot be found.`)
}

const sources = {
  topic: 'DYNAMIC_TOPIC_CONFIG',
  engine: 'STATIC_BROKER_CONFIG',
  default: 'DEFAULT_CONFIG',
} as const satisfies Record<Entry['source'], Schemas['ConfigSource']>

/** What the three kinds share. Synonyms: what holds, then what would hold without it. */
function toConfig({ name, value, fallback, source, readOnly, sensitive }: Entry): {
  name: string
  value: string | null
  is_default: boolean
  is_read_only: boolean
  is_sensitive: boolean
  source: Schemas['ConfigSource']
  synonyms: Schemas['ConfigSynonym'][]
} {
  const shown = sensitive ? null : value
  const synonyms: Schemas['ConfigSynonym'][] = [{ name, value: shown, source: sources[source] }]
  if (source === 'topic' && fallback !== null) {
    synonyms.push({ name, value: sensitive ? null : fallback, source: 'DEFAULT_CONFIG' })
  }
  return {
    name,
    value: shown,
    is_default: source === 'default',
    is_read_only: readOnly,
    is_sensitive: sensitive,
    source: sources[source],
    synonyms,
  }
}

function toTopicConfig(frame: Frame, topic: string, entry: Entry): Schemas['KafkaTopicConfig'] {
  const framed = frame.resource(
    'KafkaTopicConfig',
    ['topics', topic, 'configs', entry.name],
    [
      ['topic', topic],
      ['config', entry.name],
    ],
  )
  return { ...framed, cluster_id: frame.clusterId, topic_name: topic, ...toConfig(entry) }
}

function toBrokerConfig(frame: Frame, broker: number, entry: Entry): Schemas['KafkaBrokerConfig'] {
  const framed = frame.resource(
    'KafkaBrokerConfig',
    ['brokers', broker, 'configs', entry.name],
    [
      ['broker', broker],
      ['config', entry.name],
    ],
  )
  return { ...framed, cluster_id: frame.clusterId, broker_id: broker, ...toConfig(entry) }
}

function toClusterConfig(frame: Frame, entry: Entry): Schemas['KafkaClusterConfig'] {
  const path = ['broker-configs', entry.name]
  const framed = frame.resource('KafkaClusterConfig', path, [['broker-config', entry.name]])
  return { ...framed, cluster_id: frame.clusterId, config_type: 'BROKER', ...toConfig(entry) }
}
