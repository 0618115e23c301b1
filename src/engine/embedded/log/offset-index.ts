/**
 * Kafka's `.index`: entries of 8 bytes, relativeOffset i32 · position i32, relative to the base in
 * the file name. An entry is the last offset of the batch that starts at `position`. One entry when
 * more than `index.interval.bytes` were written since the last; offsets strictly rise.
 *
 * In memory the whole index is one Int32Array. It is written at checkpoints only: what a crash
 * loses, replay makes again.
 */
import { readInt32, writeInt32 } from '../../../model/offset.ts'
import { IndexFile } from './index-file.ts'

const entryBytes = 8

export interface IndexEntry {
  readonly relativeOffset: number
  readonly position: number
}

export class OffsetIndex extends IndexFile {
  #entries = new Int32Array(0)

  constructor(path: string) {
    super(path, entryBytes)
  }

  add(relativeOffset: number, position: number): void {
    if (2 * this.count === this.#entries.length) this.#entries = grown(this.#entries)
    this.#entries[2 * this.count] = relativeOffset
    this.#entries[2 * this.count + 1] = position
    this.count++
  }

  entry(number: number): IndexEntry | undefined {
    if (number < 0 || number >= this.count) return undefined
    return { relativeOffset: this.#entries[2 * number]!, position: this.#entries[2 * number + 1]! }
  }

  /** The last entry at or before `relativeOffset`: reading starts there; none: at the beginning. */
  floor(relativeOffset: number): IndexEntry | undefined {
    let low = 0
    let high = this.count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#entries[2 * middle]! <= relativeOffset) low = middle + 1
      else high = middle
    }
    return this.entry(low - 1)
  }

  /** Where indexed batches behind `position` start, in order. */
  *positionsBehind(position: number): Generator<number> {
    let low = 0
    let high = this.count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#entries[2 * middle + 1]! <= position) low = middle + 1
      else high = middle
    }
    for (; low < this.count; low++) yield this.#entries[2 * low + 1]!
  }

  /** Entries of batches from `position` on. */
  *entriesFrom(position: number): Generator<IndexEntry> {
    for (let number = 0; number < this.count; number++) {
      const entry = this.entry(number)!
      if (entry.position >= position) yield entry
    }
  }

  protected encodeEntries(from: number): Uint8Array {
    const bytes = Buffer.allocUnsafe((this.count - from) * entryBytes)
    for (let i = from; i < this.count; i++) {
      writeInt32(bytes, (i - from) * entryBytes, this.#entries[2 * i]!)
      writeInt32(bytes, (i - from) * entryBytes + 4, this.#entries[2 * i + 1]!)
    }
    return bytes
  }

  protected decodeEntries(bytes: Uint8Array): boolean {
    this.count = 0
    for (let at = 0; at + entryBytes <= bytes.length; at += entryBytes) {
      const relativeOffset = readInt32(bytes, at)
      const position = readInt32(bytes, at + 4)
      const last = this.entry(this.count - 1)
      if (relativeOffset <= (last?.relativeOffset ?? -1)) return false
      if (position <= (last?.position ?? 0)) return false
      this.add(relativeOffset, position)
    }
    return true
  }

  protected dropEntries(): void {
    this.#entries = new Int32Array(0)
  }
}

function grown(entries: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(Math.max(16, entries.length * 2))
  larger.set(entries)
  return larger
}
