/** The embedded engine against what the disk of this machine allows, without HTTP in between. */
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { batchOf, openEngine } from './engine-subject.ts'
import type { EngineSubject } from './engine-subject.ts'
import type { Comparison, Side, Turn } from './pairs.ts'
import { compare, median } from './pairs.ts'
import { RawJournal } from './raw-journal.ts'

export interface BenchOptions {
  readonly pairs: number
  readonly seconds: number
  /** How large the log grows for `growth`, MiB. */
  readonly growthMiB: number
}

/** Callers that append one behind the other until the time is up. */
async function drive(
  callers: number,
  seconds: number,
  recordsPerCall: number,
  append: (caller: number) => Promise<void>,
): Promise<Turn> {
  const startedAt = performance.now()
  const until = startedAt + seconds * 1000
  let calls = 0
  const times: number[] = []
  await Promise.all(
    Array.from({ length: callers }, async (_, caller) => {
      while (performance.now() < until) {
        const before = performance.now()
        await append(caller)
        times.push(performance.now() - before)
        calls++
      }
    }),
  )
  const elapsed = (performance.now() - startedAt) / 1000
  times.sort((left, right) => left - right)
  const at = (share: number): string =>
    (times[Math.floor((times.length - 1) * share)] ?? 0).toFixed(2)
  return {
    operations: calls * recordsPerCall,
    seconds: elapsed,
    note: `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`,
  }
}

function side(turn: () => Promise<Turn>): Side {
  return { pid: process.pid, turn }
}

async function withEngine<T>(work: (subject: EngineSubject) => Promise<T>): Promise<T> {
  const subject = await openEngine()
  try {
    return await work(subject)
  } finally {
    await subject.close()
  }
}

async function withRawJournal<T>(work: (journal: RawJournal) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'ebbgate-raw-'))
  const journal = await RawJournal.open(folder)
  try {
    return await work(journal)
  } finally {
    await journal.close()
    await rm(folder, { recursive: true, force: true })
  }
}

/** Durable append against the raw loop with the same callers and the same bytes. */
export function appendBench(
  { pairs, seconds }: BenchOptions,
  callers: number,
  recordsPerBatch: number,
): Promise<Comparison> {
  return withEngine((subject) =>
    withRawJournal(async (journal) => {
      await subject.createTopic('append', 1)
      return compare(
        `engine: durable append, ${recordsPerBatch} records a call, ${callers} callers (yardstick: raw O_DSYNC journal, same groups)`,
        'records',
        pairs,
        side(() =>
          drive(callers, seconds, recordsPerBatch, () =>
            subject.append('append', 0, batchOf(recordsPerBatch)),
          ),
        ),
        side(() =>
          drive(callers, seconds, recordsPerBatch, () => journal.append(batchOf(recordsPerBatch))),
        ),
      )
    }),
  )
}

/** 64 hot partitions against one: the journal makes them equal. */
export function hotPartitionsBench({ pairs, seconds }: BenchOptions): Promise<Comparison> {
  const hot = 64
  return withEngine(async (subject) => {
    await subject.createTopic('many', hot)
    await subject.createTopic('one', 1)
    return compare(
      `engine: ${hot} hot partitions, 256 callers of one record (yardstick: the same on one partition)`,
      'records',
      pairs,
      side(() =>
        drive(256, seconds, 1, (caller) => subject.append('many', caller % hot, batchOf(1))),
      ),
      side(() => drive(256, seconds, 1, () => subject.append('one', 0, batchOf(1)))),
    )
  })
}

/** Reading from the hot tail as whole batches, against copying the same bytes. */
export function tailReadBench({ pairs, seconds }: BenchOptions): Promise<Comparison> {
  return withEngine(async (subject) => {
    await subject.createTopic('tail', 1)
    for (let i = 0; i < 1000; i++) await subject.append('tail', 0, batchOf(100))
    const bytes = Buffer.alloc(1024 * 1024)
    const perMiB = bytes.length / (batchOf(100).length / 100)
    const copy = Buffer.alloc(bytes.length)
    return compare(
      'engine: tail read as bytes, 1 MiB a fetch (yardstick: one copy of 1 MiB in memory)',
      'records',
      pairs,
      side(() => readTurn(subject, 'tail', seconds)),
      side(() => {
        const startedAt = performance.now()
        let copies = 0
        while (performance.now() < startedAt + seconds * 1000) {
          copy.set(bytes)
          copies++
        }
        const elapsed = (performance.now() - startedAt) / 1000
        return Promise.resolve({ operations: copies * perMiB, seconds: elapsed })
      }),
    )
  })
}

/** Reading what is only on disk, every batch checked, against a bare read of the same file. */
export async function fileReadBench({ pairs, seconds }: BenchOptions): Promise<Comparison> {
  const folder = await mkdtemp(join(tmpdir(), 'ebbgate-bench-'))
  const records = 300_000
  const filling = await openEngine(folder)
  await filling.createTopic('cold', 1, { 'segment.bytes': String(2 ** 30) })
  for (let i = 0; i < records / 1000; i++) await filling.append('cold', 0, batchOf(1000))
  await filling.close()
  const subject = await openEngine(folder)
  const file = await open(join(folder, 'logs', 'cold-0', `${'0'.repeat(20)}.log`), 'r')
  const into = Buffer.alloc(1024 * 1024)
  const fileBytes = (await file.stat()).size
  try {
    return await compare(
      'engine: read from segments, 1 MiB a fetch, every batch checked (yardstick: bare read of the file)',
      'records',
      pairs,
      side(() => readTurn(subject, 'cold', seconds)),
      side(async () => {
        const startedAt = performance.now()
        let read = 0
        for (let at = 0; performance.now() < startedAt + seconds * 1000;) {
          const { bytesRead } = await file.read(into, 0, into.length, at)
          read += bytesRead
          at = at + bytesRead >= fileBytes ? 0 : at + bytesRead
        }
        const elapsed = (performance.now() - startedAt) / 1000
        return { operations: (read / fileBytes) * records, seconds: elapsed }
      }),
    )
  } finally {
    await file.close()
    await subject.close()
    await rm(folder, { recursive: true, force: true })
  }
}

/** Fetches from the log start to the end, again and again. */
async function readTurn(subject: EngineSubject, topic: string, seconds: number): Promise<Turn> {
  const { log } = subject.engine
  const startedAt = performance.now()
  let records = 0
  let from = 0
  while (performance.now() < startedAt + seconds * 1000) {
    const bytesMax = 1024 * 1024
    const [slice] = await log.fetch([{ tp: { topic, partition: 0 }, from, bytesMax }], {
      timeoutMs: 10_000,
      bytesMax,
    })
    if (slice?.error !== undefined) throw slice.error
    records += slice!.next - from
    from = slice!.next === slice!.readableEnd ? 0 : slice!.next
    slice!.release()
  }
  return { operations: records, seconds: (performance.now() - startedAt) / 1000 }
}

/** Cost of one append beside many idle partitions, and behind a long log. */
export async function flatness({ pairs, seconds, growthMiB }: BenchOptions): Promise<string> {
  const lines: string[] = []
  const small = await medianRate(pairs, seconds, 1, 0)
  for (const partitions of [100, 1000]) {
    const many = await medianRate(pairs, seconds, partitions, 0)
    lines.push(row(`appends over ${partitions} partitions against 1`, many.rate / small.rate))
    lines.push(`  memory of one of ${partitions} partitions   ${many.bytesPerPartition} bytes`)
  }
  const grown = await medianRate(pairs, seconds, 1, growthMiB)
  lines.push(row(`appends behind ${growthMiB} MiB of log against 1 MiB`, grown.rate / small.rate))
  return [
    'engine: cost of an append stays flat (256 callers of one record)',
    ...lines,
    '',
    '',
  ].join('\n')
}

function row(name: string, ratio: number): string {
  return `  ${name}   ratio of rates ${ratio.toFixed(2)}`
}

async function medianRate(
  pairs: number,
  seconds: number,
  partitions: number,
  grownMiB: number,
): Promise<{ rate: number; bytesPerPartition: number }> {
  return withEngine(async (subject) => {
    globalThis.gc?.()
    const before = process.memoryUsage().heapUsed
    await subject.createTopic('flat', partitions)
    globalThis.gc?.()
    const bytesPerPartition = Math.round((process.memoryUsage().heapUsed - before) / partitions)
    await grow(subject, grownMiB)
    let next = 0
    const rates: number[] = []
    for (let turn = 0; turn <= pairs; turn++) {
      const { operations, seconds: elapsed } = await drive(256, seconds, 1, () =>
        subject.append('flat', next++ % partitions, batchOf(1)),
      )
      // The first turn warms up.
      if (turn > 0) rates.push(operations / elapsed)
    }
    return { rate: median(rates), bytesPerPartition }
  })
}

async function grow(subject: EngineSubject, mebibytes: number): Promise<void> {
  const perCall = batchOf(1000).length
  let left = Math.ceil((mebibytes * 1024 * 1024) / perCall)
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      while (left-- > 0) {
        await subject.engine.log.pressure.whenRelieved()
        await subject.append('flat', 0, batchOf(1000))
      }
    }),
  )
}
