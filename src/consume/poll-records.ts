/** Turns the slices of one look into the log into the records of one answer. */
import type { FetchSlice } from '../engine/log.ts'
import { readRecords } from '../model/batch-reader.ts'
import { GatewayError } from '../model/errors.ts'
import { recordsPerRequestMax } from '../model/limits.ts'
import type { Offset } from '../model/offset.ts'
import { lastOffsetOf } from '../model/record-batch.ts'
import type { StoredRecord } from '../model/record.ts'
import type { ReadRecord } from './read-record.ts'
import type { Gap } from './gap.ts'
import type { OwnedPartition, Reset, Span } from './session.ts'

/** A partition that a poll reads. */
export interface Cursor {
  readonly place: OwnedPartition
  /** The next offset to deliver. */
  next: Offset
  /** What the session says is next: when that moves, somebody else moved it. */
  saved: Offset
  /** The position's seeks when it was last looked at. */
  seeks: number
  committed: Offset
  /** Nothing can be had from it in this poll: its topic is gone, and the group knows soon. */
  isBlocked: boolean
}

export interface PollLimits {
  /** Counts keys and values: the answer stops before the record that would reach it. */
  readonly bytesMax: number
  readonly recordsMax?: number
  /** Others are passed over. */
  readonly wants?: (record: StoredRecord) => boolean
  /** What retention took is told as a gap, and reading goes on behind it; else the reset decides. */
  readonly tellsGaps?: boolean
}

/** How far the records of one answer take one partition. */
interface Stretch {
  /** Places of its records in the answer: [from, to). */
  readonly from: number
  readonly to: number
  /** Where the partition stood before. */
  readonly begin: Offset
  /** Where to go on when all of them were delivered. */
  readonly next: Offset
}

export class PollRecords {
  readonly records: ReadRecord[] = []
  readonly #stretches = new Map<Cursor, Stretch>()
  readonly #limits: PollLimits
  #bytes = 0
  #isFull = false
  /** A position was out of range and has been set anew: look again. */
  wasReset = false
  /** Why there is nothing more; told only when there is nothing at all. */
  problem: GatewayError | undefined

  /** What could not be had, where the reader is told of it. */
  readonly gaps: Gap[] = []

  constructor(limits: PollLimits) {
    this.#limits = limits
  }

  get isFull(): boolean {
    return this.#isFull
  }

  /** Takes a slice's records, the first one of the answer whatever its size. */
  add(cursor: Cursor, slice: FetchSlice, reset: Reset): void {
    const from = this.records.length
    const { topic, partition } = cursor.place
    const begin = cursor.next
    let next = begin
    const { wants } = this.#limits
    try {
      for (const batch of slice.batches) {
        for (const record of readRecords(batch)) {
          if (record.offset < next) continue
          if (wants !== undefined && !wants(record)) {
            next = record.offset + 1
            continue
          }
          if (!this.#hasRoom(record)) {
            this.#isFull = true
            this.#stretches.set(cursor, { from, to: this.records.length, begin, next })
            return
          }
          this.records.push({ ...record, topic, partition })
          this.#bytes += sizeOf(record)
          next = record.offset + 1
        }
        // Compaction and control batches leave offsets without a record.
        next = Math.max(next, lastOffsetOf(batch) + 1)
      }
      if (slice.error === undefined) next = Math.max(next, slice.next)
      else if (this.#onError(cursor, slice, next, reset, slice.error)) return
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error
      this.problem ??= error
    }
    this.#stretches.set(cursor, { from, to: this.records.length, begin, next })
  }

  /** What the whole answer covers, ranges without a record for the client included. */
  spans(): Span[] {
    return [...this.#stretches].flatMap(([{ place }, { begin, next }]): Span[] => {
      const { topic, partition, grant } = place
      return next > begin ? [{ topic, partition, grant, from: begin, next }] : []
    })
  }

  /** Moves the cursors past the first `count` records. */
  deliver(count: number): void {
    for (const cursor of this.#stretches.keys()) cursor.next = this.nextOf(cursor, count)
  }

  /** Where this cursor goes on once the first `count` records were delivered. */
  nextOf(cursor: Cursor, count: number): Offset {
    const stretch = this.#stretches.get(cursor)
    if (stretch === undefined) return cursor.next
    if (stretch.to <= count) return Math.max(cursor.next, stretch.next)
    return stretch.from < count ? this.records[count - 1]!.offset + 1 : cursor.next
  }

  #passOver(cursor: Cursor, { logStart, readableEnd }: FetchSlice): void {
    const { topic, partition, topicId: epoch } = cursor.place
    const from = cursor.next
    const [to, why] =
      from < logStart ? ([logStart, 'retention'] as const) : ([readableEnd, 'trimmed'] as const)
    this.gaps.push({ topic, epoch, partition, from, to, why })
    cursor.next = to
    this.wasReset = true
  }

  #hasRoom(record: StoredRecord): boolean {
    if (this.records.length === 0) return true
    const { bytesMax, recordsMax = recordsPerRequestMax } = this.#limits
    if (this.records.length >= recordsMax) return false
    return this.#bytes + sizeOf(record) < bytesMax
  }

  /** True when the position was set anew, which may be backwards. */
  #onError(
    cursor: Cursor,
    slice: FetchSlice,
    next: Offset,
    reset: Reset,
    error: GatewayError,
  ): boolean {
    switch (error.code) {
      case 'UNKNOWN_TOPIC':
      case 'UNKNOWN_PARTITION':
      case 'EPOCH_MISMATCH':
        cursor.isBlocked = true
        return false
      case 'OFFSET_OUT_OF_RANGE':
        // What was read in front of it is delivered first; the next look meets it again.
        if (next > cursor.next) return false
        if (reset === 'none') {
          this.problem ??= outOfRange(cursor, slice)
          return false
        }
        if (this.#limits.tellsGaps === true) {
          this.#passOver(cursor, slice)
          return true
        }
        cursor.next = reset === 'earliest' ? slice.logStart : slice.readableEnd
        this.wasReset = true
        return true
      default:
        this.problem ??= error
        return false
    }
  }
}

/** As the v2 contract counts: what the client gets of a record, without the syntax around it. */
function sizeOf({ key, value }: StoredRecord): number {
  return (key?.length ?? 0) + (value?.length ?? 0)
}

function outOfRange({ place, next }: Cursor, { logStart, readableEnd }: FetchSlice): GatewayError {
  return new GatewayError(
    'OFFSET_OUT_OF_RANGE',
    `Offset ${next} of partition ${place.partition} of topic '${place.topic}' is outside ${logStart} to ${readableEnd}, and the instance does not reset.`,
  )
}
