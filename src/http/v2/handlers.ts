/** All handlers of the v2 contract. */
import type { Consumers } from '../../consume/consumers.ts'
import type { TopicAdmin } from '../../admin/topics.ts'
import type { operations } from '../../contract/v2.ts'
import type { Handlers } from '../../contract/operations.ts'
import type { Logger } from '../../kit/logger.ts'
import type { Producer } from '../../produce/producer.ts'
import type { CallContext } from '../exchange/call.ts'
import { consumerHandlers } from './consumers.ts'
import type { Dialect } from './dialects.ts'
import { metadataHandlers } from './metadata.ts'
import { produceHandlers } from './produce.ts'

export interface V2Parts {
  readonly topics: TopicAdmin
  readonly producer: Producer
  readonly consumers: Consumers
  readonly autoCreate: 'compat' | 'all' | 'none'
  readonly logger: Logger
  readonly dialect: Dialect
}

export function v2Handlers(parts: V2Parts): Handlers<operations, CallContext> {
  return {
    ...metadataHandlers(parts.topics),
    ...produceHandlers(parts),
    ...consumerHandlers(parts),
  }
}
