/** One real broker of Apache Kafka on loopback, in a folder of its own. */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { KafkaJars } from './kafka-jars.ts'

const stopDeadlineMs = 60_000
const saidMax = 4000

export class KafkaBroker {
  readonly address: string
  /** Holds a folder per partition. */
  readonly logs: string
  readonly #home: string
  readonly #process: ChildProcess
  #said = ''

  private constructor(home: string, address: string, process: ChildProcess) {
    this.#home = home
    this.logs = join(home, 'logs')
    this.address = address
    this.#process = process
    process.stdout?.resume()
    process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#said = (this.#said + text).slice(-saidMax)
    })
  }

  /** The last of its warnings and errors. */
  get said(): string {
    return this.#said
  }

  /** Formats a folder and starts the broker in it; clients wait until it answers. */
  static async start(jars: KafkaJars): Promise<KafkaBroker> {
    const home = await mkdtemp(join(tmpdir(), 'ebbgate-kafka-'))
    const [port, controllerPort] = [await freePort(), await freePort()]
    const config = join(home, 'server.properties')
    await writeFile(config, properties(join(home, 'logs'), port, controllerPort))
    const id = (await jars.ask('kafka.tools.StorageTool', ['random-uuid'])).trim()
    await jars.ask('kafka.tools.StorageTool', ['format', '--standalone', '-t', id, '-c', config])
    const process = jars.start('kafka.Kafka', [config])
    return new KafkaBroker(home, `127.0.0.1:${port}`, process)
  }

  /** A clean stop: then its files are as Kafka leaves them. */
  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const exited = once(this.#process, 'exit')
    this.#process.kill('SIGTERM')
    const hard = setTimeout(() => this.#process.kill('SIGKILL'), stopDeadlineMs)
    await exited
    clearTimeout(hard)
  }

  async remove(): Promise<void> {
    await this.stop()
    await rm(this.#home, { recursive: true, force: true })
  }
}

function properties(logs: string, port: number, controllerPort: number): string {
  return Object.entries({
    'process.roles': 'broker,controller',
    'node.id': 1,
    'controller.listener.names': 'CONTROLLER',
    'log.dirs': logs,
    listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
    'controller.quorum.bootstrap.servers': `127.0.0.1:${controllerPort}`,
    'listener.security.protocol.map': 'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT',
    'offsets.topic.replication.factor': 1,
    'offsets.topic.num.partitions': 1,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    'transaction.state.log.num.partitions': 1,
    // Records keep the times that the workload gives them, which are years ago.
    'log.retention.ms': -1,
    'log.roll.ms': Number.MAX_SAFE_INTEGER,
    // The cleaner is awake.
    'log.initial.task.delay.ms': 100,
    'log.cleaner.backoff.ms': 100,
    'log.cleaner.dedupe.buffer.size': 4 * 1024 * 1024,
  })
    .map(([name, value]) => `${name}=${value}\n`)
    .join('')
}

async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
