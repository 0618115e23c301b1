/** What a crash must not take, at moments too rare for random runs to meet. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { CommittedOffset } from '../../../src/engine/groups.ts'
import { readRecords } from '../../../src/model/batch-reader.ts'
import { openTestEngine } from '../../support/engine.ts'
import { ManualClock } from '../../support/manual-clock.ts'
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
} from '../../support/one-partition.ts'
import { HeldDisk } from '../../support/held-disk.ts'

/** A power cut that takes everything it may. */
const nothingKept = () => 0.99

const textOf = ({ value }: { readonly value: Uint8Array | null }): string =>
  Buffer.from(value!).toString()

describe('a checkpoint while a topic is deleted', () => {
  test('covers the topic as long as its delete is not durable', async () => {
    const disk = new HeldDisk()
    const { engine } = await openTestEngine({ disk })
    await newTopic(engine)
    const isSegment = (path: string) => path.endsWith('.log')
    disk.isHeld = (what, path) => what === 'write' && isSegment(path)
    await append(engine, 'promised')
    await turnsUntil(() => disk.held.length === 1)
    const checkpoint = engine.checkpoint()
    await new Promise((resolve) => setImmediate(resolve))
    // The frame of the delete stays on its way to the disk, and the machine goes down.
    disk.isHeld = (what, path) => what === 'write' && path.endsWith('.jnl')
    const deleting = engine.topics.delete(['t'], call)
    await turnsUntil(() => disk.held.length === 2)
    disk.held.shift()!()
    await checkpoint
    disk.crash(nothingKept)
    disk.letGo()
    void deleting.catch(() => undefined)
    const again = await openTestEngine({ disk })
    assert.deepEqual(await values(again.engine), ['promised'])
    await append(again.engine, 'and goes on')
    await again.close()
  })
})

describe('a transaction at its limit', () => {
  const metadata = 'm'.repeat(4096)
  const commits = Array.from({ length: 20 }, (_, partition) => ({
    tp: { topic: 't', partition },
    offset: 1,
    metadata,
  }))

  test('counts its commits: what does not fit is refused whole', async () => {
    const { engine, close } = await openTestEngine()
    const config = { 'max.message.bytes': String(16 * 1024 * 1024) }
    await engine.topics.create([{ name: 't', partitions: 20, config }], call)
    const value = 'x'.repeat(16 * 1024 * 1024 - 50_000)
    const transaction = {
      entries: [{ tp, batch: batchOf(value), trusted: true }],
      offsets: { group: { groupId: 'g' }, commits },
    }
    await assert.rejects(engine.transactions.transact(transaction, call), code('BODY_TOO_LARGE'))
    assert.deepEqual((await fetch(engine, 0)).readableEnd, 0)
    assert.deepEqual(await engine.groups.committed({ groupId: 'g' }, 'all', call), [])
    await close()
  })

  test('and the largest commit that is taken is found again', async () => {
    const journalSizes = { firstFileBytes: 40 * 1024 * 1024, fileBytes: 40 * 1024 * 1024 }
    const { engine, disk } = await openTestEngine({ journalSizes })
    const count = Math.floor((16 * 1024 * 1024) / (metadata.length + 320))
    await engine.topics.create([{ name: 't', partitions: count + 1 }], { timeoutMs: 60_000 })
    const commitsOf = (partitions: number): CommittedOffset[] =>
      Array.from({ length: partitions }, (_, partition) => ({
        tp: { topic: 't', partition },
        offset: partition,
        metadata,
      }))
    const group = { groupId: 'g' }
    await assert.rejects(
      engine.groups.commit(group, commitsOf(count + 1), call),
      code('BODY_TOO_LARGE'),
    )
    await engine.groups.commit(group, commitsOf(count), call)
    const again = await openTestEngine({ disk: disk.clone(), journalSizes })
    const found = await again.engine.groups.committed(group, 'all', call)
    assert.equal(found.length, count)
    await again.close()
    await engine.close()
  })
})

describe('a transaction between two frames', () => {
  test('is whole or absent, wherever a frame happens to be sealed', async () => {
    const disk = new HeldDisk()
    const { engine } = await openTestEngine({ disk })
    const config = { 'max.message.bytes': String(8 * 1024 * 1024) }
    await engine.topics.create([{ name: 't', partitions: 2, config }], call)
    await turnsUntil(() => engine.log.pressure.inFlightBytes === 0)
    disk.isHeld = (what, path) => what === 'write' && path.endsWith('.jnl')
    const pending: Promise<unknown>[] = [append(engine, 'in flight')]
    await turnsUntil(() => disk.held.length === 1)
    // The next frame has room for the record of the transaction, and none for its commit.
    pending.push(append(engine, 'x'.repeat(4 * 1024 * 1024 - 2500)))
    const other = { topic: 't', partition: 1 }
    pending.push(
      engine.transactions.transact(
        {
          entries: [{ tp: other, batch: batchOf('with its commit') }],
          offsets: {
            group: { groupId: 'g' },
            commits: [{ tp, offset: 1, metadata: 'm'.repeat(4000) }],
          },
        },
        call,
      ),
    )
    for (const one of pending) one.catch(() => undefined)
    disk.held.shift()!()
    await turnsUntil(() => disk.held.length === 1)
    disk.held.shift()!()
    await turnsUntil(() => disk.held.length === 1)
    disk.crash(nothingKept)
    disk.letGo()
    const again = await openTestEngine({ disk })
    const [end] = await again.engine.log.offsets([{ tp: other, at: 'latest' }], call)
    const commits = await again.engine.groups.committed({ groupId: 'g' }, 'all', call)
    assert.deepEqual([end!.offset, commits.length], [0, 0])
    assert.equal((await fetch(again.engine, 0)).readableEnd, 2)
    await again.close()
  })
})

describe('a segment that was written further than the journal reaches', () => {
  test('is cut before it goes on, so that no old bytes stand behind its end', async () => {
    const { engine, disk } = await openTestEngine()
    await newTopic(engine, { 'segment.bytes': '20000' })
    await append(engine, 'first')
    await engine.checkpoint()
    await append(engine, 'long'.repeat(4000))
    await turnsUntil(() => engine.log.pressure.inFlightBytes === 0)
    const after = disk.clone()
    // A flipped bit in the last frame cannot be told from a torn write: the frame is not believed.
    after.damage('journal/0001.jnl', 3 * 4096 + 300, Buffer.from('?'))
    const again = await openTestEngine({ disk: after })
    assert.deepEqual(await values(again.engine), ['first'])
    await append(again.engine, 'short')
    await append(again.engine, 'in the next segment'.padEnd(19_900, '.'))
    await again.close()
    const last = await openTestEngine({ disk: after, hotTailBytes: 0 })
    const found: string[] = []
    for (let at = 0; at < 3;) {
      const { batches, next, error } = await fetch(last.engine, at, 1)
      assert.equal(error, undefined)
      for (const batch of batches) found.push(...readRecords(batch).map(textOf))
      at = next
    }
    assert.deepEqual(found.slice(0, 2), ['first', 'short'])
    const size = batchOf('first').length + batchOf('short').length
    assert.equal(after.bytesOf('logs/t-0/00000000000000000000.log').length, size)
    await last.close()
  })
})

describe('a folder under the name of a topic', () => {
  test('is not its own when it is that of a namesake before it', async () => {
    const { engine, disk, close } = await openTestEngine()
    await newTopic(engine)
    await append(engine, 'old')
    await engine.checkpoint()
    const name = 'logs/t-0/00000000000000000000.log'
    const old = ['logs/t-0/partition.metadata', name].map((path) => [path, disk.bytesOf(path)])
    await engine.topics.delete(['t'], call)
    await newTopic(engine)
    await append(engine, 'new')
    await close()
    // As by a back-up of the folder that was laid over it: the record is as long as the new one.
    for (const [path, bytes] of old as [string, Buffer][]) {
      const file = await disk.open(path, { create: true })
      await file.truncate(0)
      await file.write([bytes], 0)
      await file.close()
    }
    const again = await openTestEngine({ disk })
    const { batches, error } = await fetch(again.engine, 0)
    assert.deepEqual([batches, error?.code], [[], 'CORRUPT_BATCH'])
    await assert.rejects(append(again.engine, 'more'), code('CORRUPT_BATCH'))
    assert.equal(again.engine.health().state, 'corrupt')
    await again.close()
  })
})

describe('a journal that checkpoints could not free', () => {
  const journalSizes = { firstFileBytes: 65_536, fileBytes: 65_536 }

  test('takes appends again soon after the crash, although nothing new arrives', async () => {
    const disk = new HeldDisk()
    const { engine } = await openTestEngine({ disk, journalSizes })
    await newTopic(engine)
    // Segments are stuck, so no checkpoint ends and no journal file is free again.
    disk.isHeld = (what, path) => what === 'write' && path.endsWith('.log')
    let appended = 0
    await assert.rejects(async () => {
      for (; appended < 1000; appended++) await append(engine, `${appended}`)
    }, code('OVERLOADED'))
    assert.ok(appended > 100)
    const clock = new ManualClock(Date.now())
    const again = await openTestEngine({ disk: disk.clone(), journalSizes, clock })
    for (let second = 0; second < 3; second++) {
      clock.advance(1000)
      await new Promise((resolve) => setTimeout(resolve, 30))
    }
    assert.equal(await append(again.engine, 'again'), appended)
    await again.close()
  })
})

describe('what only the page cache shows', () => {
  test('is written again after a failed sync, so that the next power cut does not take it', async () => {
    const { engine, disk } = await openTestEngine({ onFatal: () => undefined })
    await newTopic(engine)
    await append(engine, 'first')
    await engine.checkpoint()
    await append(engine, 'second')
    await turnsUntil(() => engine.log.pressure.inFlightBytes === 0)
    // The kernel drops what it could not write: still readable, and no later sync brings it to disk.
    disk.faults.sync = (path) => (path.endsWith('.log') ? 'EIO' : undefined)
    await assert.rejects(engine.checkpoint())
    delete disk.faults.sync
    disk.kill(nothingKept)
    const restarted = await openTestEngine({ disk })
    assert.deepEqual(await values(restarted.engine), ['first', 'second'])
    disk.crash(nothingKept)
    const again = await openTestEngine({ disk, hotTailBytes: 0 })
    assert.deepEqual(await values(again.engine), ['first', 'second'])
    await again.close()
  })

  test('of an index is made again, because a checkpoint that did not end may have left anything', async () => {
    const { engine, disk } = await openTestEngine({ onFatal: () => undefined })
    await newTopic(engine)
    await append(engine, 'first')
    await engine.checkpoint()
    for (let i = 0; i < 20; i++) await append(engine, `${i}`.padEnd(1000, '.'))
    // The index is synced; the snapshot that would say so is not written any more.
    disk.faults.write = (path) => (path.includes('.snapshot') ? 'EIO' : undefined)
    await assert.rejects(engine.checkpoint())
    delete disk.faults.write
    const index = 'logs/t-0/00000000000000000000.index'
    const whole = disk.bytesOf(index)
    assert.ok(whole.length >= 2 * 8)
    const stale = Buffer.from(whole)
    stale.writeInt32BE(stale.readInt32BE(12) - 1, 12)
    disk.damage(index, 0, stale)
    disk.kill(nothingKept)
    const again = await openTestEngine({ disk })
    await again.close()
    assert.deepEqual(disk.bytesOf(index).subarray(0, whole.length), whole)
  })
})
