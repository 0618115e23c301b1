import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Edit, PlantedBug } from './planted.ts'
import { findPlanted } from './planted.ts'

const file = 'src/kit/lines.ts'
const bug = (edit: Omit<Edit, 'file'>, finding = /./): PlantedBug => ({
  name: 'a planted bug',
  edits: [{ file, ...edit }],
  workload: 'test/kit/lines.test.ts',
  finding,
})

test('a bug that no test sees is told from one that was found', async () => {
  const harmless = bug({
    find: 'export function splitLines',
    replace: 'export  function splitLines',
  })
  await assert.rejects(findPlanted(harmless), /went unnoticed/)
})

test('text that does not stand there exactly once is no planted bug', async () => {
  await assert.rejects(findPlanted(bug({ find: 'no such text', replace: '' })), /0 places, not one/)
  await assert.rejects(findPlanted(bug({ find: 'e', replace: 'f' })), /places, not one/)
})

test('a failure for another reason than the expected one does not count', async () => {
  const broken = bug(
    { find: 'export function splitLines', replace: 'export function if' },
    /as a user sees it/,
  )
  await assert.rejects(findPlanted(broken), /did not match/)
})
