/** Closing what was opened: in reverse, twice without harm, and never stopping half-way. */

export interface Closable {
  close(): Promise<void>
}

/** Remembers what was opened and closes it in reverse order; errors are gathered, none hides another. */
export class Lifecycle implements Closable {
  readonly #opened: { readonly name: string; readonly part: Closable }[] = []
  #closing: Promise<void> | undefined

  add<T extends Closable>(name: string, part: T): T {
    this.#opened.push({ name, part })
    return part
  }

  close(): Promise<void> {
    this.#closing ??= this.#closeAll()
    return this.#closing
  }

  async #closeAll(): Promise<void> {
    const errors: unknown[] = []
    for (const { name, part } of this.#opened.reverse()) {
      try {
        await part.close()
      } catch (cause) {
        errors.push(new Error(`Closing ${name} failed.`, { cause }))
      }
    }
    if (errors.length > 0) throw new AggregateError(errors, 'Some parts did not close cleanly.')
  }
}
