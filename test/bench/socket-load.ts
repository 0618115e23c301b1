/** WebSocket listeners that count bytes and look for one marker: as little work as a listener can do. */
import { once } from 'node:events'
import { connect } from 'node:net'
import type { Socket } from 'node:net'

/** Opens a WebSocket by hand and sends `hello`, if any, as its first message. */
export async function openListener(port: number, path: string, hello?: string): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  await once(socket, 'connect')
  socket.write(
    [
      `GET ${path} HTTP/1.1`,
      `Host: 127.0.0.1:${port}`,
      'Upgrade: websocket',
      'Connection: Upgrade',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
      'Sec-WebSocket-Version: 13',
      '',
      '',
    ].join('\r\n'),
  )
  await heard(socket, '\r\n\r\n')
  if (hello !== undefined) socket.write(maskedText(hello))
  return socket
}

/** Resolves when `marker` has come; only the end of each piece is searched, where it must stand. */
export function heard(socket: Socket, marker: string): Promise<void> {
  const wanted = Buffer.from(marker)
  return new Promise((resolve, reject) => {
    let tail: Buffer = Buffer.alloc(0)
    const onData = (part: Buffer): void => {
      const text = tail.length === 0 ? part : Buffer.concat([tail, part])
      if (text.includes(wanted)) {
        socket.off('data', onData)
        socket.off('close', onClose)
        resolve()
        return
      }
      tail = text.subarray(Math.max(0, text.length - wanted.length))
    }
    const onClose = (): void => reject(new Error(`A listener was closed before '${marker}' came.`))
    socket.on('data', onData)
    socket.on('close', onClose)
  })
}

/** A client frame must be masked (RFC 6455, 5.3); a mask of zeros leaves the text as it is. */
function maskedText(text: string): Buffer {
  const payload = Buffer.from(text)
  const head =
    payload.length < 126
      ? Buffer.from([0x81, 0x80 | payload.length])
      : Buffer.from([0x81, 0x80 | 126, payload.length >> 8, payload.length & 0xff])
  return Buffer.concat([head, Buffer.alloc(4), payload])
}
