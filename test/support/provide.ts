/**
 * Runs before the tests: provides the servers that some of them need. A developer without
 * redis-server is told how to get it and the tests that need it are skipped aloud; on a machine
 * where we may install it (root, apt-get), it is installed, and under CI its absence is a failure.
 */
import { spawnSync } from 'node:child_process'

function has(command: string): boolean {
  return spawnSync(command, ['--version'], { stdio: 'ignore' }).error === undefined
}

function run(command: string, args: readonly string[]): boolean {
  console.log(`$ ${command} ${args.join(' ')}`)
  // apt-get talks on stdout; the test report alone belongs there.
  const { status } = spawnSync(command, args, {
    stdio: ['ignore', 2, 2],
    // The runlevel keeps the package from starting a service of its own.
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' },
  })
  return status === 0
}

function installRedis(): boolean {
  if (process.getuid?.() !== 0 || !has('apt-get')) return false
  const install = ['install', '-y', '--no-install-recommends', 'redis-server']
  return run('apt-get', install) || (run('apt-get', ['update']) && run('apt-get', install))
}

if (!has('redis-server') && !(installRedis() && has('redis-server'))) {
  const inCi = process.env['CI'] === 'true'
  console.error(
    `redis-server is missing${inCi ? '.' : ': the tests of Redis sessions will be skipped.'} ` +
      'Install it with: apt-get install redis-server',
  )
  if (inCi) process.exitCode = 1
}
