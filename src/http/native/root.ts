/** `GET /v1`: what this gateway is, what it can do, and how much it takes. */
import type { components, operations } from '../../contract/native.ts'
import type { Handlers } from '../../contract/operations.ts'
import * as limits from '../../model/limits.ts'
import type { CallContext } from '../exchange/call.ts'

/** What only the roof knows: the program's version and the engine's own words about itself. */
export interface GatewayFacts extends Pick<WireFacts, 'version' | 'engine'> {
  readonly capabilities: Omit<WireCapabilities, 'codecs'> & {
    readonly codecs: Readonly<WireCapabilities['codecs']>
  }
}

type WireFacts = components['schemas']['GatewayFacts']
type WireCapabilities = WireFacts['capabilities']

/** Ceilings that a client can meet, by the names that queries and documents use. */
const publicLimits = {
  bodyBytes: limits.bodyBytesMax,
  recordsPerRequest: limits.recordsPerRequestMax,
  recordBytes: limits.messageBytesMax,
  headersPerRecord: limits.headersPerRecordMax,
  jsonDepth: limits.jsonDepthMax,
  maxRecords: limits.readRecordsMax,
  maxBytes: limits.readBytesMax,
  lastRecords: limits.lastRecordsMax,
  waitMs: limits.waitMsMax,
  waitingPolls: limits.waitingPollsMax,
  partitionsPerTopic: limits.partitionsPerTopicMax,
  listLimit: limits.listLimitMax,
}

export function rootHandlers(
  facts: () => GatewayFacts,
): Pick<Handlers<operations, CallContext>, 'getGateway'> {
  return {
    getGateway: ({ principal }) => {
      const { version, engine, capabilities } = facts()
      return Promise.resolve({
        status: 200,
        body: {
          version,
          engine,
          capabilities: { ...capabilities, codecs: [...capabilities.codecs] },
          limits: publicLimits,
          subject: principal.subject,
          rights: {
            topics: [{ match: '*', actions: ['read', 'write', 'manage'] }],
            groups: [{ match: '*', actions: ['join', 'manage'] }],
            admin: true,
          },
        },
      })
    },
  }
}
