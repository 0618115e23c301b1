/** Reading batches out of a segment file, believing nothing that was not checked. */
import { messageBytesMax } from '../../../model/limits.ts'
import { readInt32 } from '../../../model/offset.ts'
import { batchBytesOf, batchHeaderBytes, batchProblem } from '../../../model/record-batch.ts'
import type { DiskFile } from '../disk/disk.ts'

const magicAt = 16
const magic = 2
/** An index entry may stand this far in front of the batch that is wanted. */
const readAheadBytes = 8 * 1024
const windowBytesMin = 16 * 1024

/** A window that moves over a file, so that many small batches cost one read. */
export class SegmentScan {
  readonly #file: DiskFile
  readonly #end: number
  readonly #readBytes: number
  #window: Uint8Array = new Uint8Array(0)
  #windowAt = 0
  position: number

  constructor(file: DiskFile, position: number, end: number, bytesMax: number) {
    this.#file = file
    this.position = position
    this.#end = end
    this.#readBytes = Math.max(bytesMax + readAheadBytes, windowBytesMin)
  }

  /** Whether the window already has the next `count` bytes. */
  holds(count: number): boolean {
    return this.position + count <= this.#windowAt + this.#window.length
  }

  /** The next `count` bytes, fewer at the end. */
  async peek(count: number): Promise<Uint8Array> {
    if (!this.holds(Math.min(count, this.#end - this.position))) {
      const size = Math.min(Math.max(count, this.#readBytes), this.#end - this.position)
      const window = Buffer.allocUnsafeSlow(size)
      const read = await this.#file.read(window, this.position)
      this.#window = window.subarray(0, read)
      this.#windowAt = this.position
    }
    const from = this.position - this.#windowAt
    return this.#window.subarray(from, from + count)
  }

  skip(count: number): void {
    this.position += count
  }
}

/** What forbids believing a batch header, before the batch itself was read. */
export function headProblem(head: Uint8Array, left: number): string | undefined {
  if (head.length < batchHeaderBytes) return 'is cut off'
  if (head[magicAt] !== magic) return `has magic ${head[magicAt]}, not ${magic}`
  const size = batchBytesOf(head)
  if (size < batchHeaderBytes || size > messageBytesMax) return `says it has ${size} bytes`
  if (size > left) return 'runs past the end of its segment'
  // Numbers that are not exact would make the reader throw instead of naming the damage.
  if (!isExact(head, 0) || head[0]! > 0x7f) return 'has a base offset out of range'
  if (!isExact(head, 27) || !isExact(head, 35)) return 'has a timestamp out of range'
  return undefined
}

/** Whether the 64 bits at `at` are a number that JS holds exactly, of either sign. */
function isExact(bytes: Uint8Array, at: number): boolean {
  const high = readInt32(bytes, at)
  return high >= -0x20_0000 && high < 0x20_0000
}

/** The whole and undamaged batch at `position`, if there is one. */
export async function goodBatchAt(
  file: DiskFile,
  position: number,
  end: number,
): Promise<Uint8Array | undefined> {
  if (position + batchHeaderBytes > end) return undefined
  const head = Buffer.alloc(batchHeaderBytes)
  await file.read(head, position)
  if (headProblem(head, end - position) !== undefined) return undefined
  const batch = Buffer.alloc(batchBytesOf(head))
  await file.read(batch, position)
  return batchProblem(batch) === undefined ? batch : undefined
}
