/** Topics on the native API. */
import type { TopicAdmin } from '../../admin/topics.ts'
import type { operations } from '../../contract/native.ts'
import type { Handlers } from '../../contract/operations.ts'
import { parsePlace } from '../../model/place.ts'
import { formatPosition } from '../../model/position.ts'
import type { CallContext } from '../exchange/call.ts'
import { toTopic } from './wire.ts'

type TopicOperations =
  | 'listTopics'
  | 'createTopic'
  | 'describeTopic'
  | 'alterTopic'
  | 'deleteTopic'
  | 'findOffsets'
  | 'checkRecords'
  | 'deleteRecords'

export function topicHandlers(
  topics: TopicAdmin,
): Pick<Handlers<operations, CallContext>, TopicOperations> {
  return {
    async listTopics({ principal, query: { limit, after } }) {
      const page = await topics.list(principal, {
        ...(limit === undefined ? {} : { limit }),
        ...(after === undefined ? {} : { after }),
      })
      const listed = page.topics.map(({ name, id, partitions }) => ({
        name,
        id,
        partitions: partitions.length,
      }))
      return { status: 200, body: { topics: listed, next: page.next } }
    },

    async createTopic({ principal, body }) {
      const { name, partitions, replicationFactor, configs, ifNotExists } = body
      const { topic, created } = await topics.create(principal, {
        name,
        partitions: partitions ?? 1,
        ifNotExists: ifNotExists ?? false,
        ...(replicationFactor === undefined ? {} : { replicationFactor }),
        ...(configs === undefined ? {} : { configs }),
      })
      if (!created) return { status: 200, body: toTopic(topic) }
      return { status: 201, headers: { location: `/v1/topics/${name}` }, body: toTopic(topic) }
    },

    async describeTopic({ principal, params }) {
      return { status: 200, body: toTopic(await topics.describe(principal, params.topic)) }
    },

    async alterTopic({ principal, params, body: { partitions, configs, validateOnly } }) {
      const topic = await topics.alter(principal, params.topic, {
        validateOnly: validateOnly ?? false,
        ...(partitions === undefined ? {} : { partitions }),
        ...(configs === undefined ? {} : { configs }),
      })
      return { status: 200, body: toTopic(topic) }
    },

    async deleteTopic({ principal, params }) {
      await topics.delete(principal, params.topic)
      return { status: 204 }
    },

    async findOffsets({ principal, params, query }) {
      const place = parsePlace('at', query.at ?? 'latest')
      const { offsets, position } = await topics.offsets(principal, params.topic, place)
      return {
        status: 200,
        body: { offsets: Object.fromEntries(offsets), position: formatPosition(position) },
      }
    },

    async checkRecords({ principal, params }) {
      await topics.exists(principal, params.topic)
      return { status: 200 }
    },

    async deleteRecords({ principal, params, query }) {
      const place = parsePlace('before', query.before)
      const starts = await topics.deleteRecords(principal, params.topic, place)
      return { status: 200, body: { starts: Object.fromEntries(starts) } }
    },
  }
}
