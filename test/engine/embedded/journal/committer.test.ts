import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Committer } from '../../../../src/engine/embedded/journal/committer.ts'
import { JournalFile, journalFolder } from '../../../../src/engine/embedded/journal/journal-file.ts'
import type { JournalEntry } from '../../../../src/engine/embedded/journal/journal-frame.ts'
import { blockBytes } from '../../../../src/engine/embedded/journal/journal-frame.ts'
import { readChain } from '../../../../src/engine/embedded/journal/recovery.ts'
import { entryKinds } from '../../../../src/engine/embedded/journal/state-machine.ts'
import type { GatewayError } from '../../../../src/model/errors.ts'
import { SimClock } from '../../../support/sim-clock.ts'
import { SimDisk } from '../../../support/sim-disk.ts'

const MiB = 1024 * 1024

function entry(size: number, ref = 0): JournalEntry {
  const payload = new Uint8Array(size)
  return {
    kind: entryKinds.BATCH,
    partitionRef: ref,
    baseOffset: 0,
    segmentBase: 0,
    segmentPos: 0,
    payload,
  }
}

/** A committer on a disk whose operations a test lets through one by one. */
async function setUp() {
  const waiting: (() => void)[] = []
  let isHeld = false
  const disk = new SimDisk({ schedule: (run) => (isHeld ? waiting.push(run) : run()) })
  await disk.makeDirectory(journalFolder)
  const file = await JournalFile.make(disk, '0001.jnl', 24 * MiB)
  await file.begin({ fileSeq: 1, generation: 1, firstFrameSeq: 1 })
  const events: string[] = []
  const clock = new SimClock()
  const committer = new Committer(
    {
      clock,
      logTimeMs: () => 0,
      listener: {
        reveal: (entries, seq) =>
          events.push(`reveal ${seq}: ${entries.map((one) => one.partitionRef).join()}`),
        announce: () => events.push('announce'),
      },
      nextFile: () => Promise.reject(new Error('No test needs another file.')),
      onFence: () => events.push('fence'),
      meter: { journalWrite: () => undefined },
    },
    file,
    blockBytes,
    1,
  )
  isHeld = true
  const answer = (name: string, deadlineMs = Infinity) => ({
    deadlineMs,
    settle: (error: GatewayError | undefined) => events.push(`${name} ${error?.code ?? 'ok'}`),
  })
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
  return { committer, disk, file, events, clock, waiting, answer, turn }
}

test('one write is in flight; what arrives meanwhile is the next frame; answers keep their order', async () => {
  const { committer, events, waiting, answer, turn } = await setUp()
  committer.joinOne(entry(10, 1), answer('a'))
  committer.joinOne(entry(10, 2), answer('b'))
  await turn()
  assert.equal(waiting.length, 1)
  for (const [ref, name] of [
    [3, 'c'],
    [4, 'd'],
    [5, 'e'],
  ] as const)
    committer.joinOne(entry(10, ref), answer(name))
  await turn()
  assert.equal(waiting.length, 1)
  assert.deepEqual(events, [])
  waiting.shift()!()
  await turn()
  assert.deepEqual(events.splice(0), ['reveal 1: 1,2', 'a ok', 'b ok', 'announce'])
  waiting.shift()!()
  await turn()
  assert.deepEqual(events, ['reveal 2: 3,4,5', 'c ok', 'd ok', 'e ok', 'announce'])
})

test('a frame is sealed at 4 MiB, but what belongs together stays together', async () => {
  const { committer, events, waiting, answer, turn } = await setUp()
  for (let ref = 1; ref <= 4; ref++) committer.joinOne(entry(1.5 * MiB, ref), answer(`${ref}`))
  committer.joinTogether([entry(3 * MiB, 5), entry(3 * MiB, 6), entry(3 * MiB, 7)], answer('whole'))
  for (let i = 0; i < 3; i++) {
    await turn()
    waiting.shift()!()
  }
  await turn()
  assert.deepEqual(
    events.filter((event) => event.startsWith('reveal')),
    ['reveal 1: 1,2', 'reveal 2: 3,4', 'reveal 3: 5,6,7'],
  )
})

test('who waits for everything before is answered with the last frame, at once when idle', async () => {
  const { committer, events, waiting, answer, turn } = await setUp()
  committer.whenSettled(answer('idle'))
  assert.deepEqual(events.splice(0), ['idle ok'])
  committer.joinOne(entry(10), answer('a'))
  await turn()
  committer.whenSettled(answer('behind a'))
  committer.joinOne(entry(10), answer('b'))
  waiting.shift()!()
  await turn()
  assert.deepEqual(events.splice(0), ['reveal 1: 0', 'a ok', 'behind a ok', 'announce'])
  waiting.shift()!()
  await turn()
})

test('a line keeps later entries out of the frames before it', async () => {
  const { committer, events, waiting, answer, turn } = await setUp()
  committer.joinOne(entry(10, 1), answer('a'))
  assert.equal(committer.cut(), 1)
  committer.joinOne(entry(10, 2), answer('b'))
  await turn()
  waiting.shift()!()
  await turn()
  waiting.shift()!()
  await turn()
  assert.deepEqual(
    events.filter((event) => event.startsWith('reveal')),
    ['reveal 1: 1', 'reveal 2: 2'],
  )
})

test('a deadline that passes answers TIMEOUT, and the frame still becomes durable', async () => {
  const { committer, events, waiting, answer, turn, clock } = await setUp()
  committer.joinOne(entry(10), answer('late', 50))
  committer.joinOne(entry(10), answer('patient', 5000))
  await turn()
  clock.step()
  assert.deepEqual(events.splice(0), ['late TIMEOUT'])
  waiting.shift()!()
  await turn()
  assert.deepEqual(events.slice(0, 1), ['reveal 1: 0,0'])
  assert.ok(events.includes('patient ok'))
})

test('a failed write fences: everybody waiting is told IO_ERROR once, everybody later UNAVAILABLE', async () => {
  const { committer, disk, events, waiting, answer, turn } = await setUp()
  disk.faults.write = () => 'EIO'
  committer.joinOne(entry(10), answer('in flight'))
  await turn()
  committer.joinOne(entry(10), answer('queued'))
  waiting.shift()!()
  await turn()
  committer.joinOne(entry(10), answer('later'))
  committer.whenSettled(answer('asking'))
  assert.deepEqual(events, [
    'in flight IO_ERROR',
    'queued IO_ERROR',
    'fence',
    'later UNAVAILABLE',
    'asking UNAVAILABLE',
  ])
  assert.equal(committer.fenced, true)
  await turn()
  assert.equal(waiting.length, 0)
})

test('what was acknowledged is read back from the journal', async () => {
  const { committer, file, waiting, answer, turn } = await setUp()
  for (let ref = 1; ref <= 5; ref++) {
    committer.joinOne(entry(5000, ref), answer(`${ref}`))
    await turn()
    waiting.shift()!()
    await turn()
  }
  const reading = readChain(
    [file],
    { fileSeq: 1, offset: blockBytes, nextFrameSeq: 1 },
    () => undefined,
  )
  let chain: Awaited<typeof reading> | undefined
  void reading.then((found) => (chain = found))
  while (chain === undefined) {
    await turn()
    waiting.shift()?.()
  }
  assert.equal(chain.lastSeq, 5)
})
