/**
 * Answers that were written but not yet taken: a client that asks for much and reads nothing keeps
 * its answer in our memory until its connection is given up, so all of them together have a ceiling.
 */
import { GatewayError } from '../../model/errors.ts'
import type { CallContext } from './call.ts'

export class AnswersInFlight {
  readonly #bytesMax: number
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** Bytes held now. */
  get bytes(): number {
    return this.#bytes
  }

  /** Counts an answer until its client has it, or has gone. One alone always may. Throws OVERLOADED. */
  admit(call: Pick<CallContext, 'onWritten'>, bytes: number): void {
    if (this.#bytes > 0 && this.#bytes + bytes > this.#bytesMax) {
      throw new GatewayError('OVERLOADED', 'Too many answers wait for their clients to read them.')
    }
    this.#bytes += bytes
    call.onWritten(() => (this.#bytes -= bytes))
  }
}
