/**
 * Thousands of partitions in one data folder on the real disk: what each costs in memory and
 * descriptors, how long the event loop stands still, and how long the next start takes.
 */
import { readdirSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { EngineSubject } from '../bench/engine-subject.ts'
import { batchOf, openEngine } from '../bench/engine-subject.ts'
import type { Programme, ProgrammeCall, ProgrammeReport } from './programme.ts'

const perTopicMax = 1000
const recordsEach = 3

export const partitions: Programme = {
  name: 'partitions',
  proves: 'thousands of partitions cost a bounded amount each, and every record is found again',
  needs: 'Linux, for counting descriptors',
  missing: () => (process.platform === 'linux' ? undefined : 'it is not Linux'),
  flags: { partitions: { type: 'string', default: '5000' } },
  short: { partitions: '200' },
  run,
}

async function run({ flag, progress }: ProgrammeCall): Promise<ProgrammeReport> {
  const total = Number(flag('partitions'))
  const home = await mkdtemp(join(tmpdir(), 'ebbgate-partitions-'))
  const loop = monitorEventLoopDelay({ resolution: 1 })
  const figures: [string, string | number][] = [['partitions', total]]
  const problems: string[] = []
  const timed = async (name: string, work: () => Promise<unknown>): Promise<void> => {
    progress(name)
    loop.reset()
    const beganMs = performance.now()
    await work()
    const ms = Math.round(performance.now() - beganMs)
    figures.push([name, `${ms} ms, longest pause ${Math.round(loop.max / 1e6)} ms`])
  }
  try {
    loop.enable()
    let subject = await openEngine(home)
    const emptyBytes = process.memoryUsage().heapUsed
    const topics = topicsOf(total)
    await timed('made', async () => {
      for (const [name, count] of topics) await subject.createTopic(name, count)
    })
    for (let round = 0; round < recordsEach; round++) {
      await timed(`appended to each, round ${round + 1}`, () => appendToAll(subject, topics))
    }
    await timed('checkpoint', () => subject.engine.checkpoint())
    const heapBytes = process.memoryUsage().heapUsed - emptyBytes
    figures.push(['heap per partition, about, bytes', Math.round(heapBytes / total)])
    figures.push(['open descriptors', readdirSync('/proc/self/fd').length])
    await timed('stopped', () => subject.close())
    await timed('started again', async () => (subject = await openEngine(home)))
    problems.push(...(await endsOf(subject, topics)))
    await subject.close()
  } finally {
    loop.disable()
    await rm(home, { recursive: true, force: true })
  }
  return { figures, problems }
}

type TopicSizes = readonly (readonly [name: string, partitions: number])[]

function topicsOf(total: number): TopicSizes {
  const topics: [string, number][] = []
  for (let left = total; left > 0; left -= perTopicMax) {
    topics.push([`t${topics.length}`, Math.min(left, perTopicMax)])
  }
  return topics
}

async function appendToAll(subject: EngineSubject, topics: TopicSizes): Promise<void> {
  const appends: Promise<void>[] = []
  for (const [topic, count] of topics) {
    for (let partition = 0; partition < count; partition++) {
      appends.push(subject.append(topic, partition, batchOf(1)))
    }
  }
  await Promise.all(appends)
}

/** Partitions that do not end where they must, in words. */
async function endsOf({ engine }: EngineSubject, topics: TopicSizes): Promise<string[]> {
  const queries = topics.flatMap(([topic, count]) =>
    Array.from({ length: count }, (_, partition) => ({
      tp: { topic, partition },
      at: 'latest' as const,
    })),
  )
  const answers = await engine.log.offsets(queries, { timeoutMs: 60_000 })
  return answers
    .filter(({ offset }) => offset !== recordsEach)
    .map(({ tp, offset }) => `${tp.topic}-${tp.partition} ends at ${offset}, not at ${recordsEach}`)
}
