/** The executable: prepares the process, then hands the arguments to the commands. */
import module from 'node:module'

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < 22 || (major === 22 && minor < 22)) {
  process.stderr.write(
    `ebbgate: this needs Node 22.22 or newer, and here is ${process.versions.node}.\n`,
  )
  process.exit(1)
}

// File work of many partitions and the journal's own write share libuv's pool, and four threads would
// queue the journal behind them. It counts only before the pool's first use, hence here.
process.env['UV_THREADPOOL_SIZE'] ??= '16'

// The directory lock stands on node:sqlite, whose interface is settled enough for one lock; the
// warning would be the first thing that everybody reads. All other warnings pass.
const emitWarning = process.emitWarning.bind(process) as (...args: unknown[]) => void
process.emitWarning = (warning: string | Error, ...rest: unknown[]) => {
  if (String(warning).startsWith('SQLite is an experimental feature')) return
  emitWarning(warning, ...rest)
}

// Start-up is mostly the stripping and compiling of modules: the second start finds them done.
module.enableCompileCache()

const { run } = await import('./cli/program.ts')
await run(process.argv.slice(2))
