/** A redis-server of the test's own, on a Unix socket in a folder that goes with it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, constants } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** Why there is no Redis here, and what helps; undefined when it is installed. */
function redisMissing(): string | undefined {
  if (serverPath() !== undefined) return undefined
  return 'redis-server is not installed: sudo apt-get install redis-server'
}

/**
 * The `skip` of tests that need Redis: aloud where it is missing, and never under CI, where a test
 * that cannot run fails.
 */
export function redisSkip(): string | false {
  return (process.env['CI'] === undefined && redisMissing()) || false
}

export interface RedisServer {
  /** The path of the socket. */
  readonly url: string
  /** As a crash would: nothing is saved. */
  kill(): Promise<void>
  /** Empty, on the same socket. */
  start(): Promise<void>
  /** Takes connections and answers nothing, until `resume`. */
  freeze(): void
  resume(): void
  close(): Promise<void>
}

export async function startRedis(): Promise<RedisServer> {
  const path = serverPath()
  if (path === undefined) throw new Error(redisMissing())
  const folder = await mkdtemp(join(tmpdir(), 'ebbgate-redis-'))
  const socket = join(folder, 'redis.sock')
  const args = ['--port', '0', '--unixsocket', socket, '--save', '', '--dir', folder]
  const launch = async (): Promise<ReturnType<typeof spawn>> => {
    const server = spawn(path, args, { stdio: 'ignore' })
    await untilAnswers(socket)
    return server
  }
  let server = await launch()
  const kill = async (): Promise<void> => {
    if (server.exitCode !== null || server.signalCode !== null) return
    const exit = once(server, 'exit')
    server.kill('SIGKILL')
    await exit
  }
  return {
    url: socket,
    kill,
    start: async () => {
      await rm(socket, { force: true })
      server = await launch()
    },
    freeze: () => void server.kill('SIGSTOP'),
    resume: () => void server.kill('SIGCONT'),
    close: async () => {
      await kill()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

function serverPath(): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/bin', '/usr/local/bin']
  return folders.map((folder) => join(folder, 'redis-server')).find(isExecutable)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

async function untilAnswers(socket: string): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    if (await answers(socket)) return
    await sleep(25)
  }
  throw new Error('redis-server did not answer within 5 s.')
}

function answers(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = createConnection(socket)
    connection.once('error', () => resolve(false))
    connection.once('data', (bytes) => {
      connection.destroy()
      resolve(bytes.toString().startsWith('+PONG'))
    })
    connection.once('connect', () => connection.write('PING\r\n'))
  })
}
