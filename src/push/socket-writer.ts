/** The one way out of a connection: replies, control and records in the order they were written. */
import type { Socket } from 'node:net'
import { repliesWaitingBytesMax } from '../model/limits.ts'

/** The part of a `ws` socket that says whether data may still be sent. */
export interface OpenState {
  readonly readyState: number
}

const open = 1

/**
 * Writes framed bytes straight to the socket. When the kernel takes no more, `ready` turns false and
 * data waits where it is, in rings and in the log; only replies, which are small and paid for by
 * commands, still go into the socket's own buffer.
 */
export class SocketWriter {
  readonly #socket: Socket
  readonly #state: OpenState
  #needDrain = false
  #corked = false

  /** `onDrain` runs each time the socket takes data again. */
  constructor(socket: Socket, state: OpenState, onDrain: () => void) {
    this.#socket = socket
    this.#state = state
    socket.on('drain', () => {
      this.#needDrain = false
      onDrain()
    })
  }

  /** Whether data may be written now. False for good once the connection closes. */
  get ready(): boolean {
    return !this.#needDrain && this.isOpen
  }

  /** After our Close frame nothing may follow it. */
  get isOpen(): boolean {
    return this.#state.readyState === open && this.#socket.writable
  }

  /** Data was written that the kernel has not taken yet. */
  get blocked(): boolean {
    return this.#needDrain
  }

  /** So much waits in front of further replies that reading more commands has to wait, too. */
  get crowded(): boolean {
    return this.#socket.writableLength > repliesWaitingBytesMax
  }

  /** Writes framed data. At most one such write overshoots what the kernel takes. */
  data(bytes: Uint8Array): void {
    if (this.isOpen && !this.#socket.write(bytes)) this.#needDrain = true
  }

  /** Writes a framed message whether the socket is ready or not; small ones of one turn go together. */
  control(bytes: Uint8Array): void {
    if (!this.isOpen) return
    if (!this.#corked) {
      this.#corked = true
      this.#socket.cork()
      process.nextTick(() => {
        this.#corked = false
        this.#socket.uncork()
      })
    }
    if (!this.#socket.write(bytes)) this.#needDrain = true
  }

  /**
   * Bytes that the kernel has not taken. Only the peer makes it fall, which is how a slow reader is
   * told from a dead one.
   */
  get unsentBytes(): number {
    // `writableLength` falls only when a whole write is through. The handle's own count also sees the
    // parts of a large one; Node's socket timeout looks at the same field.
    const { _handle: handle } = this.#socket as { _handle?: { writeQueueSize?: number } | null }
    return this.#socket.writableLength + (handle?.writeQueueSize ?? 0)
  }
}
