/** What an examination of a data folder says: each finding names its place, in a sentence, and a way on. */
import type { Offset } from '../../../model/offset.ts'

export interface Finding {
  /** A note is part of ordinary life, such as what a crash leaves for the next start to tidy. */
  readonly severity: 'damage' | 'note'
  /** Path in the data folder. */
  readonly file: string
  readonly topic?: string
  readonly partition?: number
  /** Base offset of the segment. */
  readonly segment?: Offset
  /** Offsets that cannot be read, both included. */
  readonly from?: Offset
  readonly to?: Offset
  /** One sentence. */
  readonly what: string
  readonly advice: string
}

export type Report = (finding: Finding) => void

export const advices = {
  backup: 'Restore the folder from a back-up.',
  index: 'Run ebbgate doctor --rebuild-indexes.',
  batch:
    'Everything else stays readable. Run ebbgate doctor --export for what can be read; with --move-damage-aside the damaged bytes go to quarantine/.',
  appends:
    'Appends are refused. Run ebbgate doctor --move-damage-aside, and the partition goes on at its next offset; or restore from a back-up.',
  nothing: 'Nothing needs to be done.',
} as const
