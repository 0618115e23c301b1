/**
 * An OpenAPI 3.1 document, read once: its text to be served, its operations to be bound, and a
 * compiled check for everything it says about a request. Bodies are checked as they are; parameters
 * arrive as text and are turned into what the document says they are.
 */
import { Ajv2020 } from 'ajv/dist/2020.js'
import type { ErrorObject, ValidateFunction } from 'ajv/dist/2020.js'
import { parse } from 'yaml'
import { nearest } from '../kit/nearest.ts'
import type { Refusal } from './exchange/surface.ts'

type Json = Readonly<Record<string, unknown>>

export type ParameterPlace = 'path' | 'query' | 'header'

/** Checks values in place and coerces them; a Refusal says what is wrong. */
export type Check = (value: Record<string, unknown>) => Refusal | undefined

export interface ContractBody {
  readonly required: boolean
  /** `*∕*`, or `x-ebbgate-raw`: the handler takes the bytes, whatever they are called. */
  readonly raw: boolean
  /** The document's `x-ebbgate-raw: stream`: the handler reads the bytes as they come. */
  readonly streamed: boolean
  /** By media type in lower case. */
  readonly checks: ReadonlyMap<string, (value: unknown) => Refusal | undefined>
  /** What a body without a content type is taken for. */
  readonly fallback: string | undefined
}

export interface ContractOperation {
  readonly id: string
  readonly method: string
  /** As in the document: `/v1/topics/{topic}`. */
  readonly path: string
  /** The document's `x-ebbgate-appends`: the operation writes records. */
  readonly appends: boolean
  /** A GET or HEAD, or the document's `x-ebbgate-reads`: the answer holds what users stored. */
  readonly reads: boolean
  /** The document's `x-ebbgate-no-head`: reading moves something, so HEAD must not do it unseen. */
  readonly noHead: boolean
  /** The document's `x-ebbgate-any-accept`: answered as it is, whatever the client would rather have. */
  readonly anyAccept: boolean
  readonly checkParams: Check | undefined
  /** Absent when the operation declares no query parameter. */
  readonly checkQuery: Check | undefined
  readonly queryNames: ReadonlySet<string>
  readonly headerNames: readonly string[]
  readonly checkHeaders: Check | undefined
  readonly body: ContractBody | undefined
}

const methods = ['head', 'get', 'post', 'put', 'patch', 'delete'] as const

/** A made-up but absolute address: the keys of both validators; nothing is ever fetched. */
const baseUri = 'https://contract.invalid/'

export class ContractDocument {
  readonly name: string
  readonly text: string
  readonly operations: readonly ContractOperation[]
  readonly #root: Json
  readonly #strict: Ajv2020
  readonly #coercing: Ajv2020

  /** `name` appears in messages to developers; `text` is YAML. Throws when a part cannot be used. */
  constructor(name: string, text: string) {
    this.name = name
    this.text = text
    // Anchors keep the document short; they are ours, so their number needs no ceiling.
    this.#root = parse(text, { maxAliasCount: -1 }) as Json
    this.#strict = this.#validator(false)
    this.#coercing = this.#validator('array')
    this.operations = this.#walk()
  }

  /** The schema that stands at a JSON pointer of the document, compiled. For tests and for the walk. */
  check(pointer: string): ValidateFunction {
    return this.#strict.compile({ $ref: this.#address(pointer) })
  }

  #validator(coerceTypes: false | 'array'): Ajv2020 {
    const ajv = new Ajv2020({
      // OpenAPI's own keywords stand between the schemas; redocly checks them.
      strict: false,
      validateFormats: false,
      validateSchema: false,
      coerceTypes,
      verbose: true,
    })
    ajv.addSchema(this.#root, this.#uri())
    return ajv
  }

  #uri(): string {
    return `${baseUri}${this.name}.yaml`
  }

  #address(pointer: string): string {
    return `${this.#uri()}#${encodeURI(pointer)}`
  }

  #walk(): ContractOperation[] {
    const operations: ContractOperation[] = []
    for (const [path, item] of entries(this.#root['paths'])) {
      for (const method of methods) {
        const operation = item[method] as Json | undefined
        if (operation === undefined) continue
        operations.push(this.#operation(path, method, item, operation))
      }
    }
    return operations
  }

  #operation(path: string, method: string, item: Json, operation: Json): ContractOperation {
    const at = `/paths/${escapePointer(path)}`
    const parameters = [
      ...this.#parameters(item, at),
      ...this.#parameters(operation, `${at}/${method}`),
    ]
    const query = parameters.filter((parameter) => parameter.place === 'query')
    const header = parameters.filter((parameter) => parameter.place === 'header')
    return {
      id: operation['operationId'] as string,
      method: method.toUpperCase(),
      path,
      appends: operation['x-ebbgate-appends'] === true,
      reads: method === 'get' || method === 'head' || operation['x-ebbgate-reads'] === true,
      noHead: operation['x-ebbgate-no-head'] === true,
      anyAccept: operation['x-ebbgate-any-accept'] === true,
      checkParams: this.#parameterCheck('path', parameters),
      checkQuery: this.#parameterCheck('query', parameters),
      queryNames: new Set(query.map((parameter) => parameter.name)),
      headerNames: header.map((parameter) => parameter.name.toLowerCase()),
      checkHeaders: this.#parameterCheck('header', parameters),
      body: this.#body(operation, `${at}/${method}/requestBody`),
    }
  }

  #parameters(owner: Json, at: string): Parameter[] {
    const list = (owner['parameters'] ?? []) as readonly Json[]
    return list.map((entry, index) => {
      const pointer = followed(entry, `${at}/parameters/${index}`)
      const parameter = this.#at(pointer)
      const name = parameter['name'] as string
      const place = parameter['in'] as ParameterPlace
      return {
        name: place === 'header' ? name.toLowerCase() : name,
        place,
        required: parameter['required'] === true,
        schema: { $ref: this.#address(`${pointer}/schema`) },
      }
    })
  }

  #parameterCheck(place: ParameterPlace, all: readonly Parameter[]): Check | undefined {
    const parameters = all.filter((parameter) => parameter.place === place)
    if (parameters.length === 0) return undefined
    const compiled = onFirstUse(() =>
      this.#coercing.compile({
        type: 'object',
        required: parameters.filter(({ required }) => required).map(({ name }) => name),
        properties: Object.fromEntries(parameters.map(({ name, schema }) => [name, schema])),
      }),
    )
    return (values) =>
      compiled()(values) ? undefined : parameterRefusal(place, compiled().errors?.[0])
  }

  #body(operation: Json, at: string): ContractBody | undefined {
    const body = operation['requestBody'] as Json | undefined
    if (body === undefined) return undefined
    const content = entries(body['content'])
    const types = content.map(([type]) => type)
    const raw = types.includes('*/*') || operation['x-ebbgate-raw'] !== undefined
    const streamed = operation['x-ebbgate-raw'] === 'stream'
    const checks = new Map<string, (value: unknown) => Refusal | undefined>()
    if (!raw) {
      for (const type of types) {
        const pointer = `${at}/content/${escapePointer(type)}/schema`
        const compiled = onFirstUse(() => this.check(pointer))
        checks.set(type, (value) =>
          compiled()(value) ? undefined : bodyRefusal(compiled().errors ?? []),
        )
      }
    }
    return { required: body['required'] === true, raw, streamed, checks, fallback: types[0] }
  }

  #at(pointer: string): Json {
    let found: unknown = this.#root
    for (const step of pointer.split('/').slice(1)) {
      found = (found as Json)[step.replaceAll('~1', '/').replaceAll('~0', '~')]
    }
    if (found === undefined) throw new Error(`${this.name}.yaml has nothing at ${pointer}.`)
    return found as Json
  }
}

interface Parameter {
  readonly name: string
  readonly place: ParameterPlace
  readonly required: boolean
  readonly schema: Json
}

function entries(of: unknown): [string, Json][] {
  return Object.entries((of ?? {}) as Readonly<Record<string, Json>>)
}

/** Where a reference leads, or `pointer` itself when there is none. */
function followed(entry: Json, pointer: string): string {
  const reference = entry['$ref'] as string | undefined
  return reference === undefined ? pointer : reference.slice(1)
}

function escapePointer(step: string): string {
  return step.replaceAll('~', '~0').replaceAll('/', '~1')
}

const placeNames = { path: 'Path', query: 'Query', header: 'Header' } as const

/** The refusal of a query parameter that the operation does not know. */
export function unknownParameter(name: string, known: Iterable<string>): Refusal {
  return {
    kind: 'unknown-parameter',
    name,
    message: `Query parameter '${shownName(name)}' is not known. ${whatIsMeant(name, [...known])}`,
  }
}

function parameterRefusal(place: ParameterPlace, error: ErrorObject | undefined): Refusal {
  const [name = ''] = steps(error?.instancePath ?? '')
  if (error?.keyword === 'required') {
    const missing = (error.params as { missingProperty: string }).missingProperty
    const message = `${placeNames[place]} parameter '${missing}' is missing.`
    return { kind: 'invalid-parameter', name: missing, message }
  }
  const message = `${placeNames[place]} parameter '${name}' ${complaint(error)}.`
  return { kind: 'invalid-parameter', name, message }
}

/** Compiling all schemas of all documents took a third of a start. */
function onFirstUse(compile: () => ValidateFunction): () => ValidateFunction {
  let compiled: ValidateFunction | undefined
  return () => (compiled ??= compile())
}

function bodyRefusal(errors: readonly ErrorObject[]): Refusal {
  const error = errors[0]
  const path = steps(error?.instancePath ?? '')
  if (error?.keyword === 'additionalProperties' || error?.keyword === 'unevaluatedProperties') {
    const params = error.params as { additionalProperty?: string; unevaluatedProperty?: string }
    const name = params.additionalProperty ?? params.unevaluatedProperty ?? ''
    const known = Object.keys((error.parentSchema?.['properties'] ?? {}) as object)
    const where = path.length === 0 ? '' : ` of '${shownPath(path)}'`
    const message = `Member '${shownName(name)}'${where} is not known. ${whatIsMeant(name, known)}`
    return { kind: 'unknown-member', name, message }
  }
  if (error?.keyword === 'required') {
    const missing = (error.params as { missingProperty: string }).missingProperty
    const message = `Member '${shownPath([...path, missing])}' is missing.`
    return { kind: 'invalid-body', name: missing, message }
  }
  const subject = path.length === 0 ? 'The body' : `Member '${shownPath(path)}'`
  const message = `${subject} ${complaint(error)}.`
  return { kind: 'invalid-body', name: path.at(-1) ?? '', message }
}

/** Completes "Parameter 'x' …": the limit, and the value met where it is a short scalar. */
function complaint(error: ErrorObject | undefined): string {
  if (error === undefined) return 'is not valid'
  const met = shownValue(error.data)
  switch (error.keyword) {
    case 'enum': {
      const allowed = (error.params as { allowedValues: unknown[] }).allowedValues
      return `must be one of ${allowed.map(String).join(', ')}${met}`
    }
    case 'pattern': {
      const about = error.parentSchema?.['description'] as string | undefined
      const pattern = (error.params as { pattern: string }).pattern
      return about === undefined
        ? `must match ${pattern}${met}`
        : `must be: ${about.trim().replace(/\.$/, '')}${met}`
    }
    default:
      return `${error.message ?? 'is not valid'}${met}`
  }
}

/** The nearest known name, or all of them: a sentence that helps whoever misspelt or guessed. */
function whatIsMeant(name: string, known: readonly string[]): string {
  const meant = nearest(name, known)
  if (meant !== undefined) return `Did you mean '${meant}'?`
  return known.length === 0 ? 'None is expected here.' : `Known here: ${known.join(', ')}.`
}

function steps(instancePath: string): string[] {
  return instancePath
    .split('/')
    .slice(1)
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'))
}

function shownPath(path: readonly string[]): string {
  return shownName(
    path
      .map((step) => (/^\d+$/.test(step) ? `[${step}]` : `.${step}`))
      .join('')
      .replace(/^\./, ''),
  )
}

function shownName(name: string): string {
  return name.length > 100 ? `${name.slice(0, 100)}…` : name
}

function shownValue(value: unknown): string {
  if (typeof value === 'number' || typeof value === 'boolean') return `, but is ${value}`
  if (typeof value !== 'string') return ''
  return `, but is '${value.length > 60 ? `${value.slice(0, 60)}…` : value}'`
}
