/** One process per data folder, whoever else tries, and no waiting after kill -9. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { GatewayEnded, startGateway } from '../support/gateway-process.ts'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

test('of two that start at once on a folder left by kill -9, one runs and the other says LOCKED', async (t) => {
  const data = await mkdtemp(join(tmpdir(), 'ebbgate-starters-'))
  t.after(() => rm(data, { recursive: true, force: true }))
  const first = await startGateway({ data })
  const headers = { 'content-type': 'application/json' }
  await fetch(`${first.url}/v1/topics`, { method: 'POST', headers, body: '{"name":"t"}' })
  const records = '/v1/topics/t/records'
  assert.equal((await fetch(first.url + records, { method: 'POST', body: 'kept' })).status, 200)
  await first.kill()

  const starts = await Promise.allSettled([startGateway({ data }), startGateway({ data })])
  const running = starts.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
  const refused = starts.flatMap((one) =>
    one.status === 'rejected' ? [one.reason as unknown] : [],
  )
  assert.deepEqual([running.length, refused.length], [1, 1])
  assert.ok(refused[0] instanceof GatewayEnded)
  assert.equal(refused[0].exitCode, 1)
  assert.match(refused[0].message, /is in use by process \d+/)
  const gateway = running[0]!
  t.after(() => gateway.stop())
  const { records: found } = (await (await fetch(gateway.url + records)).json()) as {
    records: unknown[]
  }
  assert.equal(found.length, 1)

  await t.test('also from another pid and network namespace', (inner) => {
    const args = ['--fork', '--pid', '--net', '--mount-proc', process.execPath, main, 'serve']
    const probe = spawnSync('unshare', ['--fork', '--pid', '--net', '--mount-proc', 'true'])
    if (probe.status !== 0) return inner.skip('unshare may not make namespaces here; it needs root')
    const other = spawnSync('unshare', [...args, '--port', '0', '--data', data], {
      encoding: 'utf8',
      timeout: 60_000,
    })
    assert.equal(other.status, 1, other.stderr)
    assert.match(other.stderr, /is in use by/)
  })

  await t.test('and a copy of a stopped folder is a folder of its own', async () => {
    await gateway.stop()
    const copy = `${data}-copy`
    t.after(() => rm(copy, { recursive: true, force: true }))
    await cp(data, copy, { recursive: true })
    const [one, two] = await Promise.all([startGateway({ data }), startGateway({ data: copy })])
    for (const { url } of [one, two]) {
      assert.equal((await fetch(url + records, { method: 'POST', body: 'more' })).status, 200)
    }
    await Promise.all([one.stop(), two.stop()])
  })
})
