/** A gateway over a journal with damage in its middle, as an operator meets it. */
import assert from 'node:assert/strict'
import { open, readFile, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { startGateway } from '../support/gateway-process.ts'

const headers = { 'content-type': 'application/json' }

async function produce(url: string, value: string): Promise<Response> {
  return fetch(`${url}/v1/topics/orders/records`, { method: 'POST', body: value })
}

async function read(url: string): Promise<unknown[]> {
  const answer = await fetch(`${url}/v1/topics/orders/records`)
  const { records } = (await answer.json()) as { records: { value: unknown }[] }
  return records.map(({ value }) => value)
}

/** Flips one bit of the frame that holds `text`. */
async function damage(data: string, text: string): Promise<void> {
  for (const name of await readdir(join(data, 'journal'))) {
    const path = join(data, 'journal', name)
    const at = (await readFile(path)).indexOf(text)
    if (at < 0) continue
    const file = await open(path, 'r+')
    const byte = Buffer.alloc(1)
    await file.read(byte, 0, 1, at)
    await file.write(Uint8Array.of(byte[0]! ^ 1), 0, 1, at)
    await file.close()
  }
}

test('a hole in the journal: the gateway reads up to it, says so at /readyz, and --recover goes on without the rest', async (t) => {
  const data = await mkdtemp(join(tmpdir(), 'ebbgate-recover-'))
  t.after(() => rm(data, { recursive: true, force: true }))
  const first = await startGateway({ data })
  await fetch(`${first.url}/v1/topics`, { method: 'POST', headers, body: '{"name":"orders"}' })
  for (const value of ['kept event', 'damaged event', 'event behind it']) {
    assert.equal((await produce(first.url, value)).status, 200)
  }
  await first.kill()
  await damage(data, 'damaged event')

  const damaged = await startGateway({ data })
  const ready = await fetch(`${damaged.url}/readyz`)
  const { status, reason } = (await ready.json()) as { status: string; reason: string }
  assert.deepEqual([ready.status, status], [200, 'degraded'])
  assert.match(reason, /The journal has a hole.*--recover=drop-damaged-journal/)
  assert.deepEqual(await read(damaged.url), ['kept event'])
  const refused = await produce(damaged.url, 'more')
  assert.equal(refused.status, 500)
  assert.equal(refused.headers.get('retry-after'), null)
  assert.equal(((await refused.json()) as { code: string }).code, 'CORRUPT_BATCH')
  assert.equal(await damaged.stop(), 0)

  const healed = await startGateway({ data, args: ['--recover=drop-damaged-journal'] })
  assert.match(healed.stderr(), /given up/)
  assert.equal((await produce(healed.url, 'new event')).status, 200)
  await healed.kill()
  assert.deepEqual(await readdir(join(data, 'quarantine')), ['damaged-journal-1'])
  const last = await startGateway({ data })
  assert.deepEqual(await read(last.url), ['kept event', 'new event'])
  await last.stop()
})
