/**
 * Where one answer of an instance ends, for clients that read in exact mode: a cursor sent twice gives
 * the same records twice.
 *
 *   <tag of the assignment>.<base64url of varints: turn, next offset of each partition>
 *
 * Offsets stand in the order of the ownerships' names, so a cursor means nothing under another
 * assignment; the tag says so. It grants nothing that a seek would not, so it is not signed.
 */
import { createHash } from 'node:crypto'
import { VarintReader, varintBytes, writeVarint } from '../kit/varint.ts'
import { GatewayError } from '../model/errors.ts'
import { positionHeaderCharsMax } from '../model/limits.ts'
import type { Offset } from '../model/offset.ts'
import type { OwnedPartition, SessionKey } from './session.ts'
import { grantOf, ownedBy } from './session.ts'
import type { StoredSession } from './session-store.ts'

export interface ExactCursor {
  readonly tag: string
  /** Which partition the next answer begins with. */
  readonly turn: number
  /** Next offsets by ownership. */
  readonly offsets: ReadonlyMap<string, Offset>
}

/**
 * Names an assignment: another one, or that of another instance, has another tag. A member that left
 * and joined again counts its grants anew, so its id belongs to the name.
 */
export function tagOf({ session, membership }: StoredSession): string {
  const hash = createHash('sha256').update(`${session.id} ${membership?.memberId ?? ''}`)
  for (const grant of grantsOf(ownedBy(session, membership))) hash.update(`\n${grant}`)
  return hash.digest('base64url').slice(0, 11)
}

/** Undefined for an assignment of nothing, and for one too large for a header. */
export function formatCursor(
  tag: string,
  turn: number,
  offsets: ReadonlyMap<string, Offset>,
): string | undefined {
  if (offsets.size === 0) return undefined
  const numbers = [turn, ...[...offsets.keys()].sort().map((grant) => offsets.get(grant)!)]
  const bytes = Buffer.allocUnsafe(numbers.reduce((sum, each) => sum + varintBytes(each), 0))
  let at = 0
  for (const each of numbers) at = writeVarint(bytes, at, each)
  const text = `${tag}.${bytes.toString('base64url')}`
  return text.length > positionHeaderCharsMax ? undefined : text
}

/** Throws INVALID_REQUEST for what is no cursor, ILLEGAL_STATE for one of another assignment. */
export function parseCursor(text: string, stored: StoredSession): ExactCursor {
  const { session, membership } = stored
  const match = /^([A-Za-z0-9_-]{11})\.([A-Za-z0-9_-]+)$/.exec(text)
  if (match === null || text.length > positionHeaderCharsMax) throw notACursor(text)
  const [, tag = '', packed = ''] = match
  if (tag !== tagOf(stored)) throw staleCursor(session)
  const grants = grantsOf(ownedBy(session, membership))
  const numbers = unpacked(packed)
  const [turn = -1, ...nexts] = numbers
  if (nexts.length !== grants.length || numbers.some((each) => !isOffset(each))) {
    throw notACursor(text)
  }
  return { tag, turn, offsets: new Map(grants.map((grant, i) => [grant, nexts[i]!])) }
}

export function staleCursor({ group, name }: SessionKey): GatewayError {
  return new GatewayError(
    'ILLEGAL_STATE',
    `The cursor belongs to an older assignment of instance '${name}' of group '${group}'. Without a cursor the next read goes on behind the last answer that was written; to go on from what is committed, unsubscribe and subscribe again.`,
  )
}

function grantsOf(owned: readonly OwnedPartition[]): string[] {
  return owned.map(grantOf).sort()
}

function unpacked(packed: string): number[] {
  const reader = new VarintReader(Buffer.from(packed, 'base64url'))
  const numbers: number[] = []
  try {
    while (reader.at < reader.bytes.length) numbers.push(reader.next())
  } catch {
    return []
  }
  return numbers
}

function isOffset(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0
}

function notACursor(text: string): GatewayError {
  const shown = text.length > 80 ? `${text.slice(0, 80)}…` : text
  return new GatewayError('INVALID_REQUEST', `cursor '${shown}' is none of this gateway's.`)
}
