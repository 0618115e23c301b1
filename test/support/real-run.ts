/** Posts the real events, source by source at once, and can be cut and continued. */
import type { Ledger } from './ledger.ts'
import type { Source } from './real-events.ts'
import { sources } from './real-events.ts'

export class RealRun {
  readonly #ledger: Ledger
  readonly #done = new Map<Source, number>()
  /** Called after each acknowledged request. */
  onProgress: (source: Source, acknowledged: number) => void = () => undefined

  constructor(ledger: Ledger) {
    this.#ledger = ledger
  }

  /**
   * Sends what has not been sent, until everything is out or the gateway is gone. A request without
   * an answer is not sent again: whether its events are stored is for the ledger to judge.
   */
  async post(url: string): Promise<void> {
    await Promise.all(sources.map((source) => this.#postSource(url, source)))
  }

  get finished(): boolean {
    return sources.every((source) => (this.#done.get(source) ?? 0) >= source.events.length)
  }

  async #postSource(url: string, source: Source): Promise<void> {
    for (;;) {
      const from = this.#done.get(source) ?? 0
      const events = source.events.slice(from, from + source.perRequest)
      if (events.length === 0) return
      this.#done.set(source, from + events.length)
      const acknowledge = this.#ledger.sending(source.topic, events)
      try {
        acknowledge(await source.send(url, events))
      } catch (error) {
        if (isRefusal(error)) throw error
        return
      }
      this.onProgress(source, from + events.length)
    }
  }
}

/** The gateway answered, and the answer was no: that is a finding, not a cut. */
function isRefusal(error: unknown): boolean {
  return (
    error instanceof Error && /^\d{3}: /.test(error.message) && !error.message.startsWith('503')
  )
}
