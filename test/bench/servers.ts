/** The two servers of a benchmark as child processes, and the CPU time they have used. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startGateway } from '../support/gateway-process.ts'

export interface Server {
  readonly port: number
  readonly pid: number
  close(): Promise<void>
}

export async function startSubject(): Promise<Server & { readonly data: string }> {
  const data = await mkdtemp(join(tmpdir(), 'ebbgate-bench-'))
  const gateway = await startGateway({ data })
  return {
    port: Number(new URL(gateway.url).port),
    pid: gateway.pid,
    data,
    async close() {
      await gateway.stop()
      await rm(data, { recursive: true, force: true })
    },
  }
}

export async function startYardstick(): Promise<Server> {
  const script = fileURLToPath(new URL('./bare-server.ts', import.meta.url))
  const child = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  return {
    port: Number(line.toString().trim()),
    pid: child.pid ?? 0,
    async close() {
      child.kill('SIGTERM')
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    },
  }
}

/** User and system time of a process so far, seconds; NaN where /proc does not exist. */
export function cpuSeconds(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
    return (Number(fields[11]) + Number(fields[12])) / 100
  } catch {
    return Number.NaN
  }
}
