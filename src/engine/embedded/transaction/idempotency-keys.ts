/**
 * Calls that happen once. A key is a record of the internal topic `__ebbgate_idempotency` in the frame
 * of the records it protects, so a crash cannot part them. Memory holds where the records stand; what
 * the first call was answered is read from the log when its key comes back.
 *
 * Applied early, shown late: a key is known from the turn in which its record joins a frame, and an
 * answer that rests on it waits until that frame is durable. A key is taken for new only where nothing
 * that may have held it is unread: before the topic was read whole, or where a part of it is damaged,
 * a call is refused rather than done twice. All times here are log time.
 */
import type { Clock, Timer } from '../../../kit/clock.ts'
import { pause } from '../../../kit/clock.ts'
import { withDeadline } from '../../../kit/deadline.ts'
import type { Logger } from '../../../kit/logger.ts'
import { readRecords } from '../../../model/batch-reader.ts'
import { GatewayError } from '../../../model/errors.ts'
import { adminTimeoutMs, clientKeyTtlMs, keySpacesMax, keyTtlMsMax } from '../../../model/limits.ts'
import type { Offset } from '../../../model/offset.ts'
import type { StoredRecord } from '../../../model/record.ts'
import type { CallOptions } from '../../call.ts'
import type { AppendResult } from '../../log.ts'
import type { IdempotencyKey, OneShotResult } from '../../transactions.ts'
import { isPassing } from '../disk/disk.ts'
import type { Journal } from '../journal/journal.ts'
import type { BatchEntry } from '../log/batch-entry.ts'
import type { PartitionLog } from '../log/partition-log.ts'
import type { SegmentRead } from '../log/segment.ts'
import type { KeyHead, KeyRecord } from './key-record.ts'
import { hashOfKey, readKeyHead, readKeyRecord, shortHash, writeKeyRecord } from './key-record.ts'
import { KeyTable } from './key-table.ts'

export const keyTopic = '__ebbgate_idempotency'

/** Old keys leave at this pace, and with them their records. */
const sweepMs = 60_000
/** One read of the topic at a start: appends take their turns between them. */
const fillBytes = 512 * 1024
const retryMs = 1000

/** What the keys report. */
export interface KeyMeter {
  /** How many keys are known. */
  idempotencyKeys(count: number): void
  /** A key had to go before its time, at this age. */
  idempotencyWindow(seconds: number): void
}

/** The internal topic, as the keys need it. */
export interface KeyTopic {
  /** Its one partition; undefined as long as nobody needed it. */
  log(): PartitionLog | undefined
  create(options: CallOptions): Promise<void>
  stage(log: PartitionLog, batch: Uint8Array): BatchEntry
  moveLogStart(log: PartitionLog, before: Offset, timeoutMs: number): Promise<void>
}

export interface IdempotencyKeysParts {
  readonly topic: KeyTopic
  readonly journal: Pick<Journal, 'settled' | 'logTimeMs'>
  readonly clock: Clock
  readonly logger: Logger
  readonly meter: KeyMeter
  /** Keys of one space. */
  readonly keysPerSpace: number
  /** Why nothing can be read at all. */
  readonly refusal: () => GatewayError | undefined
}

/** A key that was not known when it was looked for. */
export interface Vacancy {
  readonly key: IdempotencyKey
  readonly hash: Uint8Array
  /** Records that share the short hash and are not this key's. */
  readonly strangers: ReadonlySet<Offset>
}

export type Finding = { readonly first: OneShotResult } | { readonly vacancy: Vacancy }

export class IdempotencyKeys {
  readonly #parts: IdempotencyKeysParts
  readonly #spaces = new Map<string, KeyTable>()
  #filling: Promise<void> = Promise.resolve()
  #isFilled = false
  #creating: Promise<void> | undefined
  #sweeper: Timer | undefined
  #sweeping: Promise<void> | undefined
  #closed = false
  /** A part of the topic cannot be read: until then no key is certain to be new. */
  #blindUntilMs = -Infinity
  /** The longest window met in the topic. */
  #longestTtlMs = clientKeyTtlMs

  constructor(parts: IdempotencyKeysParts) {
    this.#parts = parts
  }

  /** After recovery: reads the topic in the background. */
  open(): void {
    const log = this.#parts.topic.log()
    this.#filling = log === undefined ? Promise.resolve() : this.#fill(log)
    this.#filling = this.#filling.then(() => {
      this.#isFilled = !this.#closed
      this.#report()
      this.#schedule()
    })
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#sweeper?.cancel()
    await this.#filling
    await this.#sweeping
  }

  /** Whether a new key has a topic to go to. */
  get hasTopic(): boolean {
    return this.#parts.topic.log() !== undefined
  }

  /** Makes the topic, for the first key of a data folder. */
  async makeTopic(deadlineMs: number): Promise<void> {
    this.#creating ??= this.#parts.topic
      .create({ timeoutMs: adminTimeoutMs })
      .finally(() => (this.#creating = undefined))
    await this.#within(deadlineMs, this.#creating, 'the topic of the idempotency keys was made')
  }

  /**
   * The durable result of the first call under this key, or that there was none. Throws
   * IDEMPOTENCY_MISMATCH for another request's key, CORRUPT_BATCH where its record cannot be read.
   */
  async find(key: IdempotencyKey, deadlineMs: number): Promise<Finding> {
    this.#checkKey(key)
    if (!this.#isFilled) {
      await this.#within(deadlineMs, this.#filling, 'the idempotency keys were read from the log')
    }
    const hash = hashOfKey(key)
    const strangers = new Set<Offset>()
    for (;;) {
      const refusal = this.#parts.refusal()
      if (refusal !== undefined) throw refusal
      const log = this.#parts.topic.log()
      const offset = log === undefined ? undefined : this.#candidate(key, hash, strangers)
      if (log === undefined || offset === undefined) return { vacancy: { key, hash, strangers } }
      if (offset >= log.readableEnd) {
        // The first call is still on its way to the disk: what happened to it is not certain before.
        await this.#parts.journal.settled(this.#leftMs(deadlineMs))
      }
      const reading = this.#read(log, offset)
      const record = await this.#within(deadlineMs, reading, 'the record of the key was read')
      const isOurs = record !== undefined && Buffer.compare(record.hash, hash) === 0
      if (isOurs) return { first: firstResult(record, key) }
      strangers.add(offset)
    }
  }

  /**
   * Whether the key is still unknown, and certainly so. To be asked in the turn in which it is staged.
   * Throws where the keys are damaged.
   */
  isVacant({ key, hash, strangers }: Vacancy): boolean {
    if (this.#candidate(key, hash, strangers) !== undefined) return false
    const untilMs = this.#blindUntilMs
    if (untilMs > this.#parts.journal.logTimeMs()) {
      throw new GatewayError(
        'CORRUPT_BATCH',
        `Some of the stored idempotency keys are damaged, so it is not certain that this one is new; nothing was stored now. Keys are taken again ${Math.ceil((untilMs - this.#parts.journal.logTimeMs()) / 3_600_000)} hours from now.`,
        { applied: 'maybe' },
      )
    }
    return true
  }

  /** Why no key can be stored now, or undefined. */
  storeRefusal({ key }: Vacancy): GatewayError | undefined {
    if (!this.#spaces.has(key.space) && this.#spaces.size >= keySpacesMax) {
      return new GatewayError('OVERLOADED', `There are ${keySpacesMax} spaces of keys in use.`)
    }
    if (this.#parts.topic.log()?.damage === undefined) return undefined
    return new GatewayError(
      'CORRUPT_BATCH',
      'The log of the idempotency keys is damaged and takes no more of them until an operator has looked at it.',
    )
  }

  /** The record of a vacant key. It must join the journal in this turn, with what it protects. */
  stage(
    { key, hash }: Vacancy,
    memo: Uint8Array | undefined,
    results: readonly AppendResult[],
  ): BatchEntry {
    const { topic, journal } = this.#parts
    const timeMs = journal.logTimeMs()
    const { space, fingerprint, ttlMs } = key
    const expiryMs = timeMs + ttlMs
    const record = { hash, space, expiryMs, fingerprint, memo, results }
    const staged = topic.stage(topic.log()!, writeKeyRecord(record, timeMs))
    this.#know(record, staged.baseOffset, ttlMs)
    this.#report()
    return staged
  }

  #candidate(
    key: IdempotencyKey,
    hash: Uint8Array,
    strangers: ReadonlySet<Offset>,
  ): Offset | undefined {
    const table = this.#spaces.get(key.space)
    return table
      ?.candidates(shortHash(hash), this.#parts.journal.logTimeMs())
      .find((offset) => !strangers.has(offset))
  }

  #know({ hash, space, expiryMs }: KeyHead, offset: Offset, ttlMs: number): void {
    let table = this.#spaces.get(space)
    if (table === undefined) this.#spaces.set(space, (table = new KeyTable()))
    if (table.size >= this.#parts.keysPerSpace) {
      const earlyMs = table.oldestExpiryMs - this.#parts.journal.logTimeMs()
      if (earlyMs > 0 && this.#isFilled) {
        this.#parts.meter.idempotencyWindow(Math.max(0, ttlMs - earlyMs) / 1000)
      }
      table.shift()
    }
    table.push(shortHash(hash), offset, expiryMs)
    this.#longestTtlMs = Math.max(this.#longestTtlMs, ttlMs)
  }

  /** The key record at an offset; undefined when it has gone meanwhile, with its time. */
  async #read(log: PartitionLog, offset: Offset): Promise<KeyRecord | undefined> {
    const read = await readLog(log, offset, 1)
    if (read.damage === undefined && read.batches[0] !== undefined) {
      const stored = recordsOf(read.batches[0]).find((one) => one.offset === offset)
      const record = stored === undefined ? undefined : readKeyRecord(stored)
      if (record !== undefined) return record
    }
    if (offset < log.plannedLogStart) return undefined
    const refusal = this.#parts.refusal()
    if (refusal !== undefined) throw refusal
    log.noteDamage(offset)
    throw new GatewayError(
      'CORRUPT_BATCH',
      `The record of this idempotency key, at offset ${offset} of its log, is damaged: an earlier call was stored, what it was answered is not known any more.`,
      { applied: 'maybe' },
    )
  }

  async #fill(log: PartitionLog): Promise<void> {
    const end = log.readableEnd
    let isAfterDamage = false
    for (let at = log.logStart; at < end && !this.#closed;) {
      let read: SegmentRead
      try {
        read = await readLog(log, at, fillBytes)
      } catch {
        await pause(this.#parts.clock, retryMs)
        continue
      }
      for (const batch of read.batches) {
        const [stored] = recordsOf(batch)
        const record = stored === undefined ? undefined : readKeyHead(stored)
        if (stored === undefined || record === undefined) {
          isAfterDamage = true
          continue
        }
        if (isAfterDamage) this.#blindFrom(stored.timestamp)
        isAfterDamage = false
        this.#know(record, stored.offset, record.expiryMs - stored.timestamp)
      }
      if (read.damage !== undefined && !this.#closed) {
        isAfterDamage = true
        log.noteDamage(at)
        this.#parts.logger.error(
          { offset: at, next: read.next, damage: read.damage },
          'Stored idempotency keys are damaged: requests with new keys are refused until the lost ones have expired.',
        )
      }
      at = Math.max(read.next, at + 1)
    }
    if (isAfterDamage) this.#blindFrom(this.#parts.journal.logTimeMs())
  }

  /** Keys that were stored at this time or before may have been lost. */
  #blindFrom(timeMs: number): void {
    this.#blindUntilMs = Math.max(this.#blindUntilMs, timeMs + this.#longestTtlMs)
  }

  #schedule(): void {
    if (this.#closed) return
    this.#sweeper = this.#parts.clock.after(sweepMs, () => {
      this.#sweeping = this.#sweep().then(() => this.#schedule())
    })
  }

  /** Forgets what has expired, and lets the log go up to the oldest key that is still known. */
  async #sweep(): Promise<void> {
    const log = this.#parts.topic.log()
    if (log === undefined) return
    const nowMs = this.#parts.journal.logTimeMs()
    // What is not durable yet stays, however short its time was.
    let firstKnown = log.readableEnd
    for (const [space, table] of this.#spaces) {
      while (table.oldestExpiryMs <= nowMs) table.shift()
      if (table.oldestOffset === undefined) this.#spaces.delete(space)
      else firstKnown = Math.min(firstKnown, table.oldestOffset)
    }
    this.#report()
    if (firstKnown <= log.plannedLogStart) return
    try {
      await this.#parts.topic.moveLogStart(log, firstKnown, sweepMs)
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error
      // The next sweep tries again; until then the log is a little longer than it must be.
      this.#parts.logger.warn({ err: error }, 'Expired idempotency keys stay on the disk for now.')
    }
  }

  #report(): void {
    let count = 0
    for (const table of this.#spaces.values()) count += table.size
    this.#parts.meter.idempotencyKeys(count)
  }

  #checkKey({ ttlMs, space, fingerprint }: IdempotencyKey): void {
    if (!(ttlMs > 0 && ttlMs <= keyTtlMsMax)) {
      throw new GatewayError(
        'INVALID_REQUEST',
        `An idempotency key cannot be known for ${ttlMs} ms; 1 to ${keyTtlMsMax} are possible.`,
      )
    }
    if (space.length > spaceCharsMax || (fingerprint?.length ?? 0) > fingerprintBytesMax) {
      throw new GatewayError(
        'INVALID_REQUEST',
        `The space of a key has at most ${spaceCharsMax} characters, its fingerprint ${fingerprintBytesMax} bytes.`,
      )
    }
  }

  #within<T>(deadlineMs: number, promise: Promise<T>, what: string): Promise<T> {
    const late = (): GatewayError =>
      new GatewayError('UNAVAILABLE', `The deadline passed before ${what}.`)
    const timeoutMs = this.#leftMs(deadlineMs)
    if (timeoutMs === Infinity) return promise
    return withDeadline(this.#parts.clock, promise, { timeoutMs }, late)
  }

  #leftMs(deadlineMs: number): number {
    return Math.max(0, deadlineMs - this.#parts.clock.monotonicMs())
  }
}

const spaceCharsMax = 255
const fingerprintBytesMax = 64

function firstResult(record: KeyRecord, key: IdempotencyKey): OneShotResult {
  const { fingerprint, memo, results } = record
  const isOther =
    fingerprint !== undefined &&
    key.fingerprint !== undefined &&
    Buffer.compare(fingerprint, key.fingerprint) !== 0
  if (isOther) {
    throw new GatewayError(
      'IDEMPOTENCY_MISMATCH',
      'This idempotency key was used for another request; nothing was stored now. A new request needs a key of its own.',
    )
  }
  return { results, deduplicated: true, ...(memo === undefined ? {} : { memo }) }
}

/** One record a batch; none where the bytes inside do not add up. */
function recordsOf(batch: Uint8Array): StoredRecord[] {
  try {
    return readRecords(batch)
  } catch {
    return []
  }
}

/** What the disk refuses to give is damage, like what it gives wrong; only what passes is thrown. */
async function readLog(log: PartitionLog, from: Offset, bytesMax: number): Promise<SegmentRead> {
  try {
    return await log.read(from, bytesMax)
  } catch (error) {
    if (error instanceof GatewayError || isPassing(error)) throw error
    return { batches: [], next: log.readableEnd, damage: 'The disk refuses to read it.' }
  }
}
