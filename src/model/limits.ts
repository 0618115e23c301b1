/** Every ceiling in one place, with its reason. Rooms import from here and invent none of their own. */

const KiB = 1024
const MiB = 1024 * KiB

// Records and requests.
/** GitHub sends webhooks of up to 25 MB; counted after inflating. */
export const bodyBytesMax = 32 * MiB
/** One request must not build an answer without end. */
export const recordsPerRequestMax = 100_000
/** Default `max.message.bytes`, as in Kafka. */
export const messageBytesDefault = 1_048_588
/** Upper bound of `max.message.bytes`: one record fits one journal frame. */
export const messageBytesMax = 16 * MiB
/** A body of 100,000 open brackets must not hurt. */
export const jsonDepthMax = 1000
/** Beyond this many levels some decoders give up, so such a value is shown as text. */
export const jsonDepthPortable = 64
/** Timestamps further ahead than this are refused: they would keep segments from expiring, ms. */
export const timestampAheadMsMax = 3_600_000
/** Record headers of one record, all names and values, bytes. */
export const headersPerRecordMax = 1_000
/** Bodies being read, over the whole process, bytes; above it new bodies answer OVERLOADED. */
export const bodyBytesInFlightMax = 256 * MiB

// Reads.
/** What an answer aims at when the caller names no limit, bytes. */
export const readBytesDefault = 1 * MiB
export const readBytesMax = 32 * MiB
export const readRecordsMax = 10_000
/** Longest long poll, ms. */
export const waitMsMax = 60_000
/** `last:n` looks back over at most this many records. */
export const lastRecordsMax = 10_000
/** Polls waiting at one time in the whole process. */
export const waitingPollsMax = 10_000

// Topics.
export const partitionsPerTopicMax = 10_000
export const partitionsMax = 100_000
export const patternTopicsMax = 1_000
export const listLimitDefault = 100
export const listLimitMax = 1_000

// Deadlines, ms.
/** Longest wait for a produce to become durable when the client names none. */
export const produceTimeoutMs = 30_000
/** Administrative calls. */
export const adminTimeoutMs = 15_000
/** Reading from the log, without the long poll's own wait. */
export const fetchTimeoutMs = 10_000
/** A compressed batch may not inflate beyond this, bytes. */
export const inflatedBatchBytesMax = 64 * MiB

// Groups.
/** Rebuilding an assignment costs members times partitions. */
export const groupMembersMax = 5_000
/** Groups are kept in memory with their offsets. */
export const groupsMax = 100_000
/** Group ids and instance names, characters: they stand in keys, paths and metrics. */
export const groupNameMax = 255
/** Kafka's `offset.metadata.max.bytes`. */
export const offsetMetadataBytesMax = 4_096
/** Topics named in one subscription. */
export const subscriptionTopicsMax = 1_000
/** A pattern longer than this is a program, characters. */
export const patternCharsMax = 1_000
/** A member that is silent for this long is removed, ms (Kafka's `group.consumer.session.timeout.ms`). */
export const groupSessionTimeoutMs = 45_000
/** Pace of heartbeats, ms. */
export const groupHeartbeatMs = 5_000
/** A member must give partitions back within this time when it names none, ms; the ceiling is an hour. */
export const rebalanceTimeoutMsDefault = 60_000
export const rebalanceTimeoutMsMax = 3_600_000

// Sessions.
/** One principal's sessions: each costs memory and heartbeats. */
export const sessionsPerPrincipalMax = 10_000
/** How long a node holds a session without renewing, ms; well below the group's session timeout. */
export const leaseMs = 10_000
/** Leases are renewed, and lapsed ones looked for, at this pace, ms. */
export const leaseRenewMs = 3_000
/** Lapsed leases taken over in one look. */
export const adoptionsPerLook = 500
/** The first poll waits this long for an assignment, outside its own timeout, ms. */
export const assignmentWaitMs = 5_000
/** An answer that nobody reports as written or cut counts as cut after this time, ms. */
export const pollAnswerMs = 120_000
/** A revoked partition waits this long for the commit of what was delivered from it, ms. */
export const releaseGraceMs = 3_000
/** Coordinator calls made on behalf of a session, ms. */
export const groupCallTimeoutMs = 10_000
