/** Bugs that the tests of compaction must find: each is planted into the engine of a child process. */
import type { PlantedBug } from '../../../support/planted.ts'
import { testPlantedBugs } from '../../../support/planted.ts'

const log = 'src/engine/embedded/log'
const crash = {
  workload: 'test/engine/embedded/compaction/compaction-crash.test.ts',
  only: 'crash\\)$',
}

const bugs: readonly PlantedBug[] = [
  {
    name: 'an old segment comes back beside the compacted one: one sync of the folder is left out',
    edits: [
      {
        file: `${log}/segment-removal.ts`,
        find: 'if (!log.isDropped) await this.#parts.disk.syncDirectory(log.folder)',
        replace: '',
      },
    ],
    ...crash,
    finding: /crash at operation|CORRUPT_BATCH/,
  },
  {
    name: 'the old segments go before the name of the new one is durable',
    edits: [
      {
        file: `${log}/segment-swap.ts`,
        find: 'swapName(fresh.base, end), swapSuffix)\n  await disk.syncDirectory(log.folder)',
        replace: 'swapName(fresh.base, end), swapSuffix)\n  void disk',
      },
    ],
    ...crash,
    finding: /crash at operation|CORRUPT_BATCH/,
  },
  {
    name: 'a tombstone goes although something below it cannot be judged',
    edits: [
      {
        file: 'src/engine/embedded/compaction/compact-batch.ts',
        find: ' && judgement.mayPurge)',
        replace: ')',
      },
    ],
    workload: 'test/engine/embedded/compaction/compactor.test.ts',
    only: 'cannot be judged',
    finding: /stay while a batch below/,
  },
]

testPlantedBugs(bugs)
