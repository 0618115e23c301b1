/**
 * One process per data folder. `LOCK` is an SQLite file held exclusively for life: the kernel keeps
 * that lock across pid and network namespaces and drops it with the process, so a restart after
 * kill -9 waits for nothing. Nothing else in the process may open `LOCK`: closing any descriptor of
 * it would drop the lock without a word. `LOCK.json` only serves the message.
 */
import * as fs from 'node:fs'
import { hostname } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Clock } from '../../../kit/clock.ts'
import { formatIsoTime } from '../../../kit/clock.ts'
import { GatewayError } from '../../../model/errors.ts'
import { systemCode } from './disk.ts'

export interface DirectoryLock {
  /** Throws LOCKED, naming folder and holder, when another process holds it. */
  acquire(): void
  /** May be called twice. */
  release(): void
}

/** The lock of `directory`, which is made when it does not exist. */
export function directoryLock(directory: string, clock: Clock): DirectoryLock {
  let database: DatabaseSync | undefined
  return {
    acquire() {
      makeDurable(directory)
      const opened = new DatabaseSync(join(directory, 'LOCK'))
      try {
        opened.exec('PRAGMA busy_timeout=0; PRAGMA journal_mode=MEMORY; BEGIN EXCLUSIVE')
      } catch (cause) {
        opened.close()
        if (!isBusy(cause)) throw cause
        throw new GatewayError('LOCKED', lockedMessage(directory), { cause })
      }
      database = opened
      const holder = {
        pid: process.pid,
        host: hostname(),
        startedAt: formatIsoTime(clock.wallMs()),
      }
      fs.writeFileSync(join(directory, 'LOCK.json'), `${JSON.stringify(holder)}\n`)
    },
    release() {
      database?.close()
      database = undefined
    },
  }
}

/**
 * Makes the folder and those above it, so that a power cut leaves them where they are. One by one:
 * Node's `recursive` never ends below /proc, where folders neither are nor can be made.
 */
function makeDurable(directory: string): void {
  const missing: string[] = []
  for (let folder = resolve(directory); !fs.existsSync(folder); folder = dirname(folder)) {
    missing.unshift(folder)
  }
  for (const folder of missing) {
    try {
      fs.mkdirSync(folder)
    } catch (error) {
      if (systemCode(error) !== 'EEXIST') throw error
    }
    syncFolder(dirname(folder))
  }
}

function syncFolder(folder: string): void {
  if (process.platform !== 'linux') return
  const descriptor = fs.openSync(folder, 'r')
  fs.fsyncSync(descriptor)
  fs.closeSync(descriptor)
}

const sqliteBusy = 5

function isBusy(error: unknown): boolean {
  return (error as { errcode?: unknown }).errcode === sqliteBusy
}

/** The one message that names a path: it goes to the operator's terminal, never to a client. */
function lockedMessage(directory: string): string {
  return `The data folder ${resolve(directory)} is in use by ${holderOf(directory)}.`
}

function holderOf(directory: string): string {
  try {
    const text = fs.readFileSync(join(directory, 'LOCK.json'), 'utf8')
    const { pid, host } = JSON.parse(text) as { pid?: unknown; host?: unknown }
    return `process ${String(pid)} on ${String(host)}`
  } catch {
    return 'another process'
  }
}
