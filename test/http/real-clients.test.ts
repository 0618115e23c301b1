/** The clients themselves, with their defaults: what each sends is stored, unchanged, once. */
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { openTestHttp } from '../support/http.ts'

const run = promisify(execFile)
const http = await openTestHttp()
after(() => http.close())
const clients = fileURLToPath(new URL('../support/clients/', import.meta.url))
const scratch = mkdtempSync(join(tmpdir(), 'ebbgate-clients-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

let made = 0

interface Topic {
  readonly url: string
  stored(): Promise<string[]>
}

async function newTopic(): Promise<Topic> {
  const name = `client-${made++}`
  await http.post('/v1/topics').send({ name }).expect(201)
  const path = `/v1/topics/${name}/records`
  return {
    url: `${http.url}${path}`,
    async stored() {
      const { body } = await http.get(`${path}?format=binary&maxBytes=33554432`).expect(200)
      const { records } = body as { records: { value: string }[] }
      return records.map(({ value }) => Buffer.from(value, 'base64').toString('latin1'))
    },
  }
}

/** False, and the test is skipped aloud, where the tool is not there. */
async function isInstalled(t: TestContext, tool: string, ...args: string[]): Promise<boolean> {
  try {
    await run(tool, args, { timeout: 90_000 })
    return true
  } catch {
    t.skip(`${[tool, ...args].join(' ')} does not work here, so this client was not tried.`)
    return false
  }
}

test('curl sends text, JSON, arrays, files, pipes, forms and packed bodies', async (t) => {
  if (!(await isInstalled(t, 'curl', '--version'))) return
  const topic = await newTopic()
  const curlTo = async (url: string, ...args: string[]): Promise<string> => {
    const { stdout } = await run('curl', ['-sS', '-w', '%{http_code}', url, ...args])
    return stdout.slice(-3)
  }
  const curl = (...args: string[]): Promise<string> => curlTo(topic.url, ...args)
  const file = join(scratch, 'lines.ndjson')
  writeFileSync(file, '{"n":1.0}\n{"n":2}\n')
  const packed = join(scratch, 'packed.gz')
  writeFileSync(packed, gzipSync('packed'))
  const large = join(scratch, 'large')
  const text = 'x'.repeat(900_000)
  writeFileSync(large, `${text}\n`.repeat(2))
  assert.equal(await curl('-d', 'any text'), '200')
  assert.equal(await curl('-d', '[{"a":49300.00}, 2]'), '200')
  assert.equal(await curl('--http2', '-d', '{"h2c":1}'), '200')
  assert.equal(await curl('-0', '-d', '{"http":1.0}'), '200')
  const ndjson = 'Content-Type: application/x-ndjson'
  assert.equal(await curl('-H', ndjson, '--data-binary', `@${file}`), '200')
  assert.equal(await curl('-F', 'a=1', '-F', `b=@${file}`), '200')
  assert.equal(await curl('-H', 'Content-Encoding: gzip', '--data-binary', `@${packed}`), '200')
  assert.equal(await curl('-T', file, '-H', 'Prefer: return=minimal'), '204')
  // Above 1 MiB it waits for 100 Continue.
  const plain = 'Content-Type: text/plain'
  const lines = `${topic.url}?lines=true`
  assert.equal(await curlTo(lines, '-H', plain, '--data-binary', `@${large}`), '200')
  assert.deepEqual(await topic.stored(), [
    ...['any text', '{"a":49300.00}', '2', '{"h2c":1}', '{"http":1.0}', '{"n":1.0}', '{"n":2}'],
    ...['1', '{"n":1.0}\n{"n":2}\n', 'packed', '{"n":1.0}\n{"n":2}\n', text, text],
  ])
})

test('curl sends what comes out of a pipe', async (t) => {
  if (!(await isInstalled(t, 'curl', '--version'))) return
  const topic = await newTopic()
  const curl = spawn('curl', ['-sS', '-T', '-', topic.url], {
    stdio: ['pipe', 'ignore', 'inherit'],
  })
  curl.stdin.write('from ')
  curl.stdin.end('a pipe\n')
  const [code] = (await once(curl, 'close')) as [number]
  assert.equal(code, 0)
  assert.deepEqual(await topic.stored(), ['from a pipe\n'])
})

test("Python's urllib posts as its documentation shows", async (t) => {
  if (!(await isInstalled(t, 'python3', '--version'))) return
  const topic = await newTopic()
  await run('python3', [join(clients, 'post_urllib.py'), topic.url], { timeout: 60_000 })
  assert.deepEqual(await topic.stored(), ['{"urllib": 1.00}', 'a=1&b=2'])
})

test("Python's requests posts JSON, strings, forms, generators and files", async (t) => {
  if (!(await isInstalled(t, 'python3', '-c', 'import requests'))) return
  const topic = await newTopic()
  await run('python3', [join(clients, 'post_requests.py'), topic.url], { timeout: 60_000 })
  const sent = ['{"a": 1}', '[1, 2]', 'a=x+y', 'onetwo', '\x00\r\n\xff']
  assert.deepEqual(await topic.stored(), sent)
})

test("Java's HttpClient, which asks for h2c each time, posts with its defaults", async (t) => {
  if (!(await isInstalled(t, 'java', '--version'))) return
  if (!(await isInstalled(t, 'javac', '--version'))) return
  const topic = await newTopic()
  await run('java', [join(clients, 'Post.java'), topic.url], { timeout: 100_000 })
  const sent = [0, 1, 2, 3, 4].map((n) => `{"java":${n}.00}`)
  assert.deepEqual(await topic.stored(), sent)
})

test("Go's net/http posts bodies of known and of unknown length", async (t) => {
  // The first build on a machine compiles the standard library, which can take a minute.
  const program = join(scratch, 'post-go')
  if (!(await isInstalled(t, 'go', 'build', '-o', program, join(clients, 'post.go')))) return
  const topic = await newTopic()
  await run(program, [topic.url], { timeout: 20_000 })
  assert.deepEqual(await topic.stored(), ['{"go":0.00}', '{"go":1.00}', '{"go":2.00}'])
})

test('fetch posts strings, forms, blobs, bytes and streams', async () => {
  const topic = await newTopic()
  const parts = new FormData()
  parts.append('a', 'é')
  parts.append('f', new Blob([Uint8Array.of(0, 255)]), 'f.bin')
  const bodies: RequestInit[] = [
    { body: '{"a":1}' },
    { body: new URLSearchParams({ a: 'x y' }) },
    { body: new Blob(['{"b":1.0}'], { type: 'application/json' }) },
    { body: Uint8Array.of(1, 2) },
    { body: parts },
    { body: new Blob(['str', 'eamed']).stream(), duplex: 'half' },
  ]
  for (const init of bodies) {
    const answer = await fetch(topic.url, { method: 'POST', ...init })
    assert.equal(answer.status, 200, await answer.text())
  }
  assert.deepEqual(await topic.stored(), [
    ...['{"a":1}', 'a=x+y', '{"b":1.0}', '\x01\x02'],
    ...[Buffer.from('é').toString('latin1'), '\x00\xff', 'streamed'],
  ])
})
