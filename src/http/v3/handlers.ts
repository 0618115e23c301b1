/** All handlers of the v3 contract. */
import type { ClusterAdmin } from '../../admin/cluster.ts'
import type { GroupAdmin } from '../../admin/groups.ts'
import type { TopicAdmin } from '../../admin/topics.ts'
import type { Handlers } from '../../contract/operations.ts'
import type { operations } from '../../contract/v3.ts'
import type { Clock } from '../../kit/clock.ts'
import type { Logger } from '../../kit/logger.ts'
import type { Producer } from '../../produce/producer.ts'
import type { CallContext } from '../exchange/call.ts'
import { aclHandlers } from './acls.ts'
import { clusterHandlers } from './clusters.ts'
import { brokerConfigHandlers, topicConfigHandlers } from './configs.ts'
import { groupHandlers } from './groups.ts'
import { partitionHandlers } from './partitions.ts'
import { recordHandlers } from './records.ts'
import { topicHandlers } from './topics.ts'

export interface V3Parts {
  readonly cluster: ClusterAdmin
  readonly topics: TopicAdmin
  readonly groups: GroupAdmin
  readonly producer: Producer
  readonly autoCreate: 'compat' | 'all' | 'none'
  readonly clock: Clock
  readonly logger: Logger
}

export function v3Handlers(parts: V3Parts): Handlers<operations, CallContext> {
  return {
    ...clusterHandlers(parts),
    ...topicHandlers(parts),
    ...topicConfigHandlers(parts),
    ...partitionHandlers(parts),
    ...recordHandlers(parts),
    ...groupHandlers(parts),
    ...brokerConfigHandlers(parts),
    ...aclHandlers(parts),
  }
}
