/**
 * Patterns that users give. Limited to RE2: no look-around and no back-references, so none can blow
 * up, and every engine accepts the same ones. The home of re2js.
 */
import { RE2JS, RE2JSException } from 're2js'

/**
 * Steps of the compiled program: a match may take as many for each character of the text, and the
 * names of all topics are matched in one turn (measured: 100,000 steps cost 100 ms for one long name).
 */
const programStepsMax = 1_000

export interface Pattern {
  /** Whether the whole text matches, not a part of it. */
  matches(text: string): boolean
}

/** The pattern, or what is wrong with it in a sentence. */
export function compilePattern(source: string): Pattern | { readonly problem: string } {
  try {
    const compiled = RE2JS.compile(source)
    const steps = compiled.programSize()
    if (steps > programStepsMax) {
      const problem = `The pattern compiles to ${steps} steps; ${programStepsMax} are allowed.`
      return { problem }
    }
    return { matches: (text) => compiled.testExact(text) }
  } catch (error) {
    if (!(error instanceof RE2JSException)) throw error
    return { problem: `Not an RE2 pattern (${error.message}).` }
  }
}

export function isPattern(outcome: Pattern | { readonly problem: string }): outcome is Pattern {
  return 'matches' in outcome
}
