/** What a reader is told when records it could have expected are not there. */
import type { ErrorCode } from '../model/errors.ts'
import { GatewayError } from '../model/errors.ts'
import type { Offset } from '../model/offset.ts'

/**
 * Offsets [from, to) that cannot be had. `retention`: deleted with age or on request; `trimmed`: the
 * reader stood beyond the end, so `to` is below `from`; `recreated`: the topic was deleted and made
 * again and `epoch` is the new one; `corrupt`: a damaged batch was passed over.
 */
export interface Gap {
  readonly topic: string
  readonly epoch: string
  readonly partition: number
  readonly from: Offset
  readonly to: Offset
  readonly why: 'retention' | 'trimmed' | 'recreated' | 'corrupt'
}

export type OnGap = 'continue' | 'fail'

const codeOf: Readonly<Record<Gap['why'], ErrorCode>> = {
  retention: 'OFFSET_OUT_OF_RANGE',
  trimmed: 'OFFSET_OUT_OF_RANGE',
  recreated: 'EPOCH_MISMATCH',
  corrupt: 'CORRUPT_BATCH',
}

/** The error of a read that may not pass this gap. */
export function gapError(gap: Gap): GatewayError {
  return new GatewayError(codeOf[gap.why], describe(gap))
}

function describe({ topic, partition, from, to, why }: Gap): string {
  const where = `Partition ${partition} of topic '${topic}'`
  switch (why) {
    case 'retention':
      return `${where} starts at offset ${to}; offset ${from} is gone.`
    case 'trimmed':
      return `${where} ends at offset ${to}; offset ${from} lies beyond it.`
    case 'recreated':
      return `Topic '${topic}' was deleted and made again since this position was taken.`
    case 'corrupt':
      return `${where} is damaged from offset ${from} up to ${to}.`
  }
}
