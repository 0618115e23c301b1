/** Bugs that the groups model must find: each is planted into the coordinator of a child process. */
import type { PlantedBug } from '../../../support/planted.ts'
import { testPlantedBugs } from '../../../support/planted.ts'

const group = 'src/engine/embedded/group/group.ts'
const model = {
  workload: 'test/engine/embedded/group/coordinator-model.test.ts',
  only: 'members in memory',
}

const bugs: readonly PlantedBug[] = [
  {
    name: 'a partition is handed over before its revocation is acknowledged',
    edits: [
      {
        file: group,
        find: 'member.revoking.set(place, holding)',
        replace: 'member.revoking.set(place, holding), this.#owners.delete(place)',
      },
    ],
    ...model,
    finding: /G1/,
  },
  {
    name: 'a commit is fenced by the member id alone',
    edits: [
      {
        file: group,
        find: 'holding === undefined || sentEpoch < holding.epoch || sentEpoch > member.epoch',
        replace: 'holding === undefined',
      },
    ],
    ...model,
    finding: /G3/,
  },
  {
    name: 'a commit needs the newest epoch',
    edits: [
      {
        file: group,
        find: 'sentEpoch < holding.epoch || sentEpoch > member.epoch',
        replace: 'sentEpoch !== member.epoch',
      },
    ],
    ...model,
    finding: /G3/,
  },
  {
    name: 'a refused heartbeat strips the member',
    edits: [
      {
        file: group,
        find: 'if (!isLostAnswer) throw',
        replace: 'if (!isLostAnswer) this.remove(member.memberId)\n    if (!isLostAnswer) throw',
      },
    ],
    ...model,
    finding: /G5/,
  },
]

testPlantedBugs(bugs)
