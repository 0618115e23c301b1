/**
 * Kafka's `.timeindex`: entries of 12 bytes, timestamp i64 · relativeOffset i32. Timestamps strictly
 * rise; the offset is the last offset of a batch whose largest record timestamp equals the entry.
 * So every record at or before that offset is at most that old. One final entry at roll and close.
 */
import { readInt32, readInt64, writeInt32, writeInt64 } from '../../../model/offset.ts'
import { IndexFile } from './index-file.ts'

const entryBytes = 12

export interface TimeEntry {
  readonly timestamp: number
  readonly relativeOffset: number
}

export class TimeIndex extends IndexFile {
  #timestamps = new Float64Array(0)
  #offsets = new Int32Array(0)

  constructor(path: string) {
    super(path, entryBytes)
  }

  /** Keeps an entry only when its timestamp is larger than the last one. */
  add(timestamp: number, relativeOffset: number): void {
    if (this.count > 0 && timestamp <= this.#timestamps[this.count - 1]!) return
    if (this.count === this.#offsets.length) {
      const size = Math.max(16, this.count * 2)
      const [timestamps, offsets] = [this.#timestamps, this.#offsets]
      this.#timestamps = new Float64Array(size)
      this.#timestamps.set(timestamps)
      this.#offsets = new Int32Array(size)
      this.#offsets.set(offsets)
    }
    this.#timestamps[this.count] = timestamp
    this.#offsets[this.count] = relativeOffset
    this.count++
  }

  last(): TimeEntry | undefined {
    return this.#entry(this.count - 1)
  }

  /** The last entry with a timestamp below `timestamp`: nothing up to its offset is that late. */
  below(timestamp: number): TimeEntry | undefined {
    let low = 0
    let high = this.count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#timestamps[middle]! < timestamp) low = middle + 1
      else high = middle
    }
    return this.#entry(low - 1)
  }

  /** Entries from this offset on. */
  *entriesFrom(relativeOffset: number): Generator<TimeEntry> {
    for (let number = 0; number < this.count; number++) {
      const entry = this.#entry(number)!
      if (entry.relativeOffset >= relativeOffset) yield entry
    }
  }

  #entry(number: number): TimeEntry | undefined {
    if (number < 0) return undefined
    return { timestamp: this.#timestamps[number]!, relativeOffset: this.#offsets[number]! }
  }

  protected encodeEntries(from: number): Uint8Array {
    const bytes = Buffer.allocUnsafe((this.count - from) * entryBytes)
    for (let i = from; i < this.count; i++) {
      writeInt64(bytes, (i - from) * entryBytes, this.#timestamps[i]!)
      writeInt32(bytes, (i - from) * entryBytes + 8, this.#offsets[i]!)
    }
    return bytes
  }

  protected decodeEntries(bytes: Uint8Array): boolean {
    this.count = 0
    for (let at = 0; at + entryBytes <= bytes.length; at += entryBytes) {
      const before = this.count
      const offsetBefore = this.#offsets[before - 1] ?? -1
      const relativeOffset = readInt32(bytes, at + 8)
      if (readInt32(bytes, at) >>> 21 !== 0 || relativeOffset <= offsetBefore) return false
      this.add(readInt64(bytes, at), relativeOffset)
      if (this.count === before) return false
    }
    return true
  }

  protected dropEntries(): void {
    this.#timestamps = new Float64Array(0)
    this.#offsets = new Int32Array(0)
  }
}
