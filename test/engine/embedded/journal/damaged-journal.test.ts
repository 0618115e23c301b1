import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { EmbeddedEngine } from '../../../../src/engine/embedded/embedded-engine.ts'
import type { Logger } from '../../../../src/kit/logger.ts'
import { silentLogger } from '../../../../src/kit/logger.ts'
import { openTestEngine } from '../../../support/engine.ts'
import {
  append,
  batchOf,
  call,
  code,
  fetch,
  newTopic,
  tp,
  turnsUntil,
  values,
} from '../../../support/one-partition.ts'
import { HeldDisk } from '../../../support/held-disk.ts'
import type { SimDisk } from '../../../support/sim-disk.ts'

const group = { groupId: 'g' }
const recover = 'drop-damaged-journal' as const
/** Small, because a copy of the journal is made whole. */
const journalSizes = { firstFileBytes: 131_072, fileBytes: 131_072 }
/** A power cut that takes everything it may. */
const nothingKept = () => 0.99

/** All files with their bytes; the copy that a test compares with later. */
function contents(disk: SimDisk): Map<string, string> {
  return new Map([...disk.files().keys()].map((path) => [path, disk.bytesOf(path).toString('hex')]))
}

function pathsBelow(disk: SimDisk, folder: string): string[] {
  return [...disk.files().keys()].filter((path) => path.startsWith(folder))
}

/** Where the frame that holds `text` begins in a journal file. */
function frameOf(disk: SimDisk, path: string, text: string): number {
  const at = disk.bytesOf(path).indexOf(text)
  assert.ok(at > 0, `${text} is in no frame of ${path}`)
  return Math.floor(at / 4096) * 4096
}

function spoil(disk: SimDisk, path: string, at: number): void {
  disk.damage(path, at, Uint8Array.of(disk.bytesOf(path)[at]! ^ 1))
}

/** Topic `t` with a checkpoint behind a and b; c, d, e are in the journal, and d is damaged. */
async function folderWithHole(): Promise<SimDisk> {
  const { engine, disk } = await openTestEngine({ journalSizes })
  await newTopic(engine)
  await append(engine, 'value a')
  await append(engine, 'value b')
  await engine.checkpoint()
  await append(engine, 'value c')
  await engine.groups.commit(group, [{ tp, offset: 1 }], call)
  await append(engine, 'value d')
  await append(engine, 'value e')
  await engine.topics.create([{ name: 'late', partitions: 1 }], call)
  await engine.groups.commit(group, [{ tp, offset: 5 }], call)
  await turnsUntil(() => engine.log.pressure.inFlightBytes === 0)
  const after = disk.clone()
  await engine.close()
  spoil(after, 'journal/0001.jnl', frameOf(after, 'journal/0001.jnl', 'value d') + 100)
  return after
}

async function latest(engine: EmbeddedEngine): Promise<number> {
  const [answer] = await engine.log.offsets([{ tp, at: 'latest' }], call)
  return answer!.offset
}

describe('a hole in the journal', () => {
  test('opens the folder read-only: everything before the hole is read, nothing on the disk changes', async () => {
    const disk = await folderWithHole()
    const before = contents(disk)
    const { engine, close } = await openTestEngine({ disk })
    assert.deepEqual(await values(engine), ['value a', 'value b'])
    // What stands above the checkpoint is lent by the journal.
    assert.deepEqual(await values(engine, 2), ['value c'])
    assert.equal(await latest(engine), 3)
    assert.deepEqual((await fetch(engine, 3)).batches, [])
    assert.equal((await fetch(engine, 4)).error?.code, 'OFFSET_OUT_OF_RANGE')
    assert.deepEqual(
      (await engine.topics.list('all', call)).map(({ name }) => name),
      ['t'],
    )
    const [committed] = await engine.groups.committed(group, 'all', call)
    assert.equal(committed!.offset, 1)
    await close()
    assert.deepEqual(contents(disk), before)
  })

  test('is told by health, with the frame and the way out', async () => {
    const { engine, close } = await openTestEngine({ disk: await folderWithHole() })
    const { state, reason = '' } = engine.health()
    assert.equal(state, 'corrupt')
    assert.match(reason, /frame \d+ cannot be read, but journal file 0001.jnl goes on with frame/)
    assert.match(reason, /--recover=drop-damaged-journal/)
    await close()
  })

  test('refuses every write with CORRUPT_BATCH, and no refused write is shown', async () => {
    for (const members of ['memory', 'journal'] as const) {
      const disk = await folderWithHole()
      const before = contents(disk)
      const { engine, close } = await openTestEngine({ disk, members })
      const refused = code('CORRUPT_BATCH')
      await assert.rejects(append(engine, 'more'), refused)
      const entries = [{ tp, batch: batchOf('x'), trusted: true }]
      await assert.rejects(engine.transactions.transact({ entries }, call), refused)
      await assert.rejects(engine.groups.commit(group, [{ tp, offset: 2 }], call), refused)
      await assert.rejects(engine.groups.deleteOffsets('g', [tp], call), refused)
      await assert.rejects(engine.groups.delete('g', call), refused)
      await assert.rejects(engine.topics.create([{ name: 'new', partitions: 1 }], call), refused)
      await assert.rejects(engine.topics.grow([{ name: 't', partitions: 2 }], call), refused)
      await assert.rejects(engine.topics.delete(['t'], call), refused)
      const owner = { type: 'topic', name: 't' } as const
      const change = { op: 'set', name: 'retention.ms', value: '1000' } as const
      await assert.rejects(engine.topics.alterConfigs(owner, [change], call), refused)
      const [trim] = await engine.log.deleteRecords([{ tp, before: 1 }], call)
      assert.equal(trim!.error?.code, 'CORRUPT_BATCH')
      await assert.rejects(engine.checkpoint(), refused)
      const member = { ...group, memberId: 'm', memberEpoch: 0, client: { id: 'c', host: 'h' } }
      const joining = engine.groups.heartbeat(member, {
        ...call,
        subscription: { topics: ['t'] },
      })
      await assert.rejects(joining, refused)
      const [committed] = await engine.groups.committed(group, 'all', call)
      assert.equal(committed!.offset, 1)
      await close()
      assert.deepEqual(contents(disk), before)
    }
  })

  test('is opened the same way again and again', async () => {
    const disk = await folderWithHole()
    for (let start = 0; start < 3; start++) {
      const { engine, close } = await openTestEngine({ disk })
      assert.deepEqual(await values(engine, 2), ['value c'])
      await close()
    }
  })

  test('looks up times across segments and what the journal lends', async () => {
    const { engine, disk } = await openTestEngine()
    await newTopic(engine)
    const at = async (value: string, timestamp: number): Promise<void> => {
      const batch = batchOf(value, timestamp)
      await engine.log.append([{ tp, batch, trusted: true }], call)
    }
    await at('value a', 1000)
    await engine.checkpoint()
    await at('value b', 3000)
    await at('value c', 2000)
    await at('value d', 9000)
    await at('value e', 9000)
    const after = disk.clone()
    await engine.close()
    spoil(after, 'journal/0001.jnl', frameOf(after, 'journal/0001.jnl', 'value d') + 100)
    const again = await openTestEngine({ disk: after })
    const find = async (time: number): Promise<number> => {
      const [found] = await again.engine.log.offsets([{ tp, at: { time } }], call)
      return found!.offset
    }
    assert.deepEqual(
      [await find(500), await find(1500), await find(3000), await find(4000)],
      [0, 1, 1, 3],
    )
    const [newest] = await again.engine.log.offsets([{ tp, at: 'max_timestamp' }], call)
    assert.deepEqual([newest!.offset, newest!.timestamp], [1, 3000])
    await again.close()
  })

  test('lends thousands of batches in answers no larger than asked for', async () => {
    const { engine, disk } = await openTestEngine()
    await newTopic(engine)
    await engine.checkpoint()
    const count = 3000
    await Promise.all(
      Array.from({ length: count }, (_, i) => append(engine, `${i}`.padStart(100, '.'))),
    )
    await append(engine, 'damaged')
    await append(engine, 'behind it')
    const after = disk.clone()
    await engine.close()
    spoil(after, 'journal/0001.jnl', frameOf(after, 'journal/0001.jnl', 'damaged') + 100)
    const again = await openTestEngine({ disk: after })
    let found = 0
    for (let from = 0; from < count;) {
      const { batches, next } = await fetch(again.engine, from, 5000)
      assert.ok(batches.reduce((sum, batch) => sum + batch.length, 0) <= 5000)
      assert.ok(next > from)
      found += batches.length
      from = next
    }
    assert.equal(found, count)
    await again.close()
  })
})

describe('dropping what a damaged journal cannot give any more', () => {
  /** Collects what an operator would read. */
  function listener(): { logger: Logger; lines: [object, string][] } {
    const lines: [object, string][] = []
    const note = (fields: object, text: string): void => void lines.push([fields, text])
    return { logger: { ...silentLogger, warn: note }, lines }
  }

  test('keeps everything before the hole, and appends go on', async () => {
    const disk = await folderWithHole()
    const { engine, close } = await openTestEngine({ disk, recover, journalSizes })
    assert.equal(engine.health().state, 'ok')
    assert.deepEqual(await values(engine), ['value a', 'value b', 'value c'])
    assert.equal(await append(engine, 'value new'), 3)
    await close()
    const again = await openTestEngine({ disk, hotTailBytes: 0 })
    assert.deepEqual(await values(again.engine), ['value a', 'value b', 'value c', 'value new'])
    await again.close()
  })

  test('copies journal, snapshots, segment tails and folders to quarantine first', async () => {
    const disk = await folderWithHole()
    const before = contents(disk)
    const { close } = await openTestEngine({ disk, recover, journalSizes })
    await close()
    const folder = 'quarantine/damaged-journal-1'
    for (const [path, bytes] of before) {
      if (!/^(journal|meta)\//.test(path)) continue
      assert.equal(disk.bytesOf(`${folder}/${path}`).toString('hex'), bytes, path)
    }
    // The damaged record itself had reached its segment, so its only good copy is kept.
    const tail = disk.bytesOf(`${folder}/logs/t-0/00000000000000000002.log`).toString('latin1')
    for (const value of ['value c', 'value d', 'value e']) assert.ok(tail.includes(value), value)
    assert.ok(pathsBelow(disk, `${folder}/logs/late-0/`).length > 0)
    assert.deepEqual(pathsBelow(disk, 'logs/late-0/'), [])
  })

  test('says which frames, partitions and offsets go', async () => {
    const { logger, lines } = listener()
    const disk = await folderWithHole()
    const { close } = await openTestEngine({ disk, recover, logger, journalSizes })
    await close()
    const told = lines.find(([, text]) => text.includes('given up'))
    const written = JSON.parse(
      disk.bytesOf('quarantine/damaged-journal-1/dropped.json').toString(),
    ) as object
    assert.deepEqual({ ...written, folder: 'quarantine/damaged-journal-1' }, told![0])
    assert.deepEqual(written, {
      unreadable: 'from 6 to 6',
      frames: 3,
      changes: 2,
      partitions: [{ partition: 't-0', offsets: '4 to 4' }],
    })
  })

  test('may be cut short by a power cut anywhere, and is done by the next start', async () => {
    const made = await folderWithHole()
    const whole = made.clone()
    const first = await openTestEngine({ disk: whole, recover, journalSizes })
    const operations = whole.operations
    await first.close()
    for (let stopAt = 1; stopAt < operations; stopAt += 3) {
      const disk = made.clone()
      const cut = new Promise<void>((resolve) => {
        disk.onOperation = () => {
          if (disk.operations !== stopAt) return
          disk.onOperation = undefined
          setImmediate(() => {
            disk.crash(stopAt % 2 === 0 ? nothingKept : () => 0.1)
            resolve()
          })
        }
      })
      void openTestEngine({ disk, recover, journalSizes }).catch(() => undefined)
      await cut
      const again = await openTestEngine({ disk, recover, journalSizes })
      assert.deepEqual(await values(again.engine), ['value a', 'value b', 'value c'], `${stopAt}`)
      assert.equal(await append(again.engine, 'value new'), 3)
      await again.close()
      assert.ok(
        pathsBelow(disk, 'quarantine/').some((path) => path.includes('logs/late-0/')),
        `the folder of the lost topic is kept, cut at ${stopAt}`,
      )
      const last = await openTestEngine({ disk, journalSizes })
      assert.deepEqual((await values(last.engine)).at(-1), 'value new')
      await last.close()
    }
  })

  test('frames that were given up never come back, when the journal reaches their numbers again', async () => {
    const { engine, disk } = await openTestEngine({ journalSizes })
    await newTopic(engine)
    await engine.checkpoint()
    const size = 10_000
    for (let i = 0; i < 10; i++) await append(engine, `old ${i} `.padEnd(size, '.'))
    const after = disk.clone()
    await engine.close()
    const holder = [...after.files().keys()].find(
      (path) => path.startsWith('journal/') && after.bytesOf(path).includes('old 2 '),
    )!
    spoil(after, holder, frameOf(after, holder, 'old 2 ') + 100)
    const again = await openTestEngine({ disk: after, recover, journalSizes })
    for (let i = 2; i < 20; i++) await append(again.engine, `new ${i} `.padEnd(size, '.'))
    const killed = after.clone()
    await again.close()
    // Also from the older snapshot, whose journal goes through the place of the damage.
    const newest = pathsBelow(killed, 'meta/').at(-1)!
    for (const disk of [killed.clone(), spoiled(killed, newest)]) {
      const last = await openTestEngine({ disk, journalSizes })
      const found: string[] = []
      while (found.length < 20) found.push(...(await values(last.engine, found.length)))
      assert.deepEqual(
        found.map((value) => value.slice(0, value.indexOf(' ', 4))),
        Array.from({ length: 20 }, (_, i) => `${i < 2 ? 'old' : 'new'} ${i}`),
      )
      await last.close()
    }
  })

  test('gives a topic back whose delete stands behind the hole', async () => {
    const disk = new HeldDisk()
    const { engine } = await openTestEngine({ disk })
    await newTopic(engine)
    await append(engine, 'value a')
    await engine.checkpoint()
    await engine.topics.create([{ name: 'other', partitions: 1 }], call)
    disk.isHeld = (what, path) => what === 'remove' && path.includes('-delete/')
    await engine.topics.delete(['t'], call)
    await turnsUntil(() => disk.held.length > 0)
    const after = disk.clone()
    disk.letGo()
    await engine.close()
    const path = 'journal/0001.jnl'
    spoil(after, path, frameOf(after, path, '"other"') + 100)
    const again = await openTestEngine({ disk: after, recover })
    assert.deepEqual(await values(again.engine), ['value a'])
    assert.equal(again.engine.health().state, 'ok')
    await again.close()
  })

  test('is left alone where the journal is whole, and the operator is told', async () => {
    const { engine, disk, close } = await openTestEngine()
    await newTopic(engine)
    await append(engine, 'kept')
    await close()
    const { logger, lines } = listener()
    const again = await openTestEngine({ disk, recover, logger, journalSizes })
    assert.deepEqual(await values(again.engine), ['kept'])
    assert.match(lines.map(([, text]) => text).join(), /nothing to recover/)
    assert.deepEqual(pathsBelow(disk, 'quarantine/'), [])
    await again.close()
  })
})

/** A copy of the disk with one flipped bit. */
function spoiled(disk: SimDisk, path: string): SimDisk {
  const copy = disk.clone()
  spoil(copy, path, 20)
  return copy
}

describe('a journal whose end is lost', () => {
  /** The header of the journal file used last becomes a block of zeros. */
  function loseNewestHeader(disk: SimDisk): void {
    const files = pathsBelow(disk, 'journal/').filter((path) => path.endsWith('.jnl'))
    const fileSeq = (path: string): number => disk.bytesOf(path).readUInt32BE(8)
    files.sort((left, right) => fileSeq(right) - fileSeq(left))
    disk.damage(files[0]!, 0, Buffer.alloc(4096))
  }

  /** Runs twice; the second run has checkpoints behind b and writes c. */
  async function folderWithoutEnd(checkpoints: number): Promise<SimDisk> {
    const first = await openTestEngine()
    await newTopic(first.engine)
    await append(first.engine, 'value a')
    await first.close()
    const { engine, disk } = await openTestEngine({ disk: first.disk })
    await append(engine, 'value b')
    for (let i = 0; i < checkpoints; i++) await engine.checkpoint()
    await append(engine, 'value c')
    const after = disk.clone()
    await engine.close()
    loseNewestHeader(after)
    return after
  }

  for (const checkpoints of [0, 1, 2]) {
    test(`is read-only up to the newest snapshot, ${checkpoints} checkpoints into its last file`, async () => {
      const disk = await folderWithoutEnd(checkpoints)
      const before = contents(disk)
      const kept = checkpoints === 0 ? ['value a'] : ['value a', 'value b']
      const { engine, close } = await openTestEngine({ disk })
      assert.match(engine.health().reason ?? '', /The end of the journal is lost/)
      assert.deepEqual(await values(engine), kept)
      await assert.rejects(append(engine, 'more'), code('CORRUPT_BATCH'))
      await close()
      assert.deepEqual(contents(disk), before)

      const again = await openTestEngine({ disk, recover, journalSizes })
      assert.deepEqual(await values(again.engine), kept)
      assert.equal(await append(again.engine, 'value new'), kept.length)
      await again.close()
      const last = await openTestEngine({ disk, hotTailBytes: 0 })
      assert.deepEqual(await values(last.engine), [...kept, 'value new'])
      await last.close()
    })
  }
})
