/** How the load speaks to the gateway: an answer is a success, a refusal, or it never came. */

import type { Placed } from '../support/ledger.ts'

/** The gateway answered, and the answer was no. */
export class Refused extends Error {
  /** The native code, or the number of the v2 surface. */
  readonly code: string

  constructor(message: string, code: string) {
    super(message)
    this.code = code
  }
}

/** The body of a success as JSON. Throws Refused for every other answer. */
export async function okay(answer: Response): Promise<unknown> {
  const text = await answer.text()
  if (answer.ok) return text === '' ? undefined : JSON.parse(text)
  throw new Refused(`${answer.status} from ${answer.url}: ${text}`, codeIn(text))
}

/** What a produce answer says of one record. */
export interface Result {
  readonly partition?: number | null
  readonly offset?: number | null
  /** The native surface. */
  readonly error?: { readonly code: string }
  /** The v2 surface. */
  readonly error_code?: number | null
}

/** Where the records were put; `refused` hears the code of each one that was refused alone. */
export function placesOf(
  results: readonly Result[],
  refused: (code: string) => void,
): (Placed | undefined)[] {
  return results.map(({ partition, offset, error, error_code: v2Code }) => {
    if (typeof partition === 'number' && typeof offset === 'number') return { partition, offset }
    refused(error?.code ?? String(v2Code))
    return undefined
  })
}

/** Of a refusal of a whole request or of a record. */
function codeIn(text: string): string {
  const found = /"(?:code|error_code)":"?(\w+)/.exec(text)
  return found?.[1] ?? 'no code'
}

export interface NewTopic {
  readonly name: string
  readonly partitions: number
  readonly configs?: Readonly<Record<string, string>>
}

/** A topic of the same name that is there already is good enough. */
export async function createTopic(url: string, topic: NewTopic): Promise<void> {
  const answer = await fetch(`${url}/v1/topics`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...topic, ifNotExists: true }),
  })
  await okay(answer)
}

export async function deleteTopic(url: string, name: string): Promise<void> {
  await okay(await fetch(`${url}/v1/topics/${name}`, { method: 'DELETE' }))
}

export async function topicNames(url: string): Promise<string[]> {
  const names: string[] = []
  let after: string | null = ''
  while (after !== null) {
    const answer = await fetch(`${url}/v1/topics?limit=500${after === '' ? '' : `&after=${after}`}`)
    const page = (await okay(answer)) as { topics: { name: string }[]; next: string | null }
    names.push(...page.topics.map(({ name }) => name))
    after = page.next
  }
  return names
}
