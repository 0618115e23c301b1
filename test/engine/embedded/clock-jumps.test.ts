/** The wall clock is set ten years back or ahead while the engine runs and between two runs. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readRecords } from '../../../src/model/batch-reader.ts'
import { writeBatch } from '../../../src/model/batch-writer.ts'
import { openTestEngine } from '../../support/engine.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { call, fetch, newTopic, tp } from '../../support/one-partition.ts'

const tenYearsMs = 3650 * 86_400_000
const perStep = 20
const jumps = [tenYearsMs, -tenYearsMs, -tenYearsMs, 2 * tenYearsMs]

for (const restarts of [false, true]) {
  test(`order, time indexes, members and commits do not mind, ${restarts ? 'across restarts' : 'while it runs'}`, async () => {
    const clock = new ManualClock()
    const first = await openTestEngine({ clock, members: 'journal' })
    const { disk } = first
    let { engine } = first
    await newTopic(engine, { 'segment.bytes': '20000' })
    const client = { id: 'c', host: 'h' }
    let member = { groupId: 'g', memberId: 'm', memberEpoch: 0, client }
    const subscription = { topics: ['t'] }
    const joined = await engine.groups.heartbeat(member, { ...call, subscription })
    member = { ...member, memberEpoch: joined.memberEpoch }
    const times: number[] = []
    for (const jump of [0, ...jumps]) {
      clock.jumpWall(jump)
      if (restarts && jump !== 0) {
        await engine.close()
        ;({ engine } = await openTestEngine({ clock, disk, members: 'journal' }))
      }
      for (let i = 0; i < perStep; i++) {
        clock.advance(10)
        const value = Buffer.from(`${times.length}`.padEnd(400, '.'))
        const batch = writeBatch([{ key: null, value, headers: [] }], clock.wallMs())
        times.push(clock.wallMs())
        const [result] = await engine.log.append([{ tp, batch, trusted: true }], call)
        assert.equal(result!.offsets?.base, times.length - 1)
      }
      // The member is known under its epoch, and commits.
      const answer = await engine.groups.heartbeat(member, call)
      assert.equal(answer.memberEpoch, member.memberEpoch)
      const offset = times.length
      await engine.groups.commit(member, [{ tp, offset }], call)
    }
    const [committed] = await engine.groups.committed({ groupId: 'g' }, 'all', call)
    assert.equal(committed!.offset, times.length)
    await engine.close()

    const last = await openTestEngine({ clock, disk, hotTailBytes: 0 })
    for (let offset = 0; offset < times.length; offset++) {
      const { batches, error } = await fetch(last.engine, offset, 1)
      assert.equal(error, undefined)
      const [record] = readRecords(batches[0]!)
      assert.deepEqual([record!.offset, record!.timestamp], [offset, times[offset]])
    }
    for (const time of times) {
      const [found] = await last.engine.log.offsets([{ tp, at: { time } }], call)
      // The first record that is at least so late, whatever came before and after it.
      assert.equal(
        found!.offset,
        times.findIndex((other) => other >= time),
        `${time}`,
      )
    }
    for (const path of disk.files().keys()) {
      if (!path.endsWith('.timeindex')) continue
      const bytes = disk.bytesOf(path)
      for (let at = 12; at < bytes.length; at += 12) {
        assert.ok(bytes.readBigInt64BE(at) > bytes.readBigInt64BE(at - 12), path)
      }
    }
    await last.close()
  })
}
