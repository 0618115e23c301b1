/** The address that instances tell their clients. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { TestHttp } from '../../support/http.ts'
import { control, openTestV2 } from '../../support/v2-http.ts'

const behind = await openTestV2({ trustedProxies: ['127.0.0.0/8'] })
const direct = await openTestV2({ trustedProxies: ['10.0.0.0/8'] })
after(() => Promise.all([behind.close(), direct.close()]))

async function baseUri(http: TestHttp, headers: Record<string, string>): Promise<string> {
  const made = await http.post('/consumers/g').set(headers).type(control).send({}).expect(200)
  return (made.body as { base_uri: string }).base_uri.replace(/\/consumers\/g\/instances\/.+/, '')
}

test('a trusted proxy says how the client reached it', async () => {
  const cases: [headers: Record<string, string>, base: string][] = [
    [{ forwarded: 'for=9.9.9.9;proto=https;host=events.example' }, 'https://events.example'],
    [{ forwarded: 'Proto=HTTPS; Host="events.example:8443"' }, 'https://events.example:8443'],
    [
      { forwarded: 'proto=https;host=first.example, proto=http;host=second.internal' },
      'https://first.example',
    ],
    [
      { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'events.example' },
      'https://events.example',
    ],
    [
      {
        'x-forwarded-proto': 'https, http',
        'x-forwarded-host': 'events.example, gateway',
        'x-forwarded-prefix': '/kafka/',
      },
      'https://events.example/kafka',
    ],
    [{ 'x-forwarded-prefix': '/a/b' }, `${behind.http.url}/a/b`],
    [{ 'x-forwarded-proto': 'https' }, behind.http.url.replace('http:', 'https:')],
    [{ forwarded: 'for=9.9.9.9', 'x-forwarded-proto': 'https' }, behind.http.url],
  ]
  for (const [headers, base] of cases) {
    assert.equal(await baseUri(behind.http, headers), base, JSON.stringify(headers))
  }
})

test('what could not stand in a link counts as not said', async () => {
  for (const host of ['a b', 'a/b', 'a@b', '"', 'a:999999']) {
    assert.equal(await baseUri(behind.http, { 'x-forwarded-host': host }), behind.http.url)
  }
  for (const prefix of ['x', '//evil.example', '/a?b', '/a b', '/<script>']) {
    assert.equal(await baseUri(behind.http, { 'x-forwarded-prefix': prefix }), behind.http.url)
  }
})

test('a client that is no trusted proxy says nothing about its address', async () => {
  const headers = {
    forwarded: 'proto=https;host=evil.example',
    'x-forwarded-proto': 'https',
    'x-forwarded-host': 'evil.example',
    'x-forwarded-prefix': '/evil',
  }
  assert.equal(await baseUri(direct.http, headers), direct.http.url)
})
