/** What every call of the port shares. */

export interface CallOptions {
  /** The call is decided or rejected within this time, ms. */
  readonly timeoutMs: number
  readonly signal?: AbortSignal
}

/** A registered interest. Closing twice does nothing; no callback comes after it. */
export interface Watch {
  close(): void
}
