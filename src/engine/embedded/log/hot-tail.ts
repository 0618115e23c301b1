/**
 * The hot tail: recent batches of all partitions in memory under one budget, for readers at the end.
 * A batch is held from the moment it is durable; only one whose segment write has returned may go,
 * the one written first goes first. So above the written end readers always find it here.
 */
import type { BatchEntry } from './batch-entry.ts'

export class HotTail {
  readonly #bytesMax: number
  /** Written batches in the order of their writes. */
  #written: BatchEntry[] = []
  #head = 0
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** The segment write of this batch has returned. */
  noteWritten(batch: BatchEntry): void {
    this.#written.push(batch)
    this.#bytes += batch.memoryBytes
    while (this.#bytes > this.#bytesMax) this.#dropOldest()
  }

  #dropOldest(): void {
    const oldest = this.#written[this.#head]!
    this.#written[this.#head++] = undefined as never
    this.#bytes -= oldest.memoryBytes
    oldest.owner.evict(oldest)
    if (this.#head > 4096 && this.#head * 2 > this.#written.length) {
      this.#written = this.#written.slice(this.#head)
      this.#head = 0
    }
  }
}
