/**
 * The header `Idempotency-Key`: which request it names. Its scope is the caller, the route with its
 * topic, and the key; its fingerprint covers the body, inflated, and whatever else decides what is
 * stored, so that a retry may be compressed otherwise or have more patience, and nothing more.
 */
import { createHash } from 'node:crypto'
import { GatewayError } from '../../model/errors.ts'
import { idempotencyKeyCharsMax } from '../../model/limits.ts'
import type { RequestKey } from '../../produce/producer.ts'
import type { CallContext } from './call.ts'

export const deduplicatedHeader = { 'ebbgate-deduplicated': 'true' }

/** Undefined without the header. `decides`: what besides the body decides what is stored. */
export function requestKey(
  call: CallContext,
  route: readonly (string | number)[],
  decides: Readonly<Record<string, unknown>>,
): RequestKey | undefined {
  const header = call.headers['idempotency-key']
  if (header === undefined) return undefined
  const key = parseKey(String(header))
  const hash = createHash('sha256')
  hash.update(JSON.stringify(Object.entries(decides).sort(([a], [b]) => (a < b ? -1 : 1))))
  hash.update('\0').update(call.bytes)
  return {
    value: JSON.stringify([call.principal.subject, ...route, key]),
    fingerprint: hash.digest(),
  }
}

/** Bare, or a quoted string as the IETF draft has it (RFC 9651 §3.3.3): both name the same key. */
function parseKey(header: string): string {
  const key = header.startsWith('"') ? unquoted(header) : header
  if (key === undefined || !/^[\x20-\x7e]+$/.test(key)) {
    throw new GatewayError(
      'BAD_REQUEST',
      "Idempotency-Key is visible ASCII characters, bare or in double quotes in which only \" and \\ stand behind a '\\'.",
    )
  }
  if (key.length > idempotencyKeyCharsMax) {
    throw new GatewayError(
      'BAD_REQUEST',
      `Idempotency-Key has at most ${idempotencyKeyCharsMax} characters, this one has ${key.length}.`,
    )
  }
  return key
}

function unquoted(text: string): string | undefined {
  const inside = /^"((?:[^"\\]|\\["\\])*)"$/.exec(text)?.[1]
  return inside?.replace(/\\(["\\])/g, '$1')
}
