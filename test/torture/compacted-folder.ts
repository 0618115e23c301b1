/** A data folder of our real engine with a compacted topic: holes, delete horizons, every codec. */
import { readFile, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { batchCodec } from '../../src/model/batch-codecs.ts'
import { codecs } from '../../src/model/record-batch.ts'
import type { NewRecord } from '../../src/model/record.ts'
import { packedBatch } from '../support/packed-batch.ts'
import type { BatchLine } from '../support/segment-batches.ts'
import { batchesIn, batchLine } from '../support/segment-batches.ts'
import type { SimRandom } from '../support/sim-random.ts'
import { openFolder } from './varied-folder.ts'

const timeoutMs = 30_000
const startMs = 1_700_000_000_000
const config = {
  'cleanup.policy': 'compact',
  'min.cleanable.dirty.ratio': '0',
  'segment.bytes': '16384',
}

/** Resolves to what our own reader finds in the files, by the name of the partition's folder. */
export async function writeCompacted(
  data: string,
  random: SimRandom,
  batches: number,
): Promise<Map<string, BatchLine[]>> {
  const usable = codecs.filter((codec) => batchCodec(codec) !== undefined)
  const engine = await openFolder(data)
  await engine.topics.create([{ name: 'compacted', partitions: 1, config }], { timeoutMs })
  const tp = { topic: 'compacted', partition: 0 }
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < batches; i++) {
      const records = Array.from({ length: 1 + random.below(20) }, (_, at): NewRecord => {
        return {
          key: Buffer.from(`key ${random.below(60)}`),
          value: random.chance(0.2) ? null : random.bytes(random.below(150)),
          headers: random.chance(0.2) ? [{ name: 'h', value: random.bytes(5) }] : [],
          timestamp: startMs + (round * batches + i) * 1000 + at,
        }
      })
      const batch = packedBatch(records, random.pick(usable))
      const [result] = await engine.log.append([{ tp, batch }], { timeoutMs })
      if (result?.error !== undefined) throw result.error
    }
    await engine.checkpoint()
    await engine.checkpoint()
    await engine.compact()
  }
  await engine.close()
  const folder = join(data, 'logs', 'compacted-0')
  // The next start would do it.
  for (const name of await readdir(folder)) {
    if (name.endsWith('.deleted')) await rm(join(folder, name))
  }
  return new Map([['compacted-0', await linesOf(folder)]])
}

async function linesOf(folder: string): Promise<BatchLine[]> {
  const lines: BatchLine[] = []
  for (const name of (await readdir(folder)).filter((each) => each.endsWith('.log')).sort()) {
    for (const batch of batchesIn(await readFile(join(folder, name)))) lines.push(batchLine(batch))
  }
  return lines
}
