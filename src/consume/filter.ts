/**
 * Filters of readers: a small tree of tests on a record's key, headers and JSON value. It is read from
 * the bytes of the request and looks into the bytes of the record: nothing is parsed into objects, so
 * only own members are seen and long numbers keep their digits.
 *
 *   {"all":[…]}  {"any":[…]}  {"not":…}  {"field":"value.status","op":"eq","value":"open"}
 *
 * A missing member, or one of another type, is false for every operator but `exists`.
 */
import { compareDecimals } from '../kit/decimal.ts'
import type { JsonSlice } from '../kit/json-scanner.ts'
import {
  checkJson,
  findJson,
  isFault,
  sliceElements,
  sliceMembers,
  textOf,
} from '../kit/json-slices.ts'
import { jsonLimits } from '../format/json.ts'
import { isText, saysText } from '../format/text.ts'
import { GatewayError } from '../model/errors.ts'
import { filterListMax, filterNodesMax, filterStepsMax } from '../model/limits.ts'
import type { StoredRecord } from '../model/record.ts'

export type RecordFilter = (record: StoredRecord) => boolean

/** A test of one record; its value is read as JSON once, by the first test that asks. */
type Test = (record: Candidate) => boolean

/** The tree at `slice`, checked JSON, as a test. Throws INVALID_FILTER that names the node. */
export function compileFilter(bytes: Uint8Array, slice: JsonSlice): RecordFilter {
  const test = new FilterCompiler(bytes).node('filter', slice)
  return (record) => test(new Candidate(record))
}

const groupOps = ['eq', 'ne', 'lt', 'le', 'gt', 'ge', 'in', 'prefix', 'exists'] as const
type Op = (typeof groupOps)[number]

/** A scalar of the filter or of a record. */
interface Scalar {
  readonly kind: 'string' | 'number' | 'true' | 'false' | 'null'
  /** Text of a string, spelling of anything else. */
  readonly text: Uint8Array
}

class FilterCompiler {
  readonly #bytes: Uint8Array
  #nodes = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  node(at: string, slice: JsonSlice): Test {
    if (++this.#nodes > filterNodesMax)
      throw invalid(`A filter has at most ${filterNodesMax} nodes.`)
    const members = this.#members(at, slice)
    const [[name, value] = ['', slice]] = members
    if (members.size === 1 && (name === 'all' || name === 'any')) {
      const tests = this.#list(`${at}.${name}`, value).map((each, i) =>
        this.node(`${at}.${name}[${i}]`, each),
      )
      return name === 'all'
        ? (record) => tests.every((test) => test(record))
        : (record) => tests.some((test) => test(record))
    }
    if (members.size === 1 && name === 'not') {
      const test = this.node(`${at}.not`, value)
      return (record) => !test(record)
    }
    return this.#leaf(at, members)
  }

  #leaf(at: string, members: ReadonlyMap<string, JsonSlice>): Test {
    for (const name of members.keys()) {
      if (name === 'field' || name === 'op' || name === 'value') continue
      throw invalid(`'${at}' has a member '${name.slice(0, 40)}'. ${shape}`)
    }
    const [field, op, value] = ['field', 'op', 'value'].map((name) => members.get(name))
    if (field?.kind !== 'string' || op?.kind !== 'string')
      throw invalid(`'${at}' is no test. ${shape}`)
    const find = fieldOf(at, this.#text(field))
    const word = groupOps.find((known) => known === this.#text(op))
    if (word === undefined) throw invalid(`'${at}.op' is one of ${groupOps.join(', ')}.`)
    return this.#test(at, word, value, find)
  }

  #test(at: string, op: Op, value: JsonSlice | undefined, find: Finder): Test {
    if (op === 'exists') {
      if (value !== undefined && value.kind !== 'true' && value.kind !== 'false') {
        throw invalid(`'${at}.value' of exists is true or false.`)
      }
      const wanted = value?.kind !== 'false'
      return (record) => (find(record) !== undefined) === wanted
    }
    if (value === undefined) throw invalid(`'${at}.value' is missing.`)
    if (op === 'in') {
      const wanted = this.#list(`${at}.value`, value).map((each, i) =>
        this.#scalar(`${at}.value[${i}]`, each),
      )
      return (record) => {
        const found = find(record)
        return isScalar(found) && wanted.some((each) => compare(found, each) === 0)
      }
    }
    const wanted = this.#scalar(`${at}.value`, value)
    if (op === 'prefix') {
      if (wanted.kind !== 'string') throw invalid(`'${at}.value' of prefix is a string.`)
      return (record) => {
        const found = find(record)
        return isScalar(found) && found.kind === 'string' && startsWith(found.text, wanted.text)
      }
    }
    if (op !== 'eq' && op !== 'ne' && wanted.kind !== 'string' && wanted.kind !== 'number') {
      throw invalid(`'${at}.value' of ${op} is a string or a number.`)
    }
    const holds = comparisons[op]
    return (record) => {
      const found = find(record)
      const order = isScalar(found) ? compare(found, wanted) : undefined
      return order !== undefined && holds(order)
    }
  }

  #members(at: string, slice: JsonSlice): ReadonlyMap<string, JsonSlice> {
    if (slice.kind !== 'object') throw invalid(`'${at}' is no object. ${shape}`)
    const members = sliceMembers(this.#bytes, jsonLimits, 4, slice.start, slice.end)
    if (isFault(members)) throw invalid(`'${at}' has too many members. ${shape}`)
    const found = new Map<string, JsonSlice>()
    for (const { nameStart, nameEnd, value } of members) {
      const name = Buffer.from(textOf(this.#bytes, nameStart, nameEnd) ?? []).toString()
      if (found.has(name)) throw invalid(`'${at}' has '${name.slice(0, 40)}' twice.`)
      found.set(name, value)
    }
    return found
  }

  #list(at: string, slice: JsonSlice): JsonSlice[] {
    if (slice.kind !== 'array') throw invalid(`'${at}' is no list.`)
    const items = sliceElements(this.#bytes, jsonLimits, filterListMax, slice.start, slice.end)
    if (isFault(items)) throw invalid(`'${at}' has more than ${filterListMax} items.`)
    if (items.length === 0) throw invalid(`'${at}' is empty.`)
    return items
  }

  #scalar(at: string, slice: JsonSlice): Scalar {
    const found = scalarAt(this.#bytes, slice)
    if (found === undefined) throw invalid(`'${at}' is a string, a number, true, false or null.`)
    return found
  }

  #text({ start, end }: JsonSlice): string {
    return Buffer.from(textOf(this.#bytes, start + 1, end - 1) ?? []).toString()
  }
}

const shape = 'A node is {"all":[…]}, {"any":[…]}, {"not":…} or {"field":…,"op":…,"value":…}.'

/** Something that is there and has parts: it exists and compares with nothing. */
type Found = Scalar | 'container' | undefined
type Finder = (record: Candidate) => Found

function isScalar(found: Found): found is Scalar {
  return found !== undefined && found !== 'container'
}

/** What a field path names: `key`, `headers.<name>`, `value`, `value.<step>.<step>…`. */
function fieldOf(at: string, field: string): Finder {
  if (field === 'key') return ({ record }) => textScalar(record.key)
  if (field.startsWith('headers.')) {
    const wanted = field.slice('headers.'.length)
    // As Kafka's lastHeader: of several with one name the newest counts.
    return ({ record }) =>
      textScalar(record.headers.findLast(({ name }) => name === wanted)?.value ?? null)
  }
  const [root, ...steps] = field.split('.')
  if (root !== 'value' || steps.includes('')) {
    throw invalid(`'${at}.field' is key, headers.<name>, value or value.<member>…`)
  }
  if (steps.length > filterStepsMax)
    throw invalid(`'${at}.field' has more than ${filterStepsMax} steps.`)
  return (candidate) => candidate.at(steps)
}

/** A record while it is being judged. */
class Candidate {
  readonly record: StoredRecord
  #json: JsonSlice | undefined
  #isChecked = false

  constructor(record: StoredRecord) {
    this.record = record
  }

  /** What stands in the value behind these steps; a value that is no JSON is its text. */
  at(steps: readonly string[]): Found {
    const { value } = this.record
    if (value === null) return undefined
    const json = this.#jsonOf(value)
    if (json === undefined) return steps.length === 0 ? textScalar(value) : undefined
    const found = findJson(value, jsonLimits, json, steps)
    return found === undefined ? undefined : (scalarAt(value, found) ?? containerAt(found))
  }

  #jsonOf(value: Uint8Array): JsonSlice | undefined {
    if (this.#isChecked) return this.#json
    this.#isChecked = true
    if (saysText(this.record.headers)) return undefined
    const checked = checkJson(value, jsonLimits)
    this.#json = isFault(checked) ? undefined : checked
    return this.#json
  }
}

function containerAt({ kind }: JsonSlice): Found {
  return kind === 'object' || kind === 'array' ? 'container' : undefined
}

/** Undefined for a container, and for a string with a lone surrogate, which is no text. */
function scalarAt(bytes: Uint8Array, { kind, start, end }: JsonSlice): Scalar | undefined {
  if (kind === 'object' || kind === 'array') return undefined
  if (kind !== 'string') return { kind, text: bytes.subarray(start, end) }
  const text = textOf(bytes, start + 1, end - 1)
  return text === undefined ? undefined : { kind, text }
}

function textScalar(bytes: Uint8Array | null): Found {
  if (bytes === null) return undefined
  return isText(bytes) ? { kind: 'string', text: bytes } : 'container'
}

const comparisons: Readonly<
  Record<'eq' | 'ne' | 'lt' | 'le' | 'gt' | 'ge', (order: number) => boolean>
> = {
  eq: (order) => order === 0,
  ne: (order) => order !== 0,
  lt: (order) => order < 0,
  le: (order) => order <= 0,
  gt: (order) => order > 0,
  ge: (order) => order >= 0,
}

/** Strings by their bytes, numbers by what they mean; undefined where the types differ. */
function compare(found: Scalar, wanted: Scalar): number | undefined {
  if (isBoolean(found) && isBoolean(wanted)) return found.kind === wanted.kind ? 0 : 1
  if (found.kind !== wanted.kind) return undefined
  if (found.kind === 'string') return Buffer.compare(found.text, wanted.text)
  return found.kind === 'number' ? compareDecimals(latin1(found.text), latin1(wanted.text)) : 0
}

function isBoolean({ kind }: Scalar): boolean {
  return kind === 'true' || kind === 'false'
}

function startsWith(text: Uint8Array, prefix: Uint8Array): boolean {
  return (
    text.length >= prefix.length && Buffer.compare(text.subarray(0, prefix.length), prefix) === 0
  )
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
}

function invalid(message: string): GatewayError {
  return new GatewayError('INVALID_FILTER', message)
}
