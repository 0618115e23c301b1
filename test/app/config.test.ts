import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import type { ConfigSources } from '../../src/app/config.ts'
import { completeConfig, readConfig } from '../../src/app/config.ts'
import type { GatewayConfig } from '../../src/app/settings.ts'
import { GatewayError } from '../../src/model/errors.ts'

const folder = mkdtempSync(join(tmpdir(), 'ebbgate-config-'))
test.after(() => rmSync(folder, { recursive: true }))

function fileWith(text: string): string {
  const path = join(folder, 'ebbgate.yaml')
  writeFileSync(path, text)
  return path
}

function refusal(sources: ConfigSources): string {
  try {
    readConfig(sources)
  } catch (error) {
    assert.ok(error instanceof GatewayError)
    assert.equal(error.code, 'INVALID_CONFIG')
    return error.message
  }
  assert.fail('the configuration was taken')
}

test('without any configuration everything has its documented default', () => {
  assert.deepEqual(readConfig({}), {
    host: '127.0.0.1',
    port: 8082,
    data: './data',
    engine: 'embedded',
    sessions: 'memory',
    logLevel: 'info',
    anonymous: false,
    http: { allowedHosts: [], trustedProxies: [], dialect: 'confluent', listeners: [] },
    cors: { origins: [] },
    topics: { autoCreate: 'compat' },
    shutdown: { graceMs: 3000 },
  } satisfies GatewayConfig)
})

test('a flag wins over the environment, the environment over the file, the file over the default', () => {
  const file = fileWith(
    'port: 1001\nlogLevel: warn\ndata: /from-file\ntopics:\n  autoCreate: all\n',
  )
  const env = { EBBGATE_PORT: '1002', EBBGATE_LOG_LEVEL: 'error', EBBGATE_CONFIG: 'not-read.yaml' }
  const config = readConfig({ flags: { port: '1003' }, env, file })
  assert.equal(config.port, 1003)
  assert.equal(config.logLevel, 'error')
  assert.equal(config.data, '/from-file')
  assert.equal(config.topics.autoCreate, 'all')
  assert.equal(config.host, '127.0.0.1')
})

test('EBBGATE_CONFIG names the config file', () => {
  const file = fileWith('port: 7777\n')
  assert.equal(readConfig({ env: { EBBGATE_CONFIG: file } }).port, 7777)
})

test('variables hold numbers, switches and lists as text; an empty one is not set', () => {
  const config = readConfig({
    env: {
      EBBGATE_PORT: '0',
      EBBGATE_ANONYMOUS: '1',
      EBBGATE_ALLOWED_HOSTS: 'gateway, events.internal',
      EBBGATE_CORS_ORIGINS: 'https://app.example.com',
      EBBGATE_SESSIONS: '',
    },
  })
  assert.equal(config.port, 0)
  assert.equal(config.anonymous, true)
  assert.deepEqual(config.http.allowedHosts, ['gateway', 'events.internal'])
  assert.deepEqual(config.cors.origins, ['https://app.example.com'])
  assert.equal(config.sessions, 'memory')
})

test('sessions live in memory or in Redis, reached by URL or by socket', () => {
  for (const sessions of [
    'memory',
    'redis://h:6379/1',
    'rediss://h',
    'unix:///r.sock',
    '/r.sock',
  ]) {
    assert.equal(readConfig({ env: { EBBGATE_SESSIONS: sessions } }).sessions, sessions)
  }
})

test('a wrong value is refused with the place it came from and what the setting takes', () => {
  assert.match(refusal({ flags: { port: 'abc' } }), /^--port: 'abc' is not a port number from 0 to/)
  assert.match(refusal({ env: { EBBGATE_PORT: '65536' } }), /^EBBGATE_PORT: 65536 is not a port/)
  assert.match(refusal({ env: { EBBGATE_PORT: '-1' } }), /^EBBGATE_PORT: '-1' is not a port/)
  assert.match(
    refusal({ file: fileWith('port: 1.5') }),
    /^port in .*ebbgate\.yaml: 1\.5 is not a port/,
  )
  assert.match(
    refusal({ env: { EBBGATE_LOG_LEVEL: 'loud' } }),
    /'loud' is not one of silent, error/,
  )
  assert.match(refusal({ env: { EBBGATE_PUBLIC_URL: 'example.com' } }), /is not an http:\/\/ or/)
  assert.match(refusal({ env: { EBBGATE_ANONYMOUS: 'maybe' } }), /'maybe' is not true or false/)
  assert.match(refusal({ file: fileWith('http: 5') }), /http in .* must hold further settings/)
  assert.match(refusal({ file: fileWith('- a\n- b') }), /must hold settings/)
  assert.match(refusal({ file: join(folder, 'none.yaml') }), /config file cannot be read: ENOENT/)
  assert.match(refusal({ file: fileWith('a: b: c') }), /config file cannot be read/)
})

test('all wrong values are named at once', () => {
  const message = refusal({ flags: { port: 'x' }, env: { EBBGATE_LOG_LEVEL: 'y' } })
  assert.deepEqual(message.split('\n').length, 2)
})

test('an unknown setting is refused with the nearest right one', () => {
  const inFile = refusal({ file: fileWith('topics:\n  autocreat: all') })
  assert.match(
    inFile,
    /^topics\.autocreat in .*: there is no such setting\. Did you mean 'topics\.autoCreate'\?/,
  )
  assert.equal(
    refusal({ env: { EBBGATE_PROT: '1' } }),
    "EBBGATE_PROT: there is no such setting. Did you mean 'EBBGATE_PORT'?",
  )
})

test('the Kafka engine is refused in words, not by a crash later', () => {
  assert.match(refusal({ flags: { engine: 'kafka' } }), /'kafka' is not in this version/)
})

test('the address of Redis is never shown, since it may hold a password', () => {
  const message = refusal({ env: { EBBGATE_SESSIONS: 'redis:secret@host' } })
  assert.doesNotMatch(message, /secret/)
  assert.match(message, /EBBGATE_SESSIONS/)
})

test('what Kubernetes sets for a service named ebbgate is passed over, or explained', () => {
  const links = { EBBGATE_SERVICE_HOST: '10.0.0.1', EBBGATE_PORT_8082_TCP: 'tcp://10.0.0.1:8082' }
  assert.equal(readConfig({ env: links }).port, 8082)
  assert.match(refusal({ env: { EBBGATE_PORT: 'tcp://10.0.0.1:8082' } }), /enableServiceLinks/)
})

test('a program gives the settings it cares about and gets the whole, frozen', () => {
  const config = completeConfig({ port: 0, http: { allowedHosts: ['gateway'] } })
  assert.equal(config.port, 0)
  assert.equal(config.data, './data')
  assert.throws(() => {
    ;(config.http.allowedHosts as string[]).push('other')
  }, TypeError)
  assert.throws(() => completeConfig({ prot: 1 } as never), /Did you mean 'port'/)
})

test('being reached from other machines must be meant, since nobody has to show a credential', () => {
  for (const host of ['127.0.0.1', '127.9.9.9', 'localhost', '::1']) {
    assert.equal(readConfig({ flags: { host } }).host, host)
  }
  for (const host of ['0.0.0.0', '::', '192.0.2.1', 'gateway.example']) {
    assert.match(refusal({ flags: { host } }), /^--host: listening on .* EBBGATE_ANONYMOUS=1\.$/)
    assert.equal(readConfig({ flags: { host, anonymous: true } }).host, host)
  }
})
