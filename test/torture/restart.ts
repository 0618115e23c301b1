/**
 * How long a start takes on a large data folder: after kill -9 in the middle of writing at full speed,
 * and after a clean stop. Only what the last checkpoint does not cover may be written again, so the
 * time must not grow with the folder.
 */
import { spawn } from 'node:child_process'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { GatewayProcess } from '../support/gateway-process.ts'
import { startGateway } from '../support/gateway-process.ts'
import { seededRandom } from '../support/seeded-random.ts'
import type { Programme, ProgrammeCall, ProgrammeReport } from './programme.ts'

const MiB = 1024 * 1024
/** What the recovery of a start after kill -9 may take … */
const readyMsMax = 2_000
/** … or so many times what the disk takes at that moment to write and sync as many bytes. */
const rawTimesMax = 3
/** Each further round writes so much before it is killed, at most. */
const roundBytesMax = 400 * MiB
const filler = fileURLToPath(new URL('./restart-filler.ts', import.meta.url))

export const restart: Programme = {
  name: 'restart',
  proves: 'a start after kill -9 takes as long as what the last checkpoint does not cover',
  needs: 'room on the disk for the folder and 2 GiB more',
  missing: () => undefined,
  flags: {
    gib: { type: 'string', default: '1' },
    'restart-rounds': { type: 'string', default: '4' },
  },
  run: restarts,
}

interface Start {
  readonly readyMs: number
  readonly frames: number
  readonly bytes: number
  readonly journalMs: number
  /** What the same disk takes at the same moment for so many bytes in one file, with one sync. */
  readonly rawMs: number
}

async function restarts({ seed, flag, progress }: ProgrammeCall): Promise<ProgrammeReport> {
  const data = await mkdtemp(join(tmpdir(), 'ebbgate-restart-'))
  const chance = seededRandom(seed)
  const problems: string[] = []
  const killed: Start[] = []
  const clean: Start[] = []
  const stopsMs: number[] = []
  const beganAt = performance.now()
  let bytes = await fillAndKill(data, Number(flag('gib')) * 1024 * MiB, progress)
  const fillSeconds = (performance.now() - beganAt) / 1000
  const firstBytes = bytes
  try {
    for (let round = 0; round < Number(flag('restart-rounds')); round++) {
      if (round > 0) bytes += await fillAndKill(data, chance() * roundBytesMax, progress)
      const gateway = await start(data)
      killed.push(await startOf(gateway, data))
      const stopAt = performance.now()
      if ((await gateway.stop()) !== 0) problems.push(`round ${round}: ${gateway.stderr()}`)
      stopsMs.push(performance.now() - stopAt)
      const again = await start(data)
      clean.push(await startOf(again, data))
      if (clean.at(-1)!.frames > 0) problems.push(`round ${round}: a clean stop left frames`)
      await again.stop()
      progress(`round ${round + 1}`)
    }
  } finally {
    await rm(data, { recursive: true, force: true })
  }
  for (const { journalMs, rawMs } of killed) {
    if (journalMs <= Math.max(readyMsMax, rawTimesMax * rawMs)) continue
    problems.push(`a recovery took ${journalMs} ms where the disk alone takes ${rawMs} ms`)
  }
  return {
    figures: [
      ['folder, MiB', Math.round(bytes / MiB)],
      ['filled at, MiB/s', Math.round(firstBytes / MiB / fillSeconds)],
      ['starts after kill -9, ms', killed.map(({ readyMs }) => Math.round(readyMs)).join(', ')],
      ['  of it the journal, ms', killed.map(({ journalMs }) => journalMs).join(', ')],
      ['  the disk alone, ms', killed.map(({ rawMs }) => rawMs).join(', ')],
      ['  written again, MiB', killed.map((start) => Math.round(start.bytes / MiB)).join(', ')],
      ['clean stops, ms', stopsMs.map(Math.round).join(', ')],
      ['starts after them, ms', clean.map(({ readyMs }) => Math.round(readyMs)).join(', ')],
    ],
    problems,
  }
}

/** Resolves to the bytes that were acknowledged when the filler was killed. */
function fillAndKill(
  data: string,
  bytes: number,
  progress: (text: string) => void,
): Promise<number> {
  const child = spawn(process.execPath, [filler, data], { stdio: ['ignore', 'pipe', 'inherit'] })
  let acknowledged = 0
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    acknowledged = Number(text.trimEnd().split('\n').at(-1))
    progress(`${Math.round(acknowledged / MiB)} MiB`)
    if (acknowledged >= bytes) child.kill('SIGKILL')
  })
  return new Promise((resolve, reject) => {
    child.once('exit', (code) => {
      if (code === null) resolve(acknowledged)
      else reject(new Error(`The filler ended with ${code}.`))
    })
  })
}

function start(data: string): Promise<GatewayProcess> {
  return startGateway({ data, args: ['--log-level', 'info'] })
}

/** What the start said of its recovery, beside what the disk can do now. */
async function startOf(gateway: GatewayProcess, data: string): Promise<Start> {
  for (const line of gateway.stderr().split('\n')) {
    if (!line.includes('The journal is open.')) continue
    const { frames = 0, bytes = 0, milliseconds = 0 } = JSON.parse(line) as Record<string, number>
    const rawMs = await rawWriteMs(join(data, 'raw'), bytes)
    return { readyMs: gateway.readyMs, frames, bytes, journalMs: milliseconds, rawMs }
  }
  throw new Error(`No word of a recovery: ${gateway.stderr()}`)
}

async function rawWriteMs(path: string, bytes: number): Promise<number> {
  const piece = Buffer.alloc(MiB, 'x')
  const beganAt = performance.now()
  const file = await open(path, 'w')
  try {
    for (let written = 0; written < bytes; written += piece.length) await file.write(piece)
    await file.datasync()
  } finally {
    await file.close()
    await rm(path)
  }
  return Math.round(performance.now() - beganAt)
}
