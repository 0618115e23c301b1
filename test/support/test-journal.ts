/** A journal of its own, without an engine: written frame by frame, as the committer does. */
import { JournalFile, journalFolder } from '../../src/engine/embedded/journal/journal-file.ts'
import {
  blockBytes,
  encodeFrame,
  entryHeaderBytes,
  frameHeaderBytes,
  paddedBytes,
} from '../../src/engine/embedded/journal/journal-frame.ts'
import { entryKinds } from '../../src/engine/embedded/journal/state-machine.ts'
import { SimDisk } from './sim-disk.ts'

export const journalFileBytes = 24 * blockBytes

export class TestJournal {
  readonly disk = new SimDisk({ schedule: (run) => run() })
  readonly ends: number[] = []
  file!: JournalFile
  offset = blockBytes

  async begin(slot: number, fileSeq: number, firstFrameSeq: number, generation = 1): Promise<void> {
    await this.disk.makeDirectory(journalFolder)
    const name = `000${slot}.jnl`
    const isThere = await this.disk.exists(`${journalFolder}/${name}`)
    this.file = isThere
      ? await JournalFile.open(this.disk, name)
      : await JournalFile.make(this.disk, name, journalFileBytes)
    await this.file.begin({ fileSeq, generation, firstFrameSeq })
    this.offset = blockBytes
  }

  /** Frames differ in size, so that some take several blocks. */
  async frame(seq: number, size = 40 + ((seq * 997) % 5000)): Promise<void> {
    const payload = Buffer.alloc(size, seq)
    const entry = {
      kind: entryKinds.META,
      partitionRef: 0,
      baseOffset: 0,
      segmentBase: 0,
      segmentPos: 0,
    }
    const bytes = frameHeaderBytes + entryHeaderBytes + size
    const { seed } = this.file
    const buffers = encodeFrame([{ ...entry, payload }], bytes, { seq, timeMs: seq, seed })
    await this.file.write(buffers, this.offset)
    this.ends.push(this.offset + bytes)
    this.offset += paddedBytes(bytes)
  }
}
