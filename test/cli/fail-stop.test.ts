/** A disk that fails under a running gateway: it stops with 70, and nothing acknowledged is lost. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { CliProcess } from '../support/cli.ts'
import { startGateway } from '../support/gateway-process.ts'

/** From SIGUSR2 on every write of the process fails, as on a disk that died. */
const dyingDisk = `
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
process.on('SIGUSR2', () => {
  const fail = (...args) => args.at(-1)(Object.assign(new Error('i/o error'), { code: 'EIO' }))
  fs.write = fail
  fs.writev = fail
  syncBuiltinESMExports()
})`

test('when the disk fails the gateway says so and ends with 70; the next one has all that was acknowledged', async (t) => {
  const data = await mkdtemp(join(tmpdir(), 'ebbgate-fail-stop-'))
  t.after(() => rm(data, { recursive: true, force: true }))
  const gateway = new CliProcess(['serve', '--port', '0', '--data', data], {
    execArgv: ['--import', `data:text/javascript,${encodeURIComponent(dyingDisk)}`],
  })
  await gateway.printed(/records" -d/)
  const url = /http:\/\/127\.0\.0\.1:\d+/.exec(gateway.stdout)?.[0] ?? ''
  const headers = { 'content-type': 'application/json' }
  await fetch(`${url}/v1/topics`, { method: 'POST', headers, body: '{"name":"orders"}' })
  const records = `${url}/v1/topics/orders/records`
  assert.equal((await fetch(records, { method: 'POST', body: 'acknowledged' })).status, 200)

  gateway.child.kill('SIGUSR2')
  // The signal needs a moment. The process may end before its last answer is out: then there is
  // none, which promises nothing either.
  let acknowledged = 1
  let last: number | string = 200
  for (; last === 200 && acknowledged < 10_000; acknowledged += 1) {
    last = await fetch(records, { method: 'POST', body: 'more' }).then(
      (answer) => answer.status,
      () => 'no answer',
    )
  }
  acknowledged -= 1
  assert.ok(last === 503 || last === 'no answer', String(last))
  const { code, stderr } = await gateway.ended()
  assert.equal(code, 70, stderr)
  assert.match(stderr, /The disk failed/)

  const next = await startGateway({ data })
  t.after(() => next.stop())
  const answer = await fetch(`${next.url}/v1/topics/orders/records?maxRecords=10000`)
  const { records: kept } = (await answer.json()) as { records: { value: unknown }[] }
  assert.equal(kept[0]?.value, 'acknowledged')
  // What was in flight is there once or not at all.
  assert.ok(kept.length === acknowledged || kept.length === acknowledged + 1, `${kept.length}`)
})
