/**
 * Fills a data folder through the engine as fast as it takes it, until it is killed: big batches,
 * several partitions, several calls under way. Prints how many bytes are acknowledged.
 */
import { directoryLock } from '../../src/engine/embedded/disk/directory-lock.ts'
import { nodeDisk } from '../../src/engine/embedded/disk/node-disk.ts'
import { createEmbeddedEngine } from '../../src/engine/embedded/embedded-engine.ts'
import { systemClock } from '../../src/kit/clock.ts'
import { silentLogger } from '../../src/kit/logger.ts'
import { systemRandom } from '../../src/kit/random.ts'
import { writeBatch } from '../../src/model/batch-writer.ts'
import { GatewayError } from '../../src/model/errors.ts'

const topic = 'filled'
const partitions = 16
const callsAtOnce = 24
const recordsPerBatch = 1000
const options = { timeoutMs: 60_000 }

const data = process.argv[2]!
const engine = createEmbeddedEngine({
  disk: nodeDisk(data),
  lock: directoryLock(data, systemClock),
  clock: systemClock,
  random: systemRandom,
  logger: silentLogger,
  members: 'memory',
})
await engine.open()
if (engine.topics.known(topic) === undefined) {
  await engine.topics.create([{ name: topic, partitions }], options)
}

const value = Buffer.alloc(500, 'x')
let acknowledged = 0
async function fill(first: number): Promise<void> {
  for (let partition = first; ; partition = (partition + 1) % partitions) {
    const records = Array.from({ length: recordsPerBatch }, () => ({
      key: null,
      value,
      headers: [],
    }))
    const batch = writeBatch(records, Date.now())
    const entry = { tp: { topic, partition }, batch, trusted: true }
    const [result] = await engine.log.append([entry], options).catch((error: unknown) => {
      if (error instanceof GatewayError && error.code === 'OVERLOADED') return [undefined]
      throw error
    })
    if (result === undefined) await new Promise((resolve) => setTimeout(resolve, 20))
    else if (result.error === undefined) acknowledged += batch.length
    else throw result.error
  }
}
const printing = setInterval(() => process.stdout.write(`${acknowledged}\n`), 50)
await Promise.all(Array.from({ length: callsAtOnce }, (_, call) => fill(call % partitions)))
clearInterval(printing)
