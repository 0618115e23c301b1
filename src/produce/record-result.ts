/** What became of one record of a request. */
import type { AppendResult } from '../engine/log.ts'
import type { GatewayError } from '../model/errors.ts'
import type { Offset } from '../model/offset.ts'
import type { PlannedBatch } from './batch-builder.ts'

/** `offset` is -1 where an engine knows that it took the record, but no longer where it stands. */
export type RecordResult =
  | { readonly partition: number; readonly offset: Offset; readonly timestamp: number }
  | { readonly error: GatewayError }

/** What an answer says where the engine knows no offset, as in Kafka. */
export const unknownOffset = -1

/** Gives each record of a batch its own result. */
export function spread(
  { partition, records, places }: PlannedBatch,
  { error, offsets, logAppendTime }: AppendResult,
  nowMs: number,
  results: RecordResult[],
): void {
  for (let i = 0; i < places.length; i++) {
    results[places[i]!] =
      error !== undefined
        ? { error }
        : {
            partition,
            offset: offsets === undefined ? unknownOffset : offsets.base + i,
            timestamp: logAppendTime ?? records[i]!.timestamp ?? nowMs,
          }
  }
}
