/** A disk that does not answer: what waits for it is bounded, reads go on, and it ends by itself. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { EmbeddedEngine } from '../../../src/engine/embedded/embedded-engine.ts'
import { GatewayError } from '../../../src/model/errors.ts'
import { inFlightBytesHigh, journalAnswersMax } from '../../../src/model/limits.ts'
import { openTestEngine } from '../../support/engine.ts'
import { HeldDisk } from '../../support/held-disk.ts'
import { append, batchOf, newTopic, tp, turnsUntil, values } from '../../support/one-partition.ts'

const call = { timeoutMs: 120_000 }
const MiB = 1024 * 1024

/** Appends until one is refused, and some more; resolves to how many were taken. */
async function flood(engine: EmbeddedEngine, bytes: number, count: number) {
  const model = batchOf('x'.repeat(bytes))
  const codes = new Set<string>()
  let refused = 0
  const taken: Promise<unknown>[] = []
  for (let i = 0; i < count; i++) {
    const answer = engine.log.append([{ tp, batch: model.slice(), trusted: true }], call)
    taken.push(
      answer.catch((error: unknown) => {
        assert.ok(error instanceof GatewayError)
        codes.add(`${error.code} ${error.applied}`)
        refused++
      }),
    )
    if (i % 1000 === 999) await new Promise((resolve) => setImmediate(resolve))
  }
  await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual([...codes], ['OVERLOADED no'])
  return { taken: count - refused, settled: Promise.all(taken) }
}

const places = [
  { name: 'the journal', isHeld: (path: string) => path.endsWith('.jnl') },
  { name: 'a segment', isHeld: (path: string) => path.endsWith('.log') },
]
for (const { name, isHeld } of places) {
  for (const [size, bytes, count] of [
    ['small', 1, 120_000],
    ['large', 1_000_000, 120],
  ] as const) {
    test(`a flood of ${size} appends does not fill the memory while ${name} is stuck`, async () => {
      const disk = new HeldDisk()
      const { engine, close } = await openTestEngine({ disk })
      await newTopic(engine)
      await append(engine, 'before')
      await turnsUntil(() => engine.log.pressure.inFlightBytes === 0)
      disk.isHeld = (what, path) => what === 'write' && isHeld(path)
      const before = memory()
      const { taken, settled } = await flood(engine, bytes, count)
      assert.ok(taken > 0 && taken < count, `${taken} of ${count} were taken`)
      const { inFlightBytes } = engine.log.pressure
      assert.ok(inFlightBytes < inFlightBytesHigh + 2 * MiB, `${inFlightBytes} bytes in flight`)
      const grown = memory() - before
      assert.ok(grown < 4 * inFlightBytesHigh, `${Math.round(grown / MiB)} MiB more memory`)
      assert.equal((await values(engine))[0], 'before')
      disk.letGo()
      await settled
      await turnsUntil(() => engine.log.pressure.inFlightBytes === 0)
      assert.equal(await append(engine, 'after'), taken + 1)
      await close()
    })
  }
}

test('so many calls wait for a stuck journal and no more, commits and looks at them alike', async () => {
  const disk = new HeldDisk()
  const { engine, close } = await openTestEngine({ disk })
  await newTopic(engine)
  disk.isHeld = (what, path) => what === 'write' && path.endsWith('.jnl')
  const answers: Promise<string>[] = []
  const codeOf = (answer: Promise<unknown>): Promise<string> =>
    answer.then(
      () => 'ok',
      (error: unknown) => (error instanceof GatewayError ? `${error.code} ${error.applied}` : '?'),
    )
  const more = 1000
  for (let i = 0; i < journalAnswersMax + more; i++) {
    const ref = { groupId: 'g' }
    const looks = i % 2 === 0
    answers.push(
      codeOf(
        looks
          ? engine.groups.committed(ref, [tp], call)
          : engine.groups.commit(ref, [{ tp, offset: i }], call),
      ),
    )
  }
  assert.equal(await answers.at(-1), 'OVERLOADED no')
  assert.equal(await answers.at(-2), 'OVERLOADED no')
  disk.letGo()
  const refused = (await Promise.all(answers)).filter((answer) => answer !== 'ok')
  assert.ok(refused.length >= more - 1 && refused.length <= more + 1)
  assert.ok(refused.every((answer) => answer === 'OVERLOADED no'))
  const [now] = await engine.groups.committed({ groupId: 'g' }, [tp], call)
  assert.ok(now!.offset < journalAnswersMax + 2)
  await close()
})

function memory(): number {
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
