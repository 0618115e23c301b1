/**
 * The yardstick of durable appends: callers hand in buffers, one O_DSYNC write is in flight, what comes
 * meanwhile shares the next one. The same groups as the engine's, and nothing else of it.
 */
import { constants } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { open } from 'node:fs/promises'
import { join } from 'node:path'

const fileBytes = 128 * 1024 * 1024
const blockBytes = 4096
/** As in the engine: a write is sealed at this size. */
const writeBytesMax = 4 * 1024 * 1024

interface Waiting {
  readonly bytes: Uint8Array
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

export class RawJournal {
  readonly #file: FileHandle
  #queue: Waiting[] = []
  #position = 0
  #busy = false

  private constructor(file: FileHandle) {
    this.#file = file
  }

  static async open(folder: string): Promise<RawJournal> {
    const path = join(folder, 'raw.journal')
    const filler = await open(path, 'w')
    const zeros = Buffer.alloc(1024 * 1024)
    for (let at = 0; at < fileBytes; at += zeros.length)
      await filler.write(zeros, 0, zeros.length, at)
    await filler.sync()
    await filler.close()
    return new RawJournal(await open(path, constants.O_RDWR | constants.O_DSYNC))
  }

  append(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ bytes, resolve, reject })
      if (this.#busy) return
      this.#busy = true
      queueMicrotask(() => void this.#pump())
    })
  }

  close(): Promise<void> {
    return this.#file.close()
  }

  async #pump(): Promise<void> {
    while (this.#queue.length > 0) {
      const group = this.#take()
      const used = group.reduce((sum, { bytes }) => sum + bytes.length, 0)
      const size = Math.ceil(used / blockBytes) * blockBytes
      const write = Buffer.allocUnsafe(size)
      let at = 0
      for (const { bytes } of group) {
        write.set(bytes, at)
        at += bytes.length
      }
      write.fill(0, at)
      if (this.#position + size > fileBytes) this.#position = 0
      try {
        await this.#file.write(write, 0, size, this.#position)
        for (const { resolve } of group) resolve()
      } catch (error) {
        for (const { reject } of group) reject(error)
      }
      this.#position += size
    }
    this.#busy = false
  }

  #take(): Waiting[] {
    let bytes = 0
    let count = 0
    for (const waiting of this.#queue) {
      bytes += waiting.bytes.length
      if (bytes > writeBytesMax && count > 0) break
      count++
    }
    return this.#queue.splice(0, count)
  }
}
