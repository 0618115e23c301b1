/** Damage moved to quarantine on command: what was whole stays, nothing is deleted, appends go on. */
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { readOnlyDisk } from '../../../../src/engine/embedded/disk/read-only-disk.ts'
import { moveDamageAside } from '../../../../src/engine/embedded/inspect/damage-aside.ts'
import { readFolderState } from '../../../../src/engine/embedded/inspect/folder-state.ts'
import { exportable, goodRecords } from '../../../../src/engine/embedded/inspect/good-records.ts'
import { rebuildIndexes } from '../../../../src/engine/embedded/inspect/rebuilt-indexes.ts'
import {
  fill,
  filledFolder,
  inspectTools,
  look,
  openFolder,
  readAll,
  valueOf,
} from '../../../support/damaged-folder.ts'
import type { SimDisk } from '../../../support/sim-disk.ts'

const folder = 'logs/t-0'
let stopped: SimDisk
/** Bytes of one batch, all of the same size but for the digits of their offset. */
let logs: { path: string; base: number; bytes: number }[]

before(async () => {
  stopped = await filledFolder()
  await (await openFolder(stopped)).close()
  logs = [...stopped.files()]
    .filter(([path]) => path.startsWith(folder) && path.endsWith('.log'))
    .map(([path, bytes]) => ({ path, bytes, base: Number(/(\d+)\.log/.exec(path)![1]) }))
})

function flip(disk: SimDisk, path: string, position: number): void {
  disk.damage(path, position, Uint8Array.of(disk.bytesOf(path)[position]! ^ 0xff))
}

async function moveAside(disk: SimDisk): Promise<string[]> {
  const said: string[] = []
  const { found } = await look(disk)
  const state = await readFolderState(readOnlyDisk(disk), inspectTools, () => undefined)
  const { snapshot } = state
  await moveDamageAside(
    { disk, snapshot: snapshot!, id: 'doctor-1', say: (line) => said.push(line) },
    found.partitions,
  )
  await state.close()
  return said
}

/** Bytes of all logs and of what is in quarantine, to see that nothing went. */
function contents(disk: SimDisk): Map<string, Buffer> {
  return new Map([...disk.files().keys()].map((path) => [path, disk.bytesOf(path)]))
}

const cases: readonly (readonly [
  name: string,
  damage: (disk: SimDisk) => void,
  missing: (last: number) => number[],
])[] = [
  ['in a sealed segment', (disk) => flip(disk, logs[0]!.path, 1000), () => [1]],
  [
    'at the beginning of a segment',
    (disk) => flip(disk, logs[1]!.path, 100),
    () => [logs[1]!.base],
  ],
  [
    'at the end of a sealed segment',
    (disk) => disk.cut(logs[0]!.path, logs[0]!.bytes - 10),
    () => [logs[1]!.base - 1],
  ],
  [
    'twice in one segment',
    (disk) => (flip(disk, logs[0]!.path, 1000), flip(disk, logs[0]!.path, 4000)),
    () => [1, 5],
  ],
  [
    'at the beginning of the segment that is written',
    (disk) => flip(disk, logs.at(-1)!.path, 100),
    () => [logs.at(-1)!.base],
  ],
  [
    'at the end of the segment that is written',
    (disk) => disk.cut(logs.at(-1)!.path, logs.at(-1)!.bytes - 10),
    (last) => [last],
  ],
  [
    'in all of the segment that is written',
    (disk) => disk.cut(logs.at(-1)!.path, 0),
    (last) => range(logs.at(-1)!.base, last),
  ],
]

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i)
}

test('exactly the damaged offsets are missing afterwards, and appends go on behind the last offset', async () => {
  for (const [name, damage, missing] of cases) {
    const disk = stopped.clone()
    damage(disk)
    const before = contents(disk)
    const said = await moveAside(disk)
    assert.ok(said.length >= 1 || name.includes('all of'), name)
    for (const [path, bytes] of before) {
      if (!path.endsWith('.log')) continue
      const aside = disk.files().has(`quarantine/doctor-1/${path}`)
      const now = disk.bytesOf(aside ? `quarantine/doctor-1/${path}` : path)
      assert.deepEqual(now, bytes, `${name}: ${path} is not what it was`)
    }
    for (let start = 0; start < 3; start++) {
      disk.crash(() => 0.5)
      const { engine, close } = await openFolder(disk)
      const { values, corrupt, end } = await readAll(engine, 0)
      const lost = range(0, end - 1).filter((offset) => !values.has(offset))
      assert.deepEqual(lost, missing(30), `${name}, start ${start}`)
      assert.deepEqual(
        corrupt.flatMap(([from, next]) => range(from, next - 1)),
        missing(30),
        name,
      )
      for (const [offset, value] of values) assert.equal(value, valueOf(0, offset))
      await fill(engine, 12)
      assert.equal((await readAll(engine, 0)).end, end + 12, name)
      assert.deepEqual((await readAll(engine, 1)).corrupt, [])
      await close()
    }
    const { findings } = await look(disk)
    assert.ok(
      findings.every(({ what }) => /No segment holds offsets/.test(what)),
      `${name}: ${JSON.stringify(findings)}`,
    )
    assert.ok(findings.length > 0, name)
  }
})

test('a crash at any step of the move loses nothing that was whole: it can be read, or is in quarantine', async () => {
  const changes = new Set(['write', 'rename', 'sync', 'syncdir'])
  for (const [name, damage, missing] of [cases[0]!, cases[4]!]) {
    for (let step = 1; ; step++) {
      const disk = stopped.clone()
      damage(disk)
      const log = name.includes('sealed') ? logs[0]! : logs.at(-1)!
      const original = disk.bytesOf(log.path)
      let operations = 0
      const isOver = await new Promise<boolean>((resolve, reject) => {
        disk.onOperation = (what) => {
          if (changes.has(what) && ++operations === step) resolve(false)
        }
        moveAside(disk).then(() => resolve(true), reject)
      })
      disk.onOperation = undefined
      if (isOver) break
      disk.crash(() => 0.5)
      const { engine, close } = await openFolder(disk)
      const { values } = await readAll(engine, 0)
      assert.deepEqual((await readAll(engine, 1)).corrupt, [])
      await close()
      const lost = range(0, 30).filter((at) => !values.has(at) && !missing(30).includes(at))
      if (lost.length === 0) continue
      const aside = `quarantine/doctor-1/${log.path}`
      assert.deepEqual(disk.bytesOf(aside), original, `${name}, step ${step}: ${lost.join()}`)
    }
  }
})

test('what can be read is exported in order, the records of the journal too', async () => {
  const disk = await filledFolder()
  flip(disk, logs[0]!.path, 1000)
  const state = await readFolderState(readOnlyDisk(disk), inspectTools, () => undefined)
  const one = (await exportable(disk, state)).find(({ partition }) => partition === 0)!
  const losses: string[] = []
  const offsets: number[] = []
  for await (const { offset, value } of goodRecords(readOnlyDisk(disk), state, one, (what) =>
    losses.push(what),
  )) {
    assert.equal(Buffer.from(value!).toString(), valueOf(0, offset))
    offsets.push(offset)
  }
  await state.close()
  assert.deepEqual(offsets, [0, ...range(2, 30)])
  assert.match(losses[0]!, /^Offsets 1 to 1 cannot be read/)
})

test('without a catalog the folders speak for themselves', async () => {
  const disk = stopped.clone()
  for (const path of disk.files().keys()) if (path.endsWith('.snapshot')) flip(disk, path, 30)
  const state = await readFolderState(readOnlyDisk(disk), inspectTools, () => undefined)
  const names = await exportable(disk, state)
  const offsets: number[] = []
  const one = names.find(({ topic, partition }) => topic === 't' && partition === 0)!
  for await (const { offset } of goodRecords(disk, state, one, assert.fail)) offsets.push(offset)
  await state.close()
  assert.deepEqual(offsets, range(0, 30))
})

test('indexes that are made again are those that were there', async () => {
  const disk = stopped.clone()
  const [first] = logs
  const path = first!.path.replace('.log', '')
  const before = ['.index', '.timeindex'].map((ending) => disk.bytesOf(path + ending))
  flip(disk, `${path}.index`, 3)
  disk.cut(`${path}.timeindex`, 3)
  await rebuildIndexes(disk, path, { base: 0, baseEnd: logs[1]!.base, bytesMax: undefined })
  const after = ['.index', '.timeindex'].map((ending) => disk.bytesOf(path + ending))
  assert.deepEqual(after, before)
  assert.deepEqual((await look(disk)).findings, [])
})
