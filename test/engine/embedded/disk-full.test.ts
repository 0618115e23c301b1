/** A disk that is full for long: the journal's reserve is the way out, and nothing is lost. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { EmbeddedEngine } from '../../../src/engine/embedded/embedded-engine.ts'
import { GatewayError } from '../../../src/model/errors.ts'
import { openTestEngine } from '../../support/engine.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import {
  append,
  call,
  code,
  newTopic,
  tp,
  turnsUntil,
  values,
} from '../../support/one-partition.ts'
import type { SimDisk } from '../../support/sim-disk.ts'

const MiB = 1024 * 1024

/** Nothing that is not there already finds room; what is preallocated can be written over. */
function fill(disk: SimDisk, freeBytes = 0): void {
  disk.free = freeBytes
  disk.faults.write = (_path, dsync) => (dsync ? undefined : 'ENOSPC')
}

function empty(disk: SimDisk): void {
  disk.free = 100 * 1024 * MiB
  disk.faults.write = () => undefined
}

async function seconds(clock: ManualClock, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    clock.advance(1000)
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
  }
}

/** Runs a verb until it is refused; resolves to how often it was taken. */
async function untilRefused(verb: (i: number) => Promise<void>, max: number): Promise<number> {
  for (let i = 0; i < max; i++) {
    try {
      await verb(i)
    } catch (error) {
      assert.ok(error instanceof GatewayError, String(error))
      assert.deepEqual([error.code, error.applied, error.retriable], ['DISK_FULL', 'no', true])
      return i
    }
  }
  return max
}

async function commit(engine: EmbeddedEngine, offset: number): Promise<void> {
  const [result] = await engine.groups.commit({ groupId: 'g' }, [{ tp, offset }], call)
  if (result!.error !== undefined) throw result!.error
}

async function committed(engine: EmbeddedEngine): Promise<number | undefined> {
  return (await engine.groups.committed({ groupId: 'g' }, [tp], call))[0]?.offset
}

const topicName = (i: number): string => `doomed-${String(i).padStart(4, '0')}`

async function moveStart(engine: EmbeddedEngine, before: number): Promise<void> {
  const [outcome] = await engine.log.deleteRecords([{ tp, before }], call)
  if (outcome!.error !== undefined) throw outcome!.error
}

async function deleteTopic(engine: EmbeddedEngine, name: string): Promise<void> {
  const [outcome] = await engine.topics.delete([name], call)
  if (outcome!.error !== undefined) throw outcome!.error
}

describe('a disk that is full for long', () => {
  test('takes thousands of offset commits, deletes and log-start moves', async () => {
    const clock = new ManualClock(Date.now())
    const { engine, disk, close } = await openTestEngine({ clock })
    await newTopic(engine)
    const doomed = Array.from({ length: 300 }, (_, i) => ({ name: topicName(i), partitions: 1 }))
    await engine.topics.create(doomed, call)
    for (let i = 0; i < 400; i++) await append(engine, `${i}`)
    await turnsUntil(() => engine.log.pressure.inFlightBytes === 0)
    fill(disk)
    await seconds(clock, 2)
    assert.equal(engine.health().state, 'full')
    await assert.rejects(append(engine, 'x'), code('DISK_FULL'))

    for (let i = 1; i <= 3000; i++) {
      await commit(engine, i)
      if (i % 10 === 0) await deleteTopic(engine, topicName(i / 10 - 1))
      if (i % 10 === 5) await moveStart(engine, (i + 5) / 10)
      if (i % 100 === 0) await seconds(clock, 10)
    }
    assert.equal(await committed(engine), 3000)
    assert.equal((await engine.topics.list('all', call)).length, 1)
    assert.deepEqual(await values(engine, 300).then((all) => all[0]), '300')
    await assert.rejects(append(engine, 'x'), code('DISK_FULL'))

    empty(disk)
    await seconds(clock, 4)
    assert.equal(engine.health().state, 'ok')
    assert.equal(await append(engine, 'again'), 400)
    await close()
  })

  test('refuses honestly when the reserve is used up, loses nothing, and heals by itself', async () => {
    const clock = new ManualClock(Date.now())
    const journalSizes = { firstFileBytes: MiB, fileBytes: MiB }
    const { engine, disk, close } = await openTestEngine({ clock, journalSizes })
    await newTopic(engine)
    const doomed = Array.from({ length: 20 }, (_, i) => ({ name: topicName(i), partitions: 1 }))
    await engine.topics.create(doomed, call)
    for (let i = 0; i < 50; i++) await append(engine, `${i}`)
    await seconds(clock, 1)
    fill(disk)
    // What was on its way is durable and readable, and cannot reach its segment.
    assert.equal(await append(engine, 'in memory'), 50)
    await seconds(clock, 2)

    const taken = await untilRefused((i) => commit(engine, i + 1), 5000)
    assert.ok(taken > 100 && taken < 1000, `${taken} commits were taken`)
    assert.equal(await untilRefused((i) => deleteTopic(engine, topicName(i)), 20), 0)
    assert.equal(await untilRefused(() => moveStart(engine, 10), 1), 0)
    assert.equal(await committed(engine), taken)
    assert.deepEqual((await values(engine)).at(-1), 'in memory')
    assert.equal((await engine.topics.list('all', call)).length, 21)
    const killed = disk.clone()
    empty(killed)

    empty(disk)
    await seconds(clock, 5)
    assert.equal(engine.health().state, 'ok')
    await commit(engine, 7)
    await deleteTopic(engine, topicName(0))
    assert.equal(await append(engine, 'again'), 51)
    await close()

    // The same with a kill in between: what was answered is there.
    const again = await openTestEngine({ disk: killed, journalSizes })
    assert.equal(await committed(again.engine), taken)
    assert.deepEqual((await values(again.engine)).at(-1), 'in memory')
    await again.close()
  })

  test('keeps a journal file for the next start, however much is written', async () => {
    const clock = new ManualClock(Date.now())
    const journalSizes = { firstFileBytes: MiB, fileBytes: MiB }
    const { engine, disk } = await openTestEngine({ clock, journalSizes })
    await newTopic(engine)
    await append(engine, 'a')
    await seconds(clock, 1)
    fill(disk)
    await append(engine, 'in memory')
    await seconds(clock, 2)
    const taken = await untilRefused((i) => commit(engine, i + 1), 5000)
    // The space that is left is enough for a snapshot and the segments, not for a journal file.
    const killed = disk.clone()
    killed.free = MiB / 2
    const again = await openTestEngine({ disk: killed, clock, journalSizes })
    assert.equal(await committed(again.engine), taken)
    assert.deepEqual(await values(again.engine), ['a', 'in memory'])
    await again.close()
    empty(disk)
    await engine.close()
  })

  test('refuses appends before the reserve is touched when only the journal cannot grow', async () => {
    const clock = new ManualClock(Date.now())
    const journalSizes = { firstFileBytes: MiB, fileBytes: MiB }
    const { engine, disk, close } = await openTestEngine({ clock, journalSizes })
    await newTopic(engine)
    await append(engine, 'a')
    // The disk says that there is room, and still refuses files: a quota.
    disk.faults.write = (path, dsync) => (dsync || path.endsWith('.log') ? undefined : 'ENOSPC')
    let refused: unknown
    for (let i = 0; i < 2000 && refused === undefined; i++) {
      refused = await append(engine, `${i}`).then(
        () => undefined,
        (error: unknown) => error,
      )
    }
    assert.ok(refused instanceof GatewayError)
    assert.deepEqual([refused.code, refused.applied], ['DISK_FULL', 'no'])
    for (let i = 1; i <= 20; i++) await commit(engine, i)
    assert.equal(await committed(engine), 20)
    empty(disk)
    await seconds(clock, 5)
    assert.equal(engine.health().state, 'ok')
    await append(engine, 'again')
    await close()
  })
})
