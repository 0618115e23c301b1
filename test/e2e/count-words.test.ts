/** The worker of deploy/examples, killed at random together with its gateway, counts every input once. */
import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { GatewayProcess } from '../support/gateway-process.ts'
import { startGateway } from '../support/gateway-process.ts'
import { redisSkip, startRedis } from '../support/redis.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { until } from '../support/until.ts'

const script = fileURLToPath(new URL('../../deploy/examples/count-words.sh', import.meta.url))
const words = ['ebb', 'flow', 'tide', 'gate', 'wave', 'neap', 'spring']
const inputs = 500
const roundsMax = 10

/** Aloud where a tool is missing, and never under CI. */
function toolsMissing(): string | false {
  const missing = ['curl', 'jq'].filter((tool) => spawnSync(tool, ['--version']).status !== 0)
  if (missing.length === 0 || process.env['CI'] !== undefined) return false
  return `${missing.join(' and ')} must be installed`
}

interface Page {
  readonly records: readonly { readonly key: string; readonly value: number }[]
  readonly position: string
  readonly live: boolean
}

async function post(url: string, path: string, body: unknown): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const answer = await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) })
  assert.ok(answer.ok, `${path}: ${answer.status} ${await answer.text()}`)
}

async function counts(url: string): Promise<Map<string, number>> {
  const sums = new Map<string, number>()
  let from = 'earliest'
  for (;;) {
    const answer = await fetch(`${url}/v1/topics/counts/records?from=${from}&maxRecords=10000`)
    const page = (await answer.json()) as Page
    for (const { key, value } of page.records) sums.set(key, (sums.get(key) ?? 0) + value)
    if (page.live) return sums
    from = page.position
  }
}

test(
  'a worker in shell that is killed at random, as its gateway is, counts every word once',
  { skip: toolsMissing() || redisSkip(), timeout: 180_000 },
  async (t) => {
    const seed = Number(process.env['EBBGATE_SEED'] ?? Math.floor(Math.random() * 1e9))
    t.diagnostic(`seed ${seed}`)
    const random = seededRandom(seed)
    const folder = await mkdtemp(join(tmpdir(), 'ebbgate-words-'))
    const redis = await startRedis()
    const start = (port?: number): Promise<GatewayProcess> =>
      startGateway({
        data: join(folder, 'data'),
        env: { EBBGATE_SESSIONS: redis.url },
        ...(port === undefined ? {} : { port }),
      })
    let gateway = await start()
    const port = Number(new URL(gateway.url).port)
    let worker: ChildProcess | undefined
    const launch = (): void => {
      const args = [script, 'words', 'counts', 'word-count', join(folder, 'session')]
      const env = {
        ...process.env,
        EBBGATE_URL: gateway.url,
        TTL_MS: '5000',
        PROCESSING_MS: '5000',
      }
      // A group of its own, so that its curl dies with it.
      worker = spawn('sh', args, { env, stdio: 'ignore', detached: true })
    }
    const killWorker = async (): Promise<void> => {
      if (worker?.pid === undefined) return
      const gone = once(worker, 'exit')
      process.kill(-worker.pid, 'SIGKILL')
      await gone
      worker = undefined
    }
    try {
      await post(gateway.url, '/v1/topics', { name: 'words', partitions: 2 })
      await post(gateway.url, '/v1/topics', { name: 'counts', partitions: 1 })
      const wanted = new Map<string, number>()
      let written = 0
      launch()
      for (let round = 0; round < roundsMax; round++) {
        const share = Math.ceil((inputs - written) / (roundsMax - round))
        const batch = Array.from({ length: share }, () => {
          const word = words[Math.floor(random() * words.length)]!
          wanted.set(word, (wanted.get(word) ?? 0) + 1)
          return word
        })
        written += share
        if (batch.length > 0) await post(gateway.url, '/v1/topics/words/records', batch)
        await sleep(random() * 700)
        await killWorker()
        if (random() < 0.3) {
          await gateway.kill()
          gateway = await start(port)
        }
        launch()
        if (random() < 0.2) {
          // Under a worker that is at work.
          await sleep(random() * 400)
          await gateway.kill()
          gateway = await start(port)
        }
      }
      // Counts and commits are one: once everything is committed nothing can be counted any more.
      await until(() => isCaughtUp(gateway.url), 'the worker to have committed everything', 60_000)
      const byWord = (found: ReadonlyMap<string, number>): [string, number][] =>
        [...found].sort(([left], [right]) => (left < right ? -1 : 1))
      assert.deepEqual(byWord(await counts(gateway.url)), byWord(wanted), `seed ${seed}`)
    } finally {
      await killWorker()
      await gateway.stop()
      await redis.close()
      await rm(folder, { recursive: true, force: true })
    }
  },
)

async function isCaughtUp(url: string): Promise<boolean> {
  const answer = await fetch(`${url}/v1/groups/word-count/offsets`)
  const { offsets } = (await answer.json()) as { offsets: { lag: number | null }[] }
  return offsets.length === 2 && offsets.every(({ lag }) => lag === 0)
}
