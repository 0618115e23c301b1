/** `ebbgate doctor` and `ebbgate restore` on real folders. */
import assert from 'node:assert/strict'
import { cp, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { runCli } from '../support/cli.ts'
import type { GatewayProcess } from '../support/gateway-process.ts'
import { startGateway } from '../support/gateway-process.ts'

const first = 'logs/orders-0/00000000000000000000'
let home: string
let data: string
let gateway: GatewayProcess

before(async () => {
  home = await mkdtemp(join(tmpdir(), 'ebbgate-doctor-'))
  data = join(home, 'data')
  gateway = await startGateway({ data })
  const env = { EBBGATE_URL: gateway.url }
  await runCli(['topics', 'create', 'orders', '--config', 'segment.bytes=1000'], { env })
  for (const word of ['one', 'two', 'three']) {
    await runCli(['produce', 'orders'], { input: `${word}${'.'.repeat(600)}\n`, env })
  }
})

after(async () => {
  await gateway.stop()
  await rm(home, { recursive: true, force: true })
})

async function damagedCopy(name: string): Promise<string> {
  const copy = join(home, name)
  await cp(data, copy, { recursive: true, filter: (path) => !path.endsWith('LOCK') })
  const log = await readFile(join(copy, `${first}.log`))
  log[100]! ^= 1
  await writeFile(join(copy, `${first}.log`), log)
  return copy
}

test('beside a running gateway the doctor names the holder, and --read-only looks all the same', async () => {
  const held = await runCli(['doctor', '--data', data])
  assert.equal(held.code, 1)
  assert.match(held.stderr, /is in use by process \d+/)
  const look = await runCli(['doctor', '--data', data, '--read-only'])
  assert.match(look.stdout.toString(), /partitions, .* is (sound|damaged)\.$/m)
  const none = await runCli(['doctor', '--data', join(home, 'nothing')])
  assert.match(none.stderr, /is no data folder/)
})

test('after the gateway stopped: a sound folder, damage found, exported, moved aside, and restored', async () => {
  await gateway.stop()
  const sound = await runCli(['doctor', '--data', data])
  assert.equal(sound.code, 0, sound.stdout.toString())
  assert.match(sound.stdout.toString(), /[1-9]\d* batches are whole; 0 findings of damage/)

  const damaged = await damagedCopy('damaged')
  const exported = join(home, 'exported')
  const found = await runCli(['doctor', '--data', damaged, '--export', exported])
  assert.equal(found.code, 1)
  assert.match(
    found.stdout.toString(),
    /^DAMAGE logs\/orders-0\/0+\.log \(topic orders, partition 0, segment 0, offsets 0 to 0\): /,
  )
  const lines = (await readFile(join(exported, 'orders-0.ndjson'), 'utf8')).trim().split('\n')
  assert.deepEqual(
    lines.map((line) => (JSON.parse(line) as { offset: number }).offset),
    [1, 2],
  )

  const moved = await runCli(['doctor', '--data', damaged, '--move-damage-aside'])
  assert.match(moved.stdout.toString(), /moved to quarantine\/doctor-/)
  assert.match(moved.stdout.toString(), /Afterwards:\nDAMAGE .*No segment holds offsets 0 to 0/)
  assert.equal((await readdir(join(damaged, 'quarantine'))).length, 1)

  const restored = join(home, 'restored')
  const made = await runCli(['restore', data, '--data', restored])
  assert.equal(made.code, 0, made.stderr)
  assert.match(made.stdout.toString(), /[1-9]\d* batches, sound/)
  const again = await runCli(['restore', data, '--data', restored])
  assert.match(again.stderr, /is there already and is not empty/)

  // What was exported can be posted again as it is.
  const server = await startGateway({ data: restored })
  const url = server.url
  await runCli(['topics', 'create', 'again'], { env: { EBBGATE_URL: url } })
  const posted = await fetch(`${url}/v1/topics/again/records?partition=0&replay=true`, {
    method: 'POST',
    headers: { 'content-type': 'application/vnd.ebbgate.records+ndjson' },
    body: await readFile(join(exported, 'orders-0.ndjson')),
  })
  assert.equal(posted.status, 200, await posted.text())
  const read = await fetch(`${url}/v1/topics/again/records?maxRecords=1`)
  const [record] = ((await read.json()) as { records: { value: string }[] }).records
  assert.match(String(record?.value), /^two\.+$/)
  await server.stop()
})

test('damaged indexes are made again on command', async () => {
  const copy = join(home, 'indexes')
  await cp(data, copy, { recursive: true, filter: (path) => !path.endsWith('LOCK') })
  await writeFile(join(copy, `${first}.timeindex`), Buffer.alloc(12, 1))
  const found = await runCli(['doctor', '--data', copy])
  assert.equal(found.code, 1)
  assert.match(found.stdout.toString(), /timeindex .*The index .*--rebuild-indexes/)
  const mended = await runCli(['doctor', '--data', copy, '--rebuild-indexes'])
  assert.equal(mended.code, 0, mended.stdout.toString())
  const original = await readFile(join(data, `${first}.timeindex`))
  assert.deepEqual(await readFile(join(copy, `${first}.timeindex`)), original)
})

test('with a journal that a gateway would open read-only, nothing is moved', async () => {
  const damaged = await damagedCopy('no-journal')
  await rm(join(damaged, 'journal'), { recursive: true })
  const { code, stderr } = await runCli(['doctor', '--data', damaged, '--move-damage-aside'])
  assert.equal(code, 1)
  assert.match(stderr, /Nothing was moved: mend the journal first/)
  assert.ok(!(await readdir(damaged)).includes('quarantine'))
})
