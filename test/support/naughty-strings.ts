/** Strings that break programs: the Big List of Naughty Strings. */
import { readFileSync } from 'node:fs'

const file = new URL('../fixtures/naughty-strings/strings.jsonl', import.meta.url)

export const naughtyStrings: readonly string[] = readFileSync(file, 'utf8')
  .trimEnd()
  .split('\n')
  .map((line) => JSON.parse(line) as string)
