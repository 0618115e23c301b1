/** A TCP relay that a test cuts, without FIN or close frame, as a lost network does. */
import type { AddressInfo, Server, Socket } from 'node:net'
import { connect, createServer } from 'node:net'

export class TcpCutter {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor(server: Server) {
    this.#server = server
  }

  /** Relays to a port of this machine, or to the socket with this path. */
  static async open(target: number | string): Promise<TcpCutter> {
    const server = createServer()
    const cutter = new TcpCutter(server)
    server.on('connection', (near) => {
      const far = typeof target === 'string' ? connect(target) : connect(target, '127.0.0.1')
      for (const [socket, other] of [
        [near, far],
        [far, near],
      ] as const) {
        cutter.#sockets.add(socket)
        socket.on('error', () => other.destroy())
        socket.on('close', () => {
          cutter.#sockets.delete(socket)
          other.destroy()
        })
        socket.pipe(other)
      }
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return cutter
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** Resets every connection there is now. */
  cut(): void {
    for (const socket of [...this.#sockets]) {
      // A Unix socket knows no reset.
      if (socket.remoteAddress === undefined) socket.destroy()
      else socket.resetAndDestroy()
    }
  }

  /** Nothing goes through the connections there are now, and neither end hears of it. */
  stall(): void {
    for (const socket of this.#sockets) socket.unpipe().pause()
  }

  close(): void {
    this.#server.close()
    this.cut()
  }
}
