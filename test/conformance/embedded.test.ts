import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { directoryLock } from '../../src/engine/embedded/disk/directory-lock.ts'
import { nodeDisk } from '../../src/engine/embedded/disk/node-disk.ts'
import { createEmbeddedEngine } from '../../src/engine/embedded/embedded-engine.ts'
import { systemClock } from '../../src/kit/clock.ts'
import { silentLogger } from '../../src/kit/logger.ts'
import { systemRandom } from '../../src/kit/random.ts'
import { openTestEngine } from '../support/engine.ts'
import { engineSuite } from './engine-suite.ts'

engineSuite('the embedded engine on a simulated disk', () => openTestEngine())

engineSuite('the embedded engine with its hot tail off, so that files are read', () =>
  openTestEngine({ hotTailBytes: 0 }),
)

engineSuite('the embedded engine on the local disk', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'ebbgate-engine-'))
  const engine = createEmbeddedEngine({
    disk: nodeDisk(directory),
    lock: directoryLock(directory, systemClock),
    clock: systemClock,
    random: systemRandom,
    logger: silentLogger,
    members: 'journal',
  })
  await engine.open()
  return {
    engine,
    close: async () => {
      await engine.close()
      await rm(directory, { recursive: true })
    },
  }
})
