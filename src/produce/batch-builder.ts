/** Groups the records of one request into RecordBatches: few, large, and in order per partition. */
import { recordBytesAtMost } from '../model/batch-writer.ts'
import { messageBytesDefault } from '../model/limits.ts'
import type { NewRecord } from '../model/record.ts'
import { batchHeaderBytes } from '../model/record-batch.ts'

export interface PlannedBatch {
  readonly partition: number
  /** 0 for the first batch of a partition, then rising: batches of one round share an append. */
  readonly round: number
  readonly records: NewRecord[]
  /** Where each record stood in the request. */
  readonly places: number[]
}

/** A batch under construction, with an upper bound of its size, bytes. */
interface OpenBatch extends PlannedBatch {
  bytes: number
}

/**
 * Plans the batches for the records whose partition in `partitions` is not negative. No batch exceeds
 * `batchBytesMax`, which each record alone must fit, nor the default size of a message unless a single
 * record does: who reads one record fetches its whole batch.
 */
export function planBatches(
  records: readonly unknown[],
  partitions: Int32Array,
  batchBytesMax: number,
): PlannedBatch[] {
  const limit = Math.min(batchBytesMax, messageBytesDefault)
  const open = new Map<number, OpenBatch>()
  const batches: PlannedBatch[] = []
  for (let place = 0; place < records.length; place++) {
    const partition = partitions[place]!
    if (partition < 0) continue
    const record = records[place] as NewRecord
    const bytes = recordBytesAtMost(record)
    let batch = open.get(partition)
    if (batch === undefined || batch.bytes + bytes > limit) {
      const round = batch === undefined ? 0 : batch.round + 1
      batch = { partition, round, records: [], places: [], bytes: batchHeaderBytes }
      open.set(partition, batch)
      batches.push(batch)
    }
    batch.records.push(record)
    batch.places.push(place)
    batch.bytes += bytes
  }
  return batches
}
