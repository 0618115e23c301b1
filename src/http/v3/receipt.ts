/** What v3 says of a record that was written or refused. */
import type { components } from '../../contract/v3.ts'
import { formatIsoTime } from '../../kit/clock.ts'
import { GatewayError } from '../../model/errors.ts'
import type { RecordResult } from '../../produce/producer.ts'
import type { ErrorContext } from '../exchange/surface.ts'
import type { ErrorBody } from './errors.ts'
import { v3ItemOf } from './errors.ts'
import type { RecordEntry } from './record-entry.ts'

type Success = Omit<components['schemas']['BatchAnswer']['successes'][number], 'id'>

/** Where records of one request go, for their receipts. */
export interface ReceiptPlace extends ErrorContext {
  readonly clusterId: string
  readonly topic: string
}

/** A record, or why it cannot be one. */
export type Item = RecordEntry | GatewayError

/** What the write path takes of an item. */
export function toRecord(item: Item): RecordEntry['record'] | GatewayError {
  return item instanceof GatewayError ? item : item.record
}

/** Its place, without the `error_code`; or its error. */
export function outcomeOf(
  place: ReceiptPlace,
  item: Item,
  result: RecordResult,
): { readonly success: Success } | { readonly failure: ErrorBody } {
  if ('error' in result) return { failure: v3ItemOf(result.error, place) }
  const { key, value } = item instanceof GatewayError ? {} : item
  return {
    success: {
      cluster_id: place.clusterId,
      topic_name: place.topic,
      partition_id: result.partition,
      offset: result.offset,
      timestamp: formatIsoTime(result.timestamp),
      ...(key === undefined ? {} : { key }),
      ...(value === undefined ? {} : { value }),
    },
  }
}

/** A line of the answer; lines are a courtesy, the answer is concatenated JSON. */
export function receiptText(place: ReceiptPlace, item: Item, result: RecordResult): string {
  const outcome = outcomeOf(place, item, result)
  const receipt = 'failure' in outcome ? outcome.failure : { error_code: 200, ...outcome.success }
  return `${JSON.stringify(receipt)}\n`
}
