/** The REST door on the real engine, listening on a free port; every answer is held against the contracts. */
import type { AddressInfo } from 'node:net'
import request from 'supertest'
import { BackupAdmin } from '../../src/admin/backups.ts'
import { ClusterAdmin } from '../../src/admin/cluster.ts'
import { GroupAdmin } from '../../src/admin/groups.ts'
import { TopicAdmin } from '../../src/admin/topics.ts'
import { Consumers } from '../../src/consume/consumers.ts'
import { MemorySessionStore } from '../../src/consume/memory-session-store.ts'
import { Reader } from '../../src/consume/reader.ts'
import { Sessions } from '../../src/consume/sessions.ts'
import type { SessionStore } from '../../src/consume/session-store.ts'
import { SessionKeeper } from '../../src/consume/session-keeper.ts'
import { loadDocuments } from '../../src/http/documents.ts'
import type { GatewayState } from '../../src/http/ops.ts'
import type { HttpServerParts } from '../../src/http/server.ts'
import { createHttpServer } from '../../src/http/server.ts'
import { silentLogger } from '../../src/kit/logger.ts'
import { systemRandom } from '../../src/kit/random.ts'
import { Tail } from '../../src/consume/tail.ts'
import { OneShotWriter } from '../../src/produce/transaction.ts'
import { Producer } from '../../src/produce/producer.ts'
import { registerPush } from '../../src/push/websocket.ts'
import { ContractWitness } from './contract-witness.ts'
import { openTestEngine } from './engine.ts'

export interface TestHttp {
  /** `http://127.0.0.1:<port>` */
  readonly url: string
  readonly port: number
  /** What `state` answers; a test may change it. */
  state: GatewayState
  readonly get: (path: string) => request.Test
  readonly head: (path: string) => request.Test
  readonly post: (path: string) => request.Test
  readonly put: (path: string) => request.Test
  readonly patch: (path: string) => request.Test
  readonly delete: (path: string) => request.Test
  readonly options: (path: string) => request.Test
  close(): Promise<void>
}

export type TestHttpOptions = Partial<
  Pick<
    HttpServerParts,
    | 'origins'
    | 'dialect'
    | 'trustedProxies'
    | 'autoCreate'
    | 'bodyLimits'
    | 'answerBytesMax'
    | 'meter'
    | 'logger'
  >
> & {
  /** Default: in memory. Opened and closed with the server. */
  readonly store?: SessionStore
  /** Added to the time that the server measures, ms. */
  readonly lateMs?: () => number
}

const documents = loadDocuments()
const { native, v2, v3 } = documents
const witnesses = [native, v2, v3].map((document) => new ContractWitness(document))

export async function openTestHttp(options: TestHttpOptions = {}): Promise<TestHttp> {
  const opened = await openTestEngine()
  const { engine, clock } = opened
  const { log, topics, transactions, groups } = engine
  const random = systemRandom
  const logger = options.logger ?? silentLogger
  const node = 'test'
  const store = options.store ?? new MemorySessionStore({ clock })
  await store.open()
  const keeper = new SessionKeeper({ store, groups, topics, clock, random, logger, node })
  const reader = new Reader({ log, topics, clock })
  const tail = new Tail({ log, topics, clock, logger })
  const origins = options.origins ?? { allowedHosts: [], corsOrigins: [] }
  let state: GatewayState = { ready: true }
  const { lateMs = () => 0, ...parts } = options
  const server = createHttpServer({
    clock: { ...clock, monotonicMs: () => clock.monotonicMs() + lateMs() },
    random,
    logger,
    documents,
    topics: new TopicAdmin({ topics, log }),
    cluster: new ClusterAdmin({ topics }),
    backups: new BackupAdmin({ backups: engine.backups, isAllowed: true }),
    groups: new GroupAdmin({ groups, topics, log }),
    producer: new Producer({ log, topics, transactions, clock, random }),
    writer: new OneShotWriter({ topics, transactions, clock, random }),
    reader,
    consumers: new Consumers({ store, keeper, log, groups, topics, clock, random }),
    sessions: new Sessions({ store, keeper, log, groups, topics, transactions, clock, random }),
    facts: () => ({ version: '0.0.0', engine: engine.kind, capabilities: engine.capabilities }),
    state: () => state,
    metrics: { contentType: 'text/plain', text: () => Promise.resolve('ebbgate_up 1\n') },
    origins,
    autoCreate: 'compat',
    ...parts,
  })
  // With it comes the upgrade listener that takes bodies away from careless servers.
  const push = registerPush(server, { reader, tail, clock, random, logger, origins })
  await server.listen({ port: 0, host: '127.0.0.1' })
  const { port } = server.server.address() as AddressInfo
  const url = `http://127.0.0.1:${port}`
  const agent = request(url)
  const witnessed = (method: string, path: string, sent: request.Test): request.Test =>
    sent.expect((response: request.Response) => {
      for (const witness of witnesses) witness.check(method, path, response)
    })
  return {
    url,
    port,
    get state() {
      return state
    },
    set state(now) {
      state = now
    },
    get: (path) => witnessed('GET', path, agent.get(path)),
    head: (path) => witnessed('HEAD', path, agent.head(path)),
    post: (path) => witnessed('POST', path, agent.post(path)),
    put: (path) => witnessed('PUT', path, agent.put(path)),
    patch: (path) => witnessed('PATCH', path, agent.patch(path)),
    delete: (path) => witnessed('DELETE', path, agent.delete(path)),
    options: (path) => witnessed('OPTIONS', path, agent.options(path)),
    async close() {
      await push.close()
      await server.close()
      await tail.close()
      await keeper.close()
      await store.close()
      await opened.close()
    },
  }
}
