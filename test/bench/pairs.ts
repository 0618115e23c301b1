/** Subject and yardstick turn by turn: shared machines make seconds lie, ratios survive. */
import { cpuSeconds } from './servers.ts'

export interface Turn {
  /** Operations done. */
  readonly operations: number
  readonly seconds: number
  readonly note?: string
}

export interface Side {
  readonly pid: number
  turn(): Promise<Turn>
}

export interface Comparison {
  readonly name: string
  readonly unit: string
  /** Median rates, operations a second. */
  readonly subject: number
  readonly yardstick: number
  /** Subject to yardstick, of rates: min, median, max over the pairs. */
  readonly ratio: readonly [number, number, number]
  /** Server CPU of one operation, microseconds: medians. */
  readonly subjectCpu: number
  readonly yardstickCpu: number
  readonly note: string
}

export async function compare(
  name: string,
  unit: string,
  pairs: number,
  subject: Side,
  yardstick: Side,
): Promise<Comparison> {
  await measured(subject)
  await measured(yardstick)
  const ours: Measured[] = []
  const theirs: Measured[] = []
  for (let pair = 0; pair < pairs; pair++) {
    ours.push(await measured(subject))
    theirs.push(await measured(yardstick))
  }
  const ratios = ours.map(({ rate }, pair) => rate / theirs[pair]!.rate).sort((a, b) => a - b)
  return {
    name,
    unit,
    subject: median(ours.map(({ rate }) => rate)),
    yardstick: median(theirs.map(({ rate }) => rate)),
    ratio: [ratios[0] ?? 0, median(ratios), ratios.at(-1) ?? 0],
    subjectCpu: median(ours.map(({ cpu }) => cpu)),
    yardstickCpu: median(theirs.map(({ cpu }) => cpu)),
    note: ours.at(-1)?.note ?? '',
  }
}

interface Measured {
  readonly rate: number
  readonly cpu: number
  readonly note: string
}

async function measured(side: Side): Promise<Measured> {
  const before = cpuSeconds(side.pid)
  const { operations, seconds, note } = await side.turn()
  const cpu = ((cpuSeconds(side.pid) - before) * 1e6) / operations
  return { rate: operations / seconds, cpu, note: note ?? '' }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right)
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? 0
}
