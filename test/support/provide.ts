/**
 * Runs before the tests: provides the servers that some of them need. A developer without
 * redis-server is told how to get it and the tests that need it are skipped aloud; on a machine
 * where we may install it (root, apt-get), it is installed, and under CI its absence is a failure.
 */
import { spawnSync } from 'node:child_process'
import { installPackage } from './debian-package.ts'

function has(command: string): boolean {
  return spawnSync(command, ['--version'], { stdio: 'ignore' }).error === undefined
}

if (!has('redis-server')) installPackage('redis-server')
if (!has('redis-server')) {
  const inCi = process.env['CI'] === 'true'
  console.error(
    `redis-server is missing${inCi ? '.' : ': the tests of Redis sessions will be skipped.'} ` +
      'Install it with: apt-get install redis-server',
  )
  if (inCi) process.exitCode = 1
}
