/** Holds every answer of a test against the contract: its status, its content type and its body. */
import assert from 'node:assert/strict'
import { parse } from 'yaml'
import type { ContractDocument } from '../../src/http/contract-document.ts'

type Json = Readonly<Record<string, unknown>>

export interface SeenAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly text: string | undefined
}

interface KnownOperation {
  readonly path: RegExp
  readonly method: string
  readonly pointer: string
}

export class ContractWitness {
  readonly #document: ContractDocument
  readonly #root: Json
  readonly #operations: readonly KnownOperation[]

  constructor(document: ContractDocument) {
    this.#document = document
    this.#root = parse(document.text, { maxAliasCount: -1 }) as Json
    // A fixed name goes before a parameter, as for the router.
    const parameters = ({ path }: { readonly path: string }): number => path.split('{').length
    const specific = [...document.operations].sort((a, b) => parameters(a) - parameters(b))
    this.#operations = specific.map(({ path, method }) => ({
      path: new RegExp(`^${path.replaceAll(/\{[^}]+\}/g, '[^/]+')}$`),
      method,
      pointer: `/paths/${escaped(path)}/${method.toLowerCase()}`,
    }))
  }

  /** Whether the contract has this path at all. */
  knows(method: string, path: string): boolean {
    return this.#find(method, path) !== undefined
  }

  /** Throws an AssertionError that says which part of the contract the answer breaks. */
  check(method: string, path: string, answer: SeenAnswer): void {
    const operation = this.#find(method, path)
    if (operation === undefined) return
    const { status, headers, text = '' } = answer
    const where = `${method} ${path} -> ${status}`
    assert.ok(headers['ebbgate-request-id'], `${where} has no Ebbgate-Request-Id`)
    const responses = `${operation.pointer}/responses`
    const declared = this.#at(responses)
    const key = String(status) in declared ? String(status) : 'default'
    assert.ok(key in declared, `${where} is not declared`)
    const pointer = this.#followed(`${responses}/${key}`)
    const content = this.#at(pointer)['content'] as Json | undefined
    if (content === undefined || method === 'HEAD') {
      assert.equal(text, '', `${where} should have no body`)
      return
    }
    const type = (headers['content-type'] ?? '').split(';')[0]!
    assert.ok(
      type in content,
      `${where} is ${type}; declared are ${Object.keys(content).join(', ')}`,
    )
    if (!/[/+]json$/.test(type)) return
    const validate = this.#document.check(`${pointer}/content/${escaped(type)}/schema`)
    assert.ok(
      validate(JSON.parse(text)),
      `${where}: ${JSON.stringify(validate.errors?.[0])}\n${text}`,
    )
  }

  #find(method: string, url: string): KnownOperation | undefined {
    const path = url.split('?')[0]!
    const wanted = method === 'HEAD' ? ['HEAD', 'GET'] : [method]
    return this.#operations.find((each) => wanted.includes(each.method) && each.path.test(path))
  }

  #followed(pointer: string): string {
    const reference = this.#at(pointer)['$ref'] as string | undefined
    return reference === undefined ? pointer : reference.slice(1)
  }

  #at(pointer: string): Json {
    let found: unknown = this.#root
    for (const step of pointer.split('/').slice(1)) {
      found = (found as Json)[step.replaceAll('~1', '/').replaceAll('~0', '~')]
    }
    return found as Json
  }
}

function escaped(step: string): string {
  return step.replaceAll('~', '~0').replaceAll('/', '~1')
}
