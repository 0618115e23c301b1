/** What both index files share: entries in memory, appended to the file and synced at checkpoints. */
import type { Disk } from '../disk/disk.ts'
import { isPassing, readWhole } from '../disk/disk.ts'

export abstract class IndexFile {
  path: string
  readonly #entryBytes: number
  /** Entries in memory. */
  protected count = 0
  /** Entries that are on disk and synced. */
  #synced = 0
  /** Whether there is a file; an empty one too, because Kafka's tools want to open it. */
  #isThere = false

  constructor(path: string, entryBytes: number) {
    this.path = path
    this.#entryBytes = entryBytes
  }

  get entries(): number {
    return this.count
  }

  get bytes(): number {
    return this.count * this.#entryBytes
  }

  get isSynced(): boolean {
    return this.#isThere && this.#synced === this.count
  }

  /**
   * Loads the file. False when it is missing, refused by the disk, cut off, out of order, or has not `expected` entries
   * where that is known: then it holds nothing and must be rebuilt from the log.
   */
  async load(disk: Disk, expected?: number): Promise<boolean> {
    const bytes = await this.#read(disk)
    const wanted = expected === undefined ? bytes?.length : expected * this.#entryBytes
    if (bytes === undefined ? wanted === 0 : bytes.length >= wanted!) {
      const known = bytes?.subarray(0, wanted) ?? new Uint8Array(0)
      if (known.length % this.#entryBytes === 0 && this.decodeEntries(known)) {
        // Entries beyond the expected ones are cut off by the next write, which begins behind them.
        this.#synced = bytes?.length === wanted ? this.count : 0
        this.#isThere = bytes?.length === wanted
        return true
      }
    }
    this.clear()
    return false
  }

  async #read(disk: Disk): Promise<Uint8Array | undefined> {
    try {
      return await readWhole(disk, this.path)
    } catch (error) {
      if (isPassing(error)) throw error
      return undefined
    }
  }

  /** Forgets all entries; the next `sync` writes the file anew. */
  clear(): void {
    this.count = 0
    this.#synced = 0
    this.#isThere = false
    this.dropEntries()
  }

  /** Writes the entries that are not on disk yet and syncs them. Returns whether the file is new. */
  async sync(disk: Disk): Promise<boolean> {
    const from = this.#synced
    const upTo = this.count
    const bytes = this.encodeEntries(from)
    const isNew = from === 0 && !(await disk.exists(this.path))
    const file = await disk.open(this.path, { create: true })
    try {
      await file.truncate(from * this.#entryBytes)
      await file.write([bytes], from * this.#entryBytes)
      await file.sync()
    } finally {
      await file.close()
    }
    this.#synced = upTo
    this.#isThere = true
    return isNew
  }

  protected abstract encodeEntries(from: number): Uint8Array
  /** Fills the empty index; false when the bytes break a rule of the format. */
  protected abstract decodeEntries(bytes: Uint8Array): boolean
  protected abstract dropEntries(): void
}
