/** `ebbgate groups` against a running gateway. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { CliResult } from '../support/cli.ts'
import { runCli } from '../support/cli.ts'
import type { GatewayProcess } from '../support/gateway-process.ts'
import { startGateway } from '../support/gateway-process.ts'

let data: string
let gateway: GatewayProcess

before(async () => {
  data = await mkdtemp(join(tmpdir(), 'ebbgate-groups-'))
  gateway = await startGateway({ data })
})

after(async () => {
  await gateway.stop()
  await rm(data, { recursive: true, force: true })
})

function run(args: readonly string[]): Promise<CliResult> {
  return runCli(args, { env: { EBBGATE_URL: gateway.url } })
}

test('a group is reset, described with its lag, listed and deleted', async () => {
  assert.equal((await run(['topics', 'create', 'orders'])).code, 0)
  await fetch(`${gateway.url}/v1/topics/orders/records`, { method: 'POST', body: 'one' })

  const tried = await run([
    'groups',
    'reset',
    'billing',
    '--to',
    'earliest',
    '--topic',
    'orders',
    '--dry-run',
  ])
  assert.equal(tried.code, 0, tried.stderr)
  assert.equal(tried.stdout.toString(), 'orders/0  - -> 0\nNothing was changed (--dry-run).\n')
  assert.equal((await run(['groups', 'list'])).stdout.toString(), '')

  const reset = await run(['groups', 'reset', 'billing', '--to', 'earliest', '--topic', 'orders'])
  assert.equal(reset.stdout.toString(), 'orders/0  - -> 0\n')
  const listed = await run(['groups', 'list'])
  assert.equal(listed.stdout.toString(), 'billing  empty  0 members\n')
  const described = await run(['groups', 'describe', 'billing'])
  assert.equal(
    described.stdout.toString(),
    'billing  empty  0 members  lag 1\n  orders/0  committed 0  end 1  lag 1\n',
  )
  const metrics = async (): Promise<string> => (await fetch(`${gateway.url}/metrics`)).text()
  const shown = await metrics()
  assert.match(
    shown,
    /^ebbgate_group_lag_records\{group="billing",topic="orders",partition="0"\} 1$/m,
  )
  assert.match(shown, /^ebbgate_group_members\{group="billing",state="empty"\} 0$/m)
  assert.equal((await run(['groups', 'delete', 'billing'])).code, 0)
  assert.doesNotMatch(await metrics(), /billing/)
  const gone = await run(['groups', 'describe', 'billing'])
  assert.equal(gone.code, 1)
  assert.match(gone.stderr, /billing/)
})
