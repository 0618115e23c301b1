import assert from 'node:assert/strict'
import { test } from 'node:test'
import { randomId, systemRandom, uuid } from '../../src/kit/random.ts'

test('a UUID has version 4 and the RFC 9562 variant', () => {
  for (let i = 0; i < 100; i++) {
    assert.match(
      uuid(systemRandom),
      /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    )
  }
})

test('ids differ and are safe in URLs', () => {
  const ids = new Set(Array.from({ length: 1000 }, () => randomId(systemRandom, 16)))
  assert.equal(ids.size, 1000)
  for (const id of ids) assert.match(id, /^[A-Za-z0-9_-]{22}$/)
})
