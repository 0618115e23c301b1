/** `ebbgate groups list | describe | reset | delete`. */
import type { components } from '../contract/native.ts'
import type { ApiOptions } from './api.ts'
import { Api } from './api.ts'
import { print } from './output.ts'

type Schemas = components['schemas']

export interface ResetOptions extends ApiOptions {
  readonly to: string
  readonly topic?: readonly string[]
  readonly partition?: number
  readonly dryRun?: boolean
}

export async function listGroups(options: ApiOptions): Promise<void> {
  const api = new Api(options)
  let after: string | null = null
  do {
    const query: string = after === null ? '' : `&after=${encodeURIComponent(after)}`
    const page = (await api.call('GET', `/v1/groups?limit=1000${query}`)) as Schemas['GroupList']
    for (const { group, state, members } of page.groups) {
      await print(`${group}  ${state}  ${counted(members, 'member')}\n`)
    }
    after = page.next
  } while (after !== null)
}

/** One line for the group, one for each member, one for each partition with its lag. */
export async function describeGroup(name: string, options: ApiOptions): Promise<void> {
  const api = new Api(options)
  const group = (await api.call('GET', groupPath(name))) as Schemas['Group']
  const { members, state, lag } = group
  await print(`${name}  ${state}  ${counted(members.length, 'member')}  lag ${lag}\n`)
  for (const { memberId, assignment, subject } of members) {
    const reads = Object.entries(assignment).map(([topic, ids]) => `${topic}/${ids.join(',')}`)
    const who = subject === null ? '' : `  of ${subject}`
    await print(`  member ${memberId}${who}  reads ${reads.join(' ') || 'nothing'}\n`)
  }
  let after: string | null = null
  do {
    const query: string = after === null ? '' : `&after=${encodeURIComponent(after)}`
    const path = `${groupPath(name)}/offsets?limit=1000${query}`
    const page = (await api.call('GET', path)) as Schemas['GroupOffsets']
    for (const { topic, partition, committed, end, lag: behind } of page.offsets) {
      await print(
        `  ${topic}/${partition}  committed ${committed ?? '-'}  end ${end}  lag ${behind}\n`,
      )
    }
    after = page.next
  } while (after !== null)
}

export async function resetGroup(name: string, options: ResetOptions): Promise<void> {
  const { to, topic: topics, partition, dryRun = false } = options
  const body: Schemas['OffsetReset'] = {
    to,
    validateOnly: dryRun,
    ...(topics === undefined ? {} : { topics: [...topics] }),
    ...(partition === undefined ? {} : { partition }),
  }
  const call = { body: JSON.stringify(body) }
  const moves = await new Api(options).call('PUT', `${groupPath(name)}/offsets`, call)
  for (const { topic, partition: id, before, after } of (moves as Schemas['OffsetMoves']).offsets) {
    await print(`${topic}/${id}  ${before ?? '-'} -> ${after}\n`)
  }
  if (dryRun) await print('Nothing was changed (--dry-run).\n')
}

export async function deleteGroups(names: readonly string[], options: ApiOptions): Promise<void> {
  const api = new Api(options)
  for (const name of names) {
    await api.call('DELETE', groupPath(name))
    await print(`Deleted group ${name}.\n`)
  }
}

function groupPath(name: string): string {
  return `/v1/groups/${encodeURIComponent(name)}`
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
