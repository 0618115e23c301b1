/** The version of this package, from the package.json beside src/ and dist/. */
import { readFileSync } from 'node:fs'

const path = new URL('../../package.json', import.meta.url)

export const { version } = JSON.parse(readFileSync(path, 'utf8')) as { readonly version: string }
