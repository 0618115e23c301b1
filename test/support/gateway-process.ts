/** The shipped program as a child process: started, killed and stopped as an operator would. */
import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
/** Longer than any honest start: a shared machine may stall. */
const startDeadlineMs = 30_000
const stopDeadlineMs = 15_000

export interface GatewayProcess {
  readonly url: string
  readonly pid: number
  /** Milliseconds from the start of the process to its ready line. */
  readonly readyMs: number
  stdout(): string
  stderr(): string
  /** SIGKILL, and wait until the process is gone. */
  kill(): Promise<void>
  /** SIGTERM; resolves to the exit code. */
  stop(): Promise<number | null>
  /** Resolves to the exit code once the process has ended by itself; null when a signal ended it. */
  readonly ended: Promise<number | null>
}

/** The process ended before it was ready. */
export class GatewayEnded extends Error {
  readonly exitCode: number | null

  constructor(message: string, exitCode: number | null) {
    super(message)
    this.exitCode = exitCode
  }
}

export interface GatewayOptions {
  readonly data: string
  readonly port?: number
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Told of the process at once, long before the gateway is ready. */
  readonly onSpawn?: (child: ChildProcess) => void
}

/** Resolves once the ready line is there; rejects with what the process said when it ends before. */
export async function startGateway(options: GatewayOptions): Promise<GatewayProcess> {
  const startedAt = performance.now()
  const child = spawnGateway(options)
  options.onSpawn?.(child)
  const output = collect(child)
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
  const url = await readyUrl(child, output)
  return {
    url,
    pid: child.pid ?? 0,
    readyMs: performance.now() - startedAt,
    stdout: () => output.stdout,
    stderr: () => output.stderr,
    kill: () => end(child, 'SIGKILL').then(() => undefined),
    stop: () => end(child, 'SIGTERM'),
    ended,
  }
}

function spawnGateway({ data, port = 0, args = [], env = {} }: GatewayOptions): ChildProcess {
  const inherited = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('EBBGATE_')),
  )
  return spawn(
    process.execPath,
    [main, 'serve', '--port', String(port), '--data', data, '--log-level', 'warn', ...args],
    { env: { ...inherited, ...env }, stdio: ['ignore', 'pipe', 'pipe'] },
  )
}

interface Output {
  stdout: string
  stderr: string
}

function collect(child: ChildProcess): Output {
  const output = { stdout: '', stderr: '' }
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (output.stdout += text))
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (output.stderr += text))
  return output
}

function readyUrl(child: ChildProcess, output: Output): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (why: string, exitCode: number | null = null): void => {
      clearTimeout(deadline)
      const said = `${why}\nstdout: ${output.stdout}\nstderr: ${output.stderr}`
      reject(new GatewayEnded(said, exitCode))
    }
    const deadline = setTimeout(() => {
      child.kill('SIGKILL')
      fail(`The gateway was not ready within ${startDeadlineMs} ms.`)
    }, startDeadlineMs)
    child.once('exit', (code, signal) => {
      fail(`The gateway ended with ${code ?? signal}.`, code)
    })
    child.stdout?.on('data', () => {
      const url = /https?:\/\/[^\s/]+/.exec(output.stdout)?.[0]
      if (url === undefined) return
      clearTimeout(deadline)
      resolve(url)
    })
  })
}

async function end(child: ChildProcess, signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
  const exited = once(child, 'exit')
  child.kill(signal)
  const hard = setTimeout(() => child.kill('SIGKILL'), stopDeadlineMs)
  await exited
  clearTimeout(hard)
  return child.exitCode
}
