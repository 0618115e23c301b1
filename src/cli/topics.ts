/** `ebbgate topics create | list | describe | alter | grow | delete`. */
import type { components } from '../contract/native.ts'
import type { ApiOptions } from './api.ts'
import { Api } from './api.ts'
import { Failure, exitUsage } from './failure.ts'
import { print } from './output.ts'

type Topic = components['schemas']['Topic']
type TopicList = components['schemas']['TopicList']

export interface CreateOptions extends ApiOptions {
  readonly partitions?: number
  readonly config?: readonly string[]
  readonly ifNotExists?: boolean
}

export interface AlterOptions extends ApiOptions {
  readonly config?: readonly string[]
  readonly deleteConfig?: readonly string[]
}

export interface GrowOptions extends ApiOptions {
  /** The new total. */
  readonly partitions: number
}

export async function createTopic(name: string, options: CreateOptions): Promise<void> {
  const body = {
    name,
    ...(options.partitions === undefined ? {} : { partitions: options.partitions }),
    ...(options.config === undefined ? {} : { configs: parseConfigs(options.config) }),
    ...(options.ifNotExists === true ? { ifNotExists: true } : {}),
  }
  const made = await new Api(options).call('POST', '/v1/topics', { body: JSON.stringify(body) })
  await describe(made as Topic)
}

export async function listTopics(options: ApiOptions): Promise<void> {
  const api = new Api(options)
  let after: string | null = null
  do {
    const query: string = after === null ? '' : `&after=${encodeURIComponent(after)}`
    const page = (await api.call('GET', `/v1/topics?limit=1000${query}`)) as TopicList
    for (const { name, partitions } of page.topics) {
      await print(`${name}  ${counted(partitions, 'partition')}\n`)
    }
    after = page.next
  } while (after !== null)
}

export async function describeTopic(name: string, options: ApiOptions): Promise<void> {
  await describe((await new Api(options).call('GET', topicPath(name))) as Topic)
}

export async function alterTopic(name: string, options: AlterOptions): Promise<void> {
  const { config: set = [], deleteConfig: unset = [] } = options
  if (set.length + unset.length === 0) {
    throw new Failure('Nothing to change: give --config <name=value> or --delete-config <name>.', {
      exitCode: exitUsage,
    })
  }
  const defaults = Object.fromEntries(unset.map((setting) => [setting, null]))
  await change(name, { configs: { ...defaults, ...parseConfigs(set) } }, options)
}

export async function growTopic(name: string, options: GrowOptions): Promise<void> {
  await change(name, { partitions: options.partitions }, options)
}

export async function deleteTopics(names: readonly string[], options: ApiOptions): Promise<void> {
  const api = new Api(options)
  for (const name of names) {
    await api.call('DELETE', topicPath(name))
    await print(`Deleted topic ${name}.\n`)
  }
}

export function topicPath(name: string): string {
  return `/v1/topics/${encodeURIComponent(name)}`
}

async function change(
  name: string,
  changes: Partial<components['schemas']['TopicChange']>,
  options: ApiOptions,
): Promise<void> {
  const call = { body: JSON.stringify(changes) }
  await describe((await new Api(options).call('PATCH', topicPath(name), call)) as Topic)
}

/** One line for the topic, one for each setting that is not at its default, one for each partition. */
async function describe(topic: Topic): Promise<void> {
  const facts = [
    counted(topic.partitions.length, 'partition'),
    `replication ${topic.replicationFactor}`,
    `id ${topic.id}`,
  ]
  await print(`${topic.name}  ${facts.join('  ')}\n`)
  for (const [name, value] of Object.entries(topic.configs)) {
    await print(`  config ${name}=${value ?? ''}\n`)
  }
  for (const { partition, leader, start, end } of topic.partitions) {
    await print(
      `  partition ${partition}  leader ${leader ?? 'none'}  start ${start}  end ${end}\n`,
    )
  }
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

function parseConfigs(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const equals = pair.indexOf('=')
      if (equals < 1) {
        throw new Failure(
          `--config: '${pair}' is not <name>=<value>, such as retention.ms=86400000.`,
          {
            exitCode: exitUsage,
          },
        )
      }
      return [pair.slice(0, equals), pair.slice(equals + 1)]
    }),
  )
}
