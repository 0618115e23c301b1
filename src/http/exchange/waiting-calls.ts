/** The requests that wait for something, so that all of them can be let go when the gateway drains. */
import type { ServerResponse } from 'node:http'

export class WaitingCalls {
  readonly #waiting = new Set<AbortController>()
  #drained = false

  /** Aborts when the connection closes or the gateway drains. Forgotten once the answer is over. */
  signalFor(response: ServerResponse): AbortSignal {
    const controller = new AbortController()
    if (this.#drained || response.destroyed) {
      controller.abort()
      return controller.signal
    }
    this.#waiting.add(controller)
    response.once('close', () => {
      this.#waiting.delete(controller)
      if (!response.writableFinished) controller.abort()
    })
    return controller.signal
  }

  /** Ends all waits: those who wait are answered with what there is. */
  drain(): void {
    this.#drained = true
    for (const controller of this.#waiting) controller.abort()
    this.#waiting.clear()
  }
}
