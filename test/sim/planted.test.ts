/**
 * The bugs that a log like ours must not have, planted one by one, with the workload that finds each:
 * the first simulated lives, or where chance meets a bug too seldom, the test that was made for it.
 */
import type { PlantedBug } from '../support/planted.ts'
import { testPlantedBugs } from '../support/planted.ts'

const embedded = 'src/engine/embedded'

/** Met by one of the first simulated lives. */
function lives(): Omit<PlantedBug, 'name' | 'edits'> {
  return {
    workload: 'test/sim/simulation.test.ts',
    only: 'nothing acknowledged is lost',
    env: { SIM_FROM: '0', SIM_RUNS: '100' },
    finding: /Simulated run \d+ broke a promise/,
  }
}

function crashTest(only: string, finding: RegExp): Omit<PlantedBug, 'name' | 'edits'> {
  return { workload: 'test/engine/embedded/crash.test.ts', only, finding }
}

function engineTest(only: string, finding: RegExp): Omit<PlantedBug, 'name' | 'edits'> {
  return { workload: 'test/engine/embedded/embedded-engine.test.ts', only, finding }
}

const bugs: readonly PlantedBug[] = [
  {
    name: 'an answer before its journal write has completed',
    edits: [
      {
        file: `${embedded}/journal/committer.ts`,
        find: 'this.#file.write(buffers, this.#offset).then(',
        replace: `for (const answer of group.answers) answer.settle(undefined)
    this.#file.write(buffers, this.#offset).then(`,
      },
    ],
    ...lives(),
  },
  {
    name: 'a tail that is not truncated',
    edits: [
      {
        file: `${embedded}/log/segment.ts`,
        find: 'if (size > bytes) {',
        replace: 'if (size < bytes) {',
      },
    ],
    ...crashTest('is cut before it goes on', /strictly equal/),
  },
  {
    name: 'readable ends that move one by one instead of with their frame',
    edits: [
      {
        file: `${embedded}/log/partitions.ts`,
        find: 'entry.owner.reveal(entry)',
        replace: `if (batches.length === 1) entry.owner.reveal(entry)
      else setImmediate(() => entry.owner.reveal(entry))`,
      },
    ],
    ...engineTest('nothing of a frame is shown before it is durable', /deep-equal/),
  },
  {
    name: 'committed offsets that are shown before their frame is durable',
    edits: [
      {
        file: `${embedded}/group/coordinator.ts`,
        find: 'written ?? this.#journal.settled()',
        replace: 'written ?? Promise.resolve()',
      },
    ],
    ...lives(),
  },
  {
    name: 'a topic that is shown before its frame is durable',
    edits: [
      {
        file: `${embedded}/catalog/embedded-topics.ts`,
        find: `const view = this.#viewOf(made)
    await journal.write([entry], Infinity)
    this.#show(view)`,
        replace: `const view = this.#viewOf(made)
    this.#show(view)
    await journal.write([entry], Infinity)`,
      },
    ],
    ...engineTest('of a topic does not run ahead of what is durable', /undefined/),
  },
  {
    name: 'a snapshot of live memory instead of the sealed frame',
    edits: [
      {
        file: `${embedded}/journal/checkpoint.ts`,
        find: 'const sections = state.sections()\n',
        replace: '',
      },
      {
        file: `${embedded}/journal/checkpoint.ts`,
        find: 'await state.sync()',
        replace: 'await state.sync()\n    const sections = state.sections()',
      },
    ],
    ...lives(),
  },
  {
    name: 'a checkpoint that does not wait for queued segment writes',
    edits: [
      {
        file: `${embedded}/journal/checkpoint.ts`,
        find: 'await state.written(frameSeq)',
        replace: '',
      },
    ],
    ...lives(),
  },
  {
    name: 'the folder of a new segment not synced before the snapshot',
    edits: [
      {
        file: `${embedded}/log/partition-log.ts`,
        find: 'await openFiles.withRoom(() => disk.syncDirectory(this.folder))',
        replace: 'void [disk, openFiles]',
      },
    ],
    ...lives(),
  },
  {
    name: 'a folder not synced after a rename',
    edits: [
      {
        file: `${embedded}/disk/disk.ts`,
        find: 'await disk.syncDirectory(folderOf(path))',
        replace: '',
      },
    ],
    ...lives(),
  },
  {
    name: 'a journal that is used again behind the newest of two snapshots',
    edits: [
      {
        file: `${embedded}/journal/snapshot.ts`,
        find: 'return this.#kept[0]?.position\n',
        replace: 'return this.#kept.at(-1)?.position\n',
      },
    ],
    ...lives(),
  },
  {
    name: 'a recovery that compares instead of writing again',
    edits: [
      {
        file: `${embedded}/log/segment.ts`,
        find: 'if (size > bytes) {',
        replace: 'if (size < bytes) {',
      },
      {
        file: `${embedded}/log/segment.ts`,
        find: 'await file.write(buffers, position)',
        replace: `const there = Buffer.alloc(bytes)
      const same = (await file.read(there, position)) === bytes && there.equals(Buffer.concat(buffers))
      if (!same) await file.write(buffers, position)`,
      },
    ],
    ...crashTest('is written again after a failed sync', /CORRUPT_BATCH|second/),
  },
  {
    name: 'a failed sync that is tried again',
    edits: [
      {
        file: `${embedded}/journal/checkpoint.ts`,
        find: 'else if (!(error instanceof GatewayError)) committer.fence(error)',
        replace: '',
      },
    ],
    ...engineTest('a failed sync of a checkpoint ends the engine', /deep-equal/),
  },
  {
    name: 'a recovery that opens before its checkpoint',
    edits: [
      {
        file: `${embedded}/journal/journal.ts`,
        find: `await this.#beginRun(files, kept, chain)
    await this.#checkpointer!.run()`,
        replace: `await this.#beginRun(files, kept, chain)
    void this.#checkpointer!.run().catch(() => undefined)`,
      },
    ],
    ...lives(),
  },
  {
    name: 'no copy of the last frame in the new journal file',
    edits: [
      {
        file: `${embedded}/journal/journal.ts`,
        find: 'const firstFrameSeq = last?.seq ?? lastSeq + 1',
        replace: 'const firstFrameSeq = lastSeq + 1',
      },
      {
        file: `${embedded}/journal/journal.ts`,
        find: `if (last !== undefined) {
      const copy`,
        replace: `if (last === null) {
      const copy`,
      },
    ],
    ...lives(),
  },
  {
    name: 'frames of an earlier lap that are taken for new ones',
    edits: [
      {
        file: `${embedded}/journal/journal-frame.ts`,
        find: 'return crc32c(bytes)\n',
        replace: 'return 0\n',
      },
      {
        file: `${embedded}/journal/recovery.ts`,
        find: 'if (frame?.seq === seq) return { frame, place }',
        replace: 'if (frame !== undefined) return { frame, place }',
      },
    ],
    workload: 'test/engine/embedded/journal/recovery.test.ts',
    only: 'frames of an earlier lap behind the end',
    finding: /deep-equal|strictly equal|failed/,
  },
  {
    name: 'a batch that leaves the hot tail before its segment write has returned',
    edits: [
      {
        file: `${embedded}/log/segment-writer.ts`,
        find: 'const { segment, batches, bytes } = run\n',
        replace: `const { segment, batches, bytes } = run
    for (const batch of batches) this.#parts.onWritten(batch)\n`,
      },
      {
        file: `${embedded}/log/segment-writer.ts`,
        find: `this.#finish(batch)
        this.#parts.onWritten(batch)`,
        replace: 'this.#finish(batch)',
      },
    ],
    ...lives(),
  },
  {
    name: 'the folder of a deleted topic believed under its name',
    edits: [
      {
        file: `${embedded}/log/partition-folders.ts`,
        find: 'if (log !== undefined && id === log.topicId) byName.delete(name)',
        replace: 'if (log !== undefined) byName.delete(name)',
      },
    ],
    ...crashTest('is not its own when it is that of a namesake', /CORRUPT_BATCH/),
  },
  {
    name: 'an index trusted beyond what the last checkpoint knows of it',
    edits: [
      {
        file: `${embedded}/log/segment.ts`,
        find: `(await this.#index.load(disk, position.indexEntries)) &&
      (await this.#timeIndex.load(disk, position.timeEntries))`,
        replace: '(await this.#index.load(disk)) && (await this.#timeIndex.load(disk))',
      },
    ],
    ...crashTest('of an index is made again', /deep-equal/),
  },
  {
    name: 'a hole in the journal that is taken for a torn tail',
    edits: [
      {
        file: `${embedded}/journal/recovery.ts`,
        find: 'const hole = await findHole(files, from.fileSeq, seq, behind)',
        replace: 'const hole = undefined',
      },
    ],
    workload: 'test/engine/embedded/journal/recovery.test.ts',
    only: 'every flipped bit in a frame before the last is a hole',
    finding: /equal|undefined/,
  },
  {
    name: 'a base offset that is not held against the batch before it',
    edits: [
      {
        file: `${embedded}/log/segment-scan.ts`,
        find: ' ?? orderProblem(head, expected)',
        replace: '',
      },
    ],
    ...engineTest('every flipped bit of a batch header answers CORRUPT_BATCH', /- 'CORRUPT_BATCH'/),
  },
  {
    name: 'a recovery that cuts at damage below the last checkpoint',
    edits: [
      {
        file: `${embedded}/log/segment.ts`,
        find: 'return this.#standAt(position, await this.#truncateLog(position.bytes))',
        replace: `const good = await this.#using(async (file) => {
      const scan = new SegmentScan(file, 0, position.bytes, scanBytes)
      let expected: Expected = { base: this.base }
      while (scan.position < position.bytes) {
        if ((await scan.problem(expected)) !== undefined) break
        const size = await scan.claimedBytes()
        expected = { base: lastOffsetOf(await scan.peek(size)) + 1 }
        scan.skip(size)
      }
      return scan.position
    })
    return this.#standAt(position, await this.#truncateLog(good))`,
      },
    ],
    ...engineTest('below the last checkpoint nothing is ever cut', /✖ below the last checkpoint/),
  },
]

testPlantedBugs(bugs)
