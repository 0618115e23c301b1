/** One `append` that waits for its batches, and the answers they give. */
import type { GatewayError } from '../../../model/errors.ts'
import type { Offset } from '../../../model/offset.ts'
import type { TopicPartition } from '../../../model/topic.ts'
import type { AppendResult } from '../../log.ts'
import type { EntryCall } from './batch-entry.ts'

interface Pending {
  readonly tp: TopicPartition
  readonly base: Offset
  readonly last: Offset
  readonly logAppendTime: number | undefined
}

export class AppendCall implements EntryCall {
  readonly deadlineMs: number
  readonly promise: Promise<AppendResult[]>
  readonly #pending: (Pending | undefined)[]
  readonly #results: AppendResult[]
  #left: number
  #resolve!: (results: AppendResult[]) => void

  constructor(entries: number, deadlineMs: number) {
    this.deadlineMs = deadlineMs
    this.#pending = new Array<undefined>(entries)
    this.#results = new Array<AppendResult>(entries)
    this.#left = entries
    this.promise = new Promise((resolve) => {
      this.#resolve = resolve
    })
    if (entries === 0) this.#resolve([])
  }

  /** Entry `index` has its offsets; they are told when it settles. */
  expect(index: number, pending: Pending): void {
    this.#pending[index] = pending
  }

  settle(index: number, error: GatewayError | undefined): void {
    const pending = this.#pending[index]
    if (pending === undefined) return
    this.#pending[index] = undefined
    const { tp, base, last, logAppendTime } = pending
    if (error !== undefined) this.#answer(index, { tp, error })
    else if (logAppendTime === undefined) this.#answer(index, { tp, offsets: { base, last } })
    else this.#answer(index, { tp, offsets: { base, last }, logAppendTime })
  }

  refuse(index: number, tp: TopicPartition, error: GatewayError): void {
    this.#answer(index, { tp, error })
  }

  #answer(index: number, result: AppendResult): void {
    this.#results[index] = result
    this.#left--
    if (this.#left === 0) this.#resolve(this.#results)
  }
}
