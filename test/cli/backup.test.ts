/** `ebbgate backup` against a running gateway on the real disk. */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { runCli } from '../support/cli.ts'
import type { GatewayProcess } from '../support/gateway-process.ts'
import { startGateway } from '../support/gateway-process.ts'

let home: string
let data: string
let gateway: GatewayProcess

before(async () => {
  home = await mkdtemp(join(tmpdir(), 'ebbgate-backup-'))
  data = join(home, 'data')
  gateway = await startGateway({ data })
  const env = { EBBGATE_URL: gateway.url }
  const small = ['--config', 'segment.bytes=1000']
  await runCli(['topics', 'create', 'orders', ...small], { env })
  const lines = Array.from({ length: 40 }, (_, i) => `order ${i} ${'.'.repeat(100)}\n`)
  await runCli(['produce', 'orders'], { input: lines.join(''), env })
  await runCli(['produce', 'orders'], { input: lines.join(''), env })
})

after(async () => {
  await gateway.stop()
  await rm(home, { recursive: true, force: true })
})

const backup = (directory: string, url = gateway.url) => runCli(['backup', directory, '--url', url])

test('a back-up is a data folder that a gateway starts with, and the lock is held all the time', async () => {
  const target = join(home, 'copy')
  const made = await backup(target)
  assert.equal(made.code, 0, made.stderr)
  assert.match(made.stdout.toString(), /copy: \d+ topics, \d+ partitions, \d/)
  assert.deepEqual(await readdir(target), ['journal', 'logs', 'meta', 'meta.properties'])
  const sealed = '00000000000000000000.log'
  const [one, other] = await Promise.all(
    [data, target].map((folder) => stat(join(folder, 'logs/orders-0', sealed))),
  )
  assert.equal(one?.ino, other?.ino)

  const second = await runCli(['serve', '--data', data, '--port', '0'])
  assert.match(second.stderr, /is in use by process/)

  const restored = await startGateway({ data: target })
  const read = await runCli(['consume', 'orders', '--from-beginning', '--max', '80'], {
    env: { EBBGATE_URL: restored.url },
  })
  await restored.stop()
  assert.equal(read.code, 0, read.stderr)
  assert.equal(read.stdout.toString().split('\n').length, 81)
})

test('places that cannot be used are refused in one line, and nothing is left there', async () => {
  const full = join(home, 'full')
  await mkdir(full)
  await writeFile(join(full, 'something'), '')
  await symlink(data, join(home, 'way-in'))
  const cases: readonly (readonly [directory: string, why: RegExp])[] = [
    [full, /is there already and is not an empty folder/],
    [join(data, 'copy'), /lie inside each other/],
    [join(home, 'way-in', 'copy'), /lie inside each other/],
    [join(home, 'nowhere', 'copy'), /folder above .* is not there/],
  ]
  for (const [directory, why] of cases) {
    const { code, stderr } = await backup(directory)
    assert.equal(code, 1, directory)
    assert.match(stderr, why)
  }
  const relative = await fetch(`${gateway.url}/v1/backup`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"directory":"copy"}',
  })
  assert.equal(relative.status, 422)
  assert.match(await relative.text(), /not an absolute path/)
  assert.ok(!(await readdir(home)).some((name) => name.endsWith('.partial')))
})

test('where others can reach the gateway, back-ups go below backup.root alone', async () => {
  const root = join(home, 'root')
  await mkdir(root)
  await symlink(home, join(root, 'way-out'))
  const args = ['--host', '0.0.0.0', '--anonymous']
  const open = await startGateway({ data: join(home, 'open'), args })
  const url = open.url.replace('0.0.0.0', '127.0.0.1')
  const refused = await backup(join(root, 'copy'), url)
  assert.match(refused.stderr, /only below backup\.root, which is not set/)
  await open.stop()

  const rooted = await startGateway({
    data: join(home, 'open'),
    args: [...args, '--backup-root', root],
  })
  const at = rooted.url.replace('0.0.0.0', '127.0.0.1')
  assert.match((await backup(join(home, 'elsewhere'), at)).stderr, /not below the configured/)
  assert.match((await backup(join(root, 'way-out', 'copy'), at)).stderr, /not below the configured/)
  const made = await backup(join(root, 'copy'), at)
  assert.equal(made.code, 0, made.stderr)
  await rooted.stop()
})
