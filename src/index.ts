/** The public face of the package: a gateway as a library, and the port for engines of one's own. */
export { createGateway } from './app/gateway.ts'
export type { Gateway, GatewayParts } from './app/gateway.ts'
export type { ConfigInput } from './app/config.ts'
export type { GatewayConfig } from './app/settings.ts'

export type { CallOptions, Watch } from './engine/call.ts'
export type { Capabilities } from './engine/capabilities.ts'
export type { Engine, EngineHealth } from './engine/engine.ts'
export type {
  CommittedOffset,
  GroupDescription,
  GroupMemberDescription,
  GroupRef,
  Groups,
  HeartbeatAnswer,
  HeartbeatOptions,
  Member,
  Subscription,
} from './engine/groups.ts'
export type {
  AppendEntry,
  AppendResult,
  FetchRequest,
  FetchSlice,
  Log,
  OffsetAnswer,
  OffsetQuery,
  OffsetWord,
  Pressure,
} from './engine/log.ts'
export type {
  ClusterDescription,
  ConfigChange,
  ConfigEntry,
  ConfigOwner,
  NewTopic,
  Outcome,
  PartitionDescription,
  TopicDescription,
  Topics,
} from './engine/topics.ts'
export type { OneShot, OneShotResult, Transactions } from './engine/transactions.ts'

export { silentLogger } from './kit/logger.ts'
export type { LogFields, LogLevel, Logger } from './kit/logger.ts'

export { GatewayError, errorCodes } from './model/errors.ts'
export type { Applied, ErrorCode, GatewayErrorOptions } from './model/errors.ts'
export type { Offset } from './model/offset.ts'
export type { NewRecord, RecordHeader, StoredRecord } from './model/record.ts'
export type { TopicPartition } from './model/topic.ts'
