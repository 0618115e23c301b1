/** The open doors: a listening server for HTTP and push, further ones for dialects, and how they are closed. */
import type { AddressInfo } from 'node:net'
import type { createHttpServer } from '../http/server.ts'
import type { Clock } from '../kit/clock.ts'
import type { Closable } from '../kit/lifecycle.ts'
import type { Listener } from './listeners.ts'

type HttpServer = ReturnType<typeof createHttpServer>

export interface Door extends Omit<Listener, 'dialect'> {
  readonly server: HttpServer
}

export class Doors implements Closable {
  readonly #doors: readonly Door[]
  readonly #clock: Clock
  readonly #graceMs: number
  #url = ''

  constructor(doors: readonly Door[], clock: Clock, graceMs: number) {
    this.#doors = doors
    this.#clock = clock
    this.#graceMs = graceMs
  }

  /** Where the first door is, as a URL that works on this machine; empty before `open()`. */
  get url(): string {
    return this.#url
  }

  /** Rejects with what listening says (EADDRINUSE, EACCES, EADDRNOTAVAIL). */
  async open(): Promise<void> {
    for (const { server, host, port } of this.#doors) {
      await server.listen({ host, port })
      if (this.#url === '') this.#url = urlOf(server.server.address() as AddressInfo)
    }
  }

  /** Takes no more requests, lets those in flight finish, and cuts what is left after the grace. */
  async close(): Promise<void> {
    const cut = this.#clock.after(this.#graceMs, () => {
      for (const { server } of this.#doors) server.server.closeAllConnections()
    })
    try {
      const closings = await Promise.allSettled(this.#doors.map(({ server }) => server.close()))
      const failed = closings.find(({ status }) => status === 'rejected')
      if (failed?.status === 'rejected') throw failed.reason
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
