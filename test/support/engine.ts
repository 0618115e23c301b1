/** The real embedded engine on a simulated disk, for every test that needs a log. */
import type {
  EmbeddedEngine,
  EmbeddedEngineOptions,
} from '../../src/engine/embedded/embedded-engine.ts'
import { createEmbeddedEngine } from '../../src/engine/embedded/embedded-engine.ts'
import type { Clock } from '../../src/kit/clock.ts'
import { systemClock } from '../../src/kit/clock.ts'
import { silentLogger } from '../../src/kit/logger.ts'
import { systemRandom } from '../../src/kit/random.ts'
import { SimDisk } from './sim-disk.ts'

const MiB = 1024 * 1024

export interface TestEngine<C extends Clock = Clock> {
  readonly engine: EmbeddedEngine
  readonly clock: C
  readonly disk: SimDisk
  readonly close: () => Promise<void>
}

type TestEngineOptions<C extends Clock> = Partial<Omit<EmbeddedEngineOptions, 'clock' | 'disk'>> & {
  readonly clock?: C
  readonly disk?: SimDisk
}

/** Opens an engine; by default on a new disk and with the system clock. Close it when done. */
export async function openTestEngine<C extends Clock = Clock>(
  options: TestEngineOptions<C> = {},
): Promise<TestEngine<C>> {
  const disk = options.disk ?? new SimDisk()
  const clock = options.clock ?? (systemClock as unknown as C)
  const engine = createEmbeddedEngine({
    random: systemRandom,
    logger: silentLogger,
    members: 'memory',
    journalSizes: { firstFileBytes: 20 * MiB, fileBytes: 20 * MiB },
    ...options,
    disk,
    clock,
  })
  await engine.open()
  return { engine, clock, disk, close: () => engine.close() }
}
