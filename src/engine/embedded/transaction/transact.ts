/**
 * One-shot transactions: all batches, all offset commits and the idempotency key of a call in one
 * journal frame. Everything is checked before anything is staged, and between the last check and the
 * join there is no `await`: what is checked is what is written.
 */
import type { Clock } from '../../../kit/clock.ts'
import { GatewayError } from '../../../model/errors.ts'
import { transactBytesMax } from '../../../model/limits.ts'
import { lastOffsetDeltaOf } from '../../../model/record-batch.ts'
import type { CallOptions } from '../../call.ts'
import type { CommittedOffset, GroupRef } from '../../groups.ts'
import type { AppendResult } from '../../log.ts'
import type { IdempotencyKey, OneShot, OneShotResult, Transactions } from '../../transactions.ts'
import { stateEntry } from '../journal/journal.ts'
import type { Journal } from '../journal/journal.ts'
import type { JournalEntry } from '../journal/journal-frame.ts'
import { commitsBytesAtMost } from '../group/committed-offsets.ts'
import { entryHeaderBytes } from '../journal/journal-frame.ts'
import type { StateEntry } from '../journal/state-machine.ts'
import { AppendCall } from '../log/append-call.ts'
import { preconditionRefusal } from '../log/append-check.ts'
import type { BatchEntry } from '../log/batch-entry.ts'
import type { EmbeddedLog } from '../log/embedded-log.ts'
import type { PartitionLog } from '../log/partition-log.ts'
import type { IdempotencyKeys, Vacancy } from './idempotency-keys.ts'
import { keyRecordBytesAtMost } from './key-record.ts'

/** What a transaction asks of the groups. */
export interface TransactedOffsets {
  checkCommit(group: GroupRef, commits: readonly CommittedOffset[]): GatewayError | undefined
  /** Applies commits that were checked in this same turn. */
  stageCommit(group: GroupRef, commits: readonly CommittedOffset[]): StateEntry
}

export interface TransactionParts {
  readonly log: EmbeddedLog
  readonly journal: Journal
  readonly offsets: TransactedOffsets
  readonly keys: IdempotencyKeys
  readonly clock: Clock
  /** Why nothing can be done at all, or nothing written now. */
  readonly refusal: () => GatewayError | undefined
  readonly appendRefusal: () => GatewayError | undefined
}

export class EmbeddedTransactions implements Transactions {
  readonly #parts: TransactionParts

  constructor(parts: TransactionParts) {
    this.#parts = parts
  }

  async transact(transaction: OneShot, options: CallOptions): Promise<OneShotResult> {
    const { journal, keys, clock } = this.#parts
    const deadlineMs = this.#begin(options)
    const { key } = transaction
    let vacancy: Vacancy | undefined
    if (key === undefined) this.#admitAppend()
    while (key !== undefined && vacancy === undefined) {
      const finding = await keys.find(key, deadlineMs)
      if ('first' in finding) return finding.first
      // A repetition is answered while the disk is full, a new call is not taken.
      this.#admitAppend()
      // Somebody else may have used the key since it was found to be new.
      if (!keys.hasTopic) await keys.makeTopic(deadlineMs)
      else if (keys.isVacant(finding.vacancy)) vacancy = finding.vacancy
    }
    const nowMs = clock.wallMs()
    const logs = this.#check(transaction, vacancy, nowMs)
    if (logs instanceof GatewayError) {
      await journal.settled(Math.max(0, deadlineMs - clock.monotonicMs()))
      throw logs
    }
    const call = new AppendCall(transaction.entries.length, deadlineMs)
    const staged = this.#stage(transaction, vacancy, logs, nowMs, call)
    await this.#join(staged.joining, staged.batches, deadlineMs)
    return { results: await call.promise, deduplicated: false }
  }

  async recall(key: IdempotencyKey, options: CallOptions): Promise<OneShotResult | undefined> {
    const deadlineMs = this.#begin(options)
    const finding = await this.#parts.keys.find(key, deadlineMs)
    return 'first' in finding ? finding.first : undefined
  }

  #begin({ timeoutMs, signal }: CallOptions): number {
    const refusal = this.#parts.refusal()
    if (refusal !== undefined) throw refusal
    if (signal?.aborted === true) {
      throw new GatewayError('UNAVAILABLE', 'The caller gave up before the call began.')
    }
    return this.#parts.clock.monotonicMs() + timeoutMs
  }

  #admitAppend(): void {
    const refusal = this.#parts.appendRefusal()
    if (refusal !== undefined) throw refusal
  }

  /** Gives everything its place; it must join the journal in this same turn. */
  #stage(
    { entries, offsets: carried, key }: OneShot,
    vacancy: Vacancy | undefined,
    logs: readonly PartitionLog[],
    nowMs: number,
    call: AppendCall,
  ): { batches: BatchEntry[]; joining: JournalEntry[] } {
    const { log, offsets, keys } = this.#parts
    const batches = entries.map(({ batch }, i) => log.stage(logs[i]!, batch, nowMs, call, i))
    const joining: JournalEntry[] = [...batches]
    if (carried !== undefined && carried.commits.length > 0) {
      joining.push(stateEntry(offsets.stageCommit(carried.group, carried.commits)))
    }
    if (vacancy !== undefined) {
      const results = batches.map(({ baseOffset: base, lastOffset: last }, i): AppendResult => {
        const { tp, settings } = logs[i]!
        const offsets = { base, last }
        return settings.logAppendTime ? { tp, offsets, logAppendTime: nowMs } : { tp, offsets }
      })
      joining.push(keys.stage(vacancy, key?.memo, results))
    }
    return { batches, joining }
  }

  #join(
    joining: readonly JournalEntry[],
    batches: readonly BatchEntry[],
    deadlineMs: number,
  ): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      if (joining.length === 0) return resolve()
      this.#parts.journal.joinTogether(joining, {
        deadlineMs,
        settle: (error) => {
          for (const batch of batches) batch.settle(error)
          if (error === undefined) resolve()
          else reject(error)
        },
      })
    })
  }

  /** The partitions of all entries, or the first reason why the whole must be refused. */
  #check(
    transaction: OneShot,
    vacancy: Vacancy | undefined,
    nowMs: number,
  ): PartitionLog[] | GatewayError {
    const { entries, offsets } = transaction
    let bytes = vacancy === undefined ? 0 : keyRecordBytesAtMost(transaction) + entryHeaderBytes
    const logs: PartitionLog[] = []
    const ends = new Map<PartitionLog, number>()
    for (const entry of entries) {
      bytes += entry.batch.length + entryHeaderBytes
      const log = this.#parts.log.check(entry, nowMs)
      if (log instanceof GatewayError) return log
      // A partition may stand here twice: the second entry begins where the first one ends.
      const end = ends.get(log) ?? log.nextOffset
      const refusal = preconditionRefusal(log, entry.expectedEnd, end)
      if (refusal !== undefined) return refusal
      ends.set(log, end + lastOffsetDeltaOf(entry.batch) + 1)
      logs.push(log)
    }
    bytes += commitsBytesAtMost(offsets?.commits ?? [])
    if (bytes > transactBytesMax) {
      return new GatewayError(
        'BODY_TOO_LARGE',
        `A transaction of ${bytes} bytes is above the limit of ${transactBytesMax}.`,
      )
    }
    if (vacancy !== undefined) {
      const refusal = this.#parts.keys.storeRefusal(vacancy)
      if (refusal !== undefined) return refusal
    }
    if (offsets !== undefined) {
      const refusal = this.#parts.offsets.checkCommit(offsets.group, offsets.commits)
      if (refusal !== undefined) return refusal
    }
    return logs
  }
}
