/** What a command prints: in order, no faster than the reader takes it. */
import { once } from 'node:events'
import { exitFailed } from './failure.ts'

/** Resolves when the reader has room for more. Rejects when it is gone. */
export async function print(text: string | Uint8Array): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, 'drain')
}

/**
 * A reader that has seen enough (`… | head`) ends the command quietly: what it asked for was done.
 * Called once, before anything is printed.
 */
export function leaveWhenNobodyReads(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0)
    process.stderr.write(`ebbgate: What was asked for could not be printed: ${error.message}\n`)
    process.exit(exitFailed)
  })
}
