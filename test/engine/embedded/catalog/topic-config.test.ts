import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  changedConfig,
  checkConfig,
  compressionOf,
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
    'message.timestamp.before.max.ms': '7',
    'message.timestamp.after.max.ms': '8',
  })
  assert.equal(settings.segmentBytes, 5000)
  assert.equal(settings.segmentMs, 10)
  assert.equal(settings.messageBytesMax, 99)
  assert.equal(settings.fileDeleteDelayMs, 60_000)
  assert.equal(settings.logAppendTime, false)
  assert.deepEqual([settings.timestampBeforeMsMax, settings.timestampAfterMsMax], [7, 8])
})

test("where the log sets the times, the client's may be anything", () => {
  const settings = settingsOf({
    'message.timestamp.type': 'LogAppendTime',
    'message.timestamp.after.max.ms': '8',
  })
  assert.equal(settings.logAppendTime, true)
  assert.equal(settings.timestampBeforeMsMax, Infinity)
  assert.equal(settings.timestampAfterMsMax, Infinity)
})

test('a compression type brings its level along; producer and uncompressed compress nothing', () => {
  const of = (type: string, more = {}) => compressionOf({ 'compression.type': type, ...more })
  assert.equal(compressionOf({}), undefined)
  assert.equal(of('producer'), undefined)
  assert.equal(of('uncompressed'), undefined)
  assert.deepEqual(of('gzip'), { codec: 'gzip', level: -1 })
  assert.deepEqual(of('zstd', { 'compression.zstd.level': '-5' }), { codec: 'zstd', level: -5 })
  assert.deepEqual(of('snappy'), { codec: 'snappy' })
  assert.deepEqual(of('lz4'), { codec: 'lz4' })
})

test("Kafka's own largest values are taken", () => {
  checkConfig({ 'flush.messages': '9223372036854775807', 'retention.ms': '9223372036854775807' })
  assert.throws(() => checkConfig({ 'retention.ms': '9223372036854775808' }), /from -1 to 9223/)
})

test('a misspelt name is refused with the nearest one', () => {
  assert.throws(() => checkConfig({ 'retenton.ms': '1' }), /Did you mean 'retention\.ms'\?/)
  assert.throws(
    () => changedConfig({}, [{ op: 'set', name: 'clean.policy', value: 'compact' }]),
    /no topic setting\..*(config\.md|cleanup\.policy)/,
  )
  assert.throws(() => checkConfig({ colour: 'red' }), /docs\/config\.md lists them all/)
})

test('settings that contradict each other are refused, whichever of them changes', () => {
  const least = { 'min.compaction.lag.ms': '1000' }
  assert.throws(
    () => checkConfig({ ...least, 'max.compaction.lag.ms': '999' }),
    /'min\.compaction\.lag\.ms' \(1000\) cannot be above 'max\.compaction\.lag\.ms' \(999\)/,
  )
  const config = { ...least, 'max.compaction.lag.ms': '1000' }
  checkConfig(config)
  assert.throws(
    () => changedConfig(config, [{ op: 'set', name: 'min.compaction.lag.ms', value: '1001' }]),
    { code: 'INVALID_CONFIG' },
  )
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
  ['compression.type', 'brotli'],
  ['compression.gzip.level', '0'],
  ['compression.gzip.level', '10'],
  ['remote.storage.enable', 'true'],
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
