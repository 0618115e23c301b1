import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { KeyRecord } from '../../../../src/engine/embedded/transaction/key-record.ts'
import {
  hashOfKey,
  keyRecordBytesAtMost,
  readKeyHead,
  readKeyRecord,
  writeKeyRecord,
} from '../../../../src/engine/embedded/transaction/key-record.ts'
import { readRecords } from '../../../../src/model/batch-reader.ts'

const bytes = (maxLength: number) => fc.uint8Array({ maxLength })
const offset = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })

const records: fc.Arbitrary<KeyRecord> = fc.record({
  hash: fc.uint8Array({ minLength: 32, maxLength: 32 }),
  space: fc.string({ maxLength: 40 }),
  expiryMs: offset,
  fingerprint: fc.option(bytes(32), { nil: undefined }),
  memo: fc.option(bytes(300), { nil: undefined }),
  results: fc.array(
    fc
      .tuple(fc.stringMatching(/^[a-z.]{1,30}$/), fc.nat(99_999), offset, offset, fc.option(offset))
      .map(([topic, partition, base, last, time]) => ({
        tp: { topic, partition },
        offsets: { base, last },
        ...(time === null ? {} : { logAppendTime: time }),
      })),
    { maxLength: 6 },
  ),
})

const plain = (record: KeyRecord): unknown => ({
  ...record,
  hash: Buffer.from(record.hash).toString('hex'),
  fingerprint: record.fingerprint && Buffer.from(record.fingerprint).toString('hex'),
  memo: record.memo && Buffer.from(record.memo).toString('hex'),
})

test('a key record reads back as it was written, within the size that was foretold', () => {
  fc.assert(
    fc.property(records, (record) => {
      const batch = writeKeyRecord(record, 1_763_683_200_000)
      const [stored] = readRecords(batch)
      assert.deepEqual(plain(readKeyRecord(stored!)!), plain(record))
      const { hash, space, expiryMs, fingerprint, memo, results } = record
      const head = readKeyHead(stored!)!
      assert.deepEqual([head.space, head.expiryMs], [space, expiryMs])
      assert.ok(Buffer.from(head.hash).equals(hash))
      const key = { value: '', space, ttlMs: 1, ...{ fingerprint, memo } } as never
      const entries = results.map(({ tp }) => ({ tp, batch: Buffer.alloc(0) }))
      const foretold = keyRecordBytesAtMost({ key, entries })
      assert.ok(batch.length <= foretold && batch.length >= foretold - 80)
    }),
  )
})

test('whatever stands in place of a key record is told apart, never a crash', () => {
  fc.assert(
    fc.property(records, fc.nat(), fc.nat(255), (record, place, byte) => {
      const [stored] = readRecords(writeKeyRecord(record, 0))
      const value = Buffer.from(stored!.value!)
      value[place % value.length] = byte
      readKeyRecord({ ...stored!, value })
      readKeyHead({ ...stored!, value })
      for (let length = 0; length < value.length; length++) {
        const cut = stored!.value!.subarray(0, length)
        assert.equal(readKeyRecord({ ...stored!, value: cut }), undefined)
      }
      assert.equal(readKeyRecord({ ...stored!, value: null }), undefined)
      assert.equal(readKeyRecord({ ...stored!, key: null }), undefined)
    }),
  )
})

test('space and value do not run into each other', () => {
  const of = (space: string, value: string): string =>
    Buffer.from(hashOfKey({ space, value, ttlMs: 1 })).toString('hex')
  assert.notEqual(of('a', 'bc'), of('ab', 'c'))
  assert.equal(of('a', 'bc').length, 64)
})
