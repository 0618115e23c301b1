/**
 * Index files held against the batches of their segment, which are shown in order: an entry must name
 * a batch that is there, with its last offset and its place, or its largest timestamp. Entries of
 * damaged batches cannot be judged. Every answer completes "The index …".
 */
import { lastOffsetOf, maxTimestampOf } from '../../../model/record-batch.ts'
import type { OffsetEntryAt, TimeEntryAt } from './index-entries.ts'
import type { DamagedPart, WholeBatch } from './segment-walk.ts'

export class OffsetIndexCheck {
  readonly #entries: Cursor<OffsetEntryAt>
  #last: OffsetEntryAt | undefined

  constructor(entries: AsyncIterator<OffsetEntryAt>) {
    this.#entries = new Cursor(entries)
  }

  async see(part: WholeBatch | DamagedPart): Promise<string[]> {
    const problems: string[] = []
    if (part.kind === 'damage') {
      await this.#entries.takeWhile(({ position }) => position < part.end)
      return problems
    }
    const lastOffset = lastOffsetOf(part.batch)
    for (const entry of await this.#entries.takeWhile((one) => one.position <= part.position)) {
      if (entry.position < part.position) {
        problems.push(`says that a batch begins at byte ${entry.position}, where none does`)
      } else if (entry.offset !== lastOffset) {
        problems.push(`names offset ${entry.offset} for the batch that ends with ${lastOffset}`)
      } else if (this.#last?.position === entry.position) {
        problems.push(`names offset ${entry.offset} twice`)
      }
      this.#last = entry
    }
    return problems
  }

  /** Behind the last batch: what is left names nothing that is there. */
  async end(): Promise<string[]> {
    const entry = await this.#entries.peek()
    if (entry === undefined) return []
    return [`says that a batch begins at byte ${entry.position}, behind the last one`]
  }
}

export class TimeIndexCheck {
  readonly #entries: Cursor<TimeEntryAt>
  #last: TimeEntryAt | undefined
  #largest = -1

  constructor(entries: AsyncIterator<TimeEntryAt>) {
    this.#entries = new Cursor(entries)
  }

  async see(part: WholeBatch | DamagedPart): Promise<string[]> {
    const problems: string[] = []
    if (part.kind === 'damage') {
      const { next = Infinity } = part
      const taken = await this.#entries.takeWhile(({ offset }) => offset < next)
      this.#last = taken.at(-1) ?? this.#last
      return problems
    }
    const lastOffset = lastOffsetOf(part.batch)
    this.#largest = Math.max(this.#largest, maxTimestampOf(part.batch))
    for (const entry of await this.#entries.takeWhile(({ offset }) => offset <= lastOffset)) {
      const largest = BigInt(maxTimestampOf(part.batch))
      if (entry.offset < lastOffset) {
        problems.push(`names offset ${entry.offset}, with which no batch ends`)
      } else if (entry.timestamp !== largest) {
        problems.push(`has time ${entry.timestamp} for a batch whose largest is ${largest}`)
      } else if (this.#last !== undefined && entry.timestamp <= this.#last.timestamp) {
        problems.push(`has time ${entry.timestamp} out of order`)
      }
      this.#last = entry
    }
    return problems
  }

  /** `isSealed`: then the last entry knows the largest time of the segment. */
  async end(isSealed: boolean): Promise<string[]> {
    const entry = await this.#entries.peek()
    if (entry !== undefined) return [`names offset ${entry.offset}, behind the last batch`]
    if (!isSealed || this.#largest < 0) return []
    if (this.#last !== undefined && this.#last.timestamp >= BigInt(this.#largest)) return []
    return [`does not know the largest time of its segment, ${this.#largest}`]
  }
}

/** An iterator that can be looked ahead by one. */
class Cursor<T> {
  readonly #source: AsyncIterator<T>
  #next: Promise<IteratorResult<T>> | undefined

  constructor(source: AsyncIterator<T>) {
    this.#source = source
  }

  async peek(): Promise<T | undefined> {
    this.#next ??= this.#source.next()
    const result = await this.#next
    return result.done === true ? undefined : result.value
  }

  async takeWhile(isTaken: (item: T) => boolean): Promise<T[]> {
    const taken: T[] = []
    for (let item = await this.peek(); item !== undefined && isTaken(item);) {
      taken.push(item)
      this.#next = undefined
      item = await this.peek()
    }
    return taken
  }
}
