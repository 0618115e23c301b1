/** Kafka's DumpLogSegments over segment files, its output compared with what it should say. */
import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import type { BatchLine, RecordLine } from '../segment-batches.ts'
import type { KafkaJars } from './kafka-jars.ts'

const tool = 'org.apache.kafka.tools.DumpLogSegments'
/** Kafka's `index.interval.bytes`. */
const indexIntervalBytes = 4096
const shownMax = 300

/** A segment by the path of its files without their endings, and the batches that it should hold. */
export interface ExpectedSegment {
  readonly path: string
  readonly batches: readonly BatchLine[]
}

/** Every batch and every record as the tool prints them, against what they should be. */
export async function dumpLogs(
  jars: KafkaJars,
  segments: readonly ExpectedSegment[],
): Promise<string[]> {
  const decoder = ['--key-decoder-class', 'Base64Decoder', '--value-decoder-class', 'Base64Decoder']
  const files = segments.map(({ path }) => `${path}.log`)
  const options = ['--deep-iteration', '--print-data-log', ...decoder]
  const expected = segments.map(
    ({ batches, path }) =>
      `Log starting offset: ${baseOf(path)}\n${batches.map(batchText()).join('')}`,
  )
  // Neither is ours to foretell: the generation of the writer, and the CRC that `isvalid` checks.
  const told = (text: string): string =>
    text
      .replace(/^(baseOffset: .*partitionLeaderEpoch: )-?\d+(.* crc: )\d+/gm, '$1?$2?')
      .replace(/deleteHorizonMs: OptionalLong\[\d+\]/g, 'deleteHorizonMs: ?')
  const problems = await dump(jars, options, files, expected, told)
  // In a compacted log it is by right that offsets are missing.
  return segments.some(hasHoles)
    ? problems.filter(
        (problem) => !/Non-consecutive offsets in |\d is followed by \d/.test(problem),
      )
    : problems
}

/** The entries of both indexes, each checked by the tool against the log. */
export async function dumpIndexes(
  jars: KafkaJars,
  segments: readonly ExpectedSegment[],
): Promise<string[]> {
  const problems: string[] = []
  const indexes = segments.map(({ path }) => `${path}.index`)
  const timeIndexes = segments.map(({ path }) => `${path}.timeindex`)
  const files = [...indexes, ...timeIndexes]
  const entries = [
    ...segments.map((segment) => indexText(segment)),
    ...(await Promise.all(segments.map((segment) => timeIndexText(segment, problems)))),
  ]
  problems.push(...(await dump(jars, [], files, entries)))
  const noEntries = (i: number): boolean => entries[i]!.endsWith(' is empty.\n')
  const verified = files.map((file, i) => (noEntries(i) ? `${file} is empty.\n` : ''))
  problems.push(...(await dump(jars, ['--verify-index-only'], files, verified)))
  const sane = files.map((file, i) =>
    noEntries(i) ? `${file} is empty.\n` : `${file} passed sanity check.\n`,
  )
  problems.push(...(await dump(jars, ['--index-sanity-check'], files, sane)))
  return problems
}

async function dump(
  jars: KafkaJars,
  options: readonly string[],
  files: readonly string[],
  expected: readonly string[],
  told = (text: string) => text,
): Promise<string[]> {
  const { code, stdout, stderr } = await jars.run(tool, [...options, '--files', files.join()])
  const what = ['DumpLogSegments', ...options.slice(0, 1)].join(' ')
  const problems = complaints(stderr).map((line) => `${what}: ${line}`)
  if (code !== 0) problems.push(`${what} ended with ${code}`)
  const sections = told(stdout).split(/^Dumping (?=\/)/m)
  for (const [i, file] of files.entries()) {
    const wanted = `${file}\n${expected[i]}`
    const found = sections[i + 1] ?? ''
    if (found !== wanted) problems.push(`${what}: ${difference(wanted, found)} in ${file}`)
  }
  return problems
}

function hasHoles({ batches }: ExpectedSegment): boolean {
  return batches.some(({ count, baseOffset, lastOffset }) => count <= lastOffset - baseOffset)
}

/** The tool counts from offset 0, so it finds a gap before every later segment. */
function complaints(stderr: string): string[] {
  const lines = stderr.split('\n').filter((line) => line !== '')
  const isFirst = (line: string | undefined): boolean => /^ {2}-1 is followed by /.test(line ?? '')
  return lines.filter((line, i) => {
    if (line.startsWith('Non-consecutive offsets in ')) {
      const following = lines[i + 2]
      const onlyFirst = following === undefined || !following.startsWith('  ')
      return !(isFirst(lines[i + 1]) && onlyFirst)
    }
    return !isFirst(line)
  })
}

/** The text of one batch after the other, of one segment. */
function batchText(): (batch: BatchLine) => string {
  let position = 0
  return (batch) => {
    const time = batch.logAppendTime ? 'LogAppendTime' : 'CreateTime'
    const text =
      `baseOffset: ${batch.baseOffset} lastOffset: ${batch.lastOffset} count: ${batch.count}` +
      ' baseSequence: -1 lastSequence: -1 producerId: -1 producerEpoch: -1' +
      ' partitionLeaderEpoch: ? isTransactional: false isControl: false' +
      ` deleteHorizonMs: ${batch.deleteHorizon ? '?' : 'OptionalLong.empty'}` +
      ` position: ${position} ${time}: ${batch.maxTimestamp}` +
      ` size: ${batch.bytes} magic: 2 compresscodec: ${batch.codec} crc: ? isvalid: true\n`
    position += batch.bytes
    return text + (batch.records ?? []).map((record) => recordText(record, time)).join('')
  }
}

function recordText({ offset, timestamp, key, value, headers }: RecordLine, time: string): string {
  const size = (field: string | null): number =>
    field === null ? -1 : Buffer.from(field, 'base64').length
  return (
    `| offset: ${offset} ${time}: ${timestamp} keySize: ${size(key)} valueSize: ${size(value)}` +
    ` sequence: -1 headerKeys: [${headers.map(([name]) => name).join()}]` +
    (key === null ? '' : ` key: ${key}`) +
    (value === null ? '' : ` payload: ${value}`) +
    '\n'
  )
}

/** By Kafka's rule: an entry when more than the interval was written since the last one. */
function indexText({ path, batches }: ExpectedSegment): string {
  let text = ''
  let position = 0
  let sinceEntry = 0
  for (const { lastOffset, bytes } of batches) {
    if (sinceEntry > indexIntervalBytes) {
      text += `offset: ${lastOffset} position: ${position}\n`
      sinceEntry = 0
    }
    position += bytes
    sinceEntry += bytes
  }
  return text === '' ? `${path}.index is empty.\n` : text
}

/**
 * What the file says, for the tool to check; a restart leaves an entry of its own, so it cannot be
 * foretold. But the last entry must know the largest time.
 */
async function timeIndexText(
  { path, batches }: ExpectedSegment,
  problems: string[],
): Promise<string> {
  const bytes = await readFile(`${path}.timeindex`)
  let text = ''
  let last = ''
  for (let at = 0; at + 12 <= bytes.length; at += 12) {
    const offset = baseOf(path) + bytes.readInt32BE(at + 8)
    last = `timestamp: ${bytes.readBigInt64BE(at)} offset: ${offset}\n`
    text += last
  }
  const maxTimestamp = Math.max(...batches.map((batch) => batch.maxTimestamp))
  const holder = batches.find((batch) => batch.maxTimestamp === maxTimestamp)
  const wanted = `timestamp: ${maxTimestamp} offset: ${holder?.lastOffset}\n`
  if (last !== wanted) problems.push(`${difference(wanted, last)} at the end of ${path}.timeindex`)
  return text
}

/** The first line that differs. */
function difference(wanted: string, found: string): string {
  const lines = found.split('\n')
  const wantedLines = wanted.split('\n')
  const i = wantedLines.findIndex((line, n) => line !== lines[n])
  const at = i === -1 ? wantedLines.length : i
  const show = (line: string | undefined): string => (line ?? 'nothing').slice(0, shownMax)
  return `'${show(lines[at])}' is not '${show(wantedLines[at])}'`
}

function baseOf(path: string): number {
  return Number(basename(path))
}
