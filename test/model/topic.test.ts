import assert from 'node:assert/strict'
import { test } from 'node:test'
import { collisionName, isInternalTopic, isTopicName } from '../../src/model/topic.ts'

test('topic names follow the rule of Kafka', () => {
  for (const name of ['a', 'orders', 'a.b_c-D9', '...', 'x'.repeat(249)]) {
    assert.ok(isTopicName(name), name)
  }
  for (const name of ['', '.', '..', 'a b', 'a/b', 'ö', 'a\n', 'x'.repeat(250)]) {
    assert.ok(!isTopicName(name), name)
  }
  assert.equal(collisionName('a.b_c'), 'a_b_c')
  assert.ok(isInternalTopic('__ebbgate_settings'))
  assert.ok(!isInternalTopic('_mine'))
})
