/**
 * Cuts lines that come in pieces: a line is handed out as soon as its end is there, and each byte is
 * looked at once, however small the pieces are.
 */
import { ByteSink } from './byte-sink.ts'

const lineFeed = 0x0a

export class LineFeed {
  readonly #bytesMax: number
  /** The begin of a line whose end has not come. */
  readonly #held = new ByteSink()
  #tooLarge = false

  /** A line may take `bytesMax`. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** Of the line that has begun, bytes. */
  get heldBytes(): number {
    return this.#held.length
  }

  /** A line is larger than allowed: nothing comes any more. */
  get tooLarge(): boolean {
    return this.#tooLarge
  }

  /**
   * The lines that end in `piece`, empty ones too, without their LF. One that lies whole in the
   * piece is a slice of it.
   */
  push(piece: Buffer): Buffer[] {
    const lines: Buffer[] = []
    let start = 0
    while (!this.#tooLarge) {
      const end = piece.indexOf(lineFeed, start)
      if (this.#held.length + (end < 0 ? piece.length : end) - start > this.#bytesMax) {
        this.#tooLarge = true
        this.#held.take()
        return lines
      }
      const rest = piece.subarray(start, end < 0 ? piece.length : end)
      if (end < 0) {
        if (rest.length > 0) this.#held.bytes(rest)
        return lines
      }
      lines.push(this.#held.length === 0 ? rest : this.#held.bytes(rest).take())
      start = end + 1
    }
    return lines
  }

  /** The last line, if it has no end of its own. */
  end(): Buffer | undefined {
    return this.#held.length === 0 ? undefined : this.#held.take()
  }
}
