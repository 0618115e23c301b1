/** `ebbgate consume <topic>`: prints the values of events, one a line, as they come. */
import type { components } from '../contract/v2.ts'
import { connect } from '../client/index.ts'
import type { ApiOptions } from './api.ts'
import { Api, Refusal, Unreachable } from './api.ts'
import { Failure } from './failure.ts'
import { print } from './output.ts'
import { topicPath } from './topics.ts'
import { waitAlive } from './wait.ts'

type Instance = components['schemas']['Instance']
type ConsumedRecord = components['schemas']['ConsumedRecord']

export interface ConsumeOptions extends ApiOptions {
  readonly fromBeginning?: boolean
  readonly max?: number
  readonly group?: string
}

const v2Json = 'application/vnd.kafka.v2+json'
const v2Binary = 'application/vnd.kafka.binary.v2+json'
/** Longest wait of one poll, ms; Ctrl-C cuts it. */
const pollWaitMs = 20_000
/** Leaving must not hold up Ctrl-C, ms. */
const leaveTimeoutMs = 3_000
/** How long a gateway may be away: 60 tries with half a second between them. */
const restartTriesMax = 60
const restartPauseMs = 500
/** Shown where a record has no value, as Kafka's console consumer does. */
const tombstone = 'null\n'
const lineFeed = Buffer.from('\n')

/** Resolves after `max` events, or at SIGINT or SIGTERM. */
export async function consume(topic: string, options: ConsumeOptions): Promise<void> {
  const stopping = new AbortController()
  const stop = (): void => stopping.abort()
  process.once('SIGINT', stop)
  process.once('SIGTERM', stop)
  try {
    if (options.group === undefined) await tail(topic, options, stopping.signal)
    else await share(topic, options.group, options, stopping.signal)
  } catch (error) {
    // What Ctrl-C cuts short is no failure.
    if (!stopping.signal.aborted) throw error
  } finally {
    process.off('SIGINT', stop)
    process.off('SIGTERM', stop)
  }
}

/** Without a group: the WebSocket, which resumes by itself after a break. */
async function tail(topic: string, options: ConsumeOptions, signal: AbortSignal): Promise<void> {
  const api = new Api(options)
  await refuseMissing(api, topic, signal)
  let isLost = false
  const client = connect({
    url: api.url,
    onState: (state) => {
      if (state === 'waiting' && !isLost) {
        process.stderr.write(`ebbgate: The gateway at ${api.url} is away. Trying again.\n`)
      }
      isLost = state === 'waiting' || (isLost && state !== 'open')
    },
  })
  const onAbort = (): void => void client.close()
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    const from = options.fromBeginning === true ? 'earliest' : 'latest'
    let printed = 0
    for await (const record of client.subscribe({ topics: [topic], from, format: 'binary' })) {
      await printValue(record.value)
      printed += 1
      if (printed === options.max || signal.aborted) return
    }
    if (!signal.aborted) throw new Failure(`Topic '${topic}' was deleted.`)
  } finally {
    await client.close()
  }
}

/** Sockets and groups wait for a topic that is not there; a person wants to hear that the name is wrong. */
async function refuseMissing(api: Api, topic: string, signal: AbortSignal): Promise<void> {
  await api.call('GET', topicPath(topic), { signal })
}

/** With a group: a v2 instance. What was printed is committed, and nothing else. */
async function share(
  topic: string,
  group: string,
  options: ConsumeOptions,
  signal: AbortSignal,
): Promise<void> {
  const api = new Api(options)
  await refuseMissing(api, topic, signal)
  let instance: string | undefined = await join(api, group, topic)
  try {
    let left = options.max ?? Infinity
    while (left > 0 && !signal.aborted) {
      instance ??= await throughRestarts(() => join(api, group, topic), signal)
      if (instance === undefined) break
      const base = instance
      const records = await throughRestarts(() => poll(api, base, signal), signal)
      if (records === undefined) break
      if (records === 'gone') {
        // A gateway that keeps sessions in memory was restarted; the group knows what was committed.
        instance = undefined
        continue
      }
      const printed = records.slice(0, left)
      for (const { value } of printed) await printValue(value)
      left -= printed.length
      if (printed.length > 0) {
        await throughRestarts(() => commit(api, base, printed), signal)
      }
    }
  } finally {
    if (instance !== undefined) await leave(api, instance)
  }
}

/**
 * A gateway that restarts is away for a moment; one that stays away ends us. Tried once in any case,
 * after Ctrl-C too. Undefined: Ctrl-C.
 */
async function throughRestarts<T>(
  attempt: () => Promise<T>,
  signal: AbortSignal,
): Promise<T | undefined> {
  for (let tries = 1; tries === 1 || !signal.aborted; tries += 1) {
    try {
      return await attempt()
    } catch (error) {
      if (signal.aborted) break
      const passes =
        error instanceof Unreachable || (error instanceof Refusal && error.status === 503)
      if (!passes || tries === restartTriesMax) throw error
      if (tries === 1) process.stderr.write(`ebbgate: ${error.message} Trying again.\n`)
      await waitAlive(restartPauseMs)
    }
  }
  return undefined
}

/** Resolves to the instance's base URI once it is a member of its group. */
async function join(api: Api, group: string, topic: string): Promise<string> {
  const settings = {
    format: 'binary',
    'auto.offset.reset': 'earliest',
    'auto.commit.enable': 'false',
    'consumer.request.timeout.ms': pollWaitMs,
    'fetch.min.bytes': 1,
  }
  const made = await api.call('POST', `/consumers/${encodeURIComponent(group)}`, {
    body: JSON.stringify(settings),
    contentType: v2Json,
    accept: v2Json,
  })
  const base = (made as Instance).base_uri
  await api.call('POST', `${base}/subscription`, {
    body: JSON.stringify({ topics: [topic] }),
    contentType: v2Json,
    accept: v2Json,
  })
  return base
}

async function poll(
  api: Api,
  base: string,
  signal: AbortSignal,
): Promise<readonly ConsumedRecord[] | 'gone'> {
  const call = { accept: v2Binary, signal, timeoutMs: pollWaitMs * 3 }
  try {
    return (await api.call('GET', `${base}/records`, call)) as ConsumedRecord[]
  } catch (error) {
    if (error instanceof Refusal && error.status === 404) return 'gone'
    throw error
  }
}

/**
 * Gives the partitions to the others at once, instead of when the session expires. A gateway that
 * cannot be reached any more must not hide why we are leaving.
 */
async function leave(api: Api, base: string): Promise<void> {
  try {
    await api.call('DELETE', base, { accept: v2Json, timeoutMs: leaveTimeoutMs })
  } catch {
    process.stderr.write(
      'ebbgate: Could not leave the group; its share moves on when the session ends.\n',
    )
  }
}

/** v2 takes the offsets of the last records, not the next ones. */
async function commit(api: Api, base: string, records: readonly ConsumedRecord[]): Promise<void> {
  const last = new Map(records.map((record) => [`${record.topic}/${record.partition}`, record]))
  const offsets = [...last.values()].map(({ topic, partition, offset }) => ({
    topic,
    partition,
    offset,
  }))
  try {
    await api.call('POST', `${base}/offsets`, {
      body: JSON.stringify({ offsets }),
      contentType: v2Json,
      accept: v2Json,
    })
  } catch (error) {
    // A partition went to another member meanwhile, or a session in memory went with its gateway:
    // whoever reads it next begins behind the last commit.
    const lost = error instanceof Refusal && (error.status === 409 || error.status === 404)
    if (!lost) throw error
    process.stderr.write(`ebbgate: ${error.message} These events may come again elsewhere.\n`)
  }
}

async function printValue(value: unknown): Promise<void> {
  if (value === null || value === undefined) await print(tombstone)
  else if (typeof value === 'string') {
    await print(Buffer.concat([Buffer.from(value, 'base64'), lineFeed]))
  } else throw new Failure('The gateway answered in another format than asked for.')
}
