import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compilePattern, isPattern } from '../../src/kit/pattern.ts'

function compiled(source: string): (text: string) => boolean {
  const outcome = compilePattern(source)
  assert.ok(isPattern(outcome), source)
  return (text) => outcome.matches(text)
}

test('a pattern matches whole texts, not parts of them', () => {
  const matches = compiled('orders-(eu|us)')
  assert.deepEqual(
    ['orders-eu', 'orders-us', 'orders-eu-2', 'my-orders-eu', 'orders-'].map(matches),
    [true, true, false, false, false],
  )
  assert.ok(compiled('a|bc')('bc'))
  assert.ok(!compiled('a|bc')('ac'))
})

test('what lies outside RE2 is refused with the reason, never thrown', () => {
  for (const source of ['(?=a)', '(?<=a)b', '(?!a)', '(a)\\1', '(', '[a-', 'a{1,2000}', '*']) {
    const outcome = compilePattern(source)
    assert.ok(!isPattern(outcome), source)
    assert.match(outcome.problem, /^Not an RE2 pattern \(.+\)\.$/)
  }
})

test('a pattern that makes other engines hang takes no time', () => {
  const matches = compiled('(a+)+b')
  const started = performance.now()
  assert.equal(matches('a'.repeat(10_000)), false)
  assert.ok(performance.now() - started < 2_000)
})

test('a pattern so large that each match would hold everybody up is refused', () => {
  for (const source of ['\\pL{1000}'.repeat(111), '(.{0,40}){0,25}', 'a{1000}b{1000}']) {
    const outcome = compilePattern(source)
    assert.ok(!isPattern(outcome), source)
    assert.match(outcome.problem, /^The pattern compiles to \d+ steps; 1000 are allowed\.$/)
  }
  compiled('.{0,249}')
  compiled(Array.from({ length: 100 }, (_, i) => `${i}-topic`).join('|'))
})
