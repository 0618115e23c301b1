/**
 * Planted bugs: a test that never failed proves nothing. A bug is an exact piece of source text and
 * what stands there instead; the workload, a test file, runs in a process of its own into which the
 * bug was loaded, and must fail, in the way that is expected of it and within ten seconds of CPU.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

export interface Edit {
  /** From the root of the repository. */
  readonly file: string
  /** Stands there exactly once. */
  readonly find: string
  readonly replace: string
}

export interface PlantedBug {
  readonly name: string
  readonly edits: readonly Edit[]
  /** The test file that finds it, from the root of the repository. */
  readonly workload: string
  /** Only the tests whose names match. */
  readonly only?: string
  readonly env?: Readonly<Record<string, string>>
  /** What the failure says: a bug that merely breaks the program proves nothing. */
  readonly finding: RegExp
}

const cpuMsMax = 10_000
/** Real time, ms: the machine may be busy with other things. */
const waitMsMax = 100_000

const root = fileURLToPath(new URL('../../', import.meta.url))
const plant = new URL('./plant.ts', import.meta.url).href

/** One test for each bug: planted, the workload fails as it should. */
export function testPlantedBugs(bugs: readonly PlantedBug[]): void {
  for (const bug of bugs) {
    test(`planted and found: ${bug.name}`, async (t) => {
      t.diagnostic(`found after ${await findPlanted(bug)} ms of CPU`)
    })
  }
}

/** Resolves to the CPU time that it took to find the bug, ms; rejects when it was not found. */
export async function findPlanted(bug: PlantedBug): Promise<number> {
  const { code, made, cpuMs, output } = await runPlanted(bug)
  assert.notEqual(code, null, `not found in ${waitMsMax} ms\n${output}`)
  assert.equal(made, bug.edits.length, `not all edits were loaded\n${output}`)
  assert.notEqual(code, 0, `the bug went unnoticed\n${output}`)
  assert.match(output, bug.finding)
  assert.ok(cpuMs < cpuMsMax, `found after ${cpuMs} ms of CPU; ${cpuMsMax} are allowed`)
  return cpuMs
}

interface PlantedRun {
  /** Exit code of the workload; null when it was stopped. */
  readonly code: number | null
  readonly made: number
  readonly cpuMs: number
  readonly output: string
}

async function runPlanted({ edits, workload, only, env = {} }: PlantedBug): Promise<PlantedRun> {
  const names = only === undefined ? [] : ['--test-name-pattern', only]
  const child = spawn(process.execPath, ['--import', plant, ...names, workload], {
    cwd: root,
    env: { ...environment(), ...env, EBBGATE_PLANTED: JSON.stringify(edits) },
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  })
  const texts = ['', '', '']
  const streams = [child.stdout, child.stderr, child.stdio[3]]
  streams.forEach((stream, i) => stream?.on('data', (chunk) => (texts[i] += String(chunk))))
  const timer = setTimeout(() => child.kill('SIGKILL'), waitMsMax)
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', resolve)
    })
    const output = `${texts[0]}${texts[1]}`
    const report: unknown = JSON.parse(texts[2] === '' ? '{}' : texts[2]!)
    return { code, made: 0, cpuMs: Infinity, output, ...(report as object) }
  } finally {
    clearTimeout(timer)
  }
}

/** Without what the test runner told this process: the child is none of its own. */
function environment(): NodeJS.ProcessEnv {
  const { NODE_TEST_CONTEXT: _, ...rest } = process.env
  return rest
}
