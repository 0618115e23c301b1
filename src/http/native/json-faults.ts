/** What a client is told about a body that is not the JSON it claims to be. */
import type { JsonFault } from '../../kit/json-scanner.ts'
import { GatewayError } from '../../model/errors.ts'
import { jsonDepthMax, recordsPerRequestMax } from '../../model/limits.ts'

/** The refusal of a whole body. */
export function bodyFault({ fault, at }: JsonFault): GatewayError {
  switch (fault) {
    case 'depth':
      return new GatewayError('INVALID_REQUEST', faultText('The body', { fault, at }))
    case 'count':
      return tooManyRecords()
    case 'syntax':
    case 'end':
    case 'utf8':
      return new GatewayError('BAD_REQUEST', faultText('The body', { fault, at }))
  }
}

/** The refusal of one record of a batch. `what` begins the sentence: `Line 3`, `The record`. */
export function recordFault(what: string, fault: JsonFault): GatewayError {
  return new GatewayError('INVALID_RECORD', faultText(what, fault))
}

export function tooManyRecords(): GatewayError {
  return new GatewayError(
    'BODY_TOO_LARGE',
    `The body holds more than ${recordsPerRequestMax} records, the most that one request may have.`,
  )
}

function faultText(what: string, { fault, at }: JsonFault): string {
  switch (fault) {
    case 'syntax':
      return `${what} is not valid JSON: byte ${at} of the body does not belong there.`
    case 'end':
      return `${what} is not valid JSON: it ends too early, at byte ${at} of the body.`
    case 'utf8':
      return `${what} is not valid JSON: byte ${at} of the body begins a broken UTF-8 sequence.`
    case 'depth':
      return `${what} is nested deeper than ${jsonDepthMax} levels, at byte ${at} of the body.`
    case 'count':
      return `${what} has too many parts.`
  }
}
