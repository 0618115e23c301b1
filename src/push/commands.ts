/** What clients say: one JSON object a message, read strictly. */
import { outFormats, type OutFormat } from '../format/format.ts'
import { nearest } from '../kit/nearest.ts'
import { GatewayError } from '../model/errors.ts'
import { partitionsPerTopicMax, topicsPerSubscriptionMax } from '../model/limits.ts'
import type { Place } from '../model/place.ts'
import { parsePlace } from '../model/place.ts'
import { isTopicName } from '../model/topic.ts'

export interface SubscribeCommand {
  readonly type: 'subscribe'
  readonly id: number
  readonly sub: string
  readonly topics: readonly string[]
  readonly partitions?: readonly number[]
  readonly from: Place
  readonly until?: Place
  readonly onGap: 'continue' | 'fail'
  readonly format: OutFormat
}

export type Command =
  | SubscribeCommand
  | { readonly type: 'unsubscribe'; readonly id: number; readonly sub: string }
  | { readonly type: 'ping'; readonly id: number }

/** A message that has a type, before its members are looked at. */
export interface RawMessage {
  readonly type: string
  readonly [member: string]: unknown
}

/** The members of each command, and what belongs to a later stage. */
const grammar = {
  subscribe: {
    members: ['type', 'id', 'sub', 'topics', 'partitions', 'from', 'until', 'onGap', 'format'],
    later: ['group', 'session', 'credits', 'keys', 'filter', 'pattern'],
  },
  unsubscribe: { members: ['type', 'id', 'sub'], later: [] },
  ping: { members: ['type', 'id'], later: [] },
} as const satisfies Record<
  Command['type'],
  { readonly members: readonly string[]; readonly later: readonly string[] }
>

const laterTypes = ['credit', 'ack', 'produce', 'auth']

const subNameLengthMax = 64

/** Undefined when the text is not JSON, not an object, or has no type: the unreadable messages. */
export function readMessage(text: string): RawMessage | undefined {
  let message: unknown
  try {
    message = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof message !== 'object' || message === null || Array.isArray(message)) return undefined
  return 'type' in message && typeof message.type === 'string' ? (message as RawMessage) : undefined
}

/** The id to answer under, if the message has a usable one. */
export function idOf(message: RawMessage): number | undefined {
  const id = message['id']
  return typeof id === 'number' && Number.isSafeInteger(id) && id >= 0 ? id : undefined
}

/** Throws BAD_REQUEST that names what is wrong and the nearest right word, or UNSUPPORTED. */
export function parseCommand(message: RawMessage): Command {
  const { type } = message
  if (laterTypes.includes(type)) {
    throw new GatewayError('UNSUPPORTED', `The command '${type}' is not supported yet.`)
  }
  if (!isCommandType(type)) {
    throw unknownWord('command', type, [...Object.keys(grammar), ...laterTypes])
  }
  refuseUnknownMembers(type, message)
  const id = idOf(message)
  if (id === undefined) {
    throw new GatewayError('BAD_REQUEST', `'${type}' needs an 'id': a whole number from 0 on.`)
  }
  if (type === 'ping') return { type, id }
  const sub = subName(message['sub'])
  return type === 'unsubscribe' ? { type, id, sub } : parseSubscribe(message, id, sub)
}

function isCommandType(type: string): type is Command['type'] {
  return Object.hasOwn(grammar, type)
}

function refuseUnknownMembers(type: Command['type'], message: RawMessage): void {
  const members: readonly string[] = grammar[type].members
  const later: readonly string[] = grammar[type].later
  for (const member of Object.keys(message)) {
    if (members.includes(member)) continue
    if (later.includes(member)) {
      throw new GatewayError('UNSUPPORTED', `'${member}' of '${type}' is not supported yet.`)
    }
    throw unknownWord(`member of '${type}'`, member, [...members, ...later])
  }
}

function parseSubscribe(message: RawMessage, id: number, sub: string): SubscribeCommand {
  const partitions = message['partitions']
  const until = placeOf('until', message['until'])
  if (until?.at === 'last') {
    throw new GatewayError('BAD_REQUEST', `'until' cannot be 'last:${until.count}'.`)
  }
  return {
    type: 'subscribe',
    id,
    sub,
    topics: topicNames(message['topics']),
    ...(partitions === undefined ? {} : { partitions: partitionNumbers(partitions) }),
    from: placeOf('from', message['from']) ?? { at: 'latest' },
    ...(until === undefined ? {} : { until }),
    onGap: oneOf('onGap', message['onGap'] ?? 'continue', ['continue', 'fail']),
    format: oneOf('format', message['format'] ?? 'json', outFormats),
  }
}

function subName(value: unknown): string {
  if (typeof value === 'string' && value.length > 0 && value.length <= subNameLengthMax) {
    return value
  }
  throw new GatewayError(
    'BAD_REQUEST',
    `'sub' must be a string of 1 to ${subNameLengthMax} characters that you choose.`,
  )
}

function topicNames(value: unknown): string[] {
  const names: unknown[] = Array.isArray(value) ? value : []
  if (names.length === 0 || !names.every((name) => typeof name === 'string')) {
    throw new GatewayError('BAD_REQUEST', `'topics' must be a list of topic names.`)
  }
  if (names.length > topicsPerSubscriptionMax) {
    throw new GatewayError(
      'BAD_REQUEST',
      `'topics' names ${names.length} topics; ${topicsPerSubscriptionMax} are the most.`,
    )
  }
  const illegal = names.find((name) => !isTopicName(name))
  if (illegal !== undefined) {
    throw new GatewayError('BAD_REQUEST', `'${shown(illegal)}' cannot be the name of a topic.`)
  }
  return names
}

function partitionNumbers(value: unknown): number[] {
  const numbers: unknown[] = Array.isArray(value) ? value : []
  const ok = numbers.every(
    (number): number is number =>
      typeof number === 'number' && Number.isSafeInteger(number) && number >= 0,
  )
  if (numbers.length === 0 || numbers.length > partitionsPerTopicMax || !ok) {
    throw new GatewayError('BAD_REQUEST', `'partitions' must be a list of partition numbers.`)
  }
  return numbers
}

function placeOf(field: string, value: unknown): Place | undefined {
  if (value === undefined) return undefined
  // A bare number is refused by the grammar's own words, which name both spellings.
  if (typeof value === 'number') return parsePlace(field, String(value))
  if (typeof value === 'string') return parsePlace(field, value)
  throw new GatewayError('BAD_REQUEST', `'${field}' must be a string.`)
}

function oneOf<T extends string>(field: string, value: unknown, words: readonly T[]): T {
  const found = words.find((word) => word === value)
  if (found !== undefined) return found
  throw new GatewayError('BAD_REQUEST', `'${field}' must be one of ${words.join(', ')}.`)
}

function unknownWord(what: string, word: string, known: readonly string[]): GatewayError {
  const meant = nearest(word, known)
  const hint = meant === undefined ? `Known are ${known.join(', ')}.` : `Did you mean '${meant}'?`
  return new GatewayError('BAD_REQUEST', `'${shown(word)}' is not a ${what}. ${hint}`)
}

/** As much of a client's word as an answer repeats. */
function shown(word: string): string {
  return word.length > 80 ? `${word.slice(0, 80)}…` : word
}
