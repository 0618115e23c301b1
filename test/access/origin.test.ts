import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { OriginFacts, OriginRules } from '../../src/access/origin.ts'
import { checkOrigin, isListedOrigin } from '../../src/access/origin.ts'

const rules: OriginRules = { port: 8082, allowedHosts: [], corsOrigins: [] }

function check(change: Partial<OriginFacts>, of: OriginRules = rules): string {
  const refused = checkOrigin(of, {
    origin: undefined,
    host: '127.0.0.1:8082',
    secFetchSite: undefined,
    credential: 'none',
    ...change,
  })
  if (refused === undefined) return 'allowed'
  assert.equal(refused.code, 'FORBIDDEN')
  return refused.message
}

test('a program without an Origin is let in', () => {
  assert.equal(check({}), 'allowed')
  assert.equal(check({ host: undefined }), 'allowed')
})

test('a page of the gateway itself is let in', () => {
  for (const origin of ['http://127.0.0.1:8082', 'http://localhost:8082', 'http://[::1]:8082']) {
    assert.equal(check({ origin, secFetchSite: 'same-origin' }), 'allowed', origin)
  }
})

test('a page of another site is refused, and the message names cors.origins', () => {
  for (const origin of [
    'https://evil.example',
    'http://localhost:3000',
    'http://localhost',
    'null',
    'http://localhost:8082.evil.example',
    'http://localhost:8082/',
    'http://user@localhost:8082',
    'file://',
    '',
  ]) {
    assert.match(check({ origin }), /cors\.origins/, origin)
  }
})

test('a request that says it comes from another site is refused, even without an Origin', () => {
  assert.match(check({ secFetchSite: 'cross-site' }), /cors\.origins/)
  for (const secFetchSite of ['same-origin', 'same-site', 'none']) {
    assert.equal(check({ secFetchSite }), 'allowed', secFetchSite)
  }
})

test('a listed origin is let in across sites; null cannot be listed', () => {
  const listed = { ...rules, corsOrigins: ['https://app.example', 'null'] }
  const app = { origin: 'https://app.example', secFetchSite: 'cross-site' }
  assert.equal(check(app, listed), 'allowed')
  assert.match(check({ origin: 'https://app.example:444' }, listed), /cors\.origins/)
  assert.match(check({ origin: 'null' }, listed), /cors\.origins/)
  assert.equal(isListedOrigin(listed, 'null'), false)
})

test('a rebound host name is refused, and the message names http.allowedHosts', () => {
  for (const host of [
    'evil.example:8082',
    'localhost.evil.example',
    'localhost@evil.example',
    '127.0.0.1.evil.example',
    'evil.example/',
    '',
  ]) {
    assert.match(check({ host }), /http\.allowedHosts/, host)
  }
})

test('loopback names and IP literals are hosts that cannot be rebound', () => {
  for (const host of [
    'localhost',
    'LOCALHOST:9',
    '127.1.2.3:8082',
    '[::1]:8082',
    '192.168.0.7',
    '[fe80::1]:80',
  ]) {
    assert.equal(check({ host }), 'allowed', host)
  }
})

test('hosts can be listed with or without their port', () => {
  const listed = { ...rules, allowedHosts: ['ebbgate', 'Gateway.local:8082'] }
  assert.equal(check({ host: 'ebbgate:8082' }, listed), 'allowed')
  assert.equal(check({ host: 'gateway.local:8082' }, listed), 'allowed')
  assert.match(check({ host: 'gateway.local:9999' }, listed), /http\.allowedHosts/)
})

test('with a public URL its origin is ours and its host is known', () => {
  const open = { ...rules, publicUrl: 'https://events.example/gate' }
  assert.equal(check({ host: 'events.example', origin: 'https://events.example' }, open), 'allowed')
  assert.match(check({ origin: 'http://events.example' }, open), /cors\.origins/)
  assert.match(check({ origin: 'http://localhost:8082' }, open), /cors\.origins/)
})

test('a credential that no browser adds by itself stands above the rules', () => {
  assert.equal(
    check({ origin: 'https://evil.example', host: 'evil.example', credential: 'explicit' }),
    'allowed',
  )
})

test('what a caller sent is shown shortened and harmless', () => {
  const message = check({ host: `\u001b[31m${'x'.repeat(500)}` })
  assert.ok(message.length < 400)
  assert.ok(!message.includes('\u001b'))
})
