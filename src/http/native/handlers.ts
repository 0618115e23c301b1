/** All handlers of the native contract that live at this door. */
import type { BackupAdmin } from '../../admin/backups.ts'
import type { GroupAdmin } from '../../admin/groups.ts'
import type { TopicAdmin } from '../../admin/topics.ts'
import type { Sessions } from '../../consume/sessions.ts'
import type { Reader } from '../../consume/reader.ts'
import type { operations } from '../../contract/native.ts'
import type { Handlers } from '../../contract/operations.ts'
import type { Clock } from '../../kit/clock.ts'
import type { Producer } from '../../produce/producer.ts'
import type { OneShotWriter } from '../../produce/transaction.ts'
import type { AnswersInFlight } from '../exchange/answers-in-flight.ts'
import type { CallContext } from '../exchange/call.ts'
import { backupHandlers } from './backup.ts'
import { groupHandlers } from './groups.ts'
import { produceHandlers } from './produce.ts'
import { readHandlers } from './reads.ts'
import type { GatewayFacts } from './root.ts'
import { rootHandlers } from './root.ts'
import { sessionHandlers } from './sessions.ts'
import { topicHandlers } from './topics.ts'
import { transactionHandlers } from './transactions.ts'

export interface NativeParts {
  readonly topics: TopicAdmin
  readonly backups: BackupAdmin
  readonly groups: GroupAdmin
  readonly producer: Producer
  readonly writer: OneShotWriter
  readonly reader: Reader
  readonly sessions: Sessions
  readonly clock: Clock
  readonly answers: AnswersInFlight
  readonly facts: () => GatewayFacts
  readonly autoCreate: 'compat' | 'all' | 'none'
}

export function nativeHandlers(parts: NativeParts): Handlers<operations, CallContext> {
  return {
    ...rootHandlers(parts.facts),
    ...topicHandlers(parts.topics),
    ...backupHandlers(parts.backups),
    ...produceHandlers(parts),
    ...readHandlers(parts),
    ...groupHandlers(parts.groups, parts.sessions),
    ...sessionHandlers(parts),
    ...transactionHandlers(parts),
  }
}
