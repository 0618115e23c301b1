import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { JournalFile, journalFolder } from '../../../../src/engine/embedded/journal/journal-file.ts'
import {
  blockBytes,
  entryHeaderBytes,
  frameHeaderBytes,
} from '../../../../src/engine/embedded/journal/journal-frame.ts'
import type { Chain } from '../../../../src/engine/embedded/journal/recovery.ts'
import { readChain, reusableFiles } from '../../../../src/engine/embedded/journal/recovery.ts'
import type { SimDisk } from '../../../support/sim-disk.ts'
import { journalFileBytes, TestJournal } from '../../../support/test-journal.ts'
import { cutTails } from '../../../torture/tails.ts'

const start = { fileSeq: 1, offset: blockBytes, nextFrameSeq: 1 }

async function open(disk: SimDisk): Promise<JournalFile[]> {
  const files = (await disk.list(journalFolder)).map((name) => JournalFile.open(disk, name))
  return Promise.all(files)
}

async function seqs(disk: SimDisk, from = start): Promise<number[]> {
  const found: number[] = []
  const { hole } = await readChain(await open(disk), from, (frame) => found.push(frame.seq))
  assert.equal(hole, undefined)
  return found
}

async function chainOf(disk: SimDisk, from = start): Promise<Chain> {
  return readChain(await open(disk), from, () => undefined)
}

function upTo(last: number): number[] {
  return Array.from({ length: last }, (_, i) => i + 1)
}

describe('a torn tail', () => {
  test('cut anywhere and filled with anything, the journal ends behind the last whole frame', async () => {
    const { cuts, problems } = await cutTails({ tailBytes: 65_536, step: 37 })
    assert.deepEqual(problems, [])
    assert.ok(cuts > 4000)
  })

  test('frames of an earlier lap behind the end are not taken for new ones', async () => {
    const journal = new TestJournal()
    await journal.begin(1, 1, 1)
    for (let seq = 1; seq <= 8; seq++) await journal.frame(seq, 100)
    // The file is used again, and a power cut comes after three frames.
    await journal.begin(1, 2, 9)
    for (let seq = 9; seq <= 11; seq++) await journal.frame(seq, 100)
    const from = { fileSeq: 2, offset: blockBytes, nextFrameSeq: 9 }
    assert.deepEqual(await seqs(journal.disk, from), [9, 10, 11])
  })
})

describe('damage', () => {
  test('every flipped bit in a frame before the last is a hole, and is named', async () => {
    const journal = new TestJournal()
    await journal.begin(1, 1, 1)
    for (let seq = 1; seq <= 4; seq++) await journal.frame(seq, 50)
    const path = `${journalFolder}/0001.jnl`
    const frameAt = 3 * blockBytes
    const bytes = journal.disk.bytesOf(path)
    const frameBytes = frameHeaderBytes + entryHeaderBytes + 50
    for (let bit = 0; bit < frameBytes * 8; bit++) {
      const at = frameAt + (bit >> 3)
      journal.disk.damage(path, at, Uint8Array.of(bytes[at]! ^ (1 << (bit & 7))))
      const { lastSeq, hole } = await chainOf(journal.disk)
      assert.deepEqual([lastSeq, hole?.missingSeq, hole?.laterSeq], [2, 3, 4], `bit ${bit}`)
      journal.disk.damage(path, at, Uint8Array.of(bytes[at]!))
    }
    assert.deepEqual(await seqs(journal.disk), [1, 2, 3, 4])
  })

  test('a file that begins two frames too late is a hole', async () => {
    const journal = new TestJournal()
    await journal.begin(1, 1, 1)
    await journal.frame(1)
    await journal.begin(2, 2, 3)
    assert.equal((await chainOf(journal.disk)).hole?.missingSeq, 2)
  })

  test('a flipped bit in the last frame is taken for a torn write', async () => {
    const journal = new TestJournal()
    await journal.begin(1, 1, 1)
    await journal.frame(1, 50)
    await journal.frame(2, 50)
    journal.disk.damage(`${journalFolder}/0001.jnl`, 2 * blockBytes + 70, Uint8Array.of(1))
    assert.deepEqual(await seqs(journal.disk), [1])
  })

  test('one flipped bit in the header of a file is healed by its second copy', async () => {
    const journal = new TestJournal()
    await journal.begin(1, 1, 1)
    await journal.frame(1)
    const path = `${journalFolder}/0001.jnl`
    const bytes = journal.disk.bytesOf(path)
    for (const copy of [0, 2048]) {
      for (let bit = 0; bit < 28 * 8; bit++) {
        const at = copy + (bit >> 3)
        journal.disk.damage(path, at, Uint8Array.of(bytes[at]! ^ (1 << (bit & 7))))
        assert.deepEqual(await seqs(journal.disk), [1], `bit ${bit} of the copy at ${copy}`)
        journal.disk.damage(path, at, bytes.subarray(at, at + 1))
      }
    }
  })
})

describe('several files', () => {
  test('the chain goes on in the file that begins with the next number', async () => {
    const journal = new TestJournal()
    await journal.begin(1, 1, 1)
    for (let seq = 1; seq <= 3; seq++) await journal.frame(seq)
    await journal.begin(2, 2, 4)
    for (let seq = 4; seq <= 6; seq++) await journal.frame(seq)
    assert.deepEqual(await seqs(journal.disk), upTo(6))
    const from = { fileSeq: 1, offset: blockBytes, nextFrameSeq: 4 }
    assert.deepEqual(await seqs(journal.disk, from), [4, 5, 6])
  })

  test('a header without a frame is no hole', async () => {
    const journal = new TestJournal()
    await journal.begin(1, 1, 1)
    await journal.frame(1)
    await journal.begin(2, 2, 2)
    assert.deepEqual(await seqs(journal.disk), [1])
  })

  test('a run that begins with a copy of the last frame is followed, and so is the next one', async () => {
    const journal = new TestJournal()
    await journal.begin(1, 1, 1)
    for (let seq = 1; seq <= 3; seq++) await journal.frame(seq)
    await journal.begin(2, 2, 3, 2)
    for (let seq = 3; seq <= 5; seq++) await journal.frame(seq)
    await journal.begin(3, 3, 5, 3)
    await journal.frame(5)
    assert.deepEqual(await seqs(journal.disk), upTo(5))
  })

  test('a new run may take what an interrupted start left, and nothing that is needed', async () => {
    const journal = new TestJournal()
    await journal.begin(1, 1, 1)
    for (let seq = 1; seq <= 3; seq++) await journal.frame(seq)
    await journal.begin(2, 2, 3, 2)
    await journal.frame(3)
    await journal.begin(3, 3, 4, 3)
    await JournalFile.make(journal.disk, '0004.jnl', journalFileBytes)
    const files = await open(journal.disk)
    const chain = await readChain(files, start, () => undefined)
    const kept = [{ number: 1, generation: 1, logTimeMs: 0, position: start, sections: new Map() }]
    const names = (await reusableFiles(files, kept, chain)).map(({ name }) => name)
    assert.deepEqual(names.sort(), ['0002.jnl', '0003.jnl', '0004.jnl'])
  })

  test('the only file that begins with the last frame is never taken', async () => {
    const journal = new TestJournal()
    await journal.begin(1, 1, 1)
    await journal.frame(1)
    await journal.begin(2, 2, 2)
    await journal.frame(2)
    const files = await open(journal.disk)
    const chain = await readChain(files, start, () => undefined)
    const kept = [{ number: 1, generation: 1, logTimeMs: 0, position: start, sections: new Map() }]
    assert.deepEqual(await reusableFiles(files, kept, chain), [])
  })
})
