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
  {
    name: 'nobody is told that a partition came free',
    edits: [
      {
        file: group,
        find: 'holdings.clear()\n    this.#dirty.add(member.memberId)\n    this.#stirred = true',
        replace: 'holdings.clear()\n    this.#dirty.add(member.memberId)',
      },
    ],
    ...model,
    finding: /Expected values to be strictly deep-equal|G2/,
  },
  {
    name: 'a lost answer costs the membership',
    edits: [
      {
        file: group,
        find: 'call.memberEpoch === member.previousEpoch &&',
        replace: 'call.memberEpoch > member.previousEpoch &&',
      },
    ],
    ...model,
    finding: /a well-behaved client was told FENCED_MEMBER_EPOCH/,
  },
  {
    name: 'the end of a member is not in the journal',
    edits: [{ file: group, find: 'removed: [...this.#removed]', replace: 'removed: []' }],
    ...model,
    only: 'members in journal',
    finding: /G4/,
  },
  {
    name: 'offsets of an empty group count from their commit alone',
    edits: [
      {
        file: 'src/engine/embedded/group/committed-offsets.ts',
        find: 'Math.max(committedMs, emptySince)',
        replace: 'committedMs',
      },
    ],
    workload: 'test/engine/embedded/group/offset-expiry.test.ts',
    only: 'count from the end of the last one',
    finding: /undefined !== 5|actual: undefined/,
  },
  {
    name: 'offsets expire by the wall clock',
    edits: [
      {
        file: 'src/engine/embedded/journal/journal.ts',
        find: 'this.#timeBaseMs + this.#parts.clock.monotonicMs() - this.#timeFromMs',
        replace: 'this.#parts.clock.wallMs()',
      },
    ],
    workload: 'test/engine/embedded/group/offset-expiry.test.ts',
    only: 'ten years ahead or behind',
    finding: /actual: (undefined|5)/,
  },
]

testPlantedBugs(bugs)
