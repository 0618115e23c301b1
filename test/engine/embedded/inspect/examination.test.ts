/** What an examination finds, names and localises; and that what it calls sound can be read. */
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import fc from 'fast-check'
import type { Finding } from '../../../../src/engine/embedded/inspect/finding.ts'
import { readOnlyDisk } from '../../../../src/engine/embedded/disk/read-only-disk.ts'
import { readFolderState } from '../../../../src/engine/embedded/inspect/folder-state.ts'
import {
  inspectTools,
  fill,
  filledFolder,
  look,
  openFolder,
  readAll,
} from '../../../support/damaged-folder.ts'
import { SimDisk } from '../../../support/sim-disk.ts'

let whole: SimDisk
let paths: string[]
const folder = 'logs/t-0'
const first = `${folder}/00000000000000000000`

before(async () => {
  whole = await filledFolder()
  paths = [...whole.files().keys()].filter((path) => !path.startsWith('LOCK'))
})

const damageIn = (findings: readonly Finding[]): Finding[] =>
  findings.filter(({ severity }) => severity === 'damage')

function flipped(disk: SimDisk, path: string, position: number, bits = 0xff): void {
  const byte = disk.bytesOf(path)[position]!
  disk.damage(path, position, Uint8Array.of(byte ^ bits))
}

function segmentsOf(disk: SimDisk): string[] {
  return [...disk.files().keys()].filter((path) => path.startsWith(folder) && path.endsWith('.log'))
}

test('a folder after kill -9 is sound, and so is a new one and one after a clean stop', async () => {
  const killed = await look(whole)
  assert.deepEqual(damageIn(killed.findings), [])
  assert.ok(killed.found.segments > 4 && killed.found.batches >= 56, JSON.stringify(killed.found))
  const started = whole.clone()
  const { engine, close } = await openFolder(started)
  await fill(engine, 1)
  await close()
  assert.deepEqual(damageIn((await look(started)).findings), [])
  const fresh = new SimDisk()
  await (await openFolder(fresh)).close()
  assert.deepEqual((await look(fresh)).findings, [])
})

test('a damaged batch is named by topic, partition, segment, bytes and offsets', async () => {
  const disk = whole.clone()
  flipped(disk, `${first}.log`, 1000)
  const [finding, ...rest] = damageIn((await look(disk)).findings)
  assert.deepEqual(rest, [])
  const { topic, partition, segment, from, to, file, what } = finding!
  assert.deepEqual([topic, partition, segment, from, to], ['t', 0, 0, 1, 1])
  assert.equal(file, `${first}.log`)
  assert.match(
    what,
    /^The batch at byte \d+ does not match its CRC; bytes \d+ to \d+ cannot be read\.$/,
  )
})

test('damage of every other kind is found where it is', async () => {
  const middle = segmentsOf(whole)[1]!
  // The last one below the recovery position, which is 28.
  const written = segmentsOf(whole).findLast((path) => Number(/(\d+)\.log/.exec(path)![1]) < 28)!
  const state = await readFolderState(readOnlyDisk(whole), inspectTools, () => undefined)
  const place = state.chain!.places[1]!
  const snapshots = paths.filter((path) => path.endsWith('.snapshot'))
  const cases: readonly (readonly [damage: (disk: SimDisk) => unknown, file: string, RegExp])[] = [
    [(disk) => disk.remove(middle), folder, /No segment holds offsets \d+ to \d+/],
    [(disk) => disk.cut(`${first}.log`, 4000), `${first}.log`, /runs past the end/],
    [(disk) => disk.cut(written, 10), written, /had synced/],
    [(disk) => flipped(disk, `${first}.index`, 3), `${first}.index`, /^The index /],
    [(disk) => flipped(disk, `${first}.timeindex`, 7, 1), `${first}.timeindex`, /^The index /],
    [(disk) => disk.cut(`${first}.index`, 5), `${first}.index`, /cut off/],
    [(disk) => disk.remove(`${first}.timeindex`), `${first}.timeindex`, /missing/],
    [(disk) => flipped(disk, snapshots[0]!, 50), snapshots[0]!, /does not match its CRC/],
    [(disk) => disk.remove('meta.properties'), 'meta.properties', /missing/],
    [
      (disk) => flipped(disk, 'meta.properties', disk.bytesOf('meta.properties').length - 2),
      'meta.properties',
      /format/,
    ],
    [
      (disk) => flipped(disk, `${folder}/partition.metadata`, 0),
      `${folder}/partition.metadata`,
      /./,
    ],
    [
      (disk) => flipped(disk, `journal/${place.file.name}`, place.offset + 70),
      'journal',
      /has a hole/,
    ],
  ]
  for (const [damage, file, what] of cases) {
    const disk = whole.clone()
    await damage(disk)
    const found = damageIn((await look(disk)).findings)
    assert.ok(
      found.some((one) => one.file === file && what.test(one.what)),
      `${file} ${String(what)}: ${JSON.stringify(found)}`,
    )
  }
})

test('without any snapshot it says so, and with a journal that misses frames too', async () => {
  const disk = whole.clone()
  for (const path of paths) if (path.endsWith('.snapshot')) flipped(disk, path, 30)
  const { findings, found } = await look(disk)
  assert.equal(found.isSound, false)
  assert.ok(damageIn(findings).some(({ what }) => /no snapshot that can be read/.test(what)))
})

test('whatever is damaged, it never throws, and what it calls sound is read without CORRUPT_BATCH', async () => {
  const damage = fc.record({
    path: fc.nat(),
    at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    how: fc.constantFrom('flip', 'zero', 'cut', 'remove', 'garbage'),
    bits: fc.integer({ min: 1, max: 255 }),
  })
  let sound = 0
  await fc.assert(
    fc.asyncProperty(fc.array(damage, { minLength: 1, maxLength: 2 }), async (damages) => {
      const disk = whole.clone()
      for (const { path, at, how, bits } of damages) {
        const name = paths[path % paths.length]!
        const size = disk.files().get(name) ?? 0
        if (size === 0) continue
        // Journals are mostly zeros; what matters stands in their first blocks.
        const position = Math.floor(at * (name.endsWith('.jnl') ? Math.min(size, 100_000) : size))
        if (how === 'flip') flipped(disk, name, position, bits)
        else if (how === 'cut') disk.cut(name, position)
        else if (how === 'remove') await disk.remove(name)
        else {
          const part = Buffer.alloc(Math.min(size - position, 600), how === 'zero' ? 0 : bits)
          disk.damage(name, position, part)
        }
      }
      const { found } = await look(disk)
      if (!found.isSound) return
      sound++
      const { engine, close } = await openFolder(disk)
      for (const partition of [0, 1]) {
        assert.deepEqual((await readAll(engine, partition)).corrupt, [])
      }
      assert.equal(engine.health().state, 'ok')
      await close()
    }),
    { numRuns: 150 },
  )
  assert.ok(sound > 0)
})
