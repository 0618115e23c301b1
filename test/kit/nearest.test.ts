import assert from 'node:assert/strict'
import test from 'node:test'
import { nearest } from '../../src/kit/nearest.ts'

const known = ['topics.autoCreate', 'http.publicUrl', 'port', 'host', 'limit']

test('a misspelt word leads to the one that was meant', () => {
  assert.equal(nearest('lmit', known), 'limit')
  assert.equal(nearest('prot', known), 'port')
  assert.equal(nearest('http.publicURL', known), 'http.publicUrl')
  assert.equal(nearest('topic.autocreate', known), 'topics.autoCreate')
})

test('a word that resembles nothing leads nowhere', () => {
  assert.equal(nearest('colour', known), undefined)
  assert.equal(nearest('', known), undefined)
  assert.equal(nearest('x'.repeat(10_000), known), undefined)
})
