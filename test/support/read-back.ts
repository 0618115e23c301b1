/** Everything a topic holds, read by the native export, values as the stored bytes. */
import type { ReadBack } from './ledger.ts'

export interface KeyedReadBack extends ReadBack {
  readonly key: string | null
}

interface Line {
  readonly partition: number
  readonly offset: number
  readonly key: string | null
  readonly value: string | null
  readonly position?: string
  readonly error?: unknown
}

/** Throws when the export was cut: its last line must be the position. */
export async function readBack(url: string, topic: string): Promise<KeyedReadBack[]> {
  const answer = await fetch(`${url}/v1/topics/${topic}/records?format=binary`, {
    headers: { accept: 'application/x-ndjson' },
  })
  const text = await answer.text()
  if (!answer.ok) throw new Error(`${answer.status}: ${text}`)
  const lines = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line)
  const last = lines.pop()
  if (last?.position === undefined || last.error !== undefined) {
    throw new Error(`The export of ${topic} was cut: it ends with ${JSON.stringify(last)}.`)
  }
  return lines.map(({ partition, offset, key, value }) => ({
    partition,
    offset,
    key,
    value: Buffer.from(value ?? '', 'base64'),
  }))
}
