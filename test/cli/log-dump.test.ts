/** `ebbgate log dump` on the files of a real gateway, beside it and after damage. */
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { runCli } from '../support/cli.ts'
import type { GatewayProcess } from '../support/gateway-process.ts'
import { startGateway } from '../support/gateway-process.ts'

const first = '00000000000000000000'
let data: string
let gateway: GatewayProcess

before(async () => {
  data = await mkdtemp(join(tmpdir(), 'ebbgate-dump-'))
  gateway = await startGateway({ data })
  const env = { EBBGATE_URL: gateway.url }
  await runCli(['topics', 'create', 'orders'], { env })
  await runCli(['produce', 'orders'], { input: 'first\nsecond\n', env })
})

after(async () => {
  await gateway.stop()
  await rm(data, { recursive: true, force: true })
})

test('a data folder is dumped beside its gateway, which keeps its lock', async () => {
  const { code, stdout, stderr } = await runCli(['log', 'dump', '--records', data])
  assert.equal(code, 0, stderr)
  const text = stdout.toString()
  for (const name of [
    'journal/0001.jnl',
    'meta/0000000001.snapshot',
    `logs/orders-0/${first}.log`,
  ]) {
    assert.ok(text.includes(`Dumping ${join(data, name)}\n`), `${name} is not in\n${text}`)
  }
  assert.match(text, /^baseOffset: 0 .* isvalid: true$/m)
  assert.match(text, /^\| offset: 0 .* payload: first$/m)
  assert.doesNotMatch(text, /DAMAGE/)
  const second = await runCli(['serve', '--data', data, '--port', '0'])
  assert.match(second.stderr, /is in use by process/)
})

test('damage is said, what is behind it is shown, and the command ends with 1', async () => {
  const copy = join(data, `copy-${first}.log`)
  const bytes = await readFile(join(data, `logs/orders-0/${first}.log`))
  bytes[70]! ^= 1
  await writeFile(copy, bytes)
  const { code, stdout } = await runCli(['log', 'dump', copy])
  assert.equal(code, 1)
  assert.match(stdout.toString(), /^DAMAGE position: 0 .* does not match its CRC\.$/m)
})

test('a path that is not there, and a file that has no form, are refused in one line', async () => {
  const missing = await runCli(['log', 'dump', join(data, 'nothing')])
  assert.equal(missing.code, 1)
  assert.match(missing.stderr, /^ebbgate: .*nothing cannot be read/)
  const odd = await runCli(['log', 'dump', join(data, 'meta.properties')])
  assert.equal(odd.code, 1)
  assert.match(odd.stderr, /'meta\.properties' ends with none of \.log, \.index/)
})
