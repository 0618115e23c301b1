/**
 * The yardsticks, in a process of their own: a Fastify route that parses the same body and answers as
 * shortly as the gateway does, a route that answers prepared bytes, and a bare `ws` server that writes
 * one shared, pre-framed buffer to every socket.
 */
import fastify from 'fastify'
import { WebSocketServer } from 'ws'

const app = fastify()
const sockets = new WebSocketServer({ noServer: true })
let prepared: Buffer = Buffer.from('{}')

app.removeAllContentTypeParsers()
app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => {
  done(null, JSON.parse(body as string))
})
app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))

app.post('/json', () => ({ results: [{ partition: 0, offset: 1, timestamp: 1 }] }))
app.post('/prepare', { bodyLimit: 64 << 20 }, (request) => {
  prepared = request.body as Buffer
  return {}
})
app.get('/prepared', (_request, reply) => reply.type('application/json').send(prepared))
app.post('/broadcast', (request) => {
  const frame = textFrame(request.body as Buffer)
  for (const client of sockets.clients) {
    ;(client as unknown as { _socket: { write(bytes: Buffer): void } })._socket.write(frame)
  }
  return { results: [] }
})

app.server.on('upgrade', (request, socket, head) => {
  sockets.handleUpgrade(request, socket, head, (client) => sockets.emit('connection', client))
})

await app.listen({ port: 0, host: '127.0.0.1' })
const address = app.server.address()
process.stdout.write(`${typeof address === 'object' ? address?.port : ''}\n`)

function textFrame(payload: Buffer): Buffer {
  const head = Buffer.alloc(payload.length < 126 ? 2 : payload.length < 65_536 ? 4 : 10)
  head[0] = 0x81
  if (head.length === 2) head[1] = payload.length
  else if (head.length === 4) {
    head[1] = 126
    head.writeUInt16BE(payload.length, 2)
  } else {
    head[1] = 127
    head.writeBigUInt64BE(BigInt(payload.length), 2)
  }
  return Buffer.concat([head, payload])
}
