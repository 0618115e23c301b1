/** A package with prebuilt native code that may be absent: npm installs it where it can. */
import { createRequire } from 'node:module'

/** The package, or undefined where it is missing or has no binary for this machine. */
export function optionalPackage<T>(name: string): T | undefined {
  try {
    return createRequire(import.meta.url)(name) as T
  } catch {
    // Whatever kept it from loading, we go on without it; what then cannot be done says so itself.
    return undefined
  }
}
