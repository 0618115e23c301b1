/** Lines between standard input and the gateway: bounded, so that a fast pipe waits for slow acks. */
import { isUtf8 } from 'node:buffer'
import { messageBytesMax } from '../model/limits.ts'
import { Failure } from './failure.ts'

export interface Line {
  readonly bytes: Buffer
  readonly utf8: boolean
}

const lineFeed = 0x0a
const carriageReturn = 0x0d

/** What one request carries at most; far below what the gateway takes. */
const batchLinesMax = 10_000
const batchBytesMax = 1024 * 1024
/** Reading stops while this much waits, bytes. */
const queuedBytesMax = 4 * batchBytesMax

export class LineQueue {
  readonly #lines: Line[] = []
  #bytes = 0
  #rest: Buffer[] = []
  #restBytes = 0
  #number = 0
  #ended = false
  #stopped = false
  #failure: unknown
  #onChange = Promise.withResolvers<void>()

  add(bytes: Buffer): void {
    this.#lines.push({ bytes, utf8: isUtf8(bytes) })
    this.#bytes += bytes.length
    this.#changed()
  }

  end(): void {
    this.#ended = true
    this.#changed()
  }

  /** Takes no more input; what has been added is still handed out. */
  stop(): void {
    this.#stopped = true
    this.end()
  }

  /** Reads `input` to its end. A last line without a line end counts, unless reading was stopped. */
  async fill(input: NodeJS.ReadableStream): Promise<void> {
    try {
      for await (const chunk of input as AsyncIterable<Buffer>) {
        this.#cut(chunk)
        while (this.#bytes > queuedBytesMax && !this.#stopped) await this.#onChange.promise
        if (this.#stopped) return
      }
      if (this.#restBytes > 0) this.#finish(Buffer.alloc(0))
    } catch (error) {
      // A stream that we closed ourselves ends early; that is what stopping means.
      if (!this.#stopped) this.#failure = error
    } finally {
      this.end()
    }
  }

  /** The next lines, at least one; none at the end. Rejects when reading failed. */
  async take(): Promise<Line[]> {
    while (this.#lines.length === 0 && !this.#ended) await this.#onChange.promise
    if (this.#lines.length === 0 && this.#failure !== undefined) throw this.#failure as Error
    let count = 0
    let bytes = 0
    for (const line of this.#lines) {
      if (count === batchLinesMax || (count > 0 && bytes + line.bytes.length > batchBytesMax)) break
      count += 1
      bytes += line.bytes.length
    }
    this.#bytes -= bytes
    const taken = this.#lines.splice(0, count)
    this.#changed()
    return taken
  }

  #cut(chunk: Buffer): void {
    let start = 0
    for (let end = chunk.indexOf(lineFeed); end >= 0; end = chunk.indexOf(lineFeed, start)) {
      this.#finish(chunk.subarray(start, end))
      start = end + 1
    }
    this.#rest.push(chunk.subarray(start))
    this.#restBytes += chunk.length - start
    if (this.#restBytes > messageBytesMax) {
      throw new Failure(`Line ${this.#number + 1} is longer than ${messageBytesMax} bytes.`)
    }
  }

  #finish(tail: Buffer): void {
    const line = this.#rest.length === 0 ? tail : Buffer.concat([...this.#rest, tail])
    this.#rest = []
    this.#restBytes = 0
    this.#number += 1
    this.add(line.at(-1) === carriageReturn ? line.subarray(0, -1) : line)
  }

  #changed(): void {
    this.#onChange.resolve()
    this.#onChange = Promise.withResolvers<void>()
  }
}
