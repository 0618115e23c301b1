/** Segment files as Kafka's own classes read them. */
import type { BatchLine } from '../segment-batches.ts'
import type { KafkaJars } from './kafka-jars.ts'

/** What Kafka says of a batch; `marker` is the word of a control batch. */
export interface KafkaBatchLine extends BatchLine {
  readonly marker?: string
}

/** The batches of each file, by its path. Throws when Kafka finds one that is not valid. */
export async function readByKafka(
  jars: KafkaJars,
  paths: readonly string[],
): Promise<Map<string, KafkaBatchLine[]>> {
  const files = new Map<string, KafkaBatchLine[]>()
  let batches: KafkaBatchLine[] = []
  for (const line of (await jars.ask('SegmentBatches', paths)).split('\n')) {
    if (line === '') continue
    const told = JSON.parse(line) as KafkaBatchLine | { readonly file: string }
    if ('file' in told) files.set(told.file, (batches = []))
    else batches.push(told)
  }
  return files
}
