/** Whether requests are served, and if not, why: one answer for the doors, the probes and the metrics. */
import type { EngineHealth } from '../engine/engine.ts'

export interface ReadyState {
  readonly ready: boolean
  readonly reason?: string
  readonly recovery?: { readonly done: number; readonly total: number }
  /** Ready, but something that not every request needs is missing. */
  readonly degraded?: string
}

const serving: ReadyState = Object.freeze({ ready: true })
/** Producing and reading without a group go on. */
const withoutSessions: ReadyState = Object.freeze({
  ready: true,
  degraded: 'the session store cannot be reached',
})
const stopping: ReadyState = Object.freeze({ ready: false, reason: 'it is stopping' })

export class Readiness {
  readonly #health: () => EngineHealth
  readonly #hasSessions: () => boolean
  #phase: 'starting' | 'serving' | 'stopping' = 'starting'

  /** `hasSessions`: whether the session store can be reached. */
  constructor(health: () => EngineHealth, hasSessions: () => boolean) {
    this.#health = health
    this.#hasSessions = hasSessions
  }

  begin(): void {
    if (this.#phase === 'starting') this.#phase = 'serving'
  }

  end(): void {
    this.#phase = 'stopping'
  }

  /** Asked by every request. */
  state(): ReadyState {
    if (this.#phase === 'stopping') return stopping
    const { state, reason, recovery } = this.#health()
    if (this.#phase === 'starting') {
      const because = { ready: false, reason: 'it is starting' }
      return recovery === undefined ? because : { ...because, recovery }
    }
    switch (state) {
      case 'ok':
        if (!this.#hasSessions()) return withoutSessions
        return reason === undefined ? serving : { ready: true, degraded: reason }
      case 'recovering':
        return { ready: false, reason: 'the log is recovering', ...(recovery && { recovery }) }
      case 'fenced':
        return { ready: false, reason: 'the disk failed and the log has stopped' }
      // What can still be read is worth serving; writes say for themselves what is wrong.
      case 'low':
        return { ready: true, degraded: reason ?? 'the disk has little room' }
      case 'full':
        return { ready: true, degraded: reason ?? 'the disk is full' }
      case 'corrupt':
        return { ready: true, degraded: reason ?? 'a partition is damaged' }
    }
  }
}
