import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { GatewayError } from '../../src/model/errors.ts'
import { idOf, parseCommand, readMessage } from '../../src/push/commands.ts'

function refusal(message: Record<string, unknown>): string {
  try {
    parseCommand(message as { type: string })
  } catch (error) {
    assert.ok(error instanceof GatewayError)
    return `${error.code}: ${error.message}`
  }
  return 'accepted'
}

const subscribe = { type: 'subscribe', id: 1, sub: 's1', topics: ['orders'] }

test('a subscribe takes its defaults', () => {
  assert.deepEqual(parseCommand(subscribe), {
    ...subscribe,
    from: { at: 'latest' },
    onGap: 'continue',
    format: 'json',
  })
})

test('places are read by the one grammar', () => {
  const command = parseCommand({ ...subscribe, from: 'time:2026-11-21T00:00:00Z', until: 'latest' })
  assert.ok(command.type === 'subscribe')
  assert.deepEqual(command.from, { at: 'time', time: Date.UTC(2026, 10, 21) })
  assert.deepEqual(command.until, { at: 'latest' })
})

test('a misspelt member is named with the nearest right one', () => {
  assert.match(refusal({ ...subscribe, form: 'earliest' }), /BAD_REQUEST: 'form' .*'from'/)
  assert.match(refusal({ ...subscribe, type: 'subscrbe' }), /BAD_REQUEST: 'subscrbe' .*'subscribe'/)
})

test('what comes with a later stage is UNSUPPORTED by name', () => {
  for (const member of ['group', 'session', 'credits', 'keys', 'filter', 'pattern']) {
    assert.match(refusal({ ...subscribe, [member]: 1 }), new RegExp(`UNSUPPORTED: '${member}'`))
  }
  for (const type of ['credit', 'ack', 'produce', 'auth']) {
    assert.match(refusal({ type, id: 1 }), new RegExp(`UNSUPPORTED: The command '${type}'`))
  }
})

test('a bare number is refused with both spellings', () => {
  for (const from of [1043, '1043']) {
    assert.match(refusal({ ...subscribe, from }), /'offset:1043' or 'time:1043'/)
  }
})

test('what can name no topic is refused, and not repeated at length', () => {
  for (const topic of ['../orders', '', 'x'.repeat(250)]) {
    assert.match(refusal({ ...subscribe, topics: ['orders', topic] }), /^BAD_REQUEST: .* name of/)
  }
  assert.ok(refusal({ ...subscribe, topics: ['x'.repeat(100_000)] }).length < 200)
})

test('members of the wrong kind are refused', () => {
  assert.match(refusal({ ...subscribe, id: -1 }), /needs an 'id'/)
  assert.match(refusal({ ...subscribe, id: '1' }), /needs an 'id'/)
  assert.match(refusal({ ...subscribe, sub: '' }), /'sub' must be/)
  assert.match(refusal({ ...subscribe, topics: [] }), /'topics' must be/)
  assert.match(refusal({ ...subscribe, topics: 'orders' }), /'topics' must be/)
  assert.match(refusal({ ...subscribe, topics: [1] }), /'topics' must be/)
  assert.match(refusal({ ...subscribe, partitions: [0.5] }), /'partitions' must be/)
  assert.match(refusal({ ...subscribe, onGap: 'ignore' }), /'onGap' must be one of/)
  assert.match(refusal({ ...subscribe, format: 'avro' }), /'format' must be one of/)
  assert.match(refusal({ ...subscribe, until: 'last:5' }), /'until'/)
  assert.match(refusal({ type: 'constructor', id: 1 }), /is not a command/)
})

test('no text makes the parser fail in an unforeseen way', () => {
  const anyMessage = fc.oneof(
    fc.string(),
    fc.json(),
    fc
      .dictionary(fc.string(), fc.jsonValue())
      .map((members) => JSON.stringify({ ...members, type: 'subscribe' })),
  )
  fc.assert(
    fc.property(anyMessage, (text) => {
      const message = readMessage(text)
      if (message === undefined) return
      idOf(message)
      try {
        parseCommand(message)
      } catch (error) {
        assert.ok(error instanceof GatewayError)
      }
    }),
  )
})
