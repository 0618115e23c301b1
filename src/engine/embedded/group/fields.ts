/** The two field types of this room's journal entries: numbers as varints, texts as length and UTF-8. */
import { VarintReader, writeVarint } from '../../../kit/varint.ts'

/** A varint takes at most this many bytes. */
const varintBytesMax = 10

export class FieldWriter {
  #bytes = Buffer.allocUnsafe(256)
  #at = 0

  number(value: number): this {
    this.#reserve(varintBytesMax)
    this.#at = writeVarint(this.#bytes, this.#at, value)
    return this
  }

  text(value: string): this {
    const length = Buffer.byteLength(value)
    this.number(length)
    this.#reserve(length)
    this.#at += this.#bytes.write(value, this.#at)
    return this
  }

  /** What was written; the writer is not used afterwards. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#at)
  }

  #reserve(count: number): void {
    if (this.#at + count <= this.#bytes.length) return
    const grown = Buffer.allocUnsafe(Math.max(2 * this.#bytes.length, this.#at + count))
    this.#bytes.copy(grown, 0, 0, this.#at)
    this.#bytes = grown
  }
}

export class FieldReader {
  readonly #reader: VarintReader

  constructor(bytes: Uint8Array) {
    this.#reader = new VarintReader(bytes)
  }

  /** Throws RangeError at the end of the bytes. */
  number(): number {
    return this.#reader.next()
  }

  text(): string {
    const { bytes } = this.#reader
    const length = this.#reader.next()
    const from = this.#reader.at
    if (length < 0 || from + length > bytes.length) throw new RangeError('A text is cut off.')
    this.#reader.at = from + length
    return Buffer.from(bytes.buffer, bytes.byteOffset + from, length).toString('utf8')
  }

  get done(): boolean {
    return this.#reader.at === this.#reader.bytes.length
  }
}
