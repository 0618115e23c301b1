/** `ebbgate produce <topic>`: every line of standard input becomes an event. */
import { createInterface } from 'node:readline'
import type { components } from '../contract/native.ts'
import { systemRandom, uuid } from '../kit/random.ts'
import type { ApiOptions } from './api.ts'
import { Api, Refusal, Unreachable } from './api.ts'
import { Failure } from './failure.ts'
import type { Line } from './line-queue.ts'
import { LineQueue } from './line-queue.ts'
import { topicPath } from './topics.ts'
import { waitAlive } from './wait.ts'

type ProduceAnswer = components['schemas']['ProduceAnswer']

/** Tries of a batch that was refused for a reason that passes, or whose answer was lost. */
const attemptsMax = 10
const retryAfterMsDefault = 1000

/**
 * Sends what has been read in one request while the next lines are being read: a pipe makes large
 * batches by itself, a person at the prompt gets each line sent at once. One request at a time, so
 * that the lines keep their order. Each request has an idempotency key, so that repeating one whose
 * outcome is not known stores nothing twice. Resolves when everything that was read is acknowledged.
 */
export async function produce(topic: string, options: ApiOptions): Promise<void> {
  const api = new Api(options)
  const queue = new LineQueue()
  const feeding = process.stdin.isTTY ? prompt(queue) : pipe(queue)
  let acknowledged = 0
  try {
    for (let lines = await queue.take(); lines.length > 0; lines = await queue.take()) {
      await send(api, topic, lines, acknowledged > 0)
      acknowledged += lines.length
    }
  } catch (error) {
    process.stdin.destroy()
    throw explained(error, acknowledged)
  }
  await feeding
}

/** A pipe or a file. Ctrl-C ends it: what was read until then is still sent. */
async function pipe(queue: LineQueue): Promise<void> {
  const stop = (): void => {
    queue.stop()
    process.stdin.destroy()
  }
  process.once('SIGINT', stop)
  await queue.fill(process.stdin)
  process.off('SIGINT', stop)
}

/** A terminal: a prompt, and Ctrl-C or Ctrl-D to end. */
async function prompt(queue: LineQueue): Promise<void> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout, prompt: '> ' })
  terminal.on('line', (line) => {
    queue.add(Buffer.from(line))
    terminal.prompt()
  })
  terminal.on('SIGINT', () => terminal.close())
  terminal.prompt()
  await new Promise((resolve) => terminal.once('close', resolve))
  process.stdout.write('\n')
  queue.end()
}

/** `isKnown`: the gateway has answered before, so one that does not answer now may come back. */
async function send(
  api: Api,
  topic: string,
  lines: readonly Line[],
  isKnown: boolean,
): Promise<void> {
  const call = {
    body: lines.map(envelopeLine).join(''),
    contentType: 'application/vnd.ebbgate.records+ndjson',
  }
  let key: { idempotencyKey?: string } = { idempotencyKey: uuid(systemRandom) }
  for (let attempt = 1; ; attempt += 1) {
    try {
      const path = `${topicPath(topic)}/records?atomic=true`
      const answer = await api.call('POST', path, { ...call, ...key })
      const failed = (answer as ProduceAnswer).results.find((result) => 'error' in result)
      if (failed !== undefined && 'error' in failed) throw new Failure(failed.error.message)
      return
    } catch (error) {
      const isKeyed = key.idempotencyKey !== undefined
      // An engine that cannot keep keys says so before it has stored anything.
      if (isKeyed && error instanceof Refusal && error.code === 'UNSUPPORTED') key = {}
      else if (attempt === attemptsMax || !isWorthRepeating(error, isKeyed, isKnown)) throw error
      else await waitAlive((error as Partial<Refusal>).retryAfterMs ?? retryAfterMsDefault)
    }
  }
}

/** Without a key only what was surely not written: everything else could become two events. */
function isWorthRepeating(error: unknown, isKeyed: boolean, isKnown: boolean): boolean {
  if (error instanceof Unreachable) return isKeyed && isKnown
  return error instanceof Refusal && error.status === 503 && (isKeyed || error.nothingApplied)
}

function explained(error: unknown, acknowledged: number): unknown {
  if (!(error instanceof Failure)) return error
  const count = acknowledged === 1 ? '1 event was' : `${acknowledged} events were`
  return new Failure(`${error.message}\n${count} acknowledged before that.`, { cause: error })
}

/** A line as a record of the envelope: any bytes pass, and none gets a content type it did not claim. */
function envelopeLine({ bytes, utf8 }: Line): string {
  const record = utf8
    ? { value: bytes.toString('utf8'), format: 'text' }
    : { value: bytes.toString('base64'), format: 'binary' }
  return `${JSON.stringify(record)}\n`
}
