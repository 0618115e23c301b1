/** `ebbgate log dump` beside Kafka's DumpLogSegments: both say the same of the same files. */
import type { DumpOptions } from '../../src/app/data-folder.ts'
import { dumpLines } from '../../src/app/data-folder.ts'
import type { KafkaJars } from '../support/kafka/kafka-jars.ts'

const tool = 'org.apache.kafka.tools.DumpLogSegments'
const decoders = ['--key-decoder-class', 'Base64Decoder', '--value-decoder-class', 'Base64Decoder']
const shownMax = 300

export interface Likeness {
  /** Lines that are equal on both sides. */
  readonly lines: number
  readonly problems: readonly string[]
}

/** Compares line by line, segments by path without ending. */
export async function compareDumps(
  jars: KafkaJars,
  segments: readonly string[],
): Promise<Likeness> {
  const how: DumpOptions = { detail: 'payloads', base64: true, verify: false }
  const logs = segments.map((path) => `${path}.log`)
  const indexes = segments.flatMap((path) => [`${path}.index`, `${path}.timeindex`])
  const deep = ['--deep-iteration', '--print-data-log', ...decoders]
  const both = [await compare(jars, deep, logs, how), await compare(jars, [], indexes, how)]
  return {
    lines: both.reduce((sum, { lines }) => sum + lines, 0),
    problems: both.flatMap(({ problems }) => problems),
  }
}

async function compare(
  jars: KafkaJars,
  options: readonly string[],
  files: readonly string[],
  how: DumpOptions,
): Promise<Likeness> {
  const { stdout } = await jars.run(tool, [...options, '--files', files.join()])
  const sections = stdout.split(/^Dumping (?=\/)/m)
  const problems: string[] = []
  let lines = 0
  for (const [i, file] of files.entries()) {
    const kafkas = (sections[i + 1] ?? '').split('\n').slice(1, -1)
    const ours = await ourLines(file, how)
    const at = ours.findIndex((line, n) => line !== kafkas[n])
    lines += at === -1 ? ours.length : at
    if (at === -1 && ours.length === kafkas.length) continue
    const show = (of: readonly string[]): string => (of[at] ?? 'nothing').slice(0, shownMax)
    problems.push(`${file}: ours says '${show(ours)}', Kafka's '${show(kafkas)}'`)
  }
  return { lines, problems }
}

async function ourLines(file: string, how: DumpOptions): Promise<string[]> {
  const lines: string[] = []
  for await (const line of dumpLines(file, how)) {
    // Kafka's tool names the whole path there. A header's name may hold a line end, on both sides.
    lines.push(...(line.endsWith(' is empty.') ? `${file} is empty.` : line).split('\n'))
  }
  return lines
}
