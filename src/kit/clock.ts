/** Time comes in from outside: every room takes a Clock, so that tests can move it by hand. */

export interface Timer {
  /** Cancelling twice, or after the timer has fired, does nothing. */
  cancel(): void
}

export interface Clock {
  /** Milliseconds since 1970. May jump: use it for timestamps of records, never for waiting. */
  wallMs(): number
  /** Milliseconds that only ever rise. Use it for deadlines, leases and scheduling. */
  monotonicMs(): number
  /** Runs `run` once, after `delayMs`. A pending timer never keeps the process alive. */
  after(delayMs: number, run: () => void): Timer
  /** Runs `run` in the next turn of the event loop, behind the I/O callbacks that are ready. */
  soon(run: () => void): void
}

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs)
    timer.unref()
    return { cancel: () => clearTimeout(timer) }
  },
  soon(run) {
    setImmediate(run)
  },
}

/**
 * Resolves `true` after `delayMs`, or `false` as soon as `signal` aborts.
 * It never rejects, because a wait that is cut short is an ordinary end for its callers.
 */
export function pause(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<boolean> {
  if (signal?.aborted === true) return Promise.resolve(false)
  return new Promise((resolve) => {
    const timer = clock.after(delayMs, () => {
      signal?.removeEventListener('abort', onAbort)
      resolve(true)
    })
    const onAbort = (): void => {
      timer.cancel()
      resolve(false)
    }
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}

/**
 * The instant that an ISO 8601 date or date-time names, in ms since 1970; undefined for anything else.
 * A date alone is midnight in UTC. A time of day needs its zone: without one it would mean another
 * instant on every machine.
 */
export function parseIsoTime(text: string): number | undefined {
  if (!/^\d{4}-\d{2}-\d{2}(T[0-9:.]+(Z|[+-]\d{2}:\d{2}))?$/.test(text)) return undefined
  const time = Date.parse(text)
  return Number.isNaN(time) || !isDay(text.slice(0, 10)) ? undefined : time
}

/** Whether the calendar has it: Date.parse takes 30 February for 1 or 2 March. */
function isDay(date: string): boolean {
  return formatIsoTime(Date.parse(date)).startsWith(date)
}

/** `timeMs` (ms since 1970) as ISO 8601 in UTC. */
export function formatIsoTime(timeMs: number): string {
  return new Date(timeMs).toISOString()
}
