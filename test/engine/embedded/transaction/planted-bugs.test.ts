/** Bugs of idempotency keys, each planted into a child process: the tests of the keys must find them. */
import type { PlantedBug } from '../../../support/planted.ts'
import { testPlantedBugs } from '../../../support/planted.ts'

const folder = 'src/engine/embedded/transaction'
const keys = `${folder}/idempotency-keys.ts`
const workload = 'test/engine/embedded/transaction/idempotency-keys.test.ts'

const bugs: readonly PlantedBug[] = [
  {
    name: 'a key in a later frame than its data',
    edits: [
      {
        file: `${folder}/transact.ts`,
        find: 'joining.push(keys.stage(vacancy, key?.memo, results))',
        replace: `const late = keys.stage(vacancy, key?.memo, results)
      setImmediate(() => this.#parts.journal.joinTogether([late], { deadlineMs: Infinity, settle: () => undefined }))`,
      },
    ],
    workload,
    only: 'power cut at any disk operation',
    finding: /operation \d+/,
  },
  {
    name: 'only one of two keyed requests in flight waits',
    edits: [
      {
        file: keys,
        find: '.find((offset) => !strangers.has(offset))',
        replace:
          '.find((offset) => !strangers.has(offset) && offset < this.#parts.topic.log()!.readableEnd)',
      },
    ],
    workload,
    only: 'waits for it, and both get the same answer',
    finding: /deep-equal/,
  },
  {
    name: 'the answer of a repeated key before its frame is durable',
    edits: [
      {
        file: keys,
        find: 'await this.#parts.journal.settled(this.#leftMs(deadlineMs))',
        replace: 'return { first: { results: [], deduplicated: true } }',
      },
    ],
    workload,
    only: 'lost with the machine',
    finding: /1 !== 0/,
  },
  {
    name: 'keys expire on the wall clock',
    edits: [
      {
        file: keys,
        find: '?.candidates(shortHash(hash), this.#parts.journal.logTimeMs())',
        replace: '?.candidates(shortHash(hash), this.#parts.clock.wallMs())',
      },
    ],
    workload,
    only: 'goes by the time of service',
    finding: /false !== true/,
  },
  {
    name: 'a key that is not looked at again when it is staged',
    edits: [
      {
        file: keys,
        find: 'if (this.#candidate(key, hash, strangers) !== undefined) return false',
        replace: '',
      },
    ],
    workload,
    only: 'waits for it, and both get the same answer',
    finding: /deep-equal/,
  },
  {
    name: 'damaged keys that are taken for new',
    edits: [
      {
        file: keys,
        find: 'if (untilMs > this.#parts.journal.logTimeMs()) {',
        replace: 'if (Date.now() < 0) {',
      },
    ],
    workload,
    only: 'is an honest error for its key and for new ones',
    finding: /strictly equal|falsy|assert/,
  },
]

testPlantedBugs(bugs)
