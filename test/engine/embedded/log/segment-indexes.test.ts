/** Index files have no checksum: what they say is believed only where the log bears it out. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { EmbeddedEngine } from '../../../../src/engine/embedded/embedded-engine.ts'
import { readRecords } from '../../../../src/model/batch-reader.ts'
import { openTestEngine } from '../../../support/engine.ts'
import { batchOf, call, fetch, newTopic, tp } from '../../../support/one-partition.ts'
import type { SimDisk } from '../../../support/sim-disk.ts'

/** Small: a start makes the files whole. */
const journalSizes = { firstFileBytes: 131_072, fileBytes: 131_072 }
const count = 60
const timeOf = (i: number): number => 1_000_000 + i * 1000

/** A sealed segment and an active one behind it, with a dozen entries in each of the first's indexes. */
async function folder(): Promise<SimDisk> {
  const { engine, disk, close } = await openTestEngine({ journalSizes })
  await newTopic(engine, { 'segment.bytes': '60000' })
  for (let i = 0; i < count; i++) {
    const batch = batchOf(`${i}`.padEnd(1500, '.'), timeOf(i))
    await engine.log.append([{ tp, batch, trusted: true }], call)
  }
  await close()
  return disk
}

async function offsetAt(engine: EmbeddedEngine, time: number): Promise<number> {
  const [found] = await engine.log.offsets([{ tp, at: { time } }], call)
  return found!.offset
}

/** Every record and every time, each looked up on its own. */
async function check(engine: EmbeddedEngine, told: string): Promise<void> {
  for (let i = 0; i < count; i += 7) {
    const { batches, error } = await fetch(engine, i, 1)
    assert.equal(error, undefined, `${told}: offset ${i}: ${error?.message}`)
    assert.equal(readRecords(batches[0]!)[0]!.offset, i, told)
    assert.equal(await offsetAt(engine, timeOf(i)), i, `${told}: the time of offset ${i}`)
    assert.equal(await offsetAt(engine, timeOf(i) - 500), i, `${told}: just before offset ${i}`)
  }
}

describe('index files', () => {
  for (const kind of ['index', 'timeindex']) {
    test(`a flipped bit anywhere in a .${kind} costs no record and no look-up by time`, async () => {
      const made = await folder()
      const paths = [...made.files().keys()].filter((path) => path.endsWith(`.${kind}`))
      assert.equal(paths.length, 2)
      let flipped = 0
      for (const path of paths) {
        const bytes = made.bytesOf(path)
        assert.ok(bytes.length > 16)
        // A prime step, so that every bit of an entry has its turn in some entry.
        for (let bit = 0; bit < bytes.length * 8; bit += 29, flipped++) {
          const disk = made.clone()
          const at = bit >> 3
          disk.damage(path, at, Uint8Array.of(bytes[at]! ^ (1 << (bit & 7))))
          const { engine, close } = await openTestEngine({ disk, hotTailBytes: 0, journalSizes })
          await check(engine, `bit ${bit} of ${path}`)
          await close()
        }
      }
      assert.ok(flipped > 40, `${flipped}`)
    })

    test(`a .${kind} that is old and therefore short is made again`, async () => {
      const made = await folder()
      const path = [...made.files().keys()].find((name) => name.endsWith(`.${kind}`))!
      const entryBytes = kind === 'index' ? 8 : 12
      for (let bytes = 0; bytes < made.bytesOf(path).length; bytes += entryBytes) {
        const disk = made.clone()
        disk.cut(path, bytes)
        const { engine, close } = await openTestEngine({ disk, hotTailBytes: 0, journalSizes })
        await check(engine, `cut to ${bytes}`)
        await close()
      }
    })
  }

  test('what was made again is as it was, and is written', async () => {
    const disk = await folder()
    const before = new Map([...disk.files().keys()].map((path) => [path, disk.bytesOf(path)]))
    for (const path of before.keys()) {
      if (/\.(time)?index$/.test(path)) disk.damage(path, 3, Uint8Array.of(0x55))
    }
    const { engine, close } = await openTestEngine({ disk, hotTailBytes: 0, journalSizes })
    await check(engine, 'spoiled')
    await close()
    for (const [path, bytes] of before) {
      if (/\.(time)?index$/.test(path)) assert.deepEqual(disk.bytesOf(path), bytes, path)
    }
  })

  test('a damaged batch hides from an index only itself', async () => {
    const disk = await folder()
    const log = 'logs/t-0/00000000000000000000.log'
    const at = disk.bytesOf(log).indexOf('12.......')
    disk.damage(log, at + 30, Buffer.from('!'))
    for (const path of disk.files().keys()) if (path.endsWith('index')) disk.cut(path, 0)
    const { engine, close } = await openTestEngine({ disk, hotTailBytes: 0, journalSizes })
    for (let i = 0; i < count; i++) {
      const { batches, error, next } = await fetch(engine, i, 1)
      if (i === 12) assert.deepEqual([error?.code, next], ['CORRUPT_BATCH', 13])
      else assert.equal(readRecords(batches[0]!)[0]!.offset, i)
    }
    assert.equal(await offsetAt(engine, timeOf(40)), 40)
    await close()
  })
})
