/** What the dump of a data folder shows, and that it shows what lies behind damage. */
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { readOnlyDisk } from '../../../../src/engine/embedded/disk/read-only-disk.ts'
import { dumpFile, isDumpable } from '../../../../src/engine/embedded/inspect/dump.ts'
import type { DumpOptions } from '../../../../src/engine/embedded/inspect/dump-source.ts'
import { writeBatch } from '../../../../src/model/batch-writer.ts'
import { openTestEngine } from '../../../support/engine.ts'
import { SimDisk } from '../../../support/sim-disk.ts'

const plain: DumpOptions = { detail: 'batches', base64: false, verify: false }
const call = { timeoutMs: 10_000 }
const folder = 'logs/orders-0'
const first = '00000000000000000000'
const timeMs = 1_700_000_000_000
let disk: SimDisk

/** Twenty batches of 1,200 bytes, two records each. */
before(async () => {
  disk = new SimDisk()
  const { engine, close } = await openTestEngine({ disk })
  await engine.topics.create([{ name: 'orders', partitions: 1 }], call)
  for (let i = 0; i < 20; i++) {
    const number = String(i).padStart(2, '0')
    const records = [`a${number}`, `b${number}`].map((key, n) => ({
      key: Buffer.from(key),
      value: Buffer.from(n === 0 ? 'text' : Uint8Array.of(0, 255, i)),
      headers: [{ name: 'kind', value: Buffer.alloc(500) }],
      timestamp: timeMs + i,
    }))
    const tp = { topic: 'orders', partition: 0 }
    await engine.log.append([{ tp, batch: writeBatch(records, timeMs) }], call)
  }
  await engine.checkpoint()
  await close()
})

async function dump(
  on: SimDisk,
  name: string,
  options: Partial<DumpOptions> = {},
  from = folder,
): Promise<string[]> {
  const source = { disk: readOnlyDisk(on), folder: from, name }
  const lines: string[] = []
  for await (const line of dumpFile(source, { ...plain, ...options })) lines.push(line)
  return lines
}

test('a segment is shown batch by batch, in the words of the dump tool of Kafka', async () => {
  const [start, batch, ...rest] = await dump(disk, `${first}.log`)
  assert.equal(start, 'Log starting offset: 0')
  assert.match(
    batch!,
    /^baseOffset: 0 lastOffset: 1 count: 2 baseSequence: -1 lastSequence: -1 producerId: -1 producerEpoch: -1 partitionLeaderEpoch: 1 isTransactional: false isControl: false deleteHorizonMs: OptionalLong\.empty position: 0 CreateTime: 1700000000000 size: \d+ magic: 2 compresscodec: none crc: \d+ isvalid: true$/,
  )
  assert.equal(rest.length, 19)
})

test('records are shown with keys and payloads; what is no text is shown in base64', async () => {
  const deep = await dump(disk, `${first}.log`, { detail: 'records' })
  assert.equal(
    deep[2],
    '| offset: 0 CreateTime: 1700000000000 keySize: 3 valueSize: 4 sequence: -1 headerKeys: [kind]',
  )
  const [, , one, two] = await dump(disk, `${first}.log`, { detail: 'payloads' })
  assert.ok(one?.endsWith(' key: a00 payload: text'), one)
  assert.ok(two?.endsWith(' key: b00 payload (base64): AP8A'), two)
  const base64 = await dump(disk, `${first}.log`, { detail: 'payloads', base64: true })
  assert.ok(base64[2]?.endsWith(' key: YTAw payload: dGV4dA=='), base64[2])
})

test('a damaged batch is named with its bytes and offsets, and what is behind it is shown', async () => {
  const damaged = disk.clone()
  const { length } = disk.bytesOf(`${folder}/${first}.log`)
  const size = length / 20
  damaged.damage(`${folder}/${first}.log`, 3 * size + 200, Buffer.from('xx'))
  const lines = await dump(damaged, `${first}.log`)
  assert.match(lines[4]!, /^baseOffset: 6 .* isvalid: false$/)
  assert.equal(
    lines[5],
    `DAMAGE position: ${3 * size} to ${4 * size}, offsets 6 to 7: the batch at byte ${3 * size} does not match its CRC.`,
  )
  assert.match(lines.at(-1)!, /^baseOffset: 38 .* isvalid: true$/)
  assert.equal(lines.length, 22)
})

test('a segment that is cut off says from which offset on', async () => {
  const damaged = disk.clone()
  const { length } = disk.bytesOf(`${folder}/${first}.log`)
  damaged.cut(`${folder}/${first}.log`, length - 5)
  assert.match(
    (await dump(damaged, `${first}.log`)).at(-1)!,
    /^DAMAGE .* from offset 38: .* runs past/,
  )
})

test('a base offset that a flipped bit lifted is damage, a gap between batches is shown as a gap', async () => {
  const size = disk.bytesOf(`${folder}/${first}.log`).length / 20
  const lifted = disk.clone()
  lifted.damage(`${folder}/${first}.log`, 3 * size + 3, Uint8Array.of(1))
  const lines = await dump(lifted, `${first}.log`)
  assert.match(lines[5]!, /^DAMAGE .*offsets 6 to 7: .* has base offset 4294967302 where 6 belongs/)
  assert.equal(lines.filter((line) => line.startsWith('DAMAGE')).length, 1)

  const compacted = disk.clone()
  const log = disk.bytesOf(`${folder}/${first}.log`)
  compacted.damage(`${folder}/${first}.log`, 3 * size, log.subarray(4 * size))
  compacted.cut(`${folder}/${first}.log`, 19 * size)
  const withGap = await dump(compacted, `${first}.log`)
  assert.equal(withGap[4], 'GAP offsets 6 to 7 are not in this file.')
  assert.ok(!withGap.some((line) => line.startsWith('DAMAGE')))
})

test('indexes are shown entry by entry, and held against their log when that is asked for', async () => {
  assert.match((await dump(disk, `${first}.index`))[0]!, /^offset: \d+ position: \d+$/)
  assert.match((await dump(disk, `${first}.timeindex`))[0]!, /^timestamp: 17\d+ offset: \d+$/)
  for (const ending of ['.index', '.timeindex']) {
    assert.deepEqual(await dump(disk, `${first}${ending}`, { verify: true }), [], ending)
    const { length } = disk.bytesOf(`${folder}/${first}${ending}`)
    for (let at = 0; at < length; at++) {
      const damaged = disk.clone()
      const [byte] = disk.bytesOf(`${folder}/${first}${ending}`).subarray(at)
      damaged.damage(`${folder}/${first}${ending}`, at, Uint8Array.of(byte! ^ 1))
      const lines = await dump(damaged, `${first}${ending}`, { verify: true })
      assert.match(lines[0] ?? '', /^DAMAGE/, `${ending}, byte ${at}`)
    }
    const cut = disk.clone()
    cut.cut(`${folder}/${first}${ending}`, length - 3)
    assert.match((await dump(cut, `${first}${ending}`))[0]!, /^DAMAGE \d+ bytes stand behind/)
  }
})

test('a journal file shows its frames, and one that is damaged in the middle is said to be', async () => {
  const name = '0001.jnl'
  const lines = await dump(disk, name, { detail: 'records' }, 'journal')
  assert.match(lines[0]!, /^fileSeq: 1 generation: 1 firstFrameSeq: 1 bytes: \d+$/)
  assert.match(
    lines[1]!,
    /^frame: 1 position: 4096 size: \d+ time: \S+Z entries: 1 crc: \d+ isvalid: true$/,
  )
  assert.match(lines[2]!, /^\| kind: META size: \d+ payload: \{"op":"create","name":"orders"/)
  assert.match(
    lines[4]!,
    /^\| kind: BATCH partitionRef: 1 baseOffset: 0 lastOffset: 1 segmentBase: 0 position: 0 /,
  )
  assert.match(lines.at(-1)!, /^The frames end at byte \d+\.$/)

  const damaged = disk.clone()
  damaged.damage('journal/0001.jnl', 2 * 4096 + 100, Buffer.from('xx'))
  const hole = await dump(damaged, name, {}, 'journal')
  assert.match(hole.at(-2)!, /^DAMAGE position: 8192: frame 2 cannot be read, but frame 3 follows/)
})

test('a snapshot shows topics and recovery positions, or that it is damaged', async () => {
  const name = [...disk.files().keys()].findLast((path) => path.endsWith('.snapshot'))!.slice(5)
  const lines = await dump(disk, name, {}, 'meta')
  assert.match(
    lines[0]!,
    /^generation: 1 logTime: \S+Z fileSeq: \d+ offset: \d+ nextFrameSeq: \d+$/,
  )
  assert.ok(lines.some((line) => /^\| partitionRef: 1 nextOffset: 40 /.test(line)))
  assert.ok(lines.some((line) => line.includes('"name":"orders"')))
  const damaged = disk.clone()
  damaged.damage(`meta/${name}`, 20, Buffer.from('x'))
  assert.match((await dump(damaged, name, {}, 'meta'))[0]!, /^DAMAGE the snapshot/)
})

test('only files that have a form are dumped', async () => {
  assert.ok(isDumpable(`${first}.timeindex`) && !isDumpable('partition.metadata'))
  assert.throws(
    () => dumpFile({ disk, folder, name: 'LOCK' }, plain),
    (error) => (error as { code?: string }).code === 'INVALID_REQUEST',
  )
})
