/** The push door on a real engine and a real port, with nothing of the REST door around it. */
import type { AddressInfo, Socket } from 'node:net'
import fastify from 'fastify'
import { Reader } from '../../src/consume/reader.ts'
import { Tail } from '../../src/consume/tail.ts'
import type { Engine } from '../../src/engine/engine.ts'
import { systemClock } from '../../src/kit/clock.ts'
import { silentLogger } from '../../src/kit/logger.ts'
import { systemRandom } from '../../src/kit/random.ts'
import { toGatewayError } from '../../src/model/errors.ts'
import type { NewRecord } from '../../src/model/record.ts'
import type { PushDoor, PushParts } from '../../src/push/websocket.ts'
import { registerPush } from '../../src/push/websocket.ts'
import { LogFixture } from './log-fixture.ts'
import { PushClient } from './push-client.ts'

export interface PushFixture {
  readonly engine: Engine
  readonly door: PushDoor
  readonly port: number
  readonly url: string
  /** What the server's sockets hold for their peers, bytes. */
  bufferedBytes(): number
  createTopic(name: string, partitions: number): Promise<void>
  deleteTopic(name: string): Promise<void>
  /** One batch; a value that is no string is a whole record. Returns the first offset. */
  write(
    topic: string,
    partition: number,
    values: readonly (string | Partial<NewRecord>)[],
  ): Promise<number>
  /** A client that has been welcomed. */
  connect(): Promise<PushClient>
  close(): Promise<void>
}

/** Parts that a test puts in the place of the real ones; with the engine, it can stand in front of it. */
export type PushPartsChoice = Partial<PushParts> | ((engine: Engine) => Partial<PushParts>)

export async function openPush(choice: PushPartsChoice = {}): Promise<PushFixture> {
  const fixture = await LogFixture.open()
  const parts = typeof choice === 'function' ? choice(fixture.engine) : choice
  const { engine } = fixture
  const { log, topics } = engine
  const clock = systemClock
  const tail = new Tail({ log, topics, clock, logger: silentLogger })
  const server = fastify()
  server.setErrorHandler((error, _request, reply) => {
    const { code, message } = toGatewayError(error)
    const status = { FORBIDDEN: 403, OVERLOADED: 503, UNAVAILABLE: 503 }[code as string] ?? 400
    void reply.code(status).send({ code, detail: message })
  })
  server.get('/plain', () => 'plain')
  server.post('/plain', (request) => request.body)
  const door = registerPush(server, {
    reader: new Reader({ log, topics, clock }),
    tail,
    clock,
    random: systemRandom,
    logger: silentLogger,
    origins: { allowedHosts: [], corsOrigins: ['https://ours.example'] },
    ...parts,
  })
  const sockets = new Set<Socket>()
  server.server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  await server.listen({ port: 0, host: '127.0.0.1' })
  const { port } = server.server.address() as AddressInfo
  const url = `ws://127.0.0.1:${port}/v1/ws`
  const clients: PushClient[] = []
  return {
    engine,
    door,
    port,
    url,
    bufferedBytes: () => [...sockets].reduce((sum, { writableLength }) => sum + writableLength, 0),
    createTopic: (name, partitions) => fixture.createTopic(name, partitions),
    deleteTopic: (name) => fixture.deleteTopic(name),
    write: (topic, partition, values) => fixture.write(topic, partition, values),
    async connect() {
      const client = new PushClient(url)
      clients.push(client)
      await client.welcomed()
      return client
    },
    async close() {
      for (const client of clients) client.kill()
      await server.close()
      await tail.close()
      await fixture.close()
    },
  }
}
