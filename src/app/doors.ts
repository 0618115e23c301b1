/** The open doors: one listening server for HTTP and push, and how it is closed. */
import type { AddressInfo } from 'node:net'
import type { createHttpServer } from '../http/server.ts'
import type { Clock } from '../kit/clock.ts'
import type { Closable } from '../kit/lifecycle.ts'

type HttpServer = ReturnType<typeof createHttpServer>

export class Doors implements Closable {
  readonly #server: HttpServer
  readonly #clock: Clock
  readonly #graceMs: number
  #url = ''

  constructor(server: HttpServer, clock: Clock, graceMs: number) {
    this.#server = server
    this.#clock = clock
    this.#graceMs = graceMs
  }

  /** Where the doors are, as a URL that works on this machine; empty before `open()`. */
  get url(): string {
    return this.#url
  }

  /** Rejects with what listening says (EADDRINUSE, EACCES, EADDRNOTAVAIL). */
  async open(host: string, port: number): Promise<void> {
    await this.#server.listen({ host, port })
    this.#url = urlOf(this.#server.server.address() as AddressInfo)
  }

  /** Takes no more requests, lets those in flight finish, and cuts what is left after the grace. */
  async close(): Promise<void> {
    const { server } = this.#server
    const cut = this.#clock.after(this.#graceMs, () => server.closeAllConnections())
    try {
      await this.#server.close()
    } finally {
      cut.cancel()
    }
  }
}

function urlOf({ address, port, family }: AddressInfo): string {
  // Nobody can call the address that means "all of them".
  const host = address === '0.0.0.0' || address === '::' ? '127.0.0.1' : address
  return `http://${family === 'IPv6' && host.includes(':') ? `[${host}]` : host}:${port}`
}
