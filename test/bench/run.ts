/**
 * `npm run bench`: the gateway and its engine beside yardsticks that do only what must be done, turn by
 * turn in one run. It prints ratios; the seconds behind them belong to the machine of the day.
 * `--only single,append` chooses; `--growth 10240` lets the log of `flat` grow to 10 GiB.
 */
import { parseArgs } from 'node:util'
import {
  appendBench,
  fileReadBench,
  flatness,
  hotPartitionsBench,
  tailReadBench,
} from './engine-benches.ts'
import type { GatewayBench } from './gateway-benches.ts'
import { gatewayBenches, runGatewayBenches } from './gateway-benches.ts'
import type { Comparison } from './pairs.ts'

const { values } = parseArgs({
  options: {
    pairs: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '2' },
    growth: { type: 'string', default: '512' },
    only: { type: 'string' },
  },
})
const pairs = Number(values.pairs)
const seconds = Number(values.seconds)
const options = { pairs, seconds, growthMiB: Number(values.growth) }

const engineBenches: Readonly<Record<string, () => Promise<Comparison | string>>> = {
  append: () => appendBench(options, 16, 100),
  callers: () => appendBench(options, 256, 1),
  partitions: () => hotPartitionsBench(options),
  tail: () => tailReadBench(options),
  segments: () => fileReadBench(options),
  flat: () => flatness(options),
}

const known = [...gatewayBenches, ...Object.keys(engineBenches)]
const wanted = values.only?.split(',') ?? known
for (const name of wanted) {
  if (!known.includes(name)) {
    console.error(`'${name}' is no bench. There are: ${known.join(', ')}.`)
    process.exit(2)
  }
}
const gateway = gatewayBenches.filter((name: GatewayBench) => wanted.includes(name))
if (gateway.length > 0) await runGatewayBenches(gateway, pairs, seconds, print)
for (const [name, bench] of Object.entries(engineBenches)) {
  if (wanted.includes(name)) print(await bench())
}

function print(result: Comparison | string): void {
  process.stdout.write(typeof result === 'string' ? result : text(result))
}

function text(result: Comparison): string {
  const whole = (value: number): string => Math.round(value).toLocaleString('en')
  const [low, middle, high] = result.ratio.map((value) => value.toFixed(2))
  return [
    result.name,
    `  ratio of rates        ${middle}  (${low} to ${high} over ${pairs} pairs)`,
    `  ours                  ${whole(result.subject)} ${result.unit}/s, ${result.subjectCpu.toFixed(1)} us of server CPU each`,
    `  yardstick             ${whole(result.yardstick)} ${result.unit}/s, ${result.yardstickCpu.toFixed(1)} us of server CPU each`,
    ...(result.note === '' ? [] : [`  ours, last turn       ${result.note}`]),
    '',
    '',
  ].join('\n')
}
