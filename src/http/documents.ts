/** The documents the gateway serves about itself: the contracts, and the list of errors. */
import { readFileSync } from 'node:fs'
import { ContractDocument } from './contract-document.ts'

/** Source and build lie equally deep, so the same relative place holds for both. */
const root = new URL('../../', import.meta.url)

export interface Documents {
  readonly native: ContractDocument
  readonly v2: ContractDocument
  readonly v3: ContractDocument
  /** docs/errors.md: where the `type` of every problem leads. */
  readonly errors: string
}

/** Reads them from the package. Throws when one is missing or cannot be used. */
export function loadDocuments(): Documents {
  return {
    native: new ContractDocument('native', read('openapi/native.yaml')),
    v2: new ContractDocument('v2', read('openapi/v2.yaml')),
    v3: new ContractDocument('v3', read('openapi/v3.yaml')),
    errors: read('docs/errors.md'),
  }
}

function read(path: string): string {
  return readFileSync(new URL(path, root), 'utf8')
}
