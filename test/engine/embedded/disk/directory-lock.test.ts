import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { directoryLock } from '../../../../src/engine/embedded/disk/directory-lock.ts'
import { systemClock } from '../../../../src/kit/clock.ts'

let root: string

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'ebbgate-lock-'))
})
after(() => rm(root, { recursive: true }))

test('a second holder is refused, told the folder and the process, and may come when it is free', () => {
  const directory = join(root, 'deep', 'data')
  const first = directoryLock(directory, systemClock)
  const second = directoryLock(directory, systemClock)
  first.acquire()
  assert.throws(
    () => second.acquire(),
    (error: Error & { code?: string }) => {
      assert.equal(error.code, 'LOCKED')
      assert.ok(error.message.includes(directory), error.message)
      assert.ok(error.message.includes(`process ${process.pid} `), error.message)
      return true
    },
  )
  first.release()
  first.release()
  second.acquire()
  second.release()
})

test('the kernel drops the lock with the process: after kill -9 nobody waits', async () => {
  const directory = join(root, 'killed')
  const url = (path: string): string => new URL(`../../../../src/${path}`, import.meta.url).href
  const holder = spawn(
    process.execPath,
    [
      '--disable-warning=ExperimentalWarning',
      '--input-type=module',
      '-e',
      `import { directoryLock } from '${url('engine/embedded/disk/directory-lock.ts')}'
       import { systemClock } from '${url('kit/clock.ts')}'
       directoryLock(process.argv[1], systemClock).acquire()
       console.log('held')
       setInterval(() => {}, 1000)`,
      directory,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  await once(holder.stdout, 'data')
  const lock = directoryLock(directory, systemClock)
  assert.throws(() => lock.acquire(), { code: 'LOCKED' })
  const named = JSON.parse(await readFile(join(directory, 'LOCK.json'), 'utf8')) as { pid: number }
  assert.equal(named.pid, holder.pid)
  holder.kill('SIGKILL')
  await once(holder, 'exit')
  lock.acquire()
  lock.release()
})

test(
  'a folder that can never be made is refused at once, and so are those above it',
  { skip: process.platform !== 'linux' && 'there is no /proc' },
  () => {
    const lock = directoryLock('/proc/nothing/data', systemClock)
    assert.throws(() => lock.acquire(), /ENOENT/)
  },
)
