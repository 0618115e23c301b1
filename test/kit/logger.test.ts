import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { closeSync, existsSync, openSync } from 'node:fs'
import { test } from 'node:test'

const logger = new URL('../../src/kit/logger.ts', import.meta.url).href

/** Runs a script that logs, with its stderr on this file, and returns what it printed. */
function logOnto(path: string, script: string): { status: number | null; printed: string } {
  const file = openSync(path, 'w')
  try {
    const code = `import { createLogger } from '${logger}'\n${script}`
    const { status, stdout } = spawnSync(
      process.execPath,
      ['--expose-gc', '--input-type=module', '--eval', code],
      { stdio: ['ignore', 'pipe', file], encoding: 'utf8' },
    )
    return { status, printed: stdout }
  } finally {
    closeSync(file)
  }
}

test(
  'a log that finds no room ends nothing, and what waits for room has a bound',
  { skip: existsSync('/dev/full') ? false : 'needs /dev/full' },
  () => {
    const { status, printed } = logOnto(
      '/dev/full',
      `const log = createLogger('info')
       gc()
       const before = process.memoryUsage().heapUsed
       for (let i = 0; i < 20_000; i++) log.info({ i, padding: 'x'.repeat(1_000) }, 'A line.')
       gc()
       const grown = process.memoryUsage().heapUsed - before
       setTimeout(() => console.log(grown < 15_000_000 ? 'alive' : 'grown by ' + grown), 10)`,
    )
    assert.deepEqual({ status, printed }, { status: 0, printed: 'alive\n' })
  },
)
