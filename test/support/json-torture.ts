/** The cases of JSONTestSuite: exact bytes, and what a parser must make of them. */
import { readFileSync } from 'node:fs'

export interface TortureCase {
  readonly name: string
  readonly expect: 'accept' | 'reject' | 'either'
  readonly bytes: Buffer
}

const file = new URL('../fixtures/json-torture/cases.jsonl', import.meta.url)

export const tortureCases: readonly TortureCase[] = readFileSync(file, 'utf8')
  .trimEnd()
  .split('\n')
  .map((line) => {
    const parsed = JSON.parse(line) as Omit<TortureCase, 'bytes'> & { bytes_b64: string }
    const bytes = Buffer.from(parsed.bytes_b64, 'base64')
    return { name: parsed.name, expect: parsed.expect, bytes }
  })

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** What the platform says: strict UTF-8 and JSON.parse. The yardstick of our own reader. */
export function platformTakes(bytes: Uint8Array): boolean {
  try {
    JSON.parse(strict.decode(bytes))
    return true
  } catch {
    return false
  }
}
