/** `npm run demo`: real events go in, a tail scrolls, a kill -9 in the middle, totals at the end. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from '../../src/client/index.ts'
import { startGateway } from '../support/gateway-process.ts'
import { Ledger } from '../support/ledger.ts'
import { readBack } from '../support/read-back.ts'
import { createTopics, eventCount, sources } from '../support/real-events.ts'
import { RealRun } from '../support/real-run.ts'

const say = (text: string): void => void process.stdout.write(`${text}\n`)
const data = await mkdtemp(join(tmpdir(), 'ebbgate-demo-'))
const ledger = new Ledger()
const run = new RealRun(ledger)
let gateway = await startGateway({ data })
try {
  say(`A gateway runs at ${gateway.url}, ready after ${Math.round(gateway.readyMs)} ms.\n`)
  await createTopics(gateway.url)
  for (const { topic, partitions, events, story } of sources) {
    say(`  ${topic.padEnd(14)} ${partitions} partitions, ${events.length} events: ${story}`)
  }

  say('\nThe events go in; a WebSocket tail of all topics shows every 50th as it arrives.\n')
  let arrived = 0
  const topics = sources.map(({ topic }) => topic)
  const client = connect({ url: gateway.url })
  const tail = client.subscribe({ topics, from: 'earliest', format: 'text' })
  const scrolling = (async () => {
    for await (const { topic, partition, offset, value } of tail) {
      if (arrived++ % 50 === 0) {
        say(`  ${`${topic}/${partition}@${offset}`.padEnd(22)} ${String(value).slice(0, 90)}`)
      }
    }
  })()

  let killing: Promise<void> | undefined
  run.onProgress = () => {
    if (ledger.acknowledged > eventCount / 2) killing ??= gateway.kill()
  }
  await run.post(gateway.url)
  await killing
  say(
    `\nkill -9 after ${ledger.acknowledged} acknowledged events; the same folder is started again.`,
  )
  const port = Number(new URL(gateway.url).port)
  gateway = await startGateway({ data, port })
  say(
    `Ready after ${Math.round(gateway.readyMs)} ms. The rest goes in; the tail resumes by itself.\n`,
  )
  run.onProgress = () => undefined
  await run.post(gateway.url)

  const problems: string[] = []
  let stored = 0
  say('\n  topic           sent   acknowledged   no answer   stored')
  for (const topic of topics) {
    const content = await readBack(gateway.url, topic)
    problems.push(...ledger.problems(topic, content))
    stored += content.length
    const sent = ledger.sent(topic)
    const acknowledged = sent.filter(({ placed }) => placed !== undefined).length
    say(
      `  ${topic.padEnd(14)} ${String(sent.length).padStart(5)} ${String(acknowledged).padStart(14)} ${String(sent.length - acknowledged).padStart(11)} ${String(content.length).padStart(8)}`,
    )
  }
  const patience = performance.now() + 10_000
  while (arrived < stored && performance.now() < patience) {
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  await client.close()
  await scrolling
  say(`\nThe tail saw ${arrived} of ${stored} stored events.`)
  for (const problem of problems) say(`PROBLEM ${problem}`)
  say(
    problems.length === 0 && arrived === stored
      ? 'Every acknowledged event is there once, at its offset, byte for byte.'
      : 'The promise was broken.',
  )
  process.exitCode = problems.length === 0 && arrived === stored ? 0 : 1
} finally {
  await gateway.stop()
  await rm(data, { recursive: true, force: true })
}
