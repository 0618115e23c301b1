/** JSON values: which bytes may be put into an answer as they stand. */
import type { JsonLimits } from '../kit/json-scanner.ts'
import { checkJson, isFault } from '../kit/json-slices.ts'
import { jsonDepthMax, jsonDepthPortable } from '../model/limits.ts'

/** The product's limits for every JSON value that users send. */
export const jsonLimits: JsonLimits = {
  depthMax: jsonDepthMax,
  depthPortable: jsonDepthPortable,
}

/**
 * Whether an answer with these bytes in the place of a value stays valid JSON: one value, with or
 * without white space around it.
 */
export function isJson(bytes: Uint8Array): boolean {
  return bytes.length > 0 && mayBegin[bytes[0]!]! > 0 && !isFault(checkJson(bytes, jsonLimits))
}

/**
 * Whether these bytes are one JSON value from the first to the last that every decoder takes: what
 * the native surfaces splice. White space around a value would be lost when the answer is read.
 */
export function isPortableJson(bytes: Uint8Array): boolean {
  if (bytes.length === 0 || mayBegin[bytes[0]!] !== 2) return false
  const slice = checkJson(bytes, jsonLimits)
  return !isFault(slice) && slice.portable && slice.end - slice.start === bytes.length
}

/** A look at the first byte spares most text the whole check: 1 for white space, 2 for a value. */
const mayBegin = new Uint8Array(256)
for (const space of ' \n\r\t') mayBegin[space.charCodeAt(0)] = 1
for (const first of '{["-0123456789tfn') mayBegin[first.charCodeAt(0)] = 2
