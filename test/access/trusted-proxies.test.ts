import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TrustedProxies } from '../../src/access/trusted-proxies.ts'
import { GatewayError } from '../../src/model/errors.ts'

test('addresses and networks are trusted in both families, others are not', () => {
  const proxies = new TrustedProxies(['10.0.0.0/8', '192.168.1.7', 'fd00::/8', '::1'])
  for (const address of ['10.1.2.3', '::ffff:10.1.2.3', '192.168.1.7', 'fd12::1', '::1']) {
    assert.ok(proxies.includes(address), address)
  }
  for (const address of ['11.0.0.1', '192.168.1.8', 'fe80::1', '::2', 'unknown', '', undefined]) {
    assert.ok(!proxies.includes(address), String(address))
  }
})

test('without a list nobody is trusted', () => {
  assert.ok(!new TrustedProxies([]).includes('127.0.0.1'))
})

test('what is no address is a mistake that names the setting', () => {
  for (const rule of ['proxy.example', '10.0.0.0/33', '::/129', '10.0.0.0/', '10.0.0.0/8/8', '']) {
    assert.throws(
      () => new TrustedProxies([rule]),
      (error) => error instanceof GatewayError && /^http\.trustedProxies: /.test(error.message),
      rule,
    )
  }
})
