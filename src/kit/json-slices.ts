/** Cuts JSON where it lies: elements, values one behind the other, members, what a pointer points at. */
import type { JsonFault, JsonKind, JsonLimits, JsonSlice } from './json-scanner.ts'
import {
  arrayClose,
  arrayOpen,
  backslash,
  isSpace,
  JsonScanner,
  objectClose,
  objectOpen,
  quote,
} from './json-scanner.ts'

export interface JsonMember {
  /** The name's bytes between its quotes, escapes untouched. */
  readonly nameStart: number
  readonly nameEnd: number
  readonly value: JsonSlice
}

/**
 * One value and nothing but white space around it. Broken UTF-8 is a fault here: a value that stands
 * alone is refused whole.
 */
export function checkJson(
  bytes: Uint8Array,
  limits: JsonLimits,
  start = 0,
  end = bytes.length,
): JsonSlice | JsonFault {
  const scanner = new JsonScanner(bytes, limits, start, end)
  if (!scanner.value()) return scanner.fault!
  const slice = scanner.slice()
  if (scanner.rest()) return { fault: 'syntax', at: scanner.at }
  return slice.utf8At < 0 ? slice : { fault: 'utf8', at: slice.utf8At }
}

export function isFault<T extends object>(answer: T | JsonFault): answer is JsonFault {
  return 'fault' in answer
}

/**
 * Values one behind the other. White space between two is optional behind an object, an array or a
 * string and required behind a number or a literal, which would run into the next. More than
 * `countMax` values are the fault `count`. No value at all is an empty list.
 */
export function sliceValues(
  bytes: Uint8Array,
  limits: JsonLimits,
  countMax: number,
  start = 0,
  end = bytes.length,
): JsonSlice[] | JsonFault {
  const scanner = new JsonScanner(bytes, limits, start, end)
  const slices: JsonSlice[] = []
  while (scanner.rest()) {
    const last = slices.at(-1)
    if (last?.end === scanner.at && !endsItself(last.kind)) return { fault: 'syntax', at: last.end }
    if (slices.length === countMax) return { fault: 'count', at: scanner.at }
    if (!scanner.value()) return scanner.fault!
    slices.push(scanner.slice())
  }
  return slices
}

/** The elements of the array that begins at `start`, and nothing behind it. */
export function sliceElements(
  bytes: Uint8Array,
  limits: JsonLimits,
  countMax: number,
  start = 0,
  end = bytes.length,
): JsonSlice[] | JsonFault {
  const scanner = new JsonScanner(bytes, limits, start, end)
  const slices: JsonSlice[] = []
  scanner.open(arrayOpen)
  while (scanner.fault === undefined && scanner.more(arrayClose)) {
    if (slices.length === countMax) return { fault: 'count', at: scanner.at }
    if (scanner.value()) slices.push(scanner.slice())
  }
  if (scanner.fault !== undefined) return scanner.fault
  return scanner.rest() ? { fault: 'syntax', at: scanner.at } : slices
}

/** The members of the object that begins at `start`, in their order, twins included. */
export function sliceMembers(
  bytes: Uint8Array,
  limits: JsonLimits,
  countMax: number,
  start = 0,
  end = bytes.length,
): JsonMember[] | JsonFault {
  const scanner = new JsonScanner(bytes, limits, start, end)
  const members: JsonMember[] = []
  scanner.open(objectOpen)
  while (scanner.fault === undefined && scanner.more(objectClose)) {
    if (members.length === countMax) return { fault: 'count', at: scanner.at }
    if (!scanner.name()) break
    const { nameStart, nameEnd, utf8At } = scanner
    if (utf8At >= 0) return { fault: 'utf8', at: utf8At }
    if (scanner.value()) members.push({ nameStart, nameEnd, value: scanner.slice() })
  }
  if (scanner.fault !== undefined) return scanner.fault
  return scanner.rest() ? { fault: 'syntax', at: scanner.at } : members
}

/** The reference tokens of a JSON pointer (RFC 6901); undefined when the text is none. */
export function parsePointer(text: string): string[] | undefined {
  if (text === '') return []
  if (!text.startsWith('/') || /~(?![01])/.test(text)) return undefined
  const tokens = text.slice(1).split('/')
  return tokens.map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'))
}

/**
 * What a pointer points at inside a value that was checked; undefined when there is no such thing.
 * Of several members with one name the last one counts, as for JSON.parse.
 */
export function findJson(
  bytes: Uint8Array,
  limits: JsonLimits,
  value: JsonSlice,
  pointer: readonly string[],
): JsonSlice | undefined {
  let found: JsonSlice | undefined = value
  for (const token of pointer) {
    if (found.kind === 'object') found = findMember(bytes, limits, found, token)
    else if (found.kind === 'array') found = findElement(bytes, limits, found, token)
    else return undefined
    if (found === undefined) return undefined
  }
  return found
}

function findMember(
  bytes: Uint8Array,
  limits: JsonLimits,
  object: JsonSlice,
  name: string,
): JsonSlice | undefined {
  const wanted = Buffer.from(name)
  const scanner = new JsonScanner(bytes, limits, object.start, object.end)
  let found: JsonSlice | undefined
  scanner.open(objectOpen)
  while (scanner.fault === undefined && scanner.more(objectClose) && scanner.name()) {
    const same = equalsText(bytes, scanner.nameStart, scanner.nameEnd, wanted)
    if (scanner.value() && same) found = scanner.slice()
  }
  return found
}

function findElement(
  bytes: Uint8Array,
  limits: JsonLimits,
  array: JsonSlice,
  token: string,
): JsonSlice | undefined {
  if (!/^(0|[1-9]\d{0,8})$/.test(token)) return undefined
  const index = Number(token)
  const scanner = new JsonScanner(bytes, limits, array.start, array.end)
  scanner.open(arrayOpen)
  for (let i = 0; scanner.fault === undefined && scanner.more(arrayClose); i++) {
    if (scanner.value() && i === index) return scanner.slice()
  }
  return undefined
}

/** Whether the checked string between `start` and `end` (its quotes excluded) means these bytes. */
function equalsText(bytes: Uint8Array, start: number, end: number, wanted: Uint8Array): boolean {
  const length = end - start
  if (length === wanted.length) {
    let i = 0
    while (i < length && bytes[start + i] === wanted[i] && wanted[i] !== backslash) i++
    if (i === length) return true
  }
  // Only an escape makes a name longer than what it means.
  if (length <= wanted.length || bytes.subarray(start, end).indexOf(backslash) < 0) return false
  const text = textOf(bytes, start, end)
  return text !== undefined && Buffer.compare(text, wanted) === 0
}

/**
 * The text of a checked string as UTF-8. `start` and `end` are what stands between the quotes.
 * Without escapes it is a slice. Undefined when a lone surrogate keeps it from being UTF-8.
 */
export function textOf(bytes: Uint8Array, start: number, end: number): Uint8Array | undefined {
  const inner = bytes.subarray(start, end)
  if (!inner.includes(backslash)) return inner
  const quoted = Buffer.from(bytes.buffer, bytes.byteOffset + start - 1, end - start + 2)
  const text = JSON.parse(quoted.toString('utf8')) as string
  return text.isWellFormed() ? Buffer.from(text) : undefined
}

/**
 * A checked value without the white space between its tokens, and nothing else changed: the identity
 * of a JSON key. Returns the same bytes when there is none.
 */
export function compactJson(value: Uint8Array): Uint8Array {
  const compact = Buffer.allocUnsafe(value.length)
  let length = 0
  let quoted = false
  for (let at = 0; at < value.length; at++) {
    const byte = value[at]!
    if (quoted) {
      if (byte === backslash) compact[length++] = value[at++]!
      else if (byte === quote) quoted = false
      compact[length++] = value[at]!
    } else if (!isSpace(byte)) {
      quoted = byte === quote
      compact[length++] = byte
    }
  }
  return length === value.length ? value : compact.subarray(0, length)
}

/** Whether a value of this kind shows its own end, whatever follows. */
function endsItself(kind: JsonKind): boolean {
  return kind === 'object' || kind === 'array' || kind === 'string'
}
