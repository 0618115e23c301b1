/** `records:batch`: entries with ids of the caller's, read by the contract's rules and in its order. */
import { jsonLimits } from '../../format/json.ts'
import type { JsonSlice } from '../../kit/json-scanner.ts'
import { checkJson, isFault, sliceElements } from '../../kit/json-slices.ts'
import { afterByteOrderMark } from '../../kit/lines.ts'
import { GatewayError } from '../../model/errors.ts'
import { batchEntriesMax } from '../../model/limits.ts'
import type { Item } from './receipt.ts'
import { batchEntryNames, entryOf, membersOf } from './record-entry.ts'

export interface BatchEntry {
  readonly id: string
  readonly item: Item
}

/**
 * The entries in their order; one whose contents cannot be read stands there as its error.
 * Throws BAD_REQUEST for what is no JSON, INVALID_REQUEST for what breaks the rules of a batch.
 */
export function readBatch(bytes: Buffer): readonly BatchEntry[] {
  const entries = entriesOf(bytes).map((slice, i) => {
    const members = membersOf(bytes, slice, `'entries[${i}]'`, batchEntryNames)
    return { id: idOf(bytes, members.get('id')), members }
  })
  if (new Set(entries.map(({ id }) => id)).size < entries.length) {
    throw refused('Batch entry IDs are not distinct.')
  }
  if (entries.length === 0) throw refused('Empty batch.')
  return entries.map(({ id, members }) => {
    try {
      return { id, item: entryOf(bytes, members) }
    } catch (error) {
      // A shape that the contract does not know is the whole request's mistake.
      if (!(error instanceof GatewayError) || error.code === 'INVALID_REQUEST') throw error
      return { id, item: error }
    }
  })
}

function entriesOf(bytes: Buffer): readonly JsonSlice[] {
  const from = afterByteOrderMark(bytes)
  if (isBlank(bytes, from)) throw refused('Request body is empty. Data is required.')
  const body = checkJson(bytes, jsonLimits, from)
  if (isFault(body)) {
    throw new GatewayError('BAD_REQUEST', `The body is not valid JSON, at byte ${body.at}.`)
  }
  if (body.kind === 'null') throw refused('Request body is empty. Data is required.')
  const entries = membersOf(bytes, body, 'The body', ['entries']).get('entries')
  if (entries === undefined || entries.kind === 'null') throw refused('Empty batch.')
  if (entries.kind !== 'array') throw refused("'entries' is not a list.")
  const slices = sliceElements(bytes, jsonLimits, batchEntriesMax, entries.start, entries.end)
  if (!isFault(slices)) return slices
  throw refused(
    slices.fault === 'count' ? 'Too many entries in batch.' : `'entries' cannot be read.`,
  )
}

function idOf(bytes: Buffer, slice: JsonSlice | undefined): string {
  const id =
    slice?.kind === 'string' ? bytes.toString('latin1', slice.start + 1, slice.end - 1) : ''
  if (/^[0-9A-Za-z_-]{1,80}$/.test(id)) return id
  throw refused('Batch entry identifier is not a valid string.')
}

function isBlank(bytes: Buffer, from: number): boolean {
  return bytes.toString('latin1', from).trim() === ''
}

function refused(message: string): GatewayError {
  return new GatewayError('INVALID_REQUEST', `Error: 42208 : ${message}`)
}
