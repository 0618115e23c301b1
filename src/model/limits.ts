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
