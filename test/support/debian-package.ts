/** Debian packages that a test or a programme of the torture wants: installed when we may. */
import { spawnSync } from 'node:child_process'

/** Installs the package where this user may. The caller looks afterwards whether that helped. */
export function installPackage(name: string): void {
  if (process.getuid?.() !== 0) return
  const install = ['install', '-y', '--no-install-recommends', name]
  if (!aptGet(install) && aptGet(['update'])) aptGet(install)
}

function aptGet(args: readonly string[]): boolean {
  process.stderr.write(`$ apt-get ${args.join(' ')}\n`)
  // apt-get talks on stdout; the test report alone belongs there.
  const { status } = spawnSync('apt-get', args, {
    stdio: ['ignore', 2, 2],
    timeout: 300_000,
    // The runlevel keeps the package from starting a service of its own.
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' },
  })
  return status === 0
}
