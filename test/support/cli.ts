/** The `ebbgate` command as a child process, as a shell would run it. */
import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const command = fileURLToPath(new URL('../../bin/ebbgate.js', import.meta.url))
const deadlineMs = 30_000

export interface CliOptions {
  readonly input?: string | Uint8Array
  readonly env?: Readonly<Record<string, string>>
  /** Arguments of Node itself. */
  readonly execArgv?: readonly string[]
  /** Where standard output goes instead of to `stdout`. */
  readonly output?: number
}

export interface CliResult {
  readonly code: number | null
  readonly stdout: Buffer
  readonly stderr: string
}

export class CliProcess {
  readonly child: ChildProcess
  #stdout: Buffer = Buffer.alloc(0)
  #stderr = ''
  readonly #exited: Promise<unknown>

  constructor(args: readonly string[], options: CliOptions = {}) {
    const inherited = Object.entries(process.env).filter(([name]) => !/^(EBBGATE|npm)_/.test(name))
    const execArgv = options.execArgv ?? []
    this.child = spawn(process.execPath, [...execArgv, command, ...args], {
      env: { ...Object.fromEntries(inherited), ...options.env },
      stdio: ['pipe', options.output ?? 'pipe', 'pipe'],
    })
    this.child.stdout?.on('data', (chunk: Buffer) => {
      this.#stdout = Buffer.concat([this.#stdout, chunk])
    })
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text))
    // A command that ends early does not read its input to the end.
    this.child.stdin?.on('error', () => undefined)
    if (options.input !== undefined) this.child.stdin?.end(options.input)
    this.#exited = once(this.child, 'close')
  }

  get stdout(): string {
    return this.#stdout.toString()
  }

  get stderr(): string {
    return this.#stderr
  }

  /** Resolves when standard output matches. */
  async printed(pattern: RegExp): Promise<void> {
    const deadline = performance.now() + deadlineMs
    while (!pattern.test(this.stdout)) {
      if (performance.now() > deadline || this.child.exitCode !== null) {
        throw new Error(`${String(pattern)} was not printed.\n${this.stdout}\n${this.stderr}`)
      }
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }

  async ended(): Promise<CliResult> {
    const hard = setTimeout(() => this.child.kill('SIGKILL'), deadlineMs)
    await this.#exited
    clearTimeout(hard)
    return { code: this.child.exitCode, stdout: this.#stdout, stderr: this.#stderr }
  }
}

/** Runs a command to its end. */
export function runCli(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  return new CliProcess(args, { input: '', ...options }).ended()
}
