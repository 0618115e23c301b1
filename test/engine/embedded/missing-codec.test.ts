/** The engine on a machine for which the optional codec packages have no binary. */
import assert from 'node:assert/strict'
import { registerHooks } from 'node:module'
import test from 'node:test'
import { packedBatch } from '../../support/packed-batch.ts'
import { sealBatch } from '../../../src/model/record-batch.ts'
import { openTestEngine } from '../../support/engine.ts'
import { call, code, newTopic, tp } from '../../support/one-partition.ts'

const missing = ['snappy', 'lz4-napi']
registerHooks({
  resolve(specifier, context, nextResolve) {
    if (missing.includes(specifier)) throw new Error(`There is no ${specifier} here.`)
    return nextResolve(specifier, context)
  },
})
const records = [{ key: null, value: Buffer.from('a'), headers: [], timestamp: 1 }]

test('a codec that is not installed is not declared, and batches in it are refused', async () => {
  const { engine, close } = await openTestEngine()
  await newTopic(engine)
  assert.deepEqual(engine.capabilities.codecs, ['none', 'gzip', 'zstd'])
  const plain = packedBatch(records, 'gzip')
  for (const bits of [2, 3]) {
    const [answer] = await engine.log.append([{ tp, batch: relabelled(plain, bits) }], call)
    assert.ok(code('UNSUPPORTED')(answer!.error))
    assert.match(answer!.error!.message, /codec (snappy|lz4) is not installed here/)
  }
  const [good] = await engine.log.append([{ tp, batch: plain }], call)
  assert.deepEqual(good!.offsets, { base: 0, last: 0 })
  await close()
})

/** The same batch under the name of another codec, sealed again. */
function relabelled(batch: Uint8Array, codecBits: number): Uint8Array {
  const copy = Uint8Array.from(batch)
  copy[22] = codecBits
  sealBatch(copy)
  return copy
}
