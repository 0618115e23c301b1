/** Text: bytes that are whole UTF-8, and how a record says that it is text. */
import { isUtf8 } from 'node:buffer'
import type { RecordHeader } from '../model/record.ts'

/** Strict: no overlong forms, no surrogates, nothing cut off. */
export function isText(bytes: Uint8Array): boolean {
  return isUtf8(bytes)
}

/** Whether the record's `content-type` header is `text/*`: it then never shows as a JSON value. */
export function saysText(headers: readonly RecordHeader[]): boolean {
  for (const { name, value } of headers) {
    if (value !== null && value.length > 4 && name.toLowerCase() === 'content-type') {
      return Buffer.from(value.subarray(0, 5)).toString('latin1').toLowerCase() === 'text/'
    }
  }
  return false
}
