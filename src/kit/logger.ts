/** Structured logs. Rooms take the small Logger interface; pino stays in this file. */
import { pino } from 'pino'

export type LogFields = Readonly<Record<string, unknown>>

export interface Logger {
  debug(fields: LogFields, message: string): void
  info(fields: LogFields, message: string): void
  warn(fields: LogFields, message: string): void
  error(fields: LogFields, message: string): void
}

export const logLevels = ['silent', 'error', 'warn', 'info', 'debug'] as const
export type LogLevel = (typeof logLevels)[number]

/** Says nothing. For tests and for the library face. */
export const silentLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}

/** Lines that wait for room where they are written, characters; what comes on top is dropped. */
const waitingMax = 1024 * 1024

/**
 * JSON lines on stderr: stdout belongs to what a person or a pipe reads. A log that cannot be written
 * ends nothing: it often lies on the disk whose being full it tells of.
 */
export function createLogger(level: LogLevel): Logger {
  const lines = pino.destination({ fd: 2, sync: true, maxLength: waitingMax })
  lines.on('error', () => undefined)
  return pino({ level, base: null }, lines)
}
