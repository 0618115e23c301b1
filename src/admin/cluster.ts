/** The cluster behind the gateway: its id, its nodes, their settings. */
import type { CallOptions } from '../engine/call.ts'
import type { ClusterDescription, ConfigEntry, Topics } from '../engine/topics.ts'
import { adminTimeoutMs } from '../model/limits.ts'
import type { Principal } from '../model/principal.ts'

const call: CallOptions = { timeoutMs: adminTimeoutMs }

export class ClusterAdmin {
  readonly #topics: Topics

  constructor({ topics }: { readonly topics: Topics }) {
    this.#topics = topics
  }

  async describe(_principal: Principal): Promise<ClusterDescription> {
    return await this.#topics.cluster(call)
  }

  /** Settings that hold for all nodes; they are fixed while the engine runs. */
  async configs(_principal: Principal): Promise<readonly ConfigEntry[]> {
    return await this.#topics.configs({ type: 'engine' }, call)
  }
}
