/** The one grammar of `from` and `until`, in queries, bodies and socket messages. */
import { parseIsoTime } from '../kit/clock.ts'
import { GatewayError } from './errors.ts'
import { lastRecordsMax } from './limits.ts'
import type { Offset } from './offset.ts'
import type { Position } from './position.ts'
import { looksLikePosition, parsePosition } from './position.ts'

export type Place =
  | { readonly at: 'earliest' | 'latest' }
  /** Needs exactly one partition. */
  | { readonly at: 'offset'; readonly offset: Offset }
  /** The first record at or after this time, ms since 1970. */
  | { readonly at: 'time'; readonly time: number }
  /** The newest `count` records; `from` only. */
  | { readonly at: 'last'; readonly count: number }
  | { readonly at: 'position'; readonly position: Position }

/** Throws BAD_REQUEST that names `field`, the word met and what is allowed. */
export function parsePlace(field: string, word: string): Place {
  if (word === 'earliest' || word === 'latest') return { at: word }
  const [kind, rest] = splitOnce(word)
  if (rest !== undefined) {
    if (kind === 'offset') return { at: 'offset', offset: wholeNumber(field, word, rest) }
    if (kind === 'time') return { at: 'time', time: timeOf(field, word, rest) }
    if (kind === 'last') return { at: 'last', count: lastCount(field, word, rest) }
  }
  if (looksLikePosition(word)) return { at: 'position', position: parsePosition(word) }
  if (/^\d+$/.test(word)) {
    throw new GatewayError(
      'BAD_REQUEST',
      `'${field}=${word}' can mean two things: write 'offset:${word}' or 'time:${word}'.`,
    )
  }
  throw refused(field, word)
}

function splitOnce(word: string): [string, string | undefined] {
  const colon = word.indexOf(':')
  return colon < 0 ? [word, undefined] : [word.slice(0, colon), word.slice(colon + 1)]
}

function wholeNumber(field: string, word: string, digits: string): number {
  const value = Number(digits)
  if (!/^\d{1,16}$/.test(digits) || !Number.isSafeInteger(value)) throw refused(field, word)
  return value
}

function timeOf(field: string, word: string, text: string): number {
  if (/^\d+$/.test(text)) return wholeNumber(field, word, text)
  const time = parseIsoTime(text)
  if (time === undefined || time < 0) throw refused(field, word)
  return time
}

function lastCount(field: string, word: string, digits: string): number {
  const count = wholeNumber(field, word, digits)
  if (count < 1 || count > lastRecordsMax) {
    throw new GatewayError(
      'BAD_REQUEST',
      `'${field}=${word}': the count must be between 1 and ${lastRecordsMax}.`,
    )
  }
  return count
}

function refused(field: string, word: string): GatewayError {
  const shown = word.length > 80 ? `${word.slice(0, 80)}…` : word
  return new GatewayError(
    'BAD_REQUEST',
    `'${field}=${shown}' is not understood. Use earliest, latest, offset:<n>, time:<ms, or ISO 8601 with its zone>, last:<n>, or a position.`,
  )
}
