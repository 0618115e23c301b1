/** Who may ask for a back-up, and of which engine. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BackupAdmin } from '../../src/admin/backups.ts'
import type { Backups } from '../../src/engine/backups.ts'
import { anonymous } from '../../src/model/principal.ts'

const report = { topics: 1, partitions: 2, bytes: 3, linkedBytes: 0 }
const backups: Backups = { make: async () => report }

test('an engine without back-ups says so, and a gateway that others can reach refuses', async () => {
  const without = new BackupAdmin({ backups: undefined, isAllowed: true })
  await assert.rejects(without.make(anonymous, '/copy'), { code: 'UNSUPPORTED' })
  const open = new BackupAdmin({ backups, isAllowed: false })
  await assert.rejects(open.make(anonymous, '/copy'), { code: 'FORBIDDEN' })
  const allowed = new BackupAdmin({ backups, isAllowed: true })
  assert.deepEqual(await allowed.make(anonymous, '/copy'), report)
})
