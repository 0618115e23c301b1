import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  changedConfig,
  checkConfig,
  configEntries,
  settingsOf,
} from '../../../../src/engine/embedded/catalog/topic-config.ts'

test('every default is a value that its own check accepts', () => {
  const defaults = configEntries({})
  assert.ok(defaults.length >= 30)
  for (const { name, value, source } of defaults) {
    assert.equal(source, 'default')
    // Empty replica lists stand for "none" and are not set as values.
    if (value !== '') checkConfig({ [name]: value! })
  }
})

test('what is set has effect', () => {
  const settings = settingsOf({
    'segment.bytes': '5000',
    'segment.ms': '10',
    'max.message.bytes': '99',
    'message.timestamp.type': 'LogAppendTime',
  })
  assert.deepEqual(settings, {
    segmentBytes: 5000,
    segmentMs: 10,
    fileDeleteDelayMs: 60_000,
    messageBytesMax: 99,
    logAppendTime: true,
  })
})

for (const [name, value] of [
  ['retention.ms', '-2'],
  ['retention.ms', '1e3'],
  ['retention.ms', ' 1'],
  ['segment.bytes', '13'],
  ['max.message.bytes', '16777217'],
  ['cleanup.policy', 'shred'],
  ['cleanup.policy', ''],
  ['min.cleanable.dirty.ratio', '1.01'],
  ['min.cleanable.dirty.ratio', 'NaN'],
  ['preallocate', 'yes'],
  ['message.timestamp.type', 'createtime'],
  ['toString', 'x'],
  ['__proto__', 'x'],
] as const) {
  test(`${name} cannot be '${value}'`, () => {
    const config = Object.fromEntries([[name, value]])
    assert.throws(() => checkConfig(config), { code: 'INVALID_CONFIG' })
  })
}

test('changes come one after the other, and a bad one leaves everything as it was', () => {
  const before = { 'cleanup.policy': 'compact' }
  const after = changedConfig(before, [
    { op: 'append', name: 'cleanup.policy', value: 'delete,compact' },
    { op: 'subtract', name: 'cleanup.policy', value: 'compact' },
    { op: 'set', name: 'retention.ms', value: '5' },
    { op: 'delete', name: 'retention.ms' },
  ])
  assert.deepEqual(after, { 'cleanup.policy': 'delete' })
  assert.deepEqual(before, { 'cleanup.policy': 'compact' })
})
