/** One programme of the torture: what it proves, what it needs, and how it is run. */
import type { ParseArgsOptionsConfig } from 'node:util'

export interface Programme {
  /** As in `--only`. */
  readonly name: string
  readonly proves: string
  /** Programs and rights that it wants of the machine, in words. */
  readonly needs: string
  /** Brings what may be fetched without asking, before `missing` is asked for a run. */
  readonly provide?: () => void
  /** What of it is missing here, said to a person; undefined when it can run. */
  missing(): string | undefined
  /** Flags of its own, with their defaults. */
  readonly flags: ParseArgsOptionsConfig
  /** The flags of a run that somebody waits for (`--short`); without them it is no part of that. */
  readonly short?: Readonly<Record<string, string>>
  run(call: ProgrammeCall): Promise<ProgrammeReport>
}

export interface ProgrammeCall {
  /** Draws everything that is left to chance. */
  readonly seed: number
  readonly flag: (name: string) => string
  readonly isSet: (name: string) => boolean
  /** How far it is; written over by the next call. */
  readonly progress: (text: string) => void
}

export interface ProgrammeReport {
  readonly figures: readonly (readonly [name: string, value: string | number])[]
  /** Empty when everything held. */
  readonly problems: readonly string[]
}
