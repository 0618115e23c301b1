/** Parking: a record that its consumer cannot take goes to `<topic>.parked`, with the reason. */
import type { CommittedOffset, Member } from '../engine/groups.ts'
import type { Log } from '../engine/log.ts'
import type { TopicDescription, Topics } from '../engine/topics.ts'
import type { Transactions } from '../engine/transactions.ts'
import type { Clock } from '../kit/clock.ts'
import { writeBatch } from '../model/batch-writer.ts'
import { GatewayError } from '../model/errors.ts'
import { adminTimeoutMs, produceTimeoutMs } from '../model/limits.ts'
import type { Offset } from '../model/offset.ts'
import { isTopicName } from '../model/topic.ts'
import { readAgain } from './batch-again.ts'
import type { OwnedPartition } from './session.ts'

export interface ParkWish {
  readonly topic: string
  readonly partition: number
  readonly offset: Offset
  readonly reason?: string
}

export interface ParkingParts {
  readonly log: Log
  readonly topics: Topics
  readonly transactions: Transactions
  readonly clock: Clock
}

/** The copy, on its way. */
export interface ParkedRecord {
  readonly topic: string
  readonly partition: number
  readonly batch: Uint8Array
}

export class Parking {
  readonly #parts: ParkingParts

  constructor(parts: ParkingParts) {
    this.#parts = parts
  }

  /** Reads the record and makes the topic for it. Throws OFFSET_OUT_OF_RANGE for a record that is gone. */
  async prepare(group: string, place: OwnedPartition, wish: ParkWish): Promise<ParkedRecord> {
    const { offset, reason } = wish
    const target = await this.#topicFor(place.topic)
    const span = { ...place, from: offset, next: offset + 1 }
    const found = await readAgain(this.#parts.log, [span], undefined)
    try {
      const record = found.records[0]
      if (record === undefined) {
        throw new GatewayError(
          'OFFSET_OUT_OF_RANGE',
          `Partition ${place.partition} of topic '${place.topic}' has no record ${offset} any more.`,
        )
      }
      const told = {
        'ebbgate-parked-from': `${place.topic}/${place.partition}/${offset}`,
        'ebbgate-parked-group': group,
        ...(reason === undefined ? {} : { 'ebbgate-parked-reason': reason }),
      }
      const added = Object.entries(told).map(([name, text]) => ({ name, value: Buffer.from(text) }))
      const { key, value, timestamp } = record
      const headers = [...record.headers, ...added]
      const copy = { key, value, timestamp, headers }
      const partition = place.partition % target.partitions.length
      const batch = writeBatch([copy], this.#parts.clock.wallMs(), target.compression)
      return { topic: target.name, partition, batch }
    } finally {
      found.release()
    }
  }

  /** Stores the copy and commits behind the record, both or neither. */
  async store(parked: ParkedRecord, group: Member, commit: CommittedOffset): Promise<void> {
    const { topic, partition, batch } = parked
    // The engine patches the bytes it is given, so each try takes a copy of its own.
    const entry = { tp: { topic, partition }, batch: Buffer.from(batch), trusted: true }
    const offsets = { group, commits: [commit] }
    await this.#parts.transactions.transact(
      { entries: [entry], offsets },
      { timeoutMs: produceTimeoutMs },
    )
  }

  async #topicFor(source: string): Promise<TopicDescription> {
    const { topics } = this.#parts
    const name = `${source}.parked`
    if (!isTopicName(name)) {
      throw new GatewayError('INVALID_REQUEST', `The name '${name}' is too long for a topic.`)
    }
    const there = topics.known(name)
    if (there !== undefined) return there
    const partitions = topics.known(source)?.partitions.length ?? 1
    const [outcome] = await topics.create([{ name, partitions }], { timeoutMs: adminTimeoutMs })
    const error = outcome?.error
    if (error !== undefined && error.code !== 'TOPIC_EXISTS') throw error
    const made = topics.known(name)
    if (made !== undefined) return made
    throw new GatewayError('UNAVAILABLE', `Topic '${name}' is being created.`)
  }
}
