/** Which partition a record goes to: Kafka's own rule, so that every producer of a topic agrees. */
import type { Random } from '../kit/random.ts'
import type { PartitionDescription } from '../engine/topics.ts'

/**
 * Kafka's murmur2 of the key bytes, as a signed 32-bit number (org.apache.kafka.common.utils.Utils).
 */
export function murmur2(bytes: Uint8Array): number {
  const multiplier = 0x5bd1e995
  const length = bytes.length
  let hash = 0x9747b28c ^ length
  const whole = length & ~3
  for (let at = 0; at < whole; at += 4) {
    let word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
    word = Math.imul(word, multiplier)
    word ^= word >>> 24
    hash = Math.imul(hash, multiplier) ^ Math.imul(word, multiplier)
  }
  const rest = length & 3
  if (rest > 2) hash ^= bytes[whole + 2]! << 16
  if (rest > 1) hash ^= bytes[whole + 1]! << 8
  if (rest > 0) hash = Math.imul(hash ^ bytes[whole]!, multiplier)
  hash = Math.imul(hash ^ (hash >>> 13), multiplier)
  return (hash ^ (hash >>> 15)) | 0
}

/** The partition of a key: Kafka's default partitioner. */
export function partitionOfKey(key: Uint8Array, partitions: number): number {
  return partitions === 1 ? 0 : (murmur2(key) & 0x7fffffff) % partitions
}

/** Topics whose turn is remembered. Beyond them all begin anew, which is harmless. */
const topicsMax = 10_000

/**
 * Gives every request one partition for its records without a key, so that they share a batch, and
 * the next request of the topic the next one. A partition that cannot be written is passed over.
 */
export class StickyPartitions {
  readonly #random: Random
  readonly #turns = new Map<string, number>()

  constructor(random: Random) {
    this.#random = random
  }

  next(topic: string, partitions: readonly PartitionDescription[]): number {
    const count = partitions.length
    if (count === 1) return 0
    const turn = this.#turns.get(topic)
    if (turn === undefined && this.#turns.size >= topicsMax) this.#turns.clear()
    // Nodes and restarts begin at a random place, so that they do not all load the first partition.
    let partition = (turn ?? Math.floor(this.#random.unit() * count)) % count
    for (let i = 1; i < count && partitions[partition]!.state !== 'ok'; i++) {
      partition = (partition + 1) % count
    }
    this.#turns.set(topic, partition + 1)
    return partition
  }
}
