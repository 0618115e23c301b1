/** `ebbgate serve`: a gateway in this process, until it is told to stop. */
import { resolve } from 'node:path'
import { readConfig } from '../app/config.ts'
import type { Gateway } from '../app/gateway.ts'
import { createGateway } from '../app/gateway.ts'
import type { GatewayConfig } from '../app/settings.ts'
import { systemClock } from '../kit/clock.ts'
import type { Logger } from '../kit/logger.ts'
import { createLogger } from '../kit/logger.ts'
import { Failure, commandName, exitFailStop, exitFailed } from './failure.ts'
import { version } from '../app/version.ts'

/** Requests in flight end by `shutdown.graceMs`; this much later the process ends in any case, ms. */
const closingMsMax = 1_500

/**
 * A terminal sends Ctrl-C to every process of the group, and npm passes it on once more: what comes
 * this soon after the first one was not pressed by a person, ms.
 */
const echoMs = 300

/** Resolves when the gateway has stopped. `options` are the flags as commander names them. */
export async function serve(options: Readonly<Record<string, unknown>>): Promise<void> {
  const { config: file, ...rest } = options
  const flags = Object.fromEntries(
    Object.entries(rest).map(([name, value]) => [dashed(name), value]),
  )
  const config = readConfig({
    flags,
    env: process.env,
    ...(typeof file === 'string' ? { file } : {}),
  })
  const logger = createLogger(config.logLevel)
  const stop = stopSignal(config, logger)
  const gateway = createGateway(config, {
    logger,
    onFatal: (error) => {
      logger.error({ err: error }, 'The disk failed; the gateway stops so that no answer is a lie.')
      process.exit(exitFailStop)
    },
  })
  try {
    await gateway.open()
  } catch (error) {
    // Closing what did not open may fail for the same reason; the first one is the one to tell.
    await gateway.close().catch((cause: unknown) => {
      logger.debug({ err: cause }, 'Closing after a failed start.')
    })
    throw explained(error, config)
  }
  // Nobody may be reading: the gateway serves on.
  process.stdout.on('error', () => undefined)
  process.stdout.write(readyLines(gateway, config))
  const calmDown = await stop
  await gateway.close()
  calmDown()
}

/**
 * Resolves at the first SIGINT or SIGTERM, with what to call when the stop is done: until then a timer
 * runs that ends the process in any case. A second signal ends it at once.
 */
function stopSignal(config: GatewayConfig, logger: Logger): Promise<() => void> {
  const { promise, resolve: stop } = Promise.withResolvers<() => void>()
  let firstMs: number | undefined
  const onSignal = (): void => {
    const nowMs = systemClock.monotonicMs()
    if (firstMs !== undefined) {
      if (nowMs - firstMs > echoMs) process.exit(exitFailed)
      return
    }
    firstMs = nowMs
    logger.info({}, 'Stopping.')
    // It keeps the process alive, or a stop that waits for nothing more would end without a word.
    // eslint-disable-next-line no-restricted-globals -- the last resort must not hang on anything of ours
    const lastResort = setTimeout(() => {
      logger.error({}, 'Stopping took too long; the log recovers what is open at the next start.')
      process.exit(exitFailed)
    }, config.shutdown.graceMs + closingMsMax)
    stop(() => clearTimeout(lastResort))
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  return promise
}

function readyLines(gateway: Gateway, config: GatewayConfig): string {
  const { url } = gateway
  const ebbgate = commandName()
  const elsewhere = config.port === 8082 && config.host === '127.0.0.1' ? '' : ` --url ${url}`
  return `Ebbgate ${version} is ready at ${url}
data: ${resolve(config.data)}
engine: ${gateway.engine}
durability: ${gateway.durability}

Next, in another terminal:
  ${ebbgate} topics create quickstart-events${elsewhere}
  echo 'This is my first event' | ${ebbgate} produce quickstart-events${elsewhere}
or with curl:
  curl "${url}/v1/topics" -d '{"name":"quickstart-events"}'
  curl "${url}/v1/topics/quickstart-events/records" -d 'This is my first event'
`
}

/** What keeps a gateway from starting, in one line that says what to do. */
function explained(cause: unknown, { host, port, data }: GatewayConfig): unknown {
  if (!(cause instanceof Error)) return cause
  const { code, syscall } = cause as NodeJS.ErrnoException
  const say = (text: string): Failure => new Failure(text, { cause })
  if (saysFull(cause) || saysFull(cause.cause)) {
    return say(
      `The disk of the data folder ${resolve(data)} is full. Make room there and start again; nothing that was acknowledged is lost.`,
    )
  }
  switch (code) {
    case 'EADDRINUSE':
      return say(
        `Port ${port} on ${host} is taken. Choose another with --port or EBBGATE_PORT; 0 picks a free one.`,
      )
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return say(
        `${host} is no address of this machine. Choose another with --host or EBBGATE_HOST.`,
      )
    case 'EACCES':
    case 'EPERM':
      if (syscall !== 'listen') break
      return say(
        `Port ${port} on ${host} may not be used by this user. Choose another with --port or EBBGATE_PORT.`,
      )
    default:
      break
  }
  // Every other system call of a start is about the data folder, and so is the lock's database.
  if (syscall === undefined && code !== 'ERR_SQLITE_ERROR') return cause
  return say(
    `The data folder ${resolve(data)} cannot be used (${cause.message}). Choose another with --data or EBBGATE_DATA.`,
  )
}

function saysFull(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  return code === 'ENOSPC' || code === 'EDQUOT'
}

function dashed(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}
