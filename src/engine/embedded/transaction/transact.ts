/** One-shot transactions: all batches and offset commits of a call in one journal frame. */
import type { Clock } from '../../../kit/clock.ts'
import { GatewayError } from '../../../model/errors.ts'
import { transactBytesMax } from '../../../model/limits.ts'
import { lastOffsetDeltaOf } from '../../../model/record-batch.ts'
import type { CallOptions } from '../../call.ts'
import type { CommittedOffset, GroupRef } from '../../groups.ts'
import type { OneShot, OneShotResult, Transactions } from '../../transactions.ts'
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
  readonly clock: Clock
  readonly refusal: () => GatewayError | undefined
}

export class EmbeddedTransactions implements Transactions {
  readonly #parts: TransactionParts

  constructor(parts: TransactionParts) {
    this.#parts = parts
  }

  async transact(transaction: OneShot, options: CallOptions): Promise<OneShotResult> {
    const { journal, log, offsets, clock } = this.#parts
    const { entries, offsets: carried } = transaction
    const refusal = this.#parts.refusal()
    if (refusal !== undefined) throw refusal
    if (options.signal?.aborted === true) {
      throw new GatewayError('UNAVAILABLE', 'The caller gave up before the call began.')
    }
    if (transaction.key !== undefined) {
      throw new GatewayError('UNSUPPORTED', 'Idempotency keys are not supported yet.')
    }
    const nowMs = clock.wallMs()
    const logs = this.#check(transaction, nowMs)
    if (logs instanceof GatewayError) {
      await journal.settled(options.timeoutMs)
      throw logs
    }

    // Checked as a whole; from here to the join there is no await, so it holds.
    const call = new AppendCall(entries.length, clock.monotonicMs() + options.timeoutMs)
    const batches: BatchEntry[] = []
    for (const [index, entry] of entries.entries()) {
      batches.push(log.stage(logs[index]!, entry.batch, nowMs, call, index))
    }
    const joining: JournalEntry[] = [...batches]
    if (carried !== undefined && carried.commits.length > 0) {
      joining.push(stateEntry(offsets.stageCommit(carried.group, carried.commits)))
    }
    await new Promise<void>((resolve, reject) => {
      if (joining.length === 0) return resolve()
      journal.joinTogether(joining, {
        deadlineMs: call.deadlineMs,
        settle: (error) => {
          for (const batch of batches) batch.settle(error)
          if (error === undefined) resolve()
          else reject(error)
        },
      })
    })
    return { results: await call.promise, deduplicated: false }
  }

  /** The partitions of all entries, or the first reason why the whole must be refused. */
  #check({ entries, offsets }: OneShot, nowMs: number): PartitionLog[] | GatewayError {
    let bytes = 0
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
    if (offsets !== undefined) {
      const refusal = this.#parts.offsets.checkCommit(offsets.group, offsets.commits)
      if (refusal !== undefined) return refusal
    }
    return logs
  }
}
