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
/** Default `message.timestamp.after.max.ms`, as in Kafka: times far ahead keep segments from expiring. */
export const timestampAheadMsDefault = 3_600_000
/** Headers of one record: their names and values are copied one by one, so their number is bounded. */
export const headersPerRecordMax = 1_000
/** Characters of an `Idempotency-Key`: a UUID has 36, some senders join several ids. */
export const idempotencyKeyCharsMax = 512
/** Frames of one zstd body or batch: each costs a decoder, however little is in it. */
export const zstdFramesMax = 1_000
/** Bodies being read, over the whole process, bytes; above it new bodies answer OVERLOADED. */
export const bodyBytesInFlightMax = 256 * MiB
/** Bodies are looked at so often, ms; twice this long is the longest that a sender can be silent in one. */
export const bodyPaceMs = 30_000
/** What must come of a body from one look to the next: 240 bytes/s, a quarter of what GSM data calls gave. */
export const bodyPaceBytesMin = 7_200

/** Records of one streamed request that are not yet durable, or whose receipts are not yet taken, bytes. */
export const streamBytesInFlightMax = 1 * MiB
/** Records of a stream that are appended in one call: receipts should not wait for many others. */
export const streamLotRecordsMax = 1_000
/** A streamed request may be silent for so long, ms: one record a minute is a stream. */
export const streamSilenceMsMax = 600_000
/** A streamed request may be open for so long, ms: rights and addresses change. */
export const streamAgeMsMax = 24 * 3_600_000
/** It is closed so long after the first record that comes later, ms. */
export const streamClosingMs = 500
/** Entries of one v3 batch; the original takes 10. */
export const batchEntriesMax = 10_000

// Reads.
/** What an answer aims at when the caller names no limit, bytes. */
export const readBytesDefault = 1 * MiB
export const readBytesMax = 32 * MiB
export const readRecordsMax = 10_000
/** A longer position is told in the body alone: clients and proxies refuse large heads, characters. */
export const positionHeaderCharsMax = 2_000
/** Nodes of one filter: each is looked at for each record. */
export const filterNodesMax = 32
/** Items of one list in a filter. */
export const filterListMax = 64
/** Steps of one field path in a filter. */
export const filterStepsMax = 8
/** Longest long poll, ms. */
export const waitMsMax = 60_000
/** `last:n` looks back over at most this many records. */
export const lastRecordsMax = 10_000
/** Polls waiting at one time in the whole process. */
export const waitingPollsMax = 10_000
/** Answers that clients have not taken yet, over the whole process, bytes; above it reads answer OVERLOADED. */
export const answerBytesInFlightMax = 256 * MiB

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
/** A back-up takes links in seconds; copies on another file system get as long as HTTP clients wait. */
export const backupTimeoutMs = 240_000
/** Reading from the log, without the long poll's own wait. */
export const fetchTimeoutMs = 10_000
/** Batches of our own below this are not compressed: it costs 10 to 80 µs and gains next to nothing. */
export const compressFromBytes = 256
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
/** Offsets of a group without members are kept so long, ms (Kafka's `offsets.retention.minutes`). */
export const offsetsRetentionMs = 7 * 24 * 3_600_000
/** Expired ones are looked for at this pace, ms (Kafka's `offsets.retention.check.interval.ms`). */
export const offsetsPassMs = 600_000
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
/** Lapsed leases taken over at one time. */
export const adoptionsPerLook = 500
/** The first poll waits this long for an assignment, outside its own timeout, ms. */
export const assignmentWaitMs = 5_000
/** An answer that nobody reports as written or cut counts as cut after this time, ms. */
export const pollAnswerMs = 120_000
/** Records of one poll of a session when its client names no number: a batch that a worker can do. */
export const pollRecordsDefault = 100
/** Bytes lent to answers of polls that are being written, over the whole process. */
export const pollBytesInFlightMax = 256 * MiB
/** A revoked partition waits this long for the commit of what was delivered from it, ms. */
export const releaseGraceMs = 3_000
/** Coordinator calls made on behalf of a session, ms. */
export const groupCallTimeoutMs = 10_000

// The embedded engine.
/** A frame is sealed at this size, so that nobody blocks the others for long, bytes. */
export const journalFrameBytes = 4 * MiB
/** All batches and commits of one `transact`: they stand in one frame, bytes. */
export const transactBytesMax = 16 * MiB
/** Idempotency keys of one space, say of all clients together: 32 MiB of memory, some 250 MB of disk. */
export const keysPerSpaceMax = 1_000_000
/** Spaces of keys, each with a table of its own. */
export const keySpacesMax = 1_000
/** The longest time a key may be asked to be known, ms: its record stays on the disk for so long. */
export const keyTtlMsMax = 30 * 24 * 3_600_000
/** A key of a client is known for a day, ms: longer than anybody goes on trying. */
export const clientKeyTtlMs = 24 * 3_600_000
/** Journal files of one data folder. */
export const journalFilesMax = 16
/** Bytes of metadata and offsets, and of what waits before them, that wait for the journal. */
export const journalWaitingBytesMax = 128 * MiB
/** Recent batches kept in memory for readers at the end of their partitions, whole process, bytes. */
export const hotTailBytesMax = 64 * MiB
/** Bytes admitted and not yet in a segment: above it appends answer OVERLOADED. */
export const inFlightBytesHigh = 64 * MiB
/** Sockets are read again below it, bytes. */
export const inFlightBytesLow = 32 * MiB
/** With less free space than this what retention may remove goes at once, bytes. */
export const freeDiskBytesLow = 1024 * MiB
/** Appends stop while the disk has less free space than this, bytes. */
export const freeDiskBytesMin = 256 * MiB
/** Indexes of sealed segments kept in memory for readers, whole process, bytes. */
export const loadedIndexBytesMax = 64 * MiB
/** Calls that wait for the journal; above it new ones answer OVERLOADED. Each takes some 300 bytes. */
export const journalAnswersMax = 150_000
/**
 * Pace of retention, ms (Kafka's `log.retention.check.interval.ms`); the first pass comes so long after
 * a start, when a clock that booted wrong has usually been set.
 */
export const retentionPassMs = 300_000
export const retentionFirstPassMs = 300_000
/** Partitions that retention looks at in one turn. */
export const retentionStep = 64
/** A wall clock that gains more than this on the time that passed is not believed, ms. */
export const wallAheadMsMax = 3_600_000
/** Segment files kept open while nothing is being written to them. */
export const openSegmentsMax = 512
/** The map of keys of one round of compaction, bytes: some million keys; a full one ends the round earlier. */
export const compactionMapBytesMax = 32 * MiB
/** Compaction reads no faster than this, so that appends and readers have the disk, bytes a second. */
export const compactionBytesPerSecond = 32 * MiB

// Metrics.
/** Topics with a label of their own; a time series database pays for each one. */
export const metricTopicsMax = 500
/** Groups, and partitions of groups, that metrics show. */
export const metricGroupsMax = 200
export const metricGroupPartitionsMax = 2_000

// Push.
/** WebSockets of one node: each takes some 16 KB here and a file descriptor. */
export const pushConnectionsMax = 20_000
/** Told in `welcome`. */
export const subscriptionsPerConnectionMax = 128
/** Topics that one subscription names. */
export const topicsPerSubscriptionMax = 1_000
/** One message from a client, bytes; buffered whole, so it is small. */
export const inboundFrameBytesMax = 1 * MiB
/** Records frames stay below this unless one record alone is larger: a huge one stalls a page. */
export const recordsFrameBytesMax = 64 * KiB
/** Positions inside shared frames name at most this many partitions. */
export const framePositionPartitionsMax = 32
/** Recent chunks of one feed, bytes and ms: whoever is further behind reads the log. */
export const ringBytesMax = 4 * MiB
export const ringAgeMsMax = 5_000
/** All rings together, bytes. */
export const ringsBytesMax = 256 * MiB
/** One read of the log for a subscriber that catches up, bytes; less for one whose socket is slow. */
export const catchUpStepBytes = 256 * KiB
export const catchUpSlowStepBytes = 64 * KiB
/** Reads for catching up that run at one time, so that live records do not wait behind them. */
export const catchUpStepsMax = 8
/** What the tail of a partition reads at once, bytes. */
export const tailStepBytes = 256 * KiB
/** Sockets written in one turn of the event loop before other work gets its chance. */
export const fanOutSlice = 256
/** Commands of one connection that wait for those before them; above it the socket is not read. */
export const commandsWaitingMax = 64
/** The same in characters, because one command may have a million of them. */
export const commandsWaitingBytesMax = 1 * MiB
/** Replies that a client has not taken, bytes; above it the socket is not read. */
export const repliesWaitingBytesMax = 256 * KiB
/** Messages that cannot be read before the connection is closed. */
export const unreadableMessagesMax = 3
/** Silence after which a heartbeat is due, ms; a peer that says nothing for twice as long is gone. */
export const heartbeatMsDefault = 15_000
/** A socket that takes not one byte for so long is closed, ms. */
export const stalledSocketMs = 120_000
/** Sockets are closed by the gateway within this time when it stops, ms. */
export const pushCloseMs = 1_000
