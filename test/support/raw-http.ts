/** HTTP by hand over a socket, so that header case, chunk borders and missing headers are exact. */
import { once } from 'node:events'
import { connect } from 'node:net'
import type { Socket } from 'node:net'

export class RawHttp {
  readonly #socket: Socket
  #seen = ''
  #closed = false

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => (this.#seen += chunk.toString('latin1')))
    socket.on('close', () => (this.#closed = true))
    socket.on('error', () => undefined)
  }

  static async open(port: number): Promise<RawHttp> {
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    return new RawHttp(socket)
  }

  /** Lines are joined by CRLF; a blank last line ends the head. */
  head(...lines: string[]): this {
    this.#socket.write(`${lines.join('\r\n')}\r\n\r\n`)
    return this
  }

  write(text: string | Buffer): this {
    this.#socket.write(text)
    return this
  }

  /** What has come until now. */
  get seen(): string {
    return this.#seen
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Everything from the last answer on, once `pattern` is in what has come. */
  async until(pattern: RegExp): Promise<string> {
    while (!pattern.test(this.#seen)) {
      if (this.#closed) throw new Error(`The socket closed before ${pattern} came:\n${this.#seen}`)
      await Promise.race([once(this.#socket, 'data'), once(this.#socket, 'close')])
    }
    return this.#seen
  }

  /** Everything, once the peer has closed. */
  async end(): Promise<string> {
    if (!this.#closed) await once(this.#socket, 'close')
    return this.#seen
  }

  /** Forgets what has come, before the next request on the same connection. */
  clear(): this {
    this.#seen = ''
    return this
  }

  destroy(): void {
    this.#socket.destroy()
  }
}
