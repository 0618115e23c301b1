/** Which produce requests are read as they come and answered line by line. */
import type { StreamCall } from '../exchange/surface.ts'
import { isBinaryEvent } from './cloud-events.ts'
import { wantsLines } from './wire.ts'

const lineTypes: ReadonlySet<string> = new Set([
  'application/x-ndjson',
  'application/ndjson',
  'application/jsonl',
  'application/vnd.ebbgate.records+ndjson',
])

/** Lines are asked for and sent, and each stands for itself. */
export function isStreamed({ headers, mediaType, query }: StreamCall): boolean {
  if (!wantsLines(headers.accept) || !lineTypes.has(mediaType) || isBinaryEvent(headers))
    return false
  // What holds for the request as a whole can only be said of a whole one.
  const { atomic, batch, expectedEnd, tombstone } = query as Readonly<Record<string, unknown>>
  return atomic !== true && tombstone !== true && batch === undefined && expectedEnd === undefined
}
