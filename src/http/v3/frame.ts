/** What every resource of v3 is framed in: its kind, its own address, its resource name, links to others. */
import type { ClusterAdmin } from '../../admin/cluster.ts'
import { GatewayError } from '../../model/errors.ts'
import type { CallContext } from '../exchange/call.ts'

/** Steps below the cluster; they are percent-encoded here. */
export type Path = readonly (string | number)[]

export interface Framed<Kind extends string> {
  readonly kind: Kind
  readonly metadata: { readonly self: string; readonly resource_name: string }
}

export interface FramedList<Kind extends string, Item> {
  readonly kind: Kind
  readonly metadata: { readonly self: string; readonly next: null }
  readonly data: Item[]
}

export interface FrameParts {
  readonly cluster: ClusterAdmin
}

/** Makes the frames of one answer: the addresses are those by which the caller reaches us. */
export class Frame {
  readonly clusterId: string
  readonly #root: string

  constructor(clusterId: string, base: string) {
    this.clusterId = clusterId
    this.#root = `${base}/v3/clusters`
  }

  /** Where the cluster itself is listed. */
  get clustersUrl(): string {
    return this.#root
  }

  url(path: Path): string {
    return [this.#root, ...[this.clusterId, ...path].map(encoded)].join('/')
  }

  related(...path: Path): { readonly related: string } {
    return { related: this.url(path) }
  }

  /** `name` is what follows the cluster in the resource name, as pairs of a word and its value. */
  resource<Kind extends string>(
    kind: Kind,
    path: Path,
    name: readonly (readonly [word: string, value?: string | number])[],
  ): Framed<Kind> {
    const steps = name.map(([word, value]) =>
      value === undefined ? `/${word}` : `/${word}=${encoded(value)}`,
    )
    const resource_name = `crn:///kafka=${encoded(this.clusterId)}${steps.join('')}`
    return { kind, metadata: { self: this.url(path), resource_name } }
  }

  list<Kind extends string, Item>(
    kind: Kind,
    path: Path,
    data: readonly Item[],
  ): FramedList<Kind, Item> {
    return { kind, metadata: { self: this.url(path), next: null }, data: [...data] }
  }
}

function encoded(step: string | number): string {
  return encodeURIComponent(step)
}

/** The frame for a call below a cluster. Throws NOT_FOUND when the path names another cluster. */
export async function frameOf(
  { cluster }: FrameParts,
  call: CallContext & { readonly params: { readonly cluster_id: string } },
): Promise<Frame> {
  const { clusterId } = await cluster.describe(call.principal)
  const named = call.params.cluster_id
  if (named !== clusterId) {
    const shown = named.length > 100 ? `${named.slice(0, 100)}…` : named
    throw new GatewayError('NOT_FOUND', `Cluster ${shown} cannot be found.`)
  }
  return new Frame(clusterId, call.baseUrl)
}
