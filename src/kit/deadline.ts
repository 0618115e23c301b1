/** Every wait ends: a promise raced against a time limit and a signal. */
import type { Clock } from './clock.ts'

export interface Deadline {
  readonly timeoutMs: number
  readonly signal?: AbortSignal
}

/**
 * The promise's own outcome, or a rejection with `late()` once `timeoutMs` has passed or the signal
 * aborts. What was promised goes on behind it; its later failure is not reported again.
 */
export function withDeadline<T>(
  clock: Clock,
  promise: Promise<T>,
  deadline: Deadline,
  late: (why: 'timeout' | 'aborted') => Error,
): Promise<T> {
  const { timeoutMs, signal } = deadline
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      timer.cancel()
      signal?.removeEventListener('abort', onAbort)
    }
    const onAbort = (): void => {
      stop()
      reject(late('aborted'))
    }
    const timer = clock.after(timeoutMs, () => {
      stop()
      reject(late('timeout'))
    })
    promise.then(
      (value) => {
        stop()
        resolve(value)
      },
      (error: unknown) => {
        stop()
        reject(error instanceof Error ? error : new Error(String(error)))
      },
    )
    if (signal?.aborted === true) onAbort()
    else signal?.addEventListener('abort', onAbort, { once: true })
  })
}
