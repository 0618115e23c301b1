/** JSON values: which bytes may be put into an answer as they stand. */
import type { JsonLimits } from '../kit/json-slices.ts'
import { checkJson, isFault } from '../kit/json-slices.ts'
import { jsonDepthMax, jsonDepthPortable } from '../model/limits.ts'

/** The product's limits for every JSON value that users send. */
export const jsonLimits: JsonLimits = {
  depthMax: jsonDepthMax,
  depthPortable: jsonDepthPortable,
}

/**
 * Whether these bytes are one JSON value from the first byte to the last, so that an answer with them
 * in it stays valid JSON. White space around the value is not part of JSON's value and would be lost.
 */
export function isJson(bytes: Uint8Array): boolean {
  if (!mayBeJson(bytes)) return false
  const slice = checkJson(bytes, jsonLimits)
  return !isFault(slice) && slice.end - slice.start === bytes.length
}

/** The same, and every decoder takes it: what the native surfaces splice. */
export function isPortableJson(bytes: Uint8Array): boolean {
  if (!mayBeJson(bytes)) return false
  const slice = checkJson(bytes, jsonLimits)
  return !isFault(slice) && slice.portable && slice.end - slice.start === bytes.length
}

/** A look at the first byte spares most text the whole check. */
function mayBeJson(bytes: Uint8Array): boolean {
  return bytes.length > 0 && firstOfValue[bytes[0]!] === 1
}

const firstOfValue = new Uint8Array(256)
for (const first of '{["-0123456789tfn') firstOfValue[first.charCodeAt(0)] = 1
