/** An end that a command has foreseen: one clear line for the person, and an exit code. */

/** The work failed. */
export const exitFailed = 1
/** The command was used wrongly. */
export const exitUsage = 2
/** The disk failed under the gateway: it stopped rather than promise what it cannot keep. */
export const exitFailStop = 70

export class Failure extends Error {
  readonly exitCode: number

  constructor(message: string, options: { exitCode?: number; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'Failure'
    this.exitCode = options.exitCode ?? exitFailed
  }
}

/** How a person would call us again from where they are: a checkout and npx know no bare `ebbgate`. */
export function commandName(): string {
  const installed = process.env['npm_command'] !== 'exec' && !import.meta.filename.endsWith('.ts')
  return installed ? 'ebbgate' : 'npx ebbgate'
}
